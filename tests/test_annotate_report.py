"""A campaign's page: whole, escaped, in two languages, and as a real browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from campaign_rows import campaign_of, everybody, judge, version_with
from judged_campaigns import judge as simulate
from typer.testing import CliRunner

from annotation.campaigns.campaign import Campaign
from annotation.measures.judged import judged
from annotation.reports.contested import Contested, find_contested, most_contested
from annotation.reports.page import POLICY, chart
from annotation.reports.report import FILE, Findings, report_page, write_report
from datakit.cli.app import app
from datakit.errors import UsageFault

CHROMIUM = Path("/usr/bin/chromium")
EVIL = '<script>document.title="bad"</script><img src=x onerror=alert(1)> & "quotes" \'单引号\''
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"多少钱？{EVIL} {n}"}],
        "chosen": [{"role": "assistant", "content": f"每席位 1,200 元。{n}"}],
        "rejected": [{"role": "assistant", "content": f"It depends. {n} {EVIL}"}],
    }
    for n in range(1, 7)
]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = campaign_of(version_with(PAIRS, tmp_path / "clean"), tmp_path / "销售 & sales", "preference")
    said = everybody(
        ["a01", "a02", "a03"],
        [str(n) for n in range(1, 7)],
        lambda who, item: "first" if who < "a03" or item < "4" else "tie",
    )
    judge(made, said, shown='"A"')
    return made


@pytest.fixture(scope="module")
def simulated() -> Findings:
    made = simulate()
    answer = [{"role": "assistant", "content": EVIL, "tool_calls": None}]
    contested = [
        Contested(
            "pairs.jsonl",
            3,
            "preference",
            (("a01", "first"), ("a02", "second")),
            [{"role": "user", "content": "价格？"}],
            [answer, answer],
        )
    ]
    return Findings(
        "销售", "preference", "clean@3f2a9c1b04d2", "0123456789ab", 3, made.items, made.judgements, contested
    )


class _Tags(HTMLParser):
    """Every tag that is opened is closed, in order; no tag fetches anything."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "onerror"}
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "link", "iframe", "object"}
    return tags


def test_the_page_of_a_campaign_is_written(campaign: Campaign) -> None:
    path = write_report(campaign)
    assert path == campaign.path / FILE
    page = path.read_text(encoding="utf-8")
    check(page)
    assert POLICY in page.split("<title>")[0].replace("&#x27;", "'")
    assert "6 / 6" in page and "销售 &amp; sales" in page
    assert page.count("<article>") == 3  # items 4 to 6 divide them
    assert "&lt;script&gt;document.title" in page and "每席位 1,200 元。4" in page
    assert json.loads(CliRunner().invoke(app, ["annotate", "report", str(campaign.path), "--json"]).stdout) == {
        "path": str(path),
        "bytes": path.stat().st_size,
    }
    assert path.read_text(encoding="utf-8") == page  # the same judgements, the same page


def test_without_judgements_it_says_what_to_do(tmp_path: Path) -> None:
    made = campaign_of(version_with(PAIRS, tmp_path / "clean"), tmp_path / "sales", "preference")
    with pytest.raises(UsageFault, match="datakit annotate pull"):
        write_report(made)


def test_both_languages_say_everything(simulated: Findings) -> None:
    page = report_page(simulated)
    check(page)
    english = len(re.findall('<span lang="en">', page))
    assert english == len(re.findall('<span lang="zh">', page)) > 30
    outside = re.sub(r'<span lang="(en|zh)">.*?</span>', "", page.split("</style>")[1])
    for heading in re.findall(r"<h2>(.*?)</h2>", outside):
        assert heading == ""
    assert 'id="english" checked' in page and 'id="chinese" checked' in report_page(simulated, "zh")


def test_who_leans_is_marked_and_nobody_else(simulated: Findings) -> None:
    page = report_page(simulated)
    marked = re.findall(r'<span class="bad">(.*?)</span>', page)
    assert len(marked) == 1 and marked[0].startswith("← ")


