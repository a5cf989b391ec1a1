"""How a campaign stands: every figure from judgements that were made by hand, and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from campaign_rows import campaign_of, everybody, judge, version_with
from pushed_rows import pairs

from annotation.campaigns.campaign import Campaign
from annotation.judgements.annotators import Annotator, write_annotators
from annotation.judgements.judgements import SCHEMA, read
from annotation.reports.standing import WINDOW, Standing, standing
from datakit.versions.store import Version

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_with(pairs(8), tmp_path_factory.mktemp("progress"))


@pytest.fixture
def campaign(version: Version, tmp_path: Path) -> Campaign:
    return campaign_of(version, tmp_path / "campaigns" / "对话", "preference", gold=["first", "second"], overlap=2)


def stands(campaign: Campaign, **more: Any) -> Standing:
    return standing(campaign, read(campaign), "v", more.pop("now", NOW))


def at(campaign: Campaign, times: dict[str, list[datetime]], status: str = "submitted") -> pl.DataFrame:
    """Judgements of annotators at times, one item after the other."""
    items = campaign.items()["item"].to_list()
    rows = [
        {
            **{"item": items[place], "role": "ask", "question": "preference", "kind": "preference", "value": '"first"'},
            **{"shown": '"A"', "annotator": who, "status": status, "response": f"{who}{place}"},
            "answered_at": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        for who, all_times in times.items()
        for place, time in enumerate(all_times)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def test_done_left_and_how_good_everybody_is(campaign: Campaign) -> None:
    said = everybody(["a01", "a02"], ["1", "2", "3", "g0", "g1"], lambda who, item: "first")
    said["a02"] = {**said["a02"], "3": "second", "4": None, "5": ("draft", "first"), "6": ("withdrawn", "first")}
    said["a03"] = {"1": "tie", "7": "first"}
    judge(campaign, said)
    found = stands(campaign)
    assert (found.items, found.done, found.begun, found.overlap) == (10, 5, 1, 2)
    assert found.by_answers == {0: 4, 1: 1, 2: 5} and found.left == 4 * 2 + 1  # a third answer is none too few
    assert found.statuses == {"discarded": 1, "draft": 1, "submitted": 12, "withdrawn": 1}
    assert found.agreement.compared == 3 and found.agreement.percent is not None
    plain = orjson.loads(orjson.dumps(found.to_json()))
    assert plain["answers"]["left"] == 9 and plain["by_answers"] == {"0": 4, "1": 1, "2": 5}
    assert {one: about["gold"] and about["gold"]["value"] for one, about in plain["annotators"].items()} == {
        "a01": 0.5, "a02": 0.5, "a03": None,
    }  # fmt: skip
    assert plain["annotators"]["a02"]["discarded"] == 1 and "name" not in plain["annotators"]["a01"]
    assert found.to_json({"a01": "安娜"})["annotators"]["a01"]["name"] == "安娜"


def test_several_questions_are_one_answer(version: Version, tmp_path: Path) -> None:
    campaign = campaign_of(version, tmp_path / "ratings", "rating", overlap=1)
    judge(campaign, {"a01": {"1": {"helpful": 4, "polite": 2}, "2": {"helpful": 1, "polite": 1}}})
    found = stands(campaign)
    assert found.statuses == {"submitted": 2} and found.done == 2 and found.left == 6
    assert found.agreement.level == "ordinal"


def test_before_anybody_has_answered(campaign: Campaign) -> None:
    found = standing(campaign, pl.DataFrame(schema=SCHEMA), now=NOW)
    assert (found.done, found.begun, found.left) == (0, 0, 20)
    assert found.pace is None and found.end is None and found.seconds is None and not found.quality
    assert found.to_json()["agreement"] == {"compared": 0, "percent": None, "level": "nominal", "alpha": None}


def test_pace_and_end_by_the_clock_on_the_wall(campaign: Campaign) -> None:
    hours = [NOW - timedelta(hours=4 - place) for place in range(4)]
    found = standing(campaign, at(campaign, {"a01": hours, "a02": hours[:2]}), now=NOW)
    assert found.pace == pytest.approx(6 / 4)
    assert found.left == 14 and found.end == (NOW + timedelta(hours=14 / 1.5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_pace_looks_back_a_week(campaign: Campaign) -> None:
    early, late = NOW - timedelta(days=30), NOW - timedelta(days=1)
    found = standing(campaign, at(campaign, {"a01": [early, early, late, late]}), now=NOW)
    assert found.pace == pytest.approx(2 / (WINDOW / timedelta(hours=1)))
    asleep = standing(campaign, at(campaign, {"a01": [early] * 4}), now=NOW)
    assert asleep.pace is None and asleep.end is None and asleep.left == 16
    assert standing(campaign, at(campaign, {"a01": [late] * 4}, "discarded"), now=NOW).pace is None
    ahead = at(campaign, {"a01": [NOW + timedelta(hours=1)] * 2})  # the server's clock goes before ours
    assert standing(campaign, ahead, now=NOW).pace is None


def test_nothing_left_has_no_end(campaign: Campaign) -> None:
    everything = [NOW - timedelta(minutes=place + 1) for place in range(10)]
    found = standing(campaign, at(campaign, {"a01": everything, "a02": everything}), now=NOW)
    assert found.left == 0 and found.done == found.items == 10 and found.end is None
    assert found.pace is not None and found.seconds == 60


def test_who_leans_is_said(campaign: Campaign, version: Version, tmp_path: Path) -> None:
    judge(campaign, everybody(["a01", "a02"], list("12345678"), lambda who, item: "first"), shown='"A"')
    assert stands(campaign).to_json()["annotators"]["a01"]["leans"] is True
    other = campaign_of(version, tmp_path / "other", "preference")
    judge(other, {"a01": dict.fromkeys("123", "first")}, shown='"A"')
    assert stands(other).to_json()["annotators"]["a01"]["leans"] is False  # three of three is chance


def datakit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ARGILLA_API_KEY": "k", "COLUMNS": "200"}
    command = [sys.executable, "-m", "datakit", "annotate", "progress", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_command_offline(campaign: Campaign) -> None:
    nothing = datakit(campaign.path, "--offline")
    assert nothing.returncode == 2 and "no judgements yet" in nothing.stderr
    judge(campaign, everybody(["a01", "a02"], ["1", "2", "g0"], lambda who, item: "first"))
    write_annotators(campaign.path, {"u": Annotator("安娜 [red]", "a01"), "v": Annotator("", "a02")})
    plain = datakit(campaign.path, "--offline")
    assert plain.returncode == 0, plain.stderr
    assert "3 of 10 items are done (30%)" in plain.stdout and "14 left" in plain.stdout
    assert "a01" in plain.stdout and "安娜" not in plain.stdout and "1 of 1" in plain.stdout
    named = datakit(campaign.path, "--offline", "--names")
    assert "安娜 [red]" in named.stdout and "a02" in named.stdout
    told = orjson.loads(datakit(campaign.path, "--offline", "--names", "--json").stdout)
    assert told["annotators"]["a01"]["name"] == "安娜 [red]" and told["items"] == {"total": 10, "done": 3, "begun": 0}


def test_the_command_asks_the_server_first(campaign: Campaign) -> None:
    judge(campaign, {"a01": {"1": "first"}})
    dead = datakit(campaign.path, "--server", "http://127.0.0.1:9")
    assert dead.returncode == 4 and "does not answer" in dead.stderr and not dead.stdout
