"""html, pdf, docx and xlsx: what they say comes out, and what is wrong with them costs a row, not the run."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from document_files import ENCRYPTED, STYLES, WORD, docx, paragraph, pdf, xlsx, zipped
from file_rows import read, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datakit
from datakit.errors import MissingExtra

pytest.importorskip("readability", reason="the extra documents is not installed")
pytest.importorskip("pypdfium2")
pytest.importorskip("fastexcel")

from datakit.sources.article import read_article
from datakit.sources.pages import unwrapped

ROOT = Path(__file__).parents[1]
SALES = ROOT / "recipes" / "sales"
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody in the office minds it at all. "


def metas(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(row["meta"] or "{}") for _, row in read(path, **options) if isinstance(row, dict)]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- html


PAGE = f"""<!DOCTYPE html><html><head><meta charset="CHARSET"><title>标题 &amp; more</title><style>p {{}}</style></head>
<body><nav><a href="/">Home</a><a href="/x">Products</a></nav>
<article><h1>A heading</h1><p>{SENTENCE * 3}</p><p>中文的一行，
下一行接着写。{"货位编码是仓储管理的基础，没有编码的仓库，再好的软件也找不到货。" * 3}</p>
<ul><li>first &lt;tag&gt;, {SENTENCE}</li><li>second, {SENTENCE}</li></ul>
<table><tr><th>a, {SENTENCE}</th><th>b</th></tr><tr><td>1, {SENTENCE}</td><td>2</td></tr></table>
<pre>def f():
    return 1</pre></article>
