"""PDF page by page, with pdfium. Lines that were broken for the page's width are whole paragraphs again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from datakit.sources.block import Broken

_PASSWORD: Final = 4  # FPDF_ERR_PASSWORD
_IMAGE: Final = 3  # FPDF_PAGEOBJ_IMAGE
_DEEP: Final = 3  # forms within forms that are searched for images

_HYPHEN: Final = re.compile("[\ufffe\x02]\r?\n")  # how pdfium marks a word that was parted
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ITEM: Final = re.compile(r"(?:[•·▪◦●■□◆➢*–—-]|\(?\d{1,3}[.)、]|[（(][一二三四五六七八九十\d]{1,3}[）)])\s*")
_NARROW: Final = 40  # columns; where no line is as wide, none was broken for its width
# How full a line is when no more would fit, in shares of the widest: Latin letters differ in width.
_FULL: Final = {False: 0.85, True: 0.93}


def read_pages(data: bytes) -> Iterator[tuple[int, str | Broken]]:
    """Every page's number, from 1, and its text, or why there is none (`no_text`, `empty`, `broken_document`).

    Raises:
        Broken: the file is encrypted or damaged.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
        count = len(document)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise Broken("encrypted", "protected by a password: save a copy without one") from None
        raise Broken("broken_document", f"cannot be read as pdf ({error})") from None
    try:
        for number in range(count):
            try:
                yield number + 1, _page(document, number)
            except pypdfium2.PdfiumError as error:
                yield number + 1, Broken("broken_document", f"page {number + 1} cannot be read ({error})")
    finally:
        document.close()


def _page(document: Any, number: int) -> str | Broken:
    page = document[number]
    try:
        found = page.get_textpage()
        try:
            text = unwrapped(found.get_text_bounded())
        finally:
            found.close()
        if text:
            return text
        if any(True for _ in page.get_objects(filter=[_IMAGE], max_depth=_DEEP)):
            return Broken("no_text", "the page is an image: read it with an OCR program first")
        return Broken("empty", "the page is blank")
    finally:
        page.close()


def unwrapped(text: str) -> str:
    """The text of a page with the lines of each paragraph joined.

    A line goes on in the next where the next one's first word would not have fitted, as line breaking works; Chinese
    is joined without a blank. Lists keep their lines, and so does a page without a line of 40 columns.
    """
    lines = [_CONTROL.sub("", line).strip() for line in re.split(r"\r?\n", _HYPHEN.sub("", text))]
    lines = [line for line in lines if line]
    widest = max(map(_width, lines), default=0)
    out: list[str] = []
    for before, line in pairwise(["", *lines]):
        if before and widest >= _NARROW and not _ITEM.match(line) and _is_broken(before, line, widest):
            close = _is_wide(before[-1]) or _is_wide(line[0]) or before.endswith("-")
            out[-1] += line if close else f" {line}"
        else:
            out.append(line)
    return "\n".join(out)


def _is_broken(line: str, following: str, widest: int) -> bool:
    """Whether a line ends where it does because the first word of the next would not have fitted."""
    wide = _is_wide(following[0])
    word = 2 if wide else 1 + _width(following.split(maxsplit=1)[0])
    return _width(line) + word > _FULL[wide] * widest


def _width(text: str) -> int:
    """Columns: two for a wide character."""
    return sum(1 + _is_wide(character) for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
