"""Annotators at the page itself: what they see in a browser, and what comes of what they click."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from annotated_sales import ROOT, Walk
from annotators_at_work import SALES, password_of
from argilla_page import Annotator, chromium
from pushed_rows import campaign_recipe, version_of

from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.campaigns.push import push
from annotation.client import Server
from annotation.judgements.pull import pull
from annotation.server.state import Local
from datakit.cleaning.clean import clean
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version, open_version

GUIDELINE = (SALES.parents[1] / "guideline.md").read_text(encoding="utf-8")

Key = tuple[str, int]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def server(argilla: Local) -> Iterator[Server]:
    with Server.connect(argilla.url, argilla.api_key) as connected:
        yield connected


def at_work(recipe: Recipe, server: Server, browser: Any, rows: list[Key]) -> tuple[Campaign, Annotator]:
    """A campaign about some rows, and its one annotator, signed in by the password that push made, before the first."""
    pushed = push(recipe, server, rows=rows)
    campaign, (name,) = open_campaign(pushed.folder), pushed.annotators
    who = Annotator(browser, server.url)
    who.sign_in(name, password_of(campaign, name))
    who.open(campaign.name)
    return campaign, who


def judged(campaign: Campaign, server: Server) -> dict[Key, Any]:
    """What a pull brings of everybody's answers: value by row."""
    pull(campaign, server)
    rows = open_version(campaign.judgements_path).frame("judgements").rows(named=True)
    return {(row["source"], row["line"]): row["value"] and orjson.loads(row["value"]) for row in rows}


def test_an_annotator_reads_a_chinese_dialogue_chooses_and_the_choice_arrives(
    server: Server, browser: Any, workspace: str, tmp_path: Path
) -> None:
    rows = chinese(clean(SALES, tmp_path / "clean", {"clean": {"steps": []}}).version, 10)
    people = [f"小陈-{workspace[-6:]}"]
    recipe = campaign_recipe(tmp_path, "偏好", GUIDELINE, workspace=workspace, annotators=people, overlap=1)
    campaign, who = at_work(recipe, server, browser, list(rows))
    assert "每次看到一段客户对话和两个候选回复" in who.guideline()
    better, placed = taste(rows), set()
    meant: dict[Key, str | None] = {}
    keys = {said(row["prompt"]): key for key, row in rows.items()}
    for number in range(len(rows)):
        shown = who.shown()
        key = keys.pop(tuple(first_line(text) for _, text in shown.dialogue))
        answers = {title: first_line(text) for title, text in shown.texts.items()}
        assert {role for role, _ in shown.dialogue} <= {"系统", "用户", "助手"}
        assert list(answers) == ["回复 A", "回复 B"]
        assert set(answers.values()) == {*said(rows[key]["chosen"]), *said(rows[key]["rejected"])}
        place = "A" if answers["回复 A"] in better else "B"
        meant[key] = "first" if {*said(rows[key]["chosen"])} & better else "second"
        match number:
            case 0:
                meant[key] = "tie"
                who.choose("不分上下")
                who.send()
            case 1:
                meant[key] = None
                who.send("Discard")
            case _ if number % 2:
                placed.add(place)
                who.choose(f"{place} 更好")
                who.send()
            case _:
                placed.add(place)
                who.press("1" if place == "A" else "2", "Enter")
    assert placed == {"A", "B"} and {"first", "second"} < set(meant.values())
    assert judged(campaign, server) == meant
    assert who.answered_from == {server.url}, "the page needs nothing from elsewhere"


def test_passages_marked_with_the_mouse_are_those_of_the_row(
    server: Server, browser: Any, workspace: str, tmp_path: Path
) -> None:
    """Behind signs that browsers count as two, and signs that HTML would swallow; with Shift within a word."""
    text = "好的🙂。<b>标准版</b>一年每席位12000 元，今天下午把明细发给您 & 约时间。It is 12,000 yuan a seat."
    asked = [{"role": "user", "content": "先给我报个价吧。"}, {"role": "assistant", "content": text}]
    version_of(tmp_path, [{"messages": asked}])
    labels, people = {"price": "价格", "step": "下一步"}, [f"小林-{workspace[-6:]}"]
    recipe = campaign_recipe(
        tmp_path, "片段", kind="spans", labels=labels, overlap=1, workspace=workspace, annotators=people
    )
    campaign, who = at_work(recipe, server, browser, [("a.jsonl", 1)])
    who.mark("12000 元", "价格")
    who.mark("发给您", "下一步")
    who.mark("000 yuan", "价格", within_words=True)
    who.send()
    (marked,) = judged(campaign, server).values()
    found = sorted((text[span["start"] : span["end"]], span["label"]) for span in marked)
    assert found == [("000 yuan", "price"), ("12000 元", "price"), ("发给您", "step")]


def test_the_pictures_of_the_documentation(browser: Any, tmp_path: Path) -> None:
    """What docs/annotation.md shows, taken anew; with DATAKIT_PICTURES=1 they become those of docs/images."""
    to = ROOT / "docs" / "images" if os.environ.get("DATAKIT_PICTURES") else tmp_path
    walk = Walk(tmp_path)
    try:
        for words in (
            "clean --recipe recipes/sales.toml",
            "annotate serve --detach",
            "annotate push recipes/sales.toml",
        ):
            walk.run(["datakit", *words.split()])
        who = Annotator(browser, walk.url, height=720)
        who.sign_in("小陈", password_of(walk.campaign(), "小陈"))
        who.open("sales")
        while not who.shown().dialogue[0][1].startswith("几个部门意见不一致"):
            who.press("ArrowRight")
        who.picture(to / "annotate-pair.png")
        assert who.guideline().startswith("偏好标注指南")
        who.picture(to / "annotate-guideline.png")
        walk.answer_everything()
        for verb in ("pull", "report"):
            walk.run(["datakit", "annotate", verb, "recipes/sales.toml"])
        who.page.set_viewport_size({"width": 1100, "height": 1200})
        who.page.goto((walk.campaign().path / "report.html").as_uri())
        who.picture(to / "annotate-report.png")
    finally:
        walk.run(["datakit", "annotate", "stop"])
    sizes = {path.name: path.stat().st_size for path in to.glob("annotate-*.png")}
    assert len(sizes) == 3 and max(sizes.values()) <= 120_000, sizes


def chinese(version: Version, count: int) -> dict[Key, dict[str, Any]]:
    """Chinese pairs of a version by key, those with the longest dialogues."""
    asked = pl.col("prompt").list.last().struct.field("content")
    rows = (
        version.frame("preference").filter(asked.str.contains(r"\p{Han}")).with_columns(len=pl.col("prompt").list.len())
    )
    rows = rows.sort("len", "line", descending=[True, False]).head(count)
    return {(row["source"], row["line"]): row for row in rows.iter_rows(named=True)}


def said(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    """The first line of every turn: behind it may be a table, which the page draws as one."""
    return tuple(first_line(message["content"]) for message in messages)


def first_line(text: str) -> str:
    return text.split("\n")[0]


def taste(rows: dict[Key, dict[str, Any]]) -> set[str]:
    """Better answers by their text, in every other row the one that the data call rejected."""
    sides = ("chosen", "rejected")
    return {said(row[sides[number % 2]])[0] for number, row in enumerate(rows.values())}
