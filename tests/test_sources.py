"""Files to blocks: discovery, compression, encodings, and every form of file."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from file_rows import TW, ZH, jsonl, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.errors import MissingInput
from datakit.formats.read import parse
from datakit.recipe.data import DataSettings
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import discover
from datakit.sources.encoding import as_utf8

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


# --- discovery


def test_a_folder_is_read_recursively_sorted_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/z.csv", "a/é 数据 😀.jsonl", ".hidden.jsonl", ".git/x.jsonl", "notes.pptx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jsonl(["x"]))
    notes: list[str] = []
    assert [file.source for file in discover([tmp_path], notes.append)] == ["a/z.csv", "a/é 数据 😀.jsonl", "b.jsonl"]
    assert any("notes.pptx" in note for note in notes)


def test_equal_names_get_their_parents_in_any_order(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one/raw/x.jsonl", "two/raw/x.jsonl", "two/y.jsonl")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jsonl(["x"]))
    names = ["one/raw/x.jsonl", "two/raw/x.jsonl", "y.jsonl"]
    assert [file.source for file in discover(paths)] == names
    assert [file.source for file in discover(paths[::-1])] == names


def test_folders_with_equal_names_inside(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").write_bytes(jsonl(["x"]))
    assert [file.source for file in discover([tmp_path / "two", tmp_path / "one"])] == ["one/x.jsonl", "two/x.jsonl"]


def test_the_same_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(["x"]))
    notes: list[str] = []
    assert len(discover([tmp_path, path, tmp_path / "." / "x.jsonl"], notes.append)) == 1
    assert sum("read once" in note for note in notes) == 2


def test_globs(tmp_path: Path) -> None:
    for name in ("a/x.jsonl", "b/x.jsonl", "b/y.csv", "odd[1].jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jsonl(["x"]))
    assert [file.source for file in discover([f"{tmp_path}/*/x.jsonl"])] == ["a/x.jsonl", "b/x.jsonl"]
    assert [file.source for file in discover([f"{tmp_path}/**/*.csv"])] == ["b/y.csv"]
    assert [file.source for file in discover([tmp_path / "odd[1].jsonl"])] == ["odd[1].jsonl"]
    with pytest.raises(MissingInput, match="matches no file"):
        discover([f"{tmp_path}/*.parquet"])


def test_a_dataset_gives_the_version_that_head_names(tmp_path: Path) -> None:
    for version in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        (tmp_path / "clean" / version / "data").mkdir(parents=True)
        pl.DataFrame({"text": [version]}).write_parquet(tmp_path / "clean" / version / "data" / "text-0.parquet")
        (tmp_path / "clean" / version / "ledger.parquet").write_bytes(b"")
        (tmp_path / "clean" / version / "manifest.json").write_text("{}")
    (tmp_path / "clean" / "HEAD").write_text("bbbbbbbbbbbb\n")
    assert texts(tmp_path / "clean") == ["bbbbbbbbbbbb"]
    assert texts(tmp_path / "clean" / "aaaaaaaaaaaa") == ["aaaaaaaaaaaa"]
    (tmp_path / "new.jsonl").write_bytes(jsonl(["new"]))
    notes: list[str] = []
    assert texts(tmp_path, notes) == ["new"]
    assert any("a dataset of datakit inside the input" in note for note in notes)


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = io.BytesIO()
    pl.DataFrame({"text": ["x"]}).write_parquet(table)
    for data in (jsonl(["x"]), gzip.compress(jsonl(["x"])), b'[{"text": "x"}]', b"x", table.getvalue()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        (file,) = discover(["-"])
        assert file.source == "stdin"
        (block,) = read_blocks(file, DataSettings())
        assert parse(block, DataSettings()).frames["text"]["text"].to_list() == ["x"]


# --- compression


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, lambda data: data])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compression_goes_by_content(tmp_path: Path, suffix: str, pack: Any) -> None:
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(pack(jsonl(["one", "二"])))
    assert texts(path) == ["one", "二"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_members_follow_each_other(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "x.jsonl.gz"
    many = jsonl(["y" * 2_000_000])
    path.write_bytes(pack(jsonl(["a"])) + pack(many) + pack(b"") + pack(jsonl(["b"])))
    assert [text[:1] for text in texts(path)] == ["a", "y", "b"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_every_compressed_form(tmp_path: Path, pack: Any) -> None:
    table = io.BytesIO()
    pl.DataFrame({"text": ["x"]}).write_parquet(table)
    forms = {"csv": b"text\nx\n", "json": b'[{"text": "x"}]', "txt": b"x", "md": b"x", "parquet": table.getvalue()}
    for form, data in forms.items():
        path = tmp_path / f"x.{form}.zst"
        path.write_bytes(pack(data))
        assert texts(path) == ["x"], form


# --- encodings


@pytest.mark.parametrize(
    ("encoding", "lines", "said"),
    [
        ("utf-8", ZH, None),
        ("utf-8-sig", ZH, None),
        ("gb18030", ZH, "GB18030"),
        ("gbk", ZH, "GB18030"),
        ("big5", TW, "Big5"),
        ("utf-16", ZH, "UTF-16"),
        ("utf-16-le", ZH, "UTF-16"),
        ("utf-16-be", ZH, "UTF-16"),
    ],
)
@pytest.mark.parametrize("times", [1, 500])
def test_encodings(tmp_path: Path, encoding: str, lines: list[str], said: str | None, times: int) -> None:
    notes: list[str] = []
    path = tmp_path / "导出 1.csv"
    path.write_bytes(("text\n" + "\n".join(lines * times) + "\n").encode(encoding))
    assert texts(path, notes) == lines * times
    assert [note for note in notes if said and said in note and "导出 1.csv" in note] == notes
    assert bool(notes) == (said is not None)
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in lines * times).encode(encoding)
    )
    assert texts(path) == lines * times


def test_a_long_english_beginning_does_not_mislead(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"plain English line\n" * 40_000 + ("\n".join(ZH) + "\n").encode("gb18030"))
    assert texts(path, split="lines")[-3:] == ZH


def test_a_few_bad_bytes_do_not_change_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    bad = b'{"text": "caf\xe9 \xff"}\n'
    path.write_bytes(jsonl(ZH * 3) + bad + jsonl(["ok"]))
    assert texts(path) == [*ZH * 3, "[bad_encoding]", "ok"]
    path.write_bytes(jsonl(["plain"] * 50) + bad)
    assert texts(path) == ["plain"] * 50 + ["[bad_encoding]"]


def test_bad_bytes_in_gb18030_and_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\n".join(ZH * 5).encode("gb18030") + b"\n\xff\xff\n" + "完了".encode("gb18030"))
    assert texts(path, split="lines") == [*ZH * 5, "[bad_encoding]", "完了"]
    path.write_bytes(codecs.BOM_UTF16_LE + "好\n".encode("utf-16-le") + b"\x00\xd8" + "坏\n末".encode("utf-16-le"))
    assert texts(path, split="lines") == ["好", "[bad_encoding]", "末"]


def test_the_encoding_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("Größe".encode("cp1252"))
    assert texts(path, encoding="cp1252") == ["Größe"]


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_come_out_as_something(data: bytes) -> None:
    out = b"".join(as_utf8([data[:7], data[7:]], None, "x", lambda text: None))
    assert isinstance(out, bytes)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    if "\0" not in text and not text.startswith("\ufeff"):
        assert out == data
