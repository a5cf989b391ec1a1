from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import datakit
from datakit.cleaning.clean import CleanResult
from datakit.errors import DataVerdict, OutputError, UnknownVersion
from datakit.versions.store import history, open_version, prepare_output, verify, versions

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"第{n}个问题：{topic}怎么收费？"},
            {"role": "assistant", "content": f"{topic}按{unit}收费，详细价格请看报价单。"},
        ]
    }
    for n, (topic, unit) in enumerate(
        [("客户管理", "席位"), ("合同审批", "份数"), ("电子发票", "张数"), ("短信群发", "条数")]
    )
]


def write(path: Path, rows: list[object]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


@pytest.fixture
def made(tmp_path: Path) -> CleanResult:
    return datakit.clean(write(tmp_path / "rows.jsonl", ROWS), tmp_path / "clean")


def test_a_version_is_named_by_its_fingerprint(made: CleanResult) -> None:
    manifest = made.version.manifest
    assert made.path.name == manifest.fingerprint[:12] == (made.path.parent / "HEAD").read_text().strip()
    assert manifest.counts.rows == {"in": 4, "kept": 4, "edited": 0, "dropped": 0, "rejected": 0}
    assert {"ledger.parquet", "scores.parquet", "pairs.parquet", "edits.parquet", "README.md", "report.html"} <= set(
        manifest.parts
    )
    assert [entry["version"] for entry in history(made.path.parent)] == [made.path.name]


def test_references(made: CleanResult, tmp_path: Path) -> None:
    dataset = made.path.parent
    name = made.path.name
    for reference in (dataset, f"{dataset}@{name}", f"{dataset}@{name[:4]}", made.path):
        assert open_version(reference).name == name
    with pytest.raises(UnknownVersion, match=f"There are: {name}"):
        open_version(f"{dataset}@{'0000' if not name.startswith('0000') else 'ffff'}")
    with pytest.raises(UnknownVersion, match="too short"):
        open_version(f"{dataset}@{name[:2]}")
    with pytest.raises(UnknownVersion, match="no dataset here"):
        open_version(tmp_path / "nowhere")


def test_an_ambiguous_prefix_lists_the_candidates(made: CleanResult) -> None:
    twin = made.path.with_name(made.path.name[:4] + "0" * 8)
    twin.mkdir()
    (twin / "manifest.json").write_bytes((made.path / "manifest.json").read_bytes())
    with pytest.raises(UnknownVersion, match=twin.name):
        open_version(f"{made.path.parent}@{made.path.name[:4]}")


def test_a_new_version_moves_head_and_keeps_the_old(made: CleanResult, tmp_path: Path) -> None:
    second = datakit.clean(write(tmp_path / "rows.jsonl", ROWS[:3]), made.path.parent)
    assert [v.name for v in versions(made.path.parent)] == [made.path.name, second.path.name]
    assert open_version(made.path.parent).name == second.path.name
    back = datakit.clean(write(tmp_path / "rows.jsonl", ROWS), made.path.parent)
    assert back.unchanged and back.path == made.path
    assert open_version(made.path.parent).name == made.path.name


def test_verify_finds_one_flipped_bit_in_any_file(made: CleanResult) -> None:
    assert verify(made.version) == []
    chance = random.Random(7)
    for name in made.version.manifest.parts:
        path = made.path / name
        whole = path.read_bytes()
        place = chance.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        assert [fault.where for fault in verify(made.version)] == [str(path)]
        path.write_bytes(whole)


def test_a_changed_manifest_is_refused(made: CleanResult) -> None:
    path = made.path / "manifest.json"
    path.write_text(path.read_text().replace('"kept": 4', '"kept": 5'))
    with pytest.raises(DataVerdict, match="changed after it was written"):
        open_version(made.path)


def test_missing_and_strange_files_are_found(made: CleanResult) -> None:
    (made.path / "pairs.parquet").unlink()
    (made.path / "notes.txt").write_text("x")
    assert sorted(fault.found for fault in verify(made.version)) == ["missing", "not part of the version"]


def test_proofs_may_be_added_later(made: CleanResult) -> None:
    (made.path / "proofs" / "ab").mkdir(parents=True)
    (made.path / "proofs" / "ab" / "manifest.json").write_text("{}")
    assert verify(made.version) == []


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("x")
    with pytest.raises(OutputError, match=r"thesis\.docx"):
        prepare_output(tmp_path)
    with pytest.raises(OutputError, match="a file stands here"):
        prepare_output(tmp_path / "thesis.docx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.docx"]


def test_what_a_killed_run_left_is_removed_and_a_running_one_is_left_alone(made: CleanResult) -> None:
    dataset = made.path.parent
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".work-{gone.pid}", f".work-{os.getppid()}"):
        (dataset / name).mkdir()
    prepare_output(dataset)
    assert sorted(p.name for p in dataset.glob(".work-*")) == sorted([f".work-{os.getppid()}", f".work-{os.getpid()}"])


def test_a_broken_run_leaves_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("datakit.cleaning.clean.report_page", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        datakit.clean(write(tmp_path / "rows.jsonl", ROWS), tmp_path / "clean")
    assert list((tmp_path / "clean").iterdir()) == []


def test_a_damaged_line_of_the_log_costs_nothing_but_its_time(made: CleanResult) -> None:
    log = made.path.parent / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"verspon": "x"}\n{"time": "2026-')
    assert [entry["version"] for entry in history(made.path.parent)] == [made.path.name]
    assert [v.name for v in versions(made.path.parent)] == [made.path.name]


def test_a_run_killed_before_head_was_written_can_be_run_again(made: CleanResult, tmp_path: Path) -> None:
    for name in ("HEAD", "log.jsonl"):
        (made.path.parent / name).unlink()
    again = datakit.clean(tmp_path / "rows.jsonl", made.path.parent)
    assert again.path == made.path
    assert open_version(made.path.parent).name == made.path.name
