"""Files to blocks: every form of file, row by row."""

from __future__ import annotations

import io
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from file_rows import jsonl, read, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.errors import InputError, InputPermission
from datakit.formats.read import Parsed, parse
from datakit.recipe.data import DataSettings
from datakit.sources.block import LineSplitter, Reject
from datakit.sources.blocks import Block, read_blocks
from datakit.sources.discover import discover
from datakit.sources.json_array import read_json

# --- lines


@given(st.binary(max_size=200), st.integers(1, 30), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=400, deadline=None)
def test_line_splitter_against_split(data: bytes, limit: int, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = LineSplitter(limit)
    got: list[tuple[int, int, bytes | None]] = []

    def take(piece: bytes | Reject) -> None:
        if isinstance(piece, Reject):
            got.append((piece.line, piece.offset or 0, None))
            return
        number, offset = splitter.line, splitter.offset
        for line in [part + b"\n" for part in piece.split(b"\n")]:
            got.append((number, offset, line))
            number, offset = number + 1, offset + len(line)
        if piece.endswith(b"\n"):
            got.pop()

    for start, end in pairwise(places):
        for piece in splitter.feed(data[start:end]):
            take(piece)
    for piece in splitter.close():
        take(piece)
    expected, offset = [], 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if number < len(lines) or line:
            expected.append((number, offset, line + b"\n" if len(line) <= limit else None))
        offset += len(line) + 1
    assert got == expected


def test_offsets_and_lines_point_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    data = b"\n".join([*[orjson.dumps({"text": "x" * n}) for n in range(50)], b"", b"{bad", b'{"text": 1}', b""])
    path.write_bytes(data)
    (file,) = discover([path])
    found = []
    for block in read_blocks(file, DataSettings(), target_bytes=200):
        found += parse(block, DataSettings()).rejected.rows(named=True)
    assert [(row["line"], row["reason"]) for row in found] == [(1, "empty"), (52, "invalid_json"), (53, "wrong_type")]
    assert data[found[1]["offset"] :][: found[1]["length"]] == b"{bad"


def test_unicode_line_ends_stay_inside_strings(tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps({"text": odd}, ensure_ascii=False).encode().replace(b"\x0b", b"\\u000b") + b"\r\n")
    assert texts(path) == [odd]
    path = tmp_path / "x.csv"
    path.write_bytes(("text\n" + odd + "\n").encode())
    assert texts(path) == [odd]


# --- json


def test_json_array_and_object(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in (
        '[{"text": "a"}, {"text": "b"}]',
        ' \n[\n {"text":\n "a"},\n {"text": "b"}\n]\n',
        '{"n": 1, "rows": [{"text": "a"}, {"text": "b"}]}',
        '{"text": "a"}\n{"text": "b"}\n',
    ):
        path.write_text(text)
        assert texts(path) == ["a", "b"], text
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}')
    assert [row["messages"][0]["content"] for _, row in read(path) if isinstance(row, dict)] == ["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ('[{"text": "a"},]', ["a"]),
        ('[{"text": "a"},,{"text": "b"}]', ["a", "[invalid_json]", "b"]),
        ('[{"text": "a"} {"text": "b"}]', ["[invalid_json]"]),
        ('[{"text": "a"}, {"text": "b', ["a", "[truncated_file]"]),
        ('[{"text": "a"}] trailing', ["a", "[invalid_json]"]),
        ('[1, "x", null, [2], {"text": "a"}]', ["[wrong_type]"] * 4 + ["a"]),
        ('{"a": [', ["[invalid_json]"]),
        ('[{"text": "a\nb"}]', ["[invalid_json]"]),
        ('[{"text": "]},{"}, {"text": "\\\\"}, {"text": "\\""}]', ["]},{", "\\", '"']),
    ],
)
def test_broken_json_arrays(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "x.json").write_text(text)
    assert texts(tmp_path / "x.json") == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('a"\\[]{},:\n 中'), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a"\\]}'), max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=6), st.integers(1, 9), st.sampled_from([None, 1]))
