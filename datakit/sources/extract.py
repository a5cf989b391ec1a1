"""Documents to rows, in worker processes: the article of a page, the pages of a pdf, the sections of a Word file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from datakit.sources.block import Broken, Document, Reject

UNPACKED: Final = 8  # times the size of a row: what a document may unpack to, text being small in its XML

Extracted = tuple[int, int | None, int | None, dict[str, Any]]


def document_rows(document: Document) -> Iterator[Extracted | Reject]:
    """The rows of a document: line, offset, length and columns; a reject for a part without text. Nothing raises."""
    readers = {"html": _article, "pdf": _pages, "docx": _sections, "txt": _text}
    try:
        for line, text, meta in readers[document.form](document):
            offset, length = (document.offset, len(document.data)) if document.form in ("html", "txt") else (None, None)
            if isinstance(text, Broken):
                yield Reject(line, offset, length, text.reason, text.detail)
                continue
            raw = text.encode("utf-8", "replace")  # lone surrogates are no text
            if len(raw) > document.largest:
                detail = f"{len(raw):,} bytes, the limit is {document.largest:,} (clean.max_row_mb)"
                yield Reject(line, offset, length, "row_too_long", detail)
            else:
                yield line, offset, length, {"text": raw.decode("utf-8"), **meta, **document.meta}
    except Broken as broken:
        yield Reject(document.line, document.offset, len(document.data), broken.reason, broken.detail)
    except Exception as error:  # files of strangers: whatever a library trips over must cost one document, not the run
        detail = f"cannot be read as {document.form} ({type(error).__name__})"
        yield Reject(document.line, document.offset, len(document.data), "broken_document", detail)


_Parts = Iterator[tuple[int, str | Broken, dict[str, Any]]]


def _article(document: Document) -> _Parts:
    from datakit.sources.article import read_article

    article = read_article(document.data, document.charset, document.encoding)
    meta = {"title": article.title} if article.title else {}
    yield document.line, article.text or Broken("no_text", "the page holds no text, or a program makes it"), meta


def _text(document: Document) -> _Parts:
    text = document.data.decode("utf-8", "replace").strip()
    yield document.line, text or Broken("empty", "the text is blank"), {}


def _pages(document: Document) -> _Parts:
    from datakit.sources.pages import read_pages

    for number, text in read_pages(document.data):
        yield number, text, {"page": number}


def _sections(document: Document) -> _Parts:
    from datakit.sources.word import read_word

    sections = read_word(document.data, UNPACKED * document.largest)
    if not sections:
        raise Broken("no_text", "the document holds no text")
    for number, section in enumerate(sections, 1):
        yield number, section.text, {"heading": section.heading} if section.heading else {}
