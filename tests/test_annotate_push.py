"""A campaign comes to a server: once, whole, blind, and with what it lacks after whatever broke."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from local_argilla import call
from pushed_rows import campaign_recipe, dialogues, pairs, version_of, write_gold

from annotation import client
from annotation.campaigns.campaign import open_campaign
from annotation.campaigns.push import PushResult
from annotation.campaigns.push import push as push_campaign
from annotation.client import Server
from annotation.server.state import Local
from datakit.errors import DataVerdict, UsageFault
from datakit.recipe.annotate import SelectSettings
from datakit.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the version that all campaigns here are about: pairs and dialogues."""
    folder = tmp_path_factory.mktemp("push")
    version_of(folder, pairs(120), dialogues(40))
    return folder


@pytest.fixture(scope="module")
def server(argilla: Local) -> Iterator[Server]:
    with Server.connect(argilla.url, argilla.api_key) as connected:
        yield connected


def records(argilla: Local, result: PushResult, key: str | None = None) -> list[dict[str, Any]]:
    """What the server holds of a campaign."""
    dataset = result.url.split("/")[-2]
    found: list[dict[str, Any]] = call(argilla, "GET", f"datasets/{dataset}/records?limit=1000", key=key)["items"]
    return found


def ids(argilla: Local, result: PushResult) -> list[str]:
    return sorted(record["external_id"] for record in records(argilla, result))


@pytest.fixture
def recipe(home: Path, workspace: str) -> Recipe:
    return campaign_recipe(home, name=f"对话 {workspace}", workspace=workspace, rows=20, repeats=0.2, batch=6)


def changed(recipe: Recipe, **settings: Any) -> Recipe:
    return recipe.model_copy(update={"annotate": recipe.annotate.model_copy(update=settings)})


def test_pushing_twice_adds_nothing_twice(argilla: Local, server: Server, recipe: Recipe) -> None:
    first = push_campaign(recipe, server)
    assert (first.items, first.pushed, first.already) == (24, 24, 0)
    campaign = open_campaign(recipe)
    before = {path.name: path.read_bytes() for path in campaign.path.glob("*.*")}
    again = push_campaign(recipe, server)
    assert (again.items, again.pushed, again.already, again.url) == (24, 0, 24, first.url)
    assert ids(argilla, first) == sorted(campaign.items()["item"])
    assert {path.name: path.read_bytes() for path in campaign.path.glob("*.*")} == before


def test_the_question_is_blind(argilla: Local, server: Server, recipe: Recipe, home: Path, workspace: str) -> None:
    gold = write_gold(
        home / f"{workspace}.jsonl", [{"source": "a.jsonl", "line": n, "expected": "first"} for n in (1, 2)]
    )
    people = (f"李雷 {workspace}", f"anna {workspace}")
    result = push_campaign(changed(recipe, gold=gold, gold_share=0.1, annotators=people), server)
    campaign = open_campaign(recipe)
    items = campaign.items()
    assert items.group_by("role").len().sort("role").rows() == [("ask", 20), ("gold", 2), ("repeat", 4)]
    password = orjson.loads((campaign.path / "passwords.json").read_bytes())[people[0]]
    token = server.http.post("api/v1/token", data={"username": people[0], "password": password})
    signed_in = {"Authorization": f"Bearer {token.json()['access_token']}"}
    dataset = result.url.split("/")[-2]
    seen = client.httpx.get(
        f"{argilla.url}/api/v1/me/datasets/{dataset}/metadata-properties", headers=signed_in, trust_env=False
    )
    assert seen.json()["items"] == []
    found = client.httpx.post(
        f"{argilla.url}/api/v1/me/datasets/{dataset}/records/search?limit=100&include=suggestions&include=responses",
        headers=signed_in,
        json={},
        trust_env=False,
    ).json()["items"]
    assert len(found) == 26
    for record in (entry["record"] for entry in found):
        assert not record["metadata"] and not record["suggestions"] and not record["responses"]
        assert record["fields"].keys() == {"conversation", "answer_a", "answer_b"}
    shown = {entry["record"]["external_id"]: entry["record"]["fields"] for entry in found}
    first = {row["item"]: row["order"] == [0, 1] for row in items.iter_rows(named=True)}
    for item, fields in shown.items():  # of `pairs`, the chosen answer says what it costs
        assert ("千元" in fields["answer_a"] or "thousand" in fields["answer_a"]) == first[item]
    for row in items.filter(pl.col("role") == "repeat").iter_rows(named=True):
        one, other = shown[row["item"]], shown[row["of"]]
        assert (one["answer_a"], one["answer_b"]) == (other["answer_b"], other["answer_a"])
    text = orjson.dumps(found).decode()
    assert not any(word in text for word in ("judge_a", "a.jsonl", "chosen", "rejected", "gold", "repeat"))


