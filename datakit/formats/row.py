"""What all formats share: a row, what it becomes, and why it cannot become anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Final, NamedTuple

import orjson

from datakit.records import Kind

Row = Mapping[str, Any]
Message = dict[str, Any]
"""A message with the fields of `records.MESSAGE` that are not null."""


class Draft(NamedTuple):
    """A record as read: values in the order of `records.CONTENT[kind]`; every column not in `used` goes to meta.

    extra: what the row held in places that records have no room for, such as unknown fields of messages.
    """

    kind: Kind
    values: tuple[Any, ...]
    used: frozenset[str]
    extra: dict[str, Any] | None = None


class BadRow(ValueError):
    """A row that becomes a rejected row: a reason word of the ledger, and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def described(value: Any) -> str:
    """What stands in a place, in words for a person: `a number (42)`, `a list`, `null`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"a number ({value!r:.20})"
        case str():
            return f"the text '{value:.30}'"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def wrong_type(where: str, value: Any, expected: str = "text") -> BadRow:
    """The fault of a value that is not what its place needs."""
    return BadRow("wrong_type", f"{where}: found {described(value)}, expected {expected}")


def text_at(row: Row, key: str) -> str:
    """The text of a column that must be there.

    Raises:
        BadRow: it is missing or no text.
    """
    value = row.get(key)
    if type(value) is not str:
        raise wrong_type(key, value)
    return value


def text_or_none(row: Row, key: str) -> str | None:
    """The text of a column that may be missing or blank.

    Raises:
        BadRow: it holds something else than text.
    """
    value = row.get(key)
    if value is None or type(value) is str:
        return value or None
    raise wrong_type(key, value)


def to_json(value: Any, *, sort: bool = True) -> str:
    """A value as compact JSON; what JSON cannot hold (bytes, decimals, durations) as its text.

    sort: by keys; else they stay in their order. Integers of any length stay whole.

    Raises:
        BadRow: it is nested too deeply.
    """
    try:
        return orjson.dumps(value, default=_plain, option=_SORTED if sort else _IN_ORDER).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        fault: Exception = error
    try:
        if "64-bit" in str(fault):
            return json.dumps(
                value, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=sort
            )
    except (TypeError, ValueError, RecursionError) as error:
        fault = error
    raise BadRow("invalid_json", f"cannot be kept as JSON ({fault})")


_IN_ORDER: Final = orjson.OPT_NON_STR_KEYS
_SORTED: Final = orjson.OPT_SORT_KEYS | _IN_ORDER


def _plain(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    return str(value)


def json_text(row: Row, key: str) -> str | None:
    """A column that holds JSON, as text: a text stays as it is where it is JSON, everything else is written as JSON."""
    value = row.get(key)
    if value is None or value == "":
        return None
    if type(value) is str:
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return to_json(value)
        return value
    return to_json(value)


def flag(value: Any) -> bool | None:
    """True and false, also as 1 and 0 and as text; None for everything else."""
    if type(value) is bool:
        return value
    if type(value) is int and value in (0, 1):
        return value == 1
    if type(value) is str:
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return None
