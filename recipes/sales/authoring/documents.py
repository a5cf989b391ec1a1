"""The product manual as html, docx and pdf, the same bytes on every run and every machine.

The three say what good/manual.md says: its title, its headings and its paragraphs. The page has the menu, the footer
and the notice that such pages have, so that there is something to leave out. Nothing is compressed, as compressed
bytes differ from one zlib to the next.
"""

import html
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

Section = tuple[int, str, list[str]]
"""Level of the heading (1 is the title), the heading, the paragraphs below it."""

_MENU = ("首页", "产品", "价格", "客户案例", "帮助中心", "登录")
_LINE = 36  # characters of Chinese in a line of the pdf
_LINES = 38  # lines on a page of it


def read_manual(path: Path) -> list[Section]:
    """The sections of a md file that holds headings and paragraphs, nothing else."""
    sections: list[Section] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            marks, _, heading = line.partition(" ")
            sections.append((len(marks), heading, []))
        elif line:
            sections[-1][2].append(line)
    return sections


def write_documents(manual: Path, folder: Path) -> None:
    """Write manual.html, manual.docx and manual.pdf to `folder`."""
    sections = read_manual(manual)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manual.html").write_bytes(page(sections).encode())
    (folder / "manual.docx").write_bytes(word(sections))
    (folder / "manual.pdf").write_bytes(pdf(sections))


def page(sections: list[Section]) -> str:
    """A web page: the manual as its article, between a menu and a footer."""
    title = html.escape(sections[0][1])
    menu = "".join(f'<li><a href="/{number}">{name}</a></li>' for number, name in enumerate(_MENU))
    body = []
    for level, heading, paragraphs in sections:
        body.append(f"<h{level}>{html.escape(heading)}</h{level}>")
        body += [f"<p>{html.escape(text)}</p>" for text in paragraphs]
    return f"""<!DOCTYPE html>
<html lang="zh-CN">
<head><meta charset="utf-8"><title>{title}</title>
<style>nav li {{ display: inline }}</style>
<script>window.visits = (window.visits || 0) + 1;</script></head>
<body>
<nav><ul>{menu}</ul></nav>
<div class="cookie-banner">本网站使用必要的浏览器缓存。<a href="/cookies">了解详情</a></div>
<article>
{chr(10).join(body)}
</article>
<footer><p>联系我们</p><p><a href="/terms">使用条款</a> <a href="/privacy">隐私声明</a></p></footer>
</body>
</html>
"""


_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PARTS = {
    "[Content_Types].xml": """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\
<Default Extension="xml" ContentType="application/xml"/>\
<Override PartName="/word/document.xml" \
ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>\
<Override PartName="/word/styles.xml" \
ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/></Types>""",
    "_rels/.rels": """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" \
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" \
Target="word/document.xml"/></Relationships>""",
    "word/_rels/document.xml.rels": """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" \
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>\
</Relationships>""",
}


def word(sections: list[Section]) -> bytes:
    """A Word document with the built-in styles of headings."""
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr></w:style>'
        for level in (1, 2)
    )
    body = []
    for level, heading, paragraphs in sections:
        body.append(_paragraph(heading, f'<w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr>'))
        body += [_paragraph(text) for text in paragraphs]
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    parts = _PARTS | {
        "word/styles.xml": f'{head}<w:styles xmlns:w="{_WORD}">{styles}</w:styles>',
        "word/document.xml": f'{head}<w:document xmlns:w="{_WORD}"><w:body>{"".join(body)}</w:body></w:document>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, text in parts.items():
            info = zipfile.ZipInfo(name)  # of 1980: the bytes name no day
            info.create_system = 3
            archive.writestr(info, text.encode())
    return packed.getvalue()


def _paragraph(text: str, style: str = "") -> str:
    return f"<w:p>{style}<w:r><w:t>{html.escape(text, quote=False)}</w:t></w:r></w:p>"


def pdf(sections: list[Section]) -> bytes:
    """A pdf of A4 pages with wrapped lines, in a Chinese font that every reader has or replaces."""
    streams = [_stream(lines) for lines in _pages(sections)]
    first = 6  # the number of the first page's object
    kids = " ".join(f"{first + 2 * place} 0 R" for place in range(len(streams)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R /Lang (zh-CN) >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [4 0 R] >>",
        "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 /FontDescriptor 5 0 R "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> >>",
        "<< /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] "
        "/ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>",
    ]
    for place, stream in enumerate(streams):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {first + 2 * place + 1} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode("ascii")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size, end = len(objects) + 1, len(out)
    out += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n".encode("ascii")
    return out + f"startxref\n{end}\n%%EOF\n".encode("ascii")


def _pages(sections: list[Section]) -> Iterator[list[tuple[int, str]]]:
    """Lines with the size of their letters; a heading and the two lines after it stay on one page."""
    lines: list[tuple[int, str]] = []
    for level, heading, paragraphs in sections:
        if len(lines) > _LINES - 3:
            yield lines
            lines = []
        lines.append((20 - 2 * level, heading))
        for text in paragraphs:
            for start in range(0, len(text), _LINE):
                if len(lines) == _LINES:
                    yield lines
                    lines = []
                lines.append((13, text[start : start + _LINE]))
    yield lines


def _stream(lines: list[tuple[int, str]]) -> str:
    """What draws the lines from the top of a page."""
    drawn, height = [], 790
    for size, text in lines:
        height -= 19 if size == 13 else 24
        drawn.append(f"BT /F1 {size} Tf 1 0 0 1 62 {height} Tm <{text.encode('utf-16-be').hex()}> Tj ET")
    return "\n".join(drawn)