def test_people_are_let_in_and_their_passwords_are_theirs_alone(
    argilla: Local, server: Server, recipe: Recipe, workspace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    known = f"known-{workspace}"
    call(argilla, "POST", "users", {"username": known, "password": "rather-long", "first_name": "k"})
    result = push_campaign(changed(recipe, annotators=(known, f"新人 {workspace}")), server)
    assert result.made == (f"新人 {workspace}",)
    file = open_campaign(recipe).path / "passwords.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    passwords = orjson.loads(file.read_bytes())
    assert passwords.keys() == {f"新人 {workspace}"}
    said = capfd.readouterr()
    assert not any(word in said.out + said.err for word in passwords.values())
    assert all(
        word not in path.read_text()
        for path in file.parent.glob("*.json")
        if path != file
        for word in passwords.values()
    )
    again = push_campaign(changed(recipe, annotators=(known, f"新人 {workspace}")), server)
    assert orjson.loads(file.read_bytes()) == passwords and again.made == result.made


def test_more_rows_are_another_batch(argilla: Local, server: Server, recipe: Recipe) -> None:
    push_campaign(recipe, server)
    few = open_campaign(recipe).items()
    result = push_campaign(changed(recipe, rows=50), server)
    many = open_campaign(recipe).items()
    assert (result.pushed, result.already) == (36, 24)
    assert many.head(24).equals(few) and set(many["batch"]) == {1, 2}
    asks = many.filter(pl.col("role") == "ask")
    assert asks.height == 50 == asks.select("source", "line").n_unique()
    assert len(ids(argilla, result)) == 60
    with pytest.raises(UsageFault, match="rows: 50, now 30; a campaign only grows"):
        push_campaign(changed(recipe, rows=30), server)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seed": 7}, "seed: 42, now 7"),
        ({"kind": "rating"}, 'kind: "preference", now "rating"'),
        ({"repeats": 0.0}, "repeats: 0.2, now 0.0"),
        ({"language": "en"}, 'language: "zh", now "en"'),
        ({"select": SelectSettings(stratify="source")}, 'select.stratify: null, now "source"'),
    ],
)
def test_a_campaign_does_not_change_its_rules(
    server: Server, recipe: Recipe, settings: dict[str, Any], said: str
) -> None:
    push_campaign(recipe, server)
    with pytest.raises(UsageFault) as caught:
        push_campaign(changed(recipe, **settings), server)
    assert said in str(caught.value) and "annotate.name" in str(caught.value)


def test_another_version_is_another_campaign(server: Server, recipe: Recipe, tmp_path: Path) -> None:
    push_campaign(recipe, server)
    other = version_of(tmp_path, pairs(30))
    with pytest.raises(UsageFault, match=rf"source: .*, now .*clean@{other.name}"):
        push_campaign(changed(recipe, dataset=str(tmp_path / "clean")), server)


def test_a_changed_guideline_is_recorded_with_the_servers_time(argilla: Local, server: Server, recipe: Recipe) -> None:
    result = push_campaign(recipe, server)
    path = Path(recipe.annotate.guideline or "")
    old = path.read_text(encoding="utf-8")
    try:
        path.write_text(old + "\n补充：简短不扣分。\n", encoding="utf-8")
        push_campaign(changed(recipe, overlap=3), server)
        push_campaign(changed(recipe, overlap=3), server)
    finally:
        path.write_text(old, encoding="utf-8")
    campaign = open_campaign(recipe)
    first, second = campaign.manifest.guidelines
    assert first.hash != second.hash and first.since < second.since and second.since.endswith("Z")
    assert campaign.guideline() == old + "\n补充：简短不扣分。\n" and campaign.guideline(first.hash) == old
    dataset = call(argilla, "GET", f"datasets/{result.url.split('/')[-2]}")
    assert dataset["guidelines"] == campaign.guideline() and dataset["distribution"]["min_submitted"] == 3
    assert second.since == dataset["updated_at"] + "Z" and campaign.overlap == 3