@pytest.mark.parametrize("kind", ["rating", "labels", "rewriting"])
def test_other_kinds_have_pages_too(tmp_path: Path, kind: str) -> None:
    rows = [
        {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": f"您好 {n} {EVIL}"}]}
        for n in range(1, 4)
    ]
    made = campaign_of(version_with(rows, tmp_path / "clean"), tmp_path / kind, kind)
    values: dict[str, Any] = {
        "rating": {"helpful": 4, "polite": 2},
        "labels": ["价格", "功能"],
        "rewriting": "您好，请问有什么可以帮您？",
    }
    said = everybody(["a01", "a02"], ["1", "2", "3"], lambda who, item: values[kind])
    if kind == "rating":
        said["a02"]["3"] = {"helpful": 1, "polite": 5}
    judge(made, said)
    page = write_report(made).read_text(encoding="utf-8")
    check(page)
    assert page.count("<article>") == (2 if kind == "rating" else 0)
    assert ("helpful" in page) == (kind == "rating")


def test_nobody_has_answered(simulated: Findings) -> None:
    nothing = Findings("空", "preference", "clean@3f2a", "0" * 12, 3, simulated.items, simulated.judgements.clear())
    page = report_page(nothing)
    check(page)
    assert "0 / 420" in page and "cannot be measured yet" in page


def test_the_most_contested_come_first() -> None:
    said = {"u1": "AAB", "u2": "ABC", "u3": "AAA", "u4": "AB", "u5": "A"}
    rows = [
        (item, "q", name, value) for item, values in said.items() for name, value in zip("xyz", values, strict=False)
    ]
    table = pl.DataFrame(rows, schema=["item", "question", "annotator", "value"], orient="row")
    assert most_contested(table)["item"].to_list() == ["u2", "u4", "u1"]
    assert most_contested(table, 1)["said"].to_list() == [
        [{"annotator": name, "value": value} for name, value in zip("xyz", "ABC", strict=True)]
    ]


def test_numbers_that_lie_far_apart_come_before_many_that_differ_little() -> None:
    rows = [
        (item, "q", name, value)
        for item, values in {"u1": "123", "u2": "15", "u3": "22"}.items()
        for name, value in zip("xyz", values, strict=False)
    ]
    table = pl.DataFrame(rows, schema=["item", "question", "annotator", "value"], orient="row")
    assert most_contested(table)["item"].to_list() == ["u2", "u1"]


def test_what_they_saw_stands_beside(campaign: Campaign) -> None:
    table = judged(campaign_judgements(campaign))
    found = find_contested(table, campaign.items(), campaign.source_version(), most=1)
    assert [said for _, said in found[0].said] == ["first", "first", "tie"]
    texts = [[turn["content"] for turn in answer] for answer in found[0].answers]
    assert texts == [[f"每席位 1,200 元。{found[0].line}"], [f"It depends. {found[0].line} {EVIL}"]]
    assert found[0].context[0]["role"] == "user"


def campaign_judgements(campaign: Campaign) -> pl.DataFrame:
    from annotation.judgements.judgements import pulled

    return pulled(campaign).frame("judgements")


def test_a_chart_of_little_is_a_chart() -> None:
    for points in ([], [("2026-W01", None, None)], [("2026-W01", -0.4, (-1.0, 0.2)), ("2026-W02", 1.0, None)]):
        assert chart(points, "α <over time>", (0.667, 0.8)).count("<svg") == 1
        assert "nan" not in chart(points, "", ())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: Debian's chromium shows the page")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
    )
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


def test_a_browser_shows_it_by_keyboard_without_network(simulated: Findings, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_page(simulated), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="dark")
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.get_by_text("Agreement over time", exact=True).is_visible()
    assert not page.get_by_text("一致性随时间的变化").is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from English to Chinese
    assert page.get_by_text("一致性随时间的变化").is_visible()
    assert not page.get_by_text("Agreement over time", exact=True).is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the figures below the chart
    assert page.locator("details").first.get_attribute("open") is not None
    assert page.locator("article .text", has_text="document.title").count() == 2  # shown, not run
    assert "bad" not in page.title()
    dark = page.evaluate("getComputedStyle(document.documentElement).colorScheme")
    assert dark == "light dark"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    assert said == [] and asked == [path.as_uri()]
    page.close()
