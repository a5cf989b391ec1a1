"""The article of a web page as text: what it says, without menus, banners and footers.

readability-lxml finds the article (F1 of words 0.96 on the article extraction benchmark, `benchmarks/articles.py`);
its elements become lines here. Where it finds none, the page's body is taken without what is plainly no text.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any, Final

from datakit.sources.block import Notice
from datakit.sources.encoding import BOMS, as_utf8

_DECLARED: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_PROLOGUE: Final = 4096  # bytes in which a page declares its encoding; browsers look at 1,024
# What pages call GB2312 or GBK is GB18030 wherever it is more, as browsers take it (WHATWG Encoding, section 4.2).
_WIDER: Final = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "cp950", "iso8859-1": "cp1252", "ascii": "cp1252"}

_PARAGRAPHS: Final = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "details", "dialog", "div", "dl", "fieldset"}
    | {"figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav"}
    | {"ol", "p", "pre", "section", "summary", "table", "ul"}
)
_LINES: Final = frozenset({"br", "dd", "dt", "li", "tr", "option", "caption", "legend"})
_CELLS: Final = frozenset({"td", "th"})
_SILENT: Final = frozenset(
    {"script", "style", "noscript", "template", "head", "title", "iframe", "object", "svg", "math", "canvas", "audio"}
    | {"video", "button", "input", "select", "textarea"}
)
_NO_ARTICLE: Final = _SILENT | {"nav", "header", "footer", "aside", "form", "menu"}

_SPACE: Final = re.compile(r"[ \t\n\r\f\u00a0\u200b]+")
_CHINESE: Final = "\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef"
_BROKEN: Final = re.compile(f"(?<=[{_CHINESE}])[ \t]*[\r\n]\\s*(?=[{_CHINESE}])")  # a line end of the source
_GAPS: Final = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Article:
    """title: of the page, may be empty; text: paragraphs with a blank line between them, may be empty."""

    title: str
    text: str


def read_article(data: bytes, charset: str | None = None, encoding: str | None = None) -> Article:
    """The article of a page.

    Args:
        data: the page as it came.
        charset: what the server said of its encoding.
        encoding: how it is encoded, for sure.
    """
    import lxml.etree
    import readability
    from readability.readability import Unparseable

    page = page_text(data, charset, encoding)
    if not page.strip():
        return Article("", "")
    document = readability.Document(page)
    try:
        title = _SPACE.sub(" ", document.title() or "").strip()
        text = _text_of(document.summary(html_partial=True), _SILENT)
        return Article("" if title == "[no-title]" else title, text or _text_of(page, _NO_ARTICLE))
    except (Unparseable, lxml.etree.LxmlError, ValueError):  # nothing that is a page
        return Article("", "")


def page_text(
    data: bytes, charset: str | None, encoding: str | None, name: str = "", notice: Notice = lambda text: None
) -> str:
    """A page decoded: as told, by its byte order mark, as UTF-8 where it is valid, as declared, else as detected.

    Args:
        data: the page as it came.
        charset: what the server said of its encoding.
        encoding: how it is encoded, for sure.
        name: of the file, for notices.
        notice: hears of an encoding that had to be guessed.
    """
    if encoding is None and not data.startswith(tuple(mark for mark, _ in BOMS)):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            encoding = _known(charset) or _known(_declared(data))
    return b"".join(as_utf8([data], encoding, name, notice)).decode("utf-8", "replace")


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:_PROLOGUE])
    return found[1].decode("ascii") if found else None


def _known(charset: str | None) -> str | None:
    try:
        name = codecs.lookup(charset).name if charset else None
    except LookupError:
        return None
    if name is None or name.startswith(("utf-8", "utf_8")):
        return None  # it is not valid UTF-8: the label is wrong
    return _WIDER.get(name, name)


def _text_of(page: str, silent: frozenset[str]) -> str:
    """The lines of a page; elements named in `silent` say nothing."""
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    root = lxml.html.document_fromstring(page.encode("utf-8", "replace"), parser=parser)
    lines = _Lines()
    lines.walk(root, silent)
    return lines.text()


class _Lines:
    """Gathers the text of elements: paragraphs, lines, cells."""

    def __init__(self) -> None:
        self._parts: list[str] = []  # finished lines, and breaks
        self._line: list[str] = []
        self._preformatted = 0

    def walk(self, root: Any, silent: frozenset[str]) -> None:
        """Take in an element and all below it."""
        from lxml.etree import iterwalk

        walk = iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "start":
                if tag in silent:
                    walk.skip_subtree()
                    continue
                self._open(tag)
                self._take(element.text)
            else:
                if tag not in silent:
                    self._close(tag)
                self._take(element.tail)

    def text(self) -> str:
        """Everything taken in."""
        self._end("\n\n")
        return _GAPS.sub("\n\n", "".join(self._parts)).strip()

    def _take(self, text: str | None) -> None:
        if text:
            self._line.append(text if self._preformatted else _SPACE.sub(" ", _BROKEN.sub("", text)))

    def _open(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._end("\n\n")
            self._preformatted += tag == "pre"
        elif tag in _LINES:
            self._end("\n")

    def _close(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._end("\n\n")
            self._preformatted -= tag == "pre"
        elif tag in _LINES:
            self._end("\n")
        elif tag in _CELLS:
            self._line.append("\t")

    def _end(self, mark: str) -> None:
        line = "".join(self._line)
        self._line = []
        if self._preformatted:
            line = line.strip("\n").rstrip()
        else:
            line = re.sub(r"[ \t]*\t[ \t]*", "\t", re.sub(" {2,}", " ", line)).strip()
        if line:
            self._parts += (line, mark)
        elif self._parts and mark == "\n\n" and self._parts[-1] == "\n":
            self._parts[-1] = mark