@settings(max_examples=300, deadline=None)
def test_array_elements_against_json(values: list[Any], width: int, indent: int | None) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode()
    chunks = [data[i : i + width] for i in range(0, len(data), width)]
    found = []
    # A first chunk over the head's size, so that the scanner's state crosses the others.
    from datakit.sources.json_array import _array

    for block in _array(iter(chunks), "x", 20, 1 << 20):
        assert not block.rejects
        assert isinstance(block.payload, bytes)
        found += [orjson.loads(element) for element in block.payload.split(b"\n")]
        for offset, element in zip(block.offsets, block.payload.split(b"\n"), strict=True):
            assert data[offset : offset + len(element)].replace(b"\n", b"\r") == element
    assert found == values


def test_a_large_array_comes_in_blocks() -> None:
    rows = [{"text": "x" * 1000, "n": n} for n in range(5000)]
    data = orjson.dumps(rows)
    chunks = [data[i : i + (1 << 20)] for i in range(0, len(data), 1 << 20)]
    blocks = list(read_json(iter(chunks), "x", 1 << 20, 1 << 26, frozenset(), lambda text: None))
    assert len(blocks) >= 4
    assert [block.line for block in blocks][1] == blocks[0].payload.count(b"\n") + 2  # type: ignore[arg-type]
    assert max(len(block.payload) for block in blocks) < (1 << 20) + 2000


# --- tables


def test_csv_cells_are_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes('\ufefftext,n,note\r\n"a, ""b""\nc",1,\r\n\r\n二,02,x\r\n'.encode())
    rows = read(path)
    assert [line for line, _ in rows] == [1, 2]
    assert [row["text"] for _, row in rows if isinstance(row, dict)] == ['a, "b"\nc', "二"]
    assert [row["meta"] for _, row in rows if isinstance(row, dict)] == ['{"n":"1"}', '{"n":"02","note":"x"}']


def test_delimiters(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "x.tsv").write_text("text\tn\na, b\t1\n")
    (tmp_path / "y.csv").write_text("text;n\na, b;1\n")
    assert texts(tmp_path, notes) == ["a, b", "a, b"]
    assert any("';'" in note for note in notes)


def test_ragged_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('text,n\na,1\nb\nc,1,2\n"d\ne",4\n"never closed,5\nf,6\ng,7\n')
    assert read_short(path) == [
        (1, "a"),
        (2, "ragged_row"),
        (3, "ragged_row"),
        (4, "d\ne"),
        (5, "ragged_row"),
        (6, "f"),
        (7, "g"),
    ]


def read_short(path: Path, **options: Any) -> list[tuple[int, str]]:
    return [(line, row if isinstance(row, str) else row["text"]) for line, row in read(path, **options)]


def test_csv_header_faults(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    notes: list[str] = []
    path.write_text("text,,text\na,b,c\n")
    assert texts(path, notes) == ["a"]
    assert len(notes) == 2
    path.write_text("text,n\n")
    assert texts(path) == []
    path.write_text("")
    assert texts(path, notes) == []
    assert "no rows" in notes[-1]


def test_csv_with_nul_and_long_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"text,n\na\0b,1\n" + b"x" * 500 + b',2\n"' + b"y\n" * 300 + b'",3\nz,4\n')
    rows = read_short(path, max_row_bytes=400)
    assert rows[0] == (1, "a\0b")
    assert rows[1] == (2, "row_too_long")
    assert rows[2] == (3, "row_too_long")
    assert rows[-1][1] == "z"


def test_parquet_and_arrow(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [f"t{n}" for n in range(5000)], "n": range(5000), "gone": [None] * 5000})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=700)
    frame.write_ipc(tmp_path / "b.arrow")
    stream = io.BytesIO()
    for part in frame.iter_slices(900):
        part.write_ipc_stream(stream)
    frame.write_ipc_stream(tmp_path / "c.arrow")
    for name in ("a.parquet", "b.arrow", "c.arrow"):
        rows = read(tmp_path / name, target_bytes=20_000)
        assert [line for line, _ in rows] == list(range(1, 5001)), name
        assert rows[-1][1]["text"] == "t4999"  # type: ignore[index]
        assert rows[-1][1]["meta"] == '{"n":4999}'  # type: ignore[index]


