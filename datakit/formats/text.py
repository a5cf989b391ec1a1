"""Plain text, one document a row.

{"text": "…"}  or  {"content": "…"}  ->  text: "…"  ->  {"text": "…"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datakit.formats.row import BadRow, Draft, Row, wrong_type
from datakit.formats.writing import Losses, Record, Writer
from datakit.records import Kind

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


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a text record: the one layout that all trainers share."""
    return {"text": record["text"]}


WRITES: Final[Mapping[Kind, Writer]] = {"text": write}