<script>var x = "never";</script><footer>Imprint <a href="/p">Privacy</a></footer></body></html>"""


def test_the_article_and_not_the_menu(tmp_path: Path) -> None:
    path = write(tmp_path / "a.html", PAGE.replace("CHARSET", "utf-8").encode())
    ((line, row),) = read(path)
    text = row["text"]  # type: ignore[index]
    assert line == 1
    assert "中文的一行，下一行接着写。" in text
    assert f"\n\n{(SENTENCE * 3).strip()}\n\n" in text
    assert f"first <tag>, {SENTENCE.strip()}\nsecond, {SENTENCE.strip()}" in text
    assert f"a, {SENTENCE.strip()}\tb\n1, {SENTENCE.strip()}\t2" in text
    assert "def f():\n    return 1" in text
    assert not any(word in text for word in ("Home", "Products", "never", "Privacy"))
    assert metas(path) == [{"title": "标题 & more"}]


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("gb2312", "gb18030"),
        ("GBK", "gb18030"),
        ("utf-8", "gb18030"),
        ("big5", "big5"),
        ("x", "utf-16"),
        ("gbk", "utf-8"),
    ],
)
def test_pages_in_every_encoding(tmp_path: Path, declared: str, written: str) -> None:
    page = PAGE.replace("CHARSET", declared)
    if written == "big5":
        page = page.replace(
            "货位编码是仓储管理的基础，没有编码的仓库，再好的软件也找不到货。", "貨位編碼是倉儲管理的基礎。"
        )
        page = page.replace("标题", "標題").replace("着写", "著寫")
    notes: list[str] = []
    (text,) = texts(write(tmp_path / "a.html", page.encode(written)), notes)
    assert ("貨位編碼" if written == "big5" else "货位编码") in text
    assert "\ufffd" not in text
    guessed = written == "utf-16" or (declared == "utf-8" and written != "utf-8")
    assert any("read as" in note for note in notes) == guessed


def test_packed_pages(tmp_path: Path) -> None:
    whole = gzip.compress(PAGE.replace("CHARSET", "utf-8").encode())
    assert "A heading" in texts(write(tmp_path / "a.html.gz", whole))[0]
    assert texts(write(tmp_path / "a.html.gz", whole[: len(whole) // 2])) == ["[truncated_file]"]
    assert texts(write(tmp_path / "a.html.gz", gzip.compress(b"<p>" + b"x " * 5000)), max_row_bytes=3000) == [
        "[row_too_long]"
    ]


@pytest.mark.parametrize(
    "page", [b"", b"   ", b"<html></html>", b"<script>x()</script>", b"<!-- -->", b"<p>&nbsp;</p>"]
)
def test_pages_without_text(tmp_path: Path, page: bytes) -> None:
    assert texts(write(tmp_path / "a.html", page)) in ([], ["[no_text]"])


@given(st.text(max_size=300) | st.text(st.sampled_from("<>/ap=\"'!-&;#x0 \n中td"), max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_page_raises(page: str) -> None:
    read_article(page.encode("utf-8", "replace"))


BENCHMARK = ROOT.parent / "shared" / "data" / "article_extraction"


@pytest.mark.skipif(not BENCHMARK.is_dir(), reason="the article extraction benchmark is not here")
def test_articles_of_the_benchmark() -> None:
    from benchmarks.articles import measure

    assert measure(BENCHMARK).mean >= 0.94


# --- pdf


def test_a_page_is_a_row(tmp_path: Path) -> None:
    notes: list[str] = []
    path = write(tmp_path / "a.pdf", pdf(["first page"], ["second page", "its end"]))
    assert [(line, row["text"]) for line, row in read(path, notes) if isinstance(row, dict)] == [
        (1, "first page"),
        (2, "second page\nits end"),
    ]
    assert metas(path) == [{"page": 1}, {"page": 2}]
    assert not notes
    write(tmp_path / "a.pdf.gz", gzip.compress(path.read_bytes()))
    assert texts(tmp_path / "a.pdf.gz") == texts(path)


def test_pdf_without_text(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.pdf", pdf(["text"], [], [], image_at=3))) == ["text", "[empty]", "[no_text]"]
    assert texts(write(tmp_path / "b.pdf", pdf(["text"], trailer=ENCRYPTED))) == ["[encrypted]"]
    whole = pdf(["text"])
    assert texts(write(tmp_path / "c.pdf", b"%PDF-1.4\nnothing of the kind")) == ["[broken_document]"]
    assert texts(write(tmp_path / "d.pdf", whole.replace(b"/Pages", b"/Nages"))) == ["[broken_document]"]


def test_lines_of_a_page_are_joined_where_they_were_broken() -> None:
    wide = "x" * 20
    assert unwrapped(f"{wide} {wide} {wide}\r\n{wide} {wide} yes\r\nshort end.\r\nA new one") == (
        f"{wide} {wide} {wide} {wide} {wide} yes\nshort end.\nA new one"
    )
    assert unwrapped("标题\r\n" + "字" * 30 + "\r\n接着。\r\n下一段") == "标题\n" + "字" * 30 + "接着。\n下一段"
    assert unwrapped("字" * 30 + "\r\n• 一项\r\n1. 两项") == "字" * 30 + "\n• 一项\n1. 两项"
    assert unwrapped("exam\ufffe\r\nple") == "example"
    assert unwrapped("one\r\ntwo\r\nsix") == "one\ntwo\nsix"
    assert unwrapped("\x00\r\n \r\n") == ""


# --- docx


def test_sections_of_a_word_file(tmp_path: Path) -> None:
    item = '<w:numPr><w:ilvl w:val="0"/></w:numPr>'
    cell = "<w:tc>{}</w:tc>"
    table = f"<w:tbl><w:tr>{cell.format(paragraph('甲'))}{cell.format(paragraph('A & B'))}</w:tr></w:tbl>"
    box = f"<w:p><w:r><w:pict><w:txbxContent>{paragraph('in a box')}</w:txbxContent></w:pict></w:r></w:p>"
    changes = "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    note = '<w:p><w:r><w:t>noted</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    body = (
        paragraph("before & <first>")
        + paragraph("标题一", "1")
        + paragraph("one", properties=item)
        + paragraph("two", properties=item)
        + table
        + f"<w:sdt><w:sdtContent>{paragraph('in a control')}</w:sdtContent></w:sdt>"
        + paragraph("Own", "own")
        + box
        + changes
        + note
        + paragraph("", "2")
        + paragraph("By outline", properties='<w:outlineLvl w:val="1"/>')
        + '<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:br w:type="page"/></w:r></w:p>'
        + "<w:sectPr/>"
    )
    notes = f'<w:footnotes xmlns:w="{WORD}"><w:footnote w:id="2">{paragraph("the note")}</w:footnote></w:footnotes>'
    path = write(tmp_path / "a.docx", docx(body, footnotes=notes))
    assert texts(path) == [
        "before & <first>",
        "标题一\n\none\ntwo\n甲\tA & B\n\nin a control",
        "Own\n\nin a box\n\nnew\n\nnoted\n\nthe note",
        "By outline\n\na\tb\nc",
    ]
    assert metas(path) == [{}, {"heading": "标题一"}, {"heading": "Own"}, {"heading": "By outline"}]
    strict = f'<w:document xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main"><w:body>{paragraph("x")}</w:body></w:document>'
    assert texts(write(tmp_path / "b.docx", zipped({"word/document.xml": strict}))) == ["x"]


def test_broken_word_files(tmp_path: Path) -> None:
    whole = docx(paragraph("x" * 5000))
    cases = {
        "cut": (whole[: len(whole) // 2], "broken_document"),
        "text": (b"no zip at all", "broken_document"),
        "locked": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted"),
        "other": (zipped({"a.txt": "x"}), "broken_document"),
        "xml": (zipped({"word/document.xml": "<w:document"}), "broken_document"),
        "blank": (docx(paragraph("  ")), "no_text"),
        "lol": (zipped({"word/document.xml": LAUGHS}), "broken_document"),
    }
    for name, (data, reason) in cases.items():
        assert texts(write(tmp_path / f"{name}.docx", data)) == [f"[{reason}]"], name


LAUGHS = f"""<!DOCTYPE d [<!ENTITY a "ha ha ha ha">{
    "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
}]><w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>&j;</w:t></w:r></w:p></w:body></w:document>"""


def test_zips_that_unpack_to_too_much(tmp_path: Path) -> None:
    bomb = zipped({"word/document.xml": "<w:document>" + " " * 2_000_000, "word/styles.xml": STYLES})
    assert len(bomb) < 10_000
    assert texts(write(tmp_path / "a.docx", bomb), max_row_bytes=100_000) == ["[row_too_long]"]
    assert texts(write(tmp_path / "a.xlsx", bomb), max_row_bytes=100_000) == ["[row_too_long]"]
    # One that lies about its size: the directory says 10 bytes.
    with zipfile.ZipFile(BytesIO(bomb)) as archive:
        (size,) = (part.file_size for part in archive.infolist() if "document" in part.filename)
    lying = bomb.replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert texts(write(tmp_path / "b.docx", lying), max_row_bytes=100_000) == ["[broken_document]"]
    assert texts(write(tmp_path / "b.xlsx", lying), max_row_bytes=100_000) == ["[broken_document]"]
    packed = gzip.compress(bytes(3_000_000))
    assert texts(write(tmp_path / "c.pdf.gz", packed), max_row_bytes=100_000) == ["[row_too_long]"]


# --- xlsx


def test_sheets_are_tables(tmp_path: Path) -> None:
    book = xlsx(
        {
            "客户": [
                [None, None],
                ["客户问题", "销售回复", "数量", "日期", "已审核"],
                ["多少钱 & 何时？", "一百 < 两百", 1, (45000,), True],
                [None] * 5,
                ["再问", "再答", 1.5, (45000.5,), False],
            ],
            "空": [],
            "只有表头": [["a", "b"]],
            "二": [["客户问题", "销售回复", "sheet"], ["问", "答", "own"]],
        }
    )
    notes: list[str] = []
    columns = {"客户问题": "user", "销售回复": "assistant"}
    path = write(tmp_path / "a.xlsx", book)
    rows = read(path, notes, columns=columns)
    said = [[turn["content"] for turn in row["messages"]] for _, row in rows if isinstance(row, dict)]
    assert [line for line, _ in rows] == [1, 2, 3]
    assert said == [["多少钱 & 何时？", "一百 < 两百"], ["再问", "再答"], ["问", "答"]]
    assert metas(path, columns=columns) == [
        {"sheet": "客户", "数量": "1", "日期": "2023-03-15 00:00:00", "已审核": "true"},
        {"sheet": "客户", "数量": "1.5", "日期": "2023-03-15 12:00:00", "已审核": "false"},
        {"sheet": "own"},
    ]
    assert sum("holds no rows" in note for note in notes) == 2


def test_many_rows_come_in_blocks(tmp_path: Path) -> None:
    book = xlsx({"a": [["text"], *[[f"row {n}"] for n in range(3000)]], "b": [["text"], ["last"]]})
    rows = read(write(tmp_path / "a.xlsx", book), target_bytes=20_000)
    assert [line for line, _ in rows] == list(range(1, 3002))
    assert rows[-1][1]["text"] == "last"  # type: ignore[index]


def test_broken_workbooks(tmp_path: Path) -> None:
    whole = xlsx({"a": [["text"], ["x"]]})
    assert texts(write(tmp_path / "a.xlsx", whole[:300])) == ["[broken_document]"]
    assert texts(write(tmp_path / "b.xlsx", zipped({"a": "b"}))) == ["[broken_document]"]
    assert texts(write(tmp_path / "c.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99))) == ["[encrypted]"]
    assert texts(write(tmp_path / "d.xlsx", b"")) == []


# --- all of them


def test_clean_accounts_for_documents(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw / "a.html", PAGE.replace("CHARSET", "utf-8").encode())
    write(raw / "b.pdf", pdf([SENTENCE * 2], [], image_at=2))
    write(raw / "c.docx", docx(paragraph("标题", "1") + paragraph("货位编码是仓储管理的基础。" * 10)))
    write(raw / "d.xlsx", xlsx({"s": [["user", "assistant"], ["你好", "您好，请问需要什么？"]]}))
    write(raw / "e.docx", b"broken")
    result = datakit.clean(raw, tmp_path / "clean")
    assert result.rows["in"] == 6
    rejected = result.ledger.filter(result.ledger["decision"] == "rejected")
    assert sorted(zip(rejected["source"], rejected["line"], rejected["reason"], strict=True)) == [
        ("b.pdf", 2, "no_text"),
        ("e.docx", 1, "broken_document"),
    ]
    assert datakit.clean(raw, tmp_path / "two", workers=2).version.manifest.fingerprint == (
        result.version.manifest.fingerprint
    )


WHOLE = {
    "a.pdf": pdf([SENTENCE, "end"], ["second"]),
    "a.docx": docx(paragraph("标题", "1") + paragraph("x & y")),
    "a.xlsx": xlsx({"s": [["text", "n"], ["x & y", 1]], "t": [["text"], ["z"]]}),
}


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=6), st.integers(0, 9)), max_size=4),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damaged_document_raises(tmp_path: Path, name: str, edits: list[tuple[int, bytes, int]]) -> None:
    data = WHOLE[name]
    for place, put, cut in edits:
        at = place % len(data)
        data = data[:at] + put + data[at + cut :]
    read(write(tmp_path / name, data))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("form", ["html", "docx", "pdf"])
def test_the_manual_is_whole_in_every_form(form: str) -> None:
    found = squeezed("".join(texts(SALES / "documents" / f"manual.{form}")))
    manual = (SALES / "good" / "manual.md").read_text(encoding="utf-8").replace("#", "")
    for line in filter(None, map(squeezed, manual.splitlines())):
        assert line in found, line
    assert not any(word in found for word in ("客户案例", "隐私声明", "浏览器缓存"))


def test_the_manual_again_is_a_duplicate_of_itself(tmp_path: Path) -> None:
    paths = [SALES / "good" / "manual.md", SALES / "documents" / "manual.docx"]
    ledger = datakit.clean(paths, tmp_path / "clean").ledger
    twins = ledger.filter(ledger["source"] == "manual.docx")
    assert set(twins["reason"]) <= {"exact_duplicate", "near_duplicate"}
    assert set(twins["twin_source"]) == {"manual.md"}
    assert twins["twin_line"].to_list() == twins["line"].to_list()


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in (
        ("a.html", "readability"),
        ("b.pdf", "pypdfium2"),
        ("c.xlsx", "fastexcel"),
        ("d.docx", "lxml"),
    ):
        path = write(tmp_path / name, b"x")
        with monkeypatch.context() as patch:
            for loaded in [one for one in sys.modules if one.split(".")[0] == module]:
                patch.delitem(sys.modules, loaded)
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtra, match=r"pip install 'datakit\[documents\]'") as caught:
                read(path)
            assert name in str(caught.value) and module in str(caught.value)


def test_plain_files_load_none_of_it(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b'{"text": "x"}\n')
    code = (
        "import sys; from datakit.formats.read import parse; from datakit.sources.blocks import read_blocks;"
        "from datakit.sources.discover import discover; from datakit.recipe.data import DataSettings;"
        "[parse(b, DataSettings()) for f in discover([sys.argv[1]]) for b in read_blocks(f, DataSettings())];"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert not {"lxml", "readability", "pypdfium2", "fastexcel", "warcio", "fsspec", "aiohttp"} & set(
        done.stdout.split()
    )