def test_an_arrow_stream_of_many_batches(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    with (
        pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, pa.schema([("text", pa.string())])) as writer,
    ):
        for n in range(20):
            writer.write_batch(pa.record_batch({"text": [f"{n}-{m}" for m in range(10)]}))
    assert texts(tmp_path / "x.arrow")[-1] == "19-9"
    data = (tmp_path / "x.arrow").read_bytes()
    (tmp_path / "x.arrow").write_bytes(data[: len(data) // 2])
    rows = texts(tmp_path / "x.arrow")
    assert rows[-1] == "[truncated_file]"
    assert len(rows) > 50


def test_files_of_different_schemas(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"text": ["b"], "when": [None], "more": [[1.5]]}).write_parquet(tmp_path / "2.parquet")
    pl.DataFrame({"messages": [[{"role": "user", "content": "c"}]]}).write_parquet(tmp_path / "3.parquet")
    rows = [row for _, row in read(tmp_path) if isinstance(row, dict)]
    assert sorted(row["source"] for row in rows) == ["1.parquet", "2.parquet", "3.parquet"]


# --- documents


def test_txt(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("一\n\n\n二\n三\r\n \n四".encode())
    assert read_short(path) == [(1, "一\n\n\n二\n三\r\n \n四")]
    assert read_short(path, split="lines") == [(1, "一"), (4, "二"), (5, "三"), (7, "四")]
    assert read_short(path, split="blank") == [(1, "一"), (4, "二\n三"), (7, "四")]
    assert read_short(path, max_row_bytes=5) == [(1, "row_too_long")]


def test_md_sections(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(
        "---\ntitle: x\n---\nbefore\n\n# One\ntext\n\n```sh\n# no heading\n```\n#hashtag\n\n"
        "Two\n---\n\n- list\n---\n~~~\n```\n# no\n~~~\n## Three ##\n"
    )
    assert [(line, text.split("\n")[0]) for line, text in read_short(path)] == [
        (1, "---"),
        (2, "# One"),
        (3, "Two"),
        (4, "## Three ##"),
    ]
    assert "# no heading" in texts(path)[1]
    joined = "\n".join(texts(path))
    assert all(word in joined for word in ("before", "hashtag", "- list", "~~~"))


@given(st.lists(st.sampled_from(["# a", "text", "", "```", "---", "===", "- x", "    # code", "~~~"]), max_size=12))
@settings(max_examples=150, deadline=None)
def test_md_loses_no_line(lines: list[str]) -> None:
    from datakit.sources.documents import read_sections

    blocks = list(read_sections([("\n".join(lines)).encode()], "x", 1 << 20, 1 << 20))
    found = [row[3]["text"] for block in blocks for row in block.payload]  # type: ignore[misc]
    kept = [line for text in found for line in text.split("\n") if line]
    assert kept == [line for line in lines if line]


def test_memory_stays_bounded_by_the_block(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rng = random.Random(1)
    path.write_bytes(jsonl(["".join(rng.choices("abc ", k=2000)) for _ in range(3000)]))
    (file,) = discover([path])
    sizes = [len(block) for block in read_blocks(file, DataSettings(), target_bytes=1 << 20)]
    assert sum(sizes) == path.stat().st_size
    assert max(sizes) <= 1 << 20


def test_a_permission_error_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(["x"]))
    real = Path.open

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputPermission, match="chmod"):
        discover([path])


def empty(parsed: Parsed) -> bool:
    return not parsed.frames and parsed.rejected.is_empty()


def test_an_empty_block_parses_to_nothing() -> None:
    assert empty(parse(Block("x", 1, 0), DataSettings()))


def test_every_fault_of_the_input_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.pptx").write_text("x")
    with pytest.raises(InputError) as caught:
        discover([tmp_path / "nosuch.jsonl", tmp_path / "empty", tmp_path / "x.pptx"])
    assert isinstance(caught.value, FileNotFoundError)
    assert all(word in str(caught.value) for word in ("nosuch.jsonl", "empty folder", ".pptx"))
    assert str(tmp_path) in str(caught.value)
