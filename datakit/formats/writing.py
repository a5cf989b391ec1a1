"""What all writers share: a record goes in, a row comes out, and whatever the format cannot hold is named.

A writer takes out of the record what it cannot hold. So the record it leaves is what the row says, and reading the row
back must give just that record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from datakit.formats.calls import compact_calls, read_calls
from datakit.formats.row import BadRow, Message, described

Record = dict[str, Any]
"""The content columns of a record that are not null, their messages without null fields, and `meta`, a dict."""


class Loss(NamedTuple):
    """What a format cannot hold: the field, e.g. `messages[2].name`, why, and what stood there, in words."""

    field: str
    why: str
    value: str


Losses = list[Loss]
Writer = Callable[[Record, Losses], dict[str, Any]]


class CannotHold(ValueError):
    """A row that a format cannot hold at all."""

    def __init__(self, field: str, why: str, value: Any = None) -> None:
        super().__init__(f"{field}: {why}")
        self.loss = Loss(field, why, described(value))


def lose(record: Record, column: str, why: str, losses: Losses) -> None:
    """Take a column out of the record, if it is there, and name it."""
    if column in record:
        losses.append(Loss(column, why, described(record.pop(column))))


def take_turns(record: Record, column: str, fields: frozenset[str], who: str, losses: Losses) -> list[Message]:
    """The messages of a column with the fields that a format has; the others are taken out of the record and named.

    A `train` flag that says what every trainer does unasked (answers are trained, the rest is not) is no loss.

    Args:
        record: its column is replaced.
        column: e.g. messages.
        fields: what the format has a place for, role and content included.
        who: the format's name, for the reason.
        losses: takes in what is lost.

    Raises:
        CannotHold: nothing is left of a message.
    """
    turns = []
    for number, turn in enumerate(record[column]):
        kept: Message = {}
        for name, value in turn.items():
            place = f"{column}[{number}].{name}"
            if name == "tool_calls":
                value = _calls(value, place)
            if name in fields:
                kept[name] = value
            elif name != "train" or value != (turn["role"] == "assistant"):
                losses.append(Loss(place, f"{who} has no place for it", described(value)))
        if kept.keys() <= {"role", "tool_call_id", "name", "train"}:
            raise CannotHold(f"{column}[{number}]", f"nothing is left of it that {who} has a place for")
        turns.append(kept)
    record[column] = turns
    return turns


def _calls(calls: str, place: str) -> str:
    """The calls as they are read back, whatever hand has edited them since they were read."""
    try:
        return read_calls(calls, place)
    except BadRow as bad:
        raise CannotHold(place, bad.detail, calls) from None


def spell_calls_compactly(turns: list[Message]) -> None:
    """Spell arguments as they are read back from formats that hold them as objects: the same JSON without blanks."""
    for turn in turns:
        if "tool_calls" in turn:
            turn["tool_calls"] = compact_calls(turn["tool_calls"])
