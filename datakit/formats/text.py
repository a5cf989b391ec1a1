"""Plain text, one document a row.

{"text": "…"}  or  {"content": "…"}  ->  text: "…"
"""

from __future__ import annotations

from typing import Final

from datakit.formats.row import BadRow, Draft, Row, wrong_type

NEEDS: Final = "text (or content)"

_TEXT: Final = frozenset({"text"})
_CONTENT: Final = frozenset({"content"})


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return "text" in keys or "content" in keys


def read(row: Row) -> Draft:
    """The text record of a row.

    Raises:
        BadRow: it is no text, or blank.
    """
    key, used = ("text", _TEXT) if "text" in row else ("content", _CONTENT)
    text = row[key]
    if type(text) is not str:
        raise wrong_type(key, text)
    if not text or text.isspace():
        raise BadRow("empty", f"{key} is blank")
    return Draft("text", (text,), used)
