"""Input that is broken: a clear error or a rejected row, never a traceback, never a loss, never unbounded memory."""

from __future__ import annotations

import gzip
import io
import os
import random
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.errors import InputError, InputPermission, MissingInput
from datakit.formats.read import parse
from datakit.recipe.data import DataSettings
from datakit.sources.blocks import Block, read_blocks
from datakit.sources.discover import SourceFile, discover

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [orjson.dumps({"text": f"第 {n} 行 " + "x" * 50}) + b"\n" for n in range(2000)]


def outcome(path: Path, **limits: Any) -> tuple[int, list[dict[str, Any]]]:
    """How many records a path gives, and its rejected rows."""
    kept, rejected, keys = 0, [], []
    for file in discover([path]):
        for block in read_blocks(file, DataSettings(), **limits):
            parsed = parse(block, DataSettings())
            kept += sum(frame.height for frame in parsed.frames.values())
            rejected += parsed.rejected.rows(named=True)
            for frame in (*parsed.frames.values(), parsed.rejected):
                keys += frame.select("source", "line").rows()
    assert len(keys) == len(set(keys)), "two rows with one key"
    return kept, rejected


# --- what cannot be read at all: an error with where, found, expected, cure


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("nosuch.jsonl", MissingInput, "no such file"),
        ("empty", InputError, "empty folder"),
        ("x.jsonl", InputError, "named like a file, and empty"),
        ("other", InputError, "a.pptx"),
    ],
)
def test_errors_say_where_and_what(tmp_path: Path, name: str, kind: type[InputError], words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.jsonl").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.pptx").write_text("x")
    with pytest.raises(kind, match=words) as caught:
        discover([tmp_path / name])
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.cure
    assert caught.value.exit_code == 2


def test_a_near_name_is_proposed(tmp_path: Path) -> None:
    (tmp_path / "sales.jsonl").write_text("x")
    with pytest.raises(MissingInput, match=r"Did you mean .*sales\.jsonl"):
        discover([tmp_path / "slaes.jsonl"])


def test_a_folder_named_like_a_file_is_read_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").mkdir()
    (tmp_path / "x.jsonl" / "a.jsonl").write_bytes(ROWS[0])
    assert outcome(tmp_path / "x.jsonl") == (1, [])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(ROWS[0])
    path.chmod(0)
    with pytest.raises(InputPermission, match="chmod"):
        discover([path])


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "x.jsonl").write_bytes(ROWS[0])
    real = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputPermission, match="shut"):
        discover([tmp_path])


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    file = SourceFile(tmp_path / "gone.jsonl", "gone.jsonl", "jsonl", "none", 1)
    with pytest.raises(InputError, match=r"gone\.jsonl"):
        list(read_blocks(file, DataSettings()))


def test_symlink_loops(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.jsonl").write_bytes(ROWS[0])
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "a" / "loop.jsonl").symlink_to(tmp_path / "a" / "loop.jsonl")
    notes: list[str] = []
    assert [file.source for file in discover([tmp_path], notes.append)] == ["a/b/x.jsonl"]
    assert any("loop.jsonl" in note for note in notes)
    with pytest.raises(InputError, match="leads to itself"):
        discover([tmp_path / "a" / "loop.jsonl"])


# --- damaged files: what is there is kept, one rejected row says the rest


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_compression(tmp_path: Path, pack: Any, share: float) -> None:
    path = tmp_path / "x.jsonl.gz"
    rng = random.Random(3)
    rows = [orjson.dumps({"text": "".join(rng.choices("abcdefgh 价格", k=400))}) + b"\n" for _ in range(3000)]
    data = pack(b"".join(rows))
    path.write_bytes(data[: int(len(data) * share)])
    kept, rejected = outcome(path)
    assert 0 < kept < len(rows)
    assert [row["reason"] for row in rejected] == ["truncated_file"]
    assert rejected[0]["line"] == kept + 1
    assert rejected[0]["offset"] == sum(map(len, rows[:kept]))
    assert "ends before its end mark" in rejected[0]["detail"]


