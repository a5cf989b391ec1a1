"""WARC and WET: pages of a crawl."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from document_files import response, warc_record
from file_rows import read, texts
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("warcio", reason="the extra documents is not installed")

WHIRLWIND = Path(__file__).parents[2] / "shared" / "data" / "whirlwind_warc"
TEXT = "货位编码是仓储管理的基础，没有编码的仓库，再好的软件也找不到货，所以先贴标签。"
PAGE = f"<html><head><title>T</title></head><body><article><p>{TEXT}</p><p>{TEXT}二</p></article></body></html>"


def crawl() -> bytes:
    page = PAGE.encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (page[:99], page[99:])) + b"0\r\n\r\n"
    return b"".join(
        [
            warc_record("warcinfo", b"software: x\r\n", content_type="application/warc-fields"),
            warc_record("request", b"GET / HTTP/1.1\r\n\r\n"),
            warc_record("response", response(page), "http://example.org/one"),
            warc_record("response", response(PAGE.encode("gb18030"), kind="text/html; charset=gbk")),
            warc_record("response", response(gzip.compress(page), more="Content-Encoding: gzip\r\n")),
            warc_record("response", response(chunked, more="Transfer-Encoding: chunked\r\n")),
            warc_record("response", response(b"\x89PNG", kind="image/png")),
            warc_record("response", response(page, status="404 Not Found")),
            warc_record("response", response(gzip.compress(page)[:-9] + b"xx", more="Content-Encoding: gzip\r\n")),
            warc_record("metadata", b"a: b\r\n", content_type="application/warc-fields"),
            warc_record("response", response(b"<script>x()</script>")),
        ]
    )


def test_pages_of_a_crawl(tmp_path: Path) -> None:
    (tmp_path / "x.warc").write_bytes(crawl())
    notes: list[str] = []
    rows = read(tmp_path / "x.warc", notes)
    assert [(line, row if isinstance(row, str) else row["text"][:10]) for line, row in rows[:4]] == [
        (number, TEXT[:10]) for number in (3, 4, 5, 6)
    ]
    assert rows[-1] == (11, "no_text")
    assert json.loads(rows[0][1]["meta"]) == {  # type: ignore[index]
        "title": "T",
        "url": "http://example.org/one",
        "crawled": "2026-01-02T03:04:05Z",
    }
    assert len({row["text"] for _, row in rows[:4] if isinstance(row, dict)}) == 1
    assert any("2 responses that are no page" in note and "image/png" in note and "404" in note for note in notes)


def test_packed_and_cut_off(tmp_path: Path) -> None:
    whole = crawl()
    (tmp_path / "x.warc").write_bytes(whole)
    expected = texts(tmp_path / "x.warc")
    (tmp_path / "y.warc.gz").write_bytes(b"".join(gzip.compress(part) for part in (whole[:700], whole[700:])))
    assert texts(tmp_path / "y.warc.gz") == expected
    packed = gzip.compress(whole)
    (tmp_path / "z.warc.gz").write_bytes(packed[: len(packed) // 2])
    assert texts(tmp_path / "z.warc.gz")[-1] == "[truncated_file]"
    (tmp_path / "w.warc").write_bytes(whole[: whole.index(b"one") + 300])
    assert texts(tmp_path / "w.warc") == ["[truncated_file]"]
    (tmp_path / "v.warc").write_bytes(b"nothing of the kind\r\n" * 10)
    assert texts(tmp_path / "v.warc") == ["[truncated_file]"]


def test_records_that_are_too_long(tmp_path: Path) -> None:
    bomb = gzip.compress(b"<p>" + b"x " * 100_000)
    (tmp_path / "x.warc").write_bytes(
        warc_record("response", response(b"<p>" + b"y " * 9000))
        + warc_record("response", response(bomb, more="Content-Encoding: gzip\r\n"))
        + warc_record("response", response(PAGE.encode()))
    )
    rows = texts(tmp_path / "x.warc", max_row_bytes=10_000)
    assert rows[:2] == ["[row_too_long]"] * 2
    assert rows[2].startswith(TEXT)


@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4)), max_size=4), st.integers(0, 4000))
@settings(max_examples=60, deadline=None)
def test_damage_never_raises(edits: list[tuple[int, bytes]], end: int) -> None:
    from datakit.sources.warc import read_warc

    data = crawl()
    for place, raw in edits:
        data = data[:place] + raw + data[place + len(raw) :]
    list(read_warc([data[:end]], "x", 1 << 20, 1 << 20, None, lambda text: None))


@pytest.mark.skipif(not WHIRLWIND.is_dir(), reason="the crawl of one page is not here")
def test_a_page_of_common_crawl() -> None:
    (row,) = texts(WHIRLWIND / "whirlwind.warc")
    assert row.startswith("Escopete ye un municipio d'a provincia de Guadalachara")
    assert "Menú principal" not in row
    assert texts(WHIRLWIND / "whirlwind.warc.gz") == [row]
    (text,) = texts(WHIRLWIND / "whirlwind.warc.wet.gz")
    assert "Menú principal" in text  # a WET file holds all that a page says
    assert zlib.crc32(text.encode()) == zlib.crc32(texts(WHIRLWIND / "whirlwind.warc.wet")[0].encode())