@pytest.mark.parametrize("repeats", [0.0, 1.0])
def test_what_the_server_refuses_is_named_and_the_rest_goes_on(
    argilla: Local, server: Server, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, repeats: float
) -> None:
    send = Server.log
    planned = changed(recipe, repeats=repeats)
    spoiled: list[str] = []

    def log(self: Server, dataset: str, rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
        asks = open_campaign(planned).items().filter(pl.col("role") == "ask")["item"].to_list()
        spoiled.extend([row["external_id"] for row in rows if row["external_id"] in asks][:1] if not spoiled else [])
        bad = [row | {"fields": {"answer_a": "甲"}} if row["external_id"] in spoiled else row for row in rows]
        return send(self, dataset, bad)

    monkeypatch.setattr(Server, "log", log)
    result = push_campaign(planned, server)
    items = open_campaign(planned).items()
    assert ids(argilla, result) == sorted(items["item"]) and spoiled[0] not in items["item"]
    assert result.items == result.pushed == (39 if repeats else 19)
    if repeats:  # it took the same row the other way round: that is judged instead
        assert result.left_out.is_empty() and items.filter(pl.col("role") == "ask").height == 20
        assert set(items["of"].drop_nulls()) < set(items["item"])
    else:
        (lost,) = result.left_out.to_dicts()
        assert lost["reason"] == "refused" and "missing required value for field" in lost["detail"]
    again = push_campaign(planned, server)
    assert (again.pushed, again.items) == (0, result.items), "no other row takes its place"


def test_rows_that_cannot_be_shown_are_named_and_others_take_their_place(
    server: Server, home: Path, workspace: str, tmp_path: Path
) -> None:
    rows = pairs(10)
    rows[3] |= {"chosen": "同一个回答。", "rejected": "同一个回答。"}
    rows[5] |= {"chosen": "".join(chr(0x4E00 + n * 37 % 5000) for n in range(500)) + "。"}
    version_of(tmp_path, rows)
    recipe = campaign_recipe(tmp_path, name=workspace, rows=9, repeats=0.0, max_characters=400)
    result = push_campaign(recipe, server)
    assert result.items == 8
    named = sorted(result.left_out.select("source", "line", "reason").rows())
    assert named == [("a.jsonl", 4, "same_answers"), ("a.jsonl", 6, "too_long")]
    assert result.to_json()["left_out"] == {"same_answers": 1, "too_long": 1}


def test_rows_that_somebody_chose(server: Server, recipe: Recipe) -> None:
    chosen = [("a.jsonl", 7), ("a.jsonl", 3), ("a.jsonl", 9999), ("b.jsonl", 1)]
    result = push_campaign(recipe, server, rows=chosen)
    asks = open_campaign(recipe).items().filter(pl.col("role") == "ask")
    assert set(asks.select("source", "line").rows()) == {("a.jsonl", 7), ("a.jsonl", 3)}
    assert result.to_json()["left_out"] == {"unknown_row": 1, "wrong_kind": 1}
    more = push_campaign(recipe, server, rows=[*chosen, ("a.jsonl", 20)])
    assert more.pushed == 1 and more.items == result.items + 1
    with pytest.raises(UsageFault, match="given: true, now false"):
        push_campaign(recipe, server)


@pytest.mark.parametrize(
    ("kind", "settings", "fields"),
    [
        ("rating", {"aspects": {"tone": "语气", "help": "有用"}}, {"conversation", "answer"}),
        ("rating", {"judged": "dialogue"}, {"conversation"}),
        ("ranking", {"answers": 2}, {"conversation", "answer_a", "answer_b"}),
        ("labels", {"labels": ("好", "坏"), "multiple": True}, {"conversation", "answer"}),
        ("labels", {"labels": ("好", "坏")}, {"conversation", "answer"}),
        ("spans", {"labels": {"price": "价格"}}, {"conversation", "answer"}),
        ("rewriting", {}, {"conversation", "answer"}),
    ],
)
def test_every_kind_can_be_answered(
    argilla: Local, server: Server, recipe: Recipe, kind: str, settings: dict[str, Any], fields: set[str]
) -> None:
    result = push_campaign(changed(recipe, kind=kind, rows=5, **settings), server)
    record = records(argilla, result)[0]
    assert record["fields"].keys() == fields
    possible = {
        "rating": 4,
        "ranking": [{"value": "A", "rank": 1}, {"value": "B", "rank": 1}],
        "labels": ["好"] if settings.get("multiple") else "好",
        "spans": [{"start": 0, "end": 2, "label": "price"}],
        "rewriting": "更好的回复。",
    }
    names = [question["name"] for question in open_campaign(recipe).questions]
    values = {name: {"value": possible[kind]} for name in names}
    answered = call(argilla, "POST", f"records/{record['id']}/responses", {"values": values, "status": "submitted"})
    assert answered["status"] == "submitted"


def test_a_dry_run_plans_and_writes_nothing(recipe: Recipe) -> None:
    result = push_campaign(recipe, None, dry_run=True)
    assert (result.items, result.pushed, result.url) == (24, 24, "") and not result.folder.exists()


def test_the_plan_is_the_same_on_another_server(server: Server, recipe: Recipe, tmp_path: Path) -> None:
    push_campaign(recipe, server)
    here = open_campaign(recipe).items()
    twin = changed(recipe, folder=str(tmp_path))
    push_campaign(twin, server)
    assert open_campaign(twin).items().equals(here)


def test_nothing_to_judge(server: Server, recipe: Recipe) -> None:
    near = {"near": {"score": "characters", "threshold": 1e6, "width": 1}}
    select = recipe.annotate.select.model_validate(near)
    with pytest.raises(DataVerdict, match="no row to judge"):
        push_campaign(changed(recipe, select=select), server)
    with pytest.raises(UsageFault, match=r"annotate\.guideline: not set"):
        push_campaign(changed(recipe, guideline=None), server)