def test_damaged_compression_and_garbage_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    data = bytearray(gzip.compress(b"".join(ROWS)))
    path.write_bytes(bytes(data) + b"garbage")
    kept, rejected = outcome(path)
    assert (kept, [row["reason"] for row in rejected]) == (len(ROWS), ["truncated_file"])
    data[-6] ^= 1  # the checksum
    path.write_bytes(bytes(data))
    kept, rejected = outcome(path)
    assert [row["reason"] for row in rejected] == ["truncated_file"]
    assert "damaged" in rejected[0]["detail"]
    path.write_bytes(gzip.compress(b"")[:5])
    assert outcome(path)[0] == 0


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.txt", "x.md", "x.parquet"])
def test_truncated_compression_of_every_form(tmp_path: Path, name: str) -> None:
    table = io.BytesIO()
    pl.DataFrame({"text": [row.hex() for row in ROWS]}).write_parquet(table)
    data = {
        "csv": b"text\n" + b"".join(row.hex().encode() + b"\n" for row in ROWS),
        "json": b"[" + b",".join(ROWS) + b"]",
        "parquet": table.getvalue(),
    }
    path = tmp_path / f"{name}.gz"
    packed = gzip.compress(data.get(name[2:], b"# a\ntext\n" + b"".join(ROWS)))
    path.write_bytes(packed[: len(packed) // 2])
    kept, rejected = outcome(path)
    assert [row["reason"] for row in rejected] == ["truncated_file"]
    assert (kept > 0) == (name in ("x.csv", "x.json"))


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_tables_that_are_none(tmp_path: Path, name: str) -> None:
    good = io.BytesIO()
    pl.DataFrame({"text": ["a" * 100] * 1000}).write_parquet(good) if name == "x.parquet" else pl.DataFrame(
        {"text": ["a" * 100] * 1000}
    ).write_ipc(good)
    for data in (b"no table", good.getvalue()[:-10], b"\xff\xff\xff\xff" + b"\x10\0\0\0" + b"\0" * 16):
        (tmp_path / name).write_bytes(data)
        kept, rejected = outcome(tmp_path / name)
        assert kept == 0
        assert [row["reason"] for row in rejected] == ["truncated_file"]
        assert rejected[0]["source"] == name


# --- memory


def bounded(blocks: Iterator[Block]) -> tuple[int, int]:
    """Rows (kept and rejected) of the blocks, and the peak of Python's memory while they are read and parsed."""
    tracemalloc.start()
    rows = 0
    for block in blocks:
        parsed = parse(block, DataSettings())
        rows += parsed.rejected.height + sum(frame.height for frame in parsed.frames.values())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return rows, peak


def long_line(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        file.write(ROWS[0] + b'{"text": "')
        for _ in range(megabytes):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + ROWS[1])


def test_a_long_line_is_skipped_while_it_streams(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    long_line(path, 12)
    (file,) = discover([path])
    rows, peak = bounded(read_blocks(file, DataSettings(), max_row_bytes=2_000_000))
    assert rows == 3
    assert peak < 9_000_000
    kept, rejected = outcome(path, max_row_bytes=2_000_000)
    assert kept == 2
    assert [(row["line"], row["reason"], row["offset"], row["length"]) for row in rejected] == [
        (2, "row_too_long", len(ROWS[0]), 12_000_013)
    ]


@pytest.mark.slow
def test_a_line_of_100_mb(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    long_line(path, 100)
    (file,) = discover([path])
    rows, peak = bounded(read_blocks(file, DataSettings()))
    assert rows == 3
    assert peak < 80_000_000


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.txt", "x.md"])
def test_a_compressed_bomb(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        file.write(packer.compress(b'[{"text": "' if name == "x.json" else b'{"text": "'))
        zeros = b"0" * 1_000_000
        for _ in range(60):
            file.write(packer.compress(zeros))
        file.write(packer.flush())
    assert path.stat().st_size < 100_000
    (file_found,) = discover([path])
    rows, peak = bounded(read_blocks(file_found, DataSettings(), max_row_bytes=2_000_000))
    assert rows == 1
    assert peak < 16_000_000


def test_many_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n" * 3_000_000 + ROWS[0])
    kept, rejected = outcome(path)
    assert (kept, rejected) == (1, [])


# --- anything


@given(
    st.binary(max_size=400),
    st.sampled_from(
        ["x.jsonl", "x.json", "x.csv", "x.tsv", "x.txt", "x.md", "x.parquet", "x.arrow", "x.jsonl.gz", "x.json.zst"]
    ),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_of_any_form_never_raise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(gzip.compress(data) if packed else data)
    kept, rejected = outcome(path, max_row_bytes=100, target_bytes=50)
    assert kept >= 0
    assert all(row["detail"] and row["line"] >= 1 for row in rejected)


def test_names_with_spaces_chinese_and_emoji(tmp_path: Path) -> None:
    name = "销售 数据 2026 🙂 (1).jsonl"
    (tmp_path / name).write_bytes(b"{bad\n")
    kept, rejected = outcome(tmp_path)
    assert (kept, rejected[0]["source"]) == (0, name)


def test_mixed_kinds_in_one_file(tmp_path: Path) -> None:
    rows = [
        {"text": "a"},
        {"prompt": "b"},
        {"prompt": "b", "chosen": "c", "rejected": "d"},
        {"messages": [{"role": "user", "content": "e"}]},
        {"nothing": 1},
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    kept, rejected = outcome(tmp_path)
    assert kept == 4
    assert [row["line"] for row in rejected] == [5]
