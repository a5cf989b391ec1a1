"""`datakit versions diff` and `prune`."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datakit
from datakit.cleaning.clean import CleanResult
from datakit.errors import UnknownVersion, UsageFault
from datakit.versions.diff import Difference, diff
from datakit.versions.prune import plan_prune, prune
from datakit.versions.store import history, open_version, versions

TOPICS = ["报价", "合同审批", "电子发票", "demo booking", "pricing", "售后服务"]


def chat(topic: str, number: int = 0) -> dict[str, Any]:
    reply = (
        f"{topic}第{number}条：请先联系您的顾问，我们会在两个工作日之内给出书面答复，并且附上相关的资料和下一步的安排。"
    )
    return {"messages": [{"role": "user", "content": f"{topic}怎么办？"}, {"role": "assistant", "content": reply}]}


def run(folder: Path, rows: list[Any], out: str = "clean", **clean: Any) -> CleanResult:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row.encode() if isinstance(row, str) else orjson.dumps(row) for row in rows]
    (folder / "rows.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return datakit.clean(folder / "rows.jsonl", folder / out, {"clean": clean})


def groups(found: Difference) -> dict[tuple[str, str, str], int]:
    return {(change, before, after): rows for change, before, after, rows in found.counts().iter_rows()}


def test_a_version_does_not_differ_from_itself(tmp_path: Path) -> None:
    made = run(tmp_path, [chat(topic) for topic in TOPICS])
    found = diff(made.version, made.version)
    assert found.stay == len(TOPICS) and found.rows.is_empty() and not found.settings


def test_another_threshold_tells_who_comes_and_which_setting_differs(tmp_path: Path) -> None:
    rows = [chat("报价"), chat("报价"), {"text": "broken"}, chat("pricing")]
    strict = run(tmp_path, rows)
    loose = run(tmp_path, rows, steps=["normalise", "pii", "language", "rules", "near"])
    found = diff(strict.version, loose.version)
    assert "clean.steps" in found.settings
    assert groups(found) == {("reason", "exact_duplicate", "near_duplicate"): 1}
    none = run(tmp_path, rows, steps=["normalise"])
    back = diff(none.version, strict.version)
    assert ("went", "kept", "exact_duplicate") in groups(back)
    assert groups(diff(strict.version, none.version))["came", "exact_duplicate", "kept"] == 1
    assert back.examples("went", "kept", "exact_duplicate", 3) == ["rows.jsonl:2"]


def test_rows_are_the_same_where_lines_have_shifted(tmp_path: Path) -> None:
    rows = [chat(topic) for topic in TOPICS]
    first = run(tmp_path, ["broken {", *rows, "also broken"])
    second = run(tmp_path, [chat("新产品"), "broken {", *rows[:2], *rows[3:], "also broken"])
    found = diff(first.version, second.version)
    assert groups(found) == {("came", "absent", "kept"): 1, ("went", "kept", "absent"): 1}
    assert found.stay == len(rows) - 1


def test_an_edited_line_is_one_row_that_changed(tmp_path: Path) -> None:
    rows = [chat(topic) for topic in TOPICS]
    first = run(tmp_path, rows)
    rows[2] = chat(TOPICS[2], 7)
    found = diff(first.version, run(tmp_path, rows).version)
    assert groups(found) == {("changed", "kept", "kept"): 1} and found.stay == len(rows) - 1
    masked = diff(
        run(tmp_path, [chat("电话13800138000")]).version,
        run(tmp_path, [chat("电话13800138000")], steps=["near"]).version,
    )
    assert groups(masked) == {("changed", "edited", "kept"): 1}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from([*TOPICS, "{"]), min_size=1, max_size=8),
    st.lists(st.sampled_from([*TOPICS, "{"]), min_size=1, max_size=8),
)
def test_every_row_of_both_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, one: list[str], other: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("d")
    made = [
        run(folder, [name if name == "{" else chat(name) for name in names], steps=["exact"]) for names in (one, other)
    ]
    found = diff(made[0].version, made[1].version)
    kept = [set(result.ledger.filter(pl.col("decision") == "kept")["id"]) for result in made]
    changes = Counter(found.rows["change"].to_list())
    assert len(kept[0]) == found.stay + changes["went"] + changes["changed"]
    assert len(kept[1]) == found.stay + changes["came"] + changes["changed"]
    assert found.stay <= len(kept[0] & kept[1])
    mirrored = Counter(diff(made[1].version, made[0].version).rows["change"].to_list())
    assert (mirrored["came"], mirrored["went"], mirrored["changed"]) == (
        changes["went"],
        changes["came"],
        changes["changed"],
    )


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for number in range(3):
        run(tmp_path, [chat(topic, number) for topic in TOPICS])
    return tmp_path / "clean"


def test_pruning_is_dry_until_told_and_never_takes_head(three: Path) -> None:
    names = [version.name for version in versions(three)]
    plan = plan_prune(three, 1)
    assert [one.version.name for one in plan.remove] == names[:2] and not plan.held
    assert [version.name for version in versions(three)] == names
    assert prune(plan) == sum(one.bytes for one in plan.remove) > 0
    assert [version.name for version in versions(three)] == names[2:] and open_version(three).name == names[2]
    assert not list(three.glob(".pruned-*")) and [entry["version"] for entry in history(three)] == names
    with pytest.raises(UsageFault):
        plan_prune(three, 0)
    with pytest.raises(UnknownVersion):
        plan_prune(three.parent, 1)


def test_the_head_stays_however_old_it_is(three: Path) -> None:
    names = [version.name for version in versions(three)]
    (three / "HEAD").write_text(names[0] + "\n")
    assert {version.name for version in plan_prune(three, 1).keep} == {names[0]}
    assert {version.name for version in plan_prune(three, 2).keep} == {names[0], names[2]}


def test_what_a_staying_version_descends_from_is_held(three: Path) -> None:
    names = [version.name for version in versions(three)]
    datakit.clean(f"{three}@{names[0]}", three, {"clean": {"steps": ["exact"]}})
    plan = plan_prune(three, 1)
    assert [one.version.name for one in plan.held] == names[:1] and "descends from it" in plan.held[0].named[0]
    assert [one.version.name for one in plan.remove] == names[1:]
    assert [one.version.name for one in plan_prune(three, 1, named=True).remove] == names


@pytest.mark.parametrize("place", ["other", "runs/sales-sft/record.json", "campaigns/sales/campaign.json", "proofs"])
def test_what_something_else_names_is_held_and_named(three: Path, place: str) -> None:
    name = versions(three)[0].name
    if place == "other":
        datakit.clean(f"{three}@{name}", three.parent / "other")
    else:
        path = three / name / "proofs" / "ab" / "manifest.json" if place == "proofs" else three.parent / place
        path.parent.mkdir(parents=True)
        path.write_text(orjson.dumps({"facts": {"dataset": {"version": f"clean@{name}"}}}).decode())
    plan = plan_prune(three, 1)
    assert [one.version.name for one in plan.held] == [name] and len(plan.held[0].named) == 1
    assert name in [one.version.name for one in plan_prune(three, 1, named=True).remove]


def test_the_commands(three: Path) -> None:
    def say(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "datakit", "versions", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=three.parent)

    first, last = (versions(three)[place].name for place in (0, 2))
    shown = say("diff", f"clean@{first}", "clean").stdout
    assert "6 changed" in shown and "rows.jsonl:1" in shown
    plain = orjson.loads(say("diff", f"clean@{first}", "clean", "--json", "--examples", "2").stdout)
    assert plain["rows"] == {"stay": 0, "came": 0, "went": 0, "changed": 6, "reason": 0}
    assert plain["groups"][0]["examples"] == ["rows.jsonl:1", "rows.jsonl:2"]
    dry = say("prune", "clean", "--keep", "1")
    assert "nothing was touched" in dry.stderr and first in dry.stdout and len(versions(three)) == 3
    done = orjson.loads(say("prune", "clean", "--keep", "1", "--yes", "--json").stdout)
    assert done["removed"][0]["version"] == first and done["kept"] == [last]
    assert say("verify", "clean").returncode == 0
