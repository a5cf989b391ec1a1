"""Runs on disk: records, locks, what differs, where a model comes from, and the commands that show it."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_rows import model, plain_rows, version_of
from typer.testing import CliRunner

from datakit.cli.app import app
from datakit.errors import DatakitError, DataVerdict, MissingInput, Surroundings, UsageFault
from datakit.gates import Criterion, judge
from datakit.masks.plan import ProofSettings
from datakit.masks.proof import prove
from datakit.recipe.masks import MaskSettings
from train.lineage import ancestors, lineage
from train.report import report_page, write_report
from train.runs import Run, differences, find_run, list_runs

FACTS: dict[str, Any] = {"recipe": {"learning_rate": 2e-5, "holdout": 0.2}, "dataset": "3f2a", "数据": ["甲", 1]}


def started(folder: Path, stage: str = "sft", **more: Any) -> Run:
    return Run.start(folder, stage, "销售", FACTS, **more)


def said(*words: str) -> str:
    done = CliRunner().invoke(app, ["runs", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.record(metrics={"loss": math.nan, "kl_token": 0.25}, rows={"in": 3})
    again = Run.open(run.path)
    assert again.fields == run.fields and again.fields["metrics"] == {"loss": "nan", "kl_token": 0.25}
    assert differences(again.fields["facts"], FACTS) == []
    assert run.name.endswith("-销售-sft")


def test_a_record_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Surroundings):
        run.record(metrics={"loss": 1.0})
    assert "metrics" not in Run.open(run.path).fields
    assert [path.name for path in run.path.iterdir()] == ["record.json"]


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    names = [started(tmp_path).name for _ in range(3)]
    assert len(set(names)) == 3
    assert [run.name for run in list_runs(tmp_path)[0]] == names
    assert find_run(min(names, key=len), tmp_path).name == min(names, key=len)  # a whole name is nobody else's part


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    good, bad = started(tmp_path), started(tmp_path)
    (bad.path / "record.json").write_text('{"run": ')
    runs, faults = list_runs(tmp_path)
    assert [run.name for run in runs] == [good.name] and [bad.name in str(fault) for fault in faults] == [True]
    with pytest.raises(DataVerdict, match="not a record"):
        Run.open(bad.path)
    with pytest.raises(MissingInput, match="no run here"):
        Run.open(tmp_path / "nowhere")


VALUES = st.dictionaries(
    st.sampled_from(["loss", "grad_norm", "rewards/chosen"]), st.floats(allow_nan=True, allow_infinity=True)
)


@given(st.lists(VALUES, max_size=8), st.integers(0, 9))
def test_logged_steps_come_back_with_nan_and_infinity(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, float]], cut: int
) -> None:
    run = started(tmp_path_factory.mktemp("runs"))
    logged = [{"step": float(step), **row} for step, row in enumerate(rows, 1)]
    for row in logged:
        run.log(row)
    with run.metrics_path.open("ab") as file:
        file.write(b'{"step": 99, "lo')  # the line at which a run was killed
    assert str(run.history()) == str(logged)  # as texts: nan is no equal of itself
    run.forget_after(cut)
    assert str(run.history()) == str([row for row in logged if row["step"] <= cut])


FLAT = st.dictionaries(st.sampled_from("甲乙ab"), st.integers(0, 2) | st.dictionaries(st.just("x"), st.integers(0, 2)))


@given(FLAT, FLAT)
def test_differences_are_all_there_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = differences(one, other)
    assert (found == []) == (one == other) or {} in (*one.values(), *other.values())
    assert [(name, b, a) for name, a, b in found] == differences(other, one)


def test_how_a_run_ends_is_recorded(tmp_path: Path) -> None:
    ends: dict[str, type[BaseException] | None] = {
        "interrupted": KeyboardInterrupt, "failed": RuntimeError, "done": None,
    }  # fmt: skip
    for status, error in ends.items():
        run = started(tmp_path)
        if error is None:
            with run.held():
                assert run.status == "running" and Run.open(run.path).status == "running"
                run.finish("done")
        else:
            with pytest.raises(error), run.held():
                raise error("why")
        assert Run.open(run.path).status == status
    assert "RuntimeError: why" in [run.fields.get("error") for run in list_runs(tmp_path)[0]]


def test_a_run_that_nobody_runs_was_killed(tmp_path: Path) -> None:
    run = started(tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from train.runs import Run\n"
        "with Run.open(Path(sys.argv[1])).held(): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, run.path]).returncode == -9
    assert run.status == "killed"
    with run.held(), pytest.raises(UsageFault, match="another process"), Run.open(run.path).held():
        pass


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Run, Run, Path]:
    """A run on a real version and proof, and one that began with its model."""
    version = version_of(plain_rows(40), tmp_path)
    settings = ProofSettings(MaskSettings(), "sft", None)
    proof = prove(version, model(), settings, commit=True)
    assert proof.path is not None
    base = tmp_path / "base"
    base.mkdir()
    places = {"dataset": version.path, "proof": proof.path, "base": base}
    first = started(tmp_path / "runs", places=places)
    first.model.mkdir()
    first.sign(first.model)
    second = Run.start(tmp_path / "runs", "sft", "support", FACTS, {**places, "base": first.model})
    second.model.mkdir()
    second.sign(second.model)
    return first, second, tmp_path


def test_a_model_is_traced_to_its_base_and_to_a_line_of_a_raw_file(chain: tuple[Run, Run, Path]) -> None:
    first, second, folder = chain
    assert [run.path for run in ancestors(second)] == [second.path, first.path]
    found = lineage(second, "rows.jsonl:7")
    assert [link["stage"] for link in found["chain"]] == ["sft", "sft"] and found["base"] == str(folder / "base")
    assert [file["source"] for file in found["files"]] == ["rows.jsonl"]
    row = found["row"]
    assert (row["source"], row["line"], row["decision"]) == ("rows.jsonl", 7, "kept")
    assert row["file"] == found["files"][0]["blake2b"] and 0 < row["trained_tokens"] < row["tokens"]
    assert lineage(first, row["id"])["row"] == row
    uses = {lineage(first, f"rows.jsonl:{line}")["row"]["use"] for line in range(1, 41)}
    assert uses == {"trained", "held_out"}
    assert lineage(first)["row"]["use"] == "trained"
    with pytest.raises(MissingInput, match="no such row"):
        lineage(second, "rows.jsonl:41")


def test_a_moved_adapter_is_still_traced_and_a_moved_project_too(chain: tuple[Run, Run, Path]) -> None:
    first, second, folder = chain
    moved = folder.with_name(folder.name + "-moved")
    folder.rename(moved)
    found = find_run(str(moved / "runs" / second.name / "model"), Path("nowhere"))
    assert [run.name for run in ancestors(found)] == [second.name, first.name]
    assert lineage(found, "rows.jsonl:7")["row"]["decision"] == "kept"
    copy = moved / "runs" / "copy"
    (moved / "runs" / second.name / "model").rename(copy)
    assert find_run(str(copy), moved / "runs").name == second.name
    fields = orjson.loads((copy / "run.json").read_bytes())
    assert fields["run"] == second.name and fields["facts"] == second.fields["facts"]


def test_a_dropped_row_says_why(tmp_path: Path) -> None:
    from datakit.cleaning.clean import clean

    (tmp_path / "rows.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in plain_rows(4) + plain_rows(1)))
    version = clean(tmp_path / "rows.jsonl", tmp_path / "clean", {"clean": {"steps": ["exact"]}}).version
    run = started(tmp_path / "runs", places={"dataset": version.path})
    row = lineage(run, "rows.jsonl:5")["row"]
    assert (row["decision"], row["reason"], row["twin_line"]) == ("dropped", "exact_duplicate", 1)
    assert "dropped (exact_duplicate), twin of rows.jsonl:1" in said("lineage", str(run.path), "--row", "rows.jsonl:5")


def test_commands_find_runs_by_a_part_of_their_name(chain: tuple[Run, Run, Path]) -> None:
    first, second, folder = chain
    first.log({"step": 4, "loss": 2.5})
    first.log({"step": 8, "loss": math.nan})
    first.record(
        steps=16, gates={"exit": [v.to_json() for v in judge([Criterion("format", ">", 0.95)], {"format": 0.5})]}
    )
    runs = ["--runs", str(folder / "runs")]
    assert f"{first.name}  killed       step 8 of 16  loss nan" in said("list", *runs)
    shown = said("show", "销售-sft", *runs)
    assert "exit: format 0.5 (> 0.95): failed" in shown and "recipe.learning_rate" in shown
    listed = orjson.loads(said("list", *runs, "--json"))
    assert [(run["run"], run["loss"]) for run in listed["runs"]] == [(first.name, "nan"), (second.name, None)]
    assert orjson.loads(said("show", "销售-sft", *runs, "--json"))["metrics"] == {"step": 8.0, "loss": "nan"}
    assert "rows.jsonl:7" in said("lineage", "support-sft", *runs, "--row", "rows.jsonl:7")
    for name, words in (("2", "2 runs"), ("销售-grpo", "no such run")):
        with pytest.raises(DatakitError, match=words):
            CliRunner().invoke(app, ["runs", "show", name, *runs], catch_exceptions=False)


def test_two_runs_are_compared(tmp_path: Path) -> None:
    one = started(tmp_path)
    other = Run.start(tmp_path, "sft", "support", {**FACTS, "recipe": {"learning_rate": 1e-4, "holdout": 0.2}})
    one.log({"step": 2, "loss": 2.0})
    other.log({"step": 2, "loss": 1.0, "eval_loss": 1.5})
    runs = ["--runs", str(tmp_path)]
    found = orjson.loads(said("compare", "销售", "support", *runs, "--json"))
    assert found["differences"] == {"recipe.learning_rate": [2e-5, 1e-4]}
    assert found["metrics"] == {"step": [2, 2], "loss": [2, 1], "eval_loss": [None, 1.5]}
    assert "recipe.learning_rate" in said("compare", "销售", "support", *runs)


def test_the_page_shows_curves_gates_and_samples_and_escapes_them(tmp_path: Path) -> None:
    run = started(tmp_path)
    for step, loss in enumerate((3.0, 2.0, math.nan, 1.0), 1):
        run.log({"step": step, "loss": loss, "my_metric": 7.0, "eval_runtime": 1.0})
    gates = {"exit": [v.to_json() for v in judge([Criterion("kl_token", "<", 0.5, unit="nats")], {"kl_token": 0.7})]}
    samples = [{"prompt": "多少钱？", "before": "<script>x</script>", "after": "一年一万两千元。"}]
    run.record(gates=gates, samples=samples, rows={"in": 3}, plan={"learning_rate": [2e-5, "guide"]})
    page = write_report(run).read_text(encoding="utf-8")
    assert page == report_page(run)
    assert "<script>" not in page and "&lt;script&gt;" in page and "多少钱？" in page
    # NaN breaks the curve in two and is marked; nothing is drawn of what is no curve.
    assert page.count("<polyline") == 3 and page.count('class="nan"') == 1
    for drawn in re.findall("<svg.*?</svg>", page):
        ElementTree.fromstring(drawn)
    assert "<td>learning_rate</td><td>2e-05</td><td>guide</td>" in page
    assert "my_metric" in page and "eval_runtime" not in page
    assert (
        '<tr class="failed"><td>kl_token</td><td>0.7</td><td>&lt; 0.5</td><td>nats</td><td></td><td>failed</td>' in page
    )
    assert '<div class="pair"><div>before<blockquote>&lt;script' in page and "after<blockquote>一年一万两千元。" in page


def test_a_run_that_logged_nothing_has_a_page_too(tmp_path: Path) -> None:
    assert "<polyline" not in report_page(started(tmp_path))
