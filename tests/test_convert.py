"""`datakit convert`: files in, files out, every row accounted for."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from convert_rows import TOOLS
from file_rows import read
from record_rows import BAD, GOOD, SYSTEM, USER

import datakit
from datakit.errors import (
    DataVerdict,
    InputError,
    MissingInput,
    NoRows,
    OutputError,
    RecipeError,
    UnknownVersion,
    UsageFault,
)

DIALOGUE: dict[str, Any] = {"messages": [SYSTEM, USER, GOOD], "topic": "价格"}
THINKING: dict[str, Any] = {"messages": [USER, {**GOOD, "reasoning_content": "想"}], "topic": "price"}
PAIR: dict[str, Any] = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}


def given(folder: Path, *rows: Any, name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    return path


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "datakit", "convert", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["o.jsonl", "o.json", "o.jsonl.gz", "o.json.zst", "o.parquet", "folder"])
def test_every_form_reads_back(tmp_path: Path, name: str) -> None:
    source = given(tmp_path, DIALOGUE, THINKING, {"messages": [USER, GOOD], "tools": TOOLS, "topic": 3})
    result = datakit.convert(source, tmp_path / name, "messages")
    assert result.rows == {"in": 3, "written": 3, "not_written": 0}
    (path,) = result.files.values()
    assert path == (tmp_path / name / "messages.jsonl" if name == "folder" else tmp_path / name)
    ids = [row["id"] for _, row in read(source) if isinstance(row, dict)]
    assert [row["id"] for _, row in read(path) if isinstance(row, dict)] == ids
    assert leftovers(tmp_path) == sorted(["in.jsonl", name])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    source = given(tmp_path, DIALOGUE, THINKING)
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        datakit.convert(source, tmp_path / name, "messages")
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).count(b"\n") == 2


def test_nothing_is_written_where_something_is_lost(tmp_path: Path) -> None:
    source = given(tmp_path, DIALOGUE, THINKING, b"{", PAIR, {"text": "a"})
    result = datakit.convert(source, tmp_path / "o", "alpaca")
    assert result.files == {}
    assert result.rows == {"in": 5, "written": 0, "not_written": 5}
    assert result.reasons == {"loses_fields": 1, "invalid_json": 1, "kind_not_held": 1, "withheld": 2}
    assert sorted((loss.source, loss.line, loss.field, loss.written) for loss in result.losses) == [
        ("in.jsonl", 2, "messages[1].reasoning_content", True),
        ("in.jsonl", 3, "row", False),
        ("in.jsonl", 5, "row", False),
    ]
    assert leftovers(tmp_path) == ["in.jsonl"]


def test_lossy_writes_the_rest_and_names_the_loss(tmp_path: Path) -> None:
    source = given(tmp_path, DIALOGUE, THINKING, b"{", {"text": "a"})
    result = datakit.convert(source, tmp_path / "o.jsonl", "alpaca", lossy=True)
    assert result.rows == {"in": 4, "written": 2, "not_written": 2}
    assert (result.altered, result.reasons) == (1, {"kind_not_held": 1, "invalid_json": 1})
    assert result.report == tmp_path / "o.jsonl.lost.jsonl"
    named = [orjson.loads(line) for line in result.report.read_bytes().splitlines()]
    assert sorted((row["line"], row["field"], row["written"]) for row in named) == [
        (2, "messages[1].reasoning_content", True),
        (3, "row", False),
        (4, "row", False),
    ]
    assert next(row for row in named if row["line"] == 2)["value"] == "the text '想'"
    assert [row["output"] for row in map(orjson.loads, (tmp_path / "o.jsonl").read_bytes().splitlines())] == [
        "一千元。"
    ] * 2
    assert dict((field, rows) for field, _, rows in result.fields) == {"messages[].reasoning_content": 1, "row": 1}


def test_kinds_go_to_files_of_a_folder(tmp_path: Path) -> None:
    source = given(tmp_path, DIALOGUE, PAIR, {"text": "a"}, {**PAIR, "tools": TOOLS})
    result = datakit.convert(source, tmp_path / "out", "llamafactory")
    assert {kind: path.name for kind, path in result.files.items()} == {
        "text": "text.jsonl",
        "messages": "messages.jsonl",
        "preference": "preference.jsonl",
    }
    info = orjson.loads((tmp_path / "out" / "dataset_info.json").read_bytes())
    assert info["out_preference"] == {
        "file_name": "preference.jsonl",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "conversations", "tools": "tools", "chosen": "chosen", "rejected": "rejected"},
    }
    assert f"dataset_dir: {tmp_path / 'out'}" in result.usage
    for name, entry in info.items():
        rows = [orjson.loads(line) for line in (tmp_path / "out" / entry["file_name"]).read_bytes().splitlines()]
        there = set().union(*rows)
        assert set(entry["columns"].values()) <= there, name
    with pytest.raises(UsageFault, match="a folder, which gets a file a kind"):
        datakit.convert(source, tmp_path / "one.jsonl", "openrlhf")
    assert leftovers(tmp_path) == ["in.jsonl", "out"]


def test_columns_of_rows_that_are_not_written_are_not_described(tmp_path: Path) -> None:
    source = given(tmp_path, DIALOGUE, {"messages": [USER, USER], "tools": TOOLS})
    result = datakit.convert(source, tmp_path / "out", "llamafactory", lossy=True)
    assert result.rows == {"in": 2, "written": 1, "not_written": 1}
    info = orjson.loads((tmp_path / "out" / "dataset_info.json").read_bytes())
    assert info["out_messages"]["columns"] == {"messages": "conversations"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions")
    answers = ["The price is a thousand a year, paid monthly.", "我们的软件一年一千元，按月支付。"]
    rows = [{"messages": [USER, {"role": "assistant", "content": answer}], "n": n} for n, answer in enumerate(answers)]
    datakit.clean(given(folder, *rows, name="raw.jsonl"), folder / "clean", {"clean": {"steps": []}})
    return folder / "clean"


def test_a_version_is_read_by_its_reference(dataset: Path, tmp_path: Path) -> None:
    name = next(path.name for path in dataset.iterdir() if path.name.isalnum() and path.is_dir())
    for number, reference in enumerate((dataset, f"{dataset}@{name[:4]}", dataset / name)):
        result = datakit.convert(reference, tmp_path / f"{number}.jsonl", "sharegpt")
        assert result.rows["written"] == 2
    refused = datakit.convert(dataset, tmp_path / "x.jsonl", "text")
    assert {loss.source for loss in refused.losses} == {"raw.jsonl"}  # the key of the version, not of its files
    with pytest.raises(UnknownVersion):
        datakit.convert(f"{dataset}@ffff", tmp_path / "y.jsonl", "sharegpt")


def test_a_forced_format(tmp_path: Path) -> None:
    source = given(tmp_path, {"text": "t", "prompt": "p", "completion": "c"})
    assert datakit.convert(source, tmp_path / "o.jsonl", "text", format="text").rows["written"] == 1
    with pytest.raises(RecipeError):
        datakit.convert(source, tmp_path / "p.jsonl", "text", format="txet")


def test_wrong_use_says_what_to_do(tmp_path: Path) -> None:
    source = given(tmp_path, DIALOGUE)
    for out, target, cure in (
        ("o.csv", "messages", r"expected \.jsonl or \.json"),
        ("o.parquet.gz", "messages", r"\.parquet"),
        ("o.jsonl", "llamafactory", "expected a folder"),
        ("o.jsonl", "alpacca", "one of alpaca, sharegpt"),
    ):
        with pytest.raises(UsageFault, match=cure):
            datakit.convert(source, tmp_path / out, target)  # type: ignore[arg-type]
    for there in ("in.jsonl", "."):
        with pytest.raises(OutputError, match="is there already"):
            datakit.convert(source, tmp_path / there, "messages")
    with pytest.raises(MissingInput):
        datakit.convert(tmp_path / "no.jsonl", tmp_path / "o.jsonl", "messages")
    with pytest.raises(NoRows):
        datakit.convert(given(tmp_path, b"", name="empty.jsonl"), tmp_path / "o.jsonl", "messages")
    with pytest.raises(InputError, match="Most likely"):
        datakit.convert(given(tmp_path, {"问题": "a", "回答": "b"}, name="c.jsonl"), tmp_path / "o.jsonl", "messages")
    assert leftovers(tmp_path) == ["c.jsonl", "empty.jsonl", "in.jsonl"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = given(tmp_path, DIALOGUE)
    monkeypatch.setattr("shutil.copyfileobj", fail)
    with pytest.raises(datakit.errors.Surroundings, match="No space left"):  # type: ignore[attr-defined]
        datakit.convert(source, tmp_path / "o.jsonl", "messages")
    assert leftovers(tmp_path) == ["in.jsonl"]


# --- the command


def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    given(tmp_path, DIALOGUE, THINKING)
    done = run("in.jsonl", "--to", "axolotl", "-o", "out.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out.jsonl\n")
    assert "2 of 2 rows written" in done.stderr
    assert "  - path: out.jsonl\n    ds_type: json\n    type: chat_template\n" in done.stderr
    done = run("in.jsonl", "--to", "alpaca", "-o", "a.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "lost: in.jsonl:2: messages[1].reasoning_content: Alpaca has no place for it (the text '想')" in done.stderr
    assert "--lossy writes what can be held, and names the rest in a.jsonl.lost.jsonl" in done.stderr
    done = run("in.jsonl", "--to", "alpaca", "-o", "a.jsonl", "--lossy", cwd=tmp_path)
    assert done.returncode == 0
    assert "every loss, row by row: a.jsonl.lost.jsonl" in done.stderr


def test_the_command_as_json(tmp_path: Path) -> None:
    given(tmp_path, DIALOGUE, THINKING)
    done = run("in.jsonl", "--to", "alpaca", "-o", "a.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 1
    plain = orjson.loads(done.stdout)
    assert plain["rows"] == {"in": 2, "written": 0, "not_written": 2}
    assert plain["reasons"] == {"loses_fields": 1, "withheld": 1}
    assert plain["losses"][0] == {
        "source": "in.jsonl",
        "line": 2,
        "field": "messages[1].reasoning_content",
        "why": "Alpaca has no place for it",
        "value": "the text '想'",
        "written": True,
    }
    done = run("in.jsonl", "--to", "openrlhf", "-o", "o", "--json", cwd=tmp_path)
    plain = orjson.loads(done.stdout)
    assert (done.returncode, plain["files"]) == (0, {"messages": "o/messages.jsonl"})
    assert "--dataset o/messages.jsonl --input_key messages" in plain["usage"]
    assert run("in.jsonl", "--to", "alpacca", "-o", "x", cwd=tmp_path).returncode == 2
    assert run("no.jsonl", "--to", "alpaca", "-o", "x.jsonl", cwd=tmp_path).returncode == 2


def test_parquet_holds_every_field_of_every_message(tmp_path: Path) -> None:
    """A field that only the last of many rows has is not lost to types guessed from the first."""
    rows: list[dict[str, Any]] = [{"messages": [USER, GOOD], "n": n} for n in range(300)]
    rows.append({"messages": [USER, {**GOOD, "train": False}], "n": "text"})
    datakit.convert(given(tmp_path, *rows), tmp_path / "o.parquet", "messages")
    last = pl.read_parquet(tmp_path / "o.parquet").row(-1, named=True)
    assert last["messages"][1]["train"] is False
    assert orjson.loads(last["meta"]) == {"n": "text"}


def test_parquet_that_would_not_hold_the_rows_is_refused(tmp_path: Path) -> None:
    """An answer of one message stands alone in ShareGPT, one of more in a list: no column of a table holds both."""
    source = given(tmp_path, PAIR, {**PAIR, "chosen": [GOOD, USER, GOOD]})
    with pytest.raises(DataVerdict, match=r"more than one type.*Write \.jsonl"):
        datakit.convert(source, tmp_path / "o.parquet", "sharegpt")
    assert leftovers(tmp_path) == ["in.jsonl"]
    assert datakit.convert(source, tmp_path / "o.jsonl", "sharegpt").rows["written"] == 2


def test_the_command_offers_every_format() -> None:
    from typing import get_args

    from datakit.cli import convert as command
    from datakit.conversion.targets import WRITERS, Target

    assert get_args(command._Target) == get_args(Target) == tuple(WRITERS)
