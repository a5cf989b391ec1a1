r"""ShareGPT: `conversations` of from and value, with optional system and tools; also `conversation` and `dialogue`.

    {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "system": "be kind"}
        ->  messages: system "be kind", user "hi", assistant "hello"
    messages: system "be kind", user "hi", assistant calling f
        ->  {"conversations": [{"from": "system", "value": "be kind"}, {"from": "human", "value": "hi"},
                               {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {}}"}]}

Preference pairs are written with `chosen` and `rejected` beside the conversation, judged answers as its last turn and
`kto_tag`. There is no place for reasoning, names, ids of calls, or text beside a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from datakit.formats import chatml
from datakit.formats.calls import sharegpt_calls
from datakit.formats.row import Draft, Message, Row, described, to_json
from datakit.formats.writing import CannotHold, Loss, Losses, Record, Writer, spell_calls_compactly, take_turns
from datakit.records import Kind

KEYS: Final = ("conversations", "conversation", "dialogue", "dialog")

NEEDS: Final = "conversations (a list of from and value)"


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return not keys.isdisjoint(KEYS)


def read(row: Row) -> Draft:
    """The messages record of a row.

    Raises:
        BadRow: a message is none.
    """
    return chatml.read_dialogue(row, next(key for key in KEYS if key in row))


_FIELDS: Final = frozenset({"role", "content", "tool_calls", "train"})
_FROM: Final = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a messages record."""
    row: dict[str, Any] = {"conversations": write_turns(record, "messages", losses)}
    if "tools" in record:
        row["tools"] = record["tools"]
    return row


def write_preference(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a preference record; an answer of one message stands alone, as LLaMA-Factory writes it."""
    row: dict[str, Any] = {"conversations": write_turns(record, "prompt", losses)}
    for side in ("chosen", "rejected"):
        turns = write_turns(record, side, losses)
        row[side] = turns[0] if len(turns) == 1 else turns
    if "margin" in record:
        row["margin"] = record["margin"]
    return row


def write_unpaired(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of an unpaired record.

    Raises:
        CannotHold: the completion is not one message of the assistant's.
    """
    only_answer(record["completion"], "completion", "the last turn is what is judged")
    turns = write_turns(record, "prompt", losses) + write_turns(record, "completion", losses)
    return {"conversations": turns, "kto_tag": record["label"]}


WRITES: Final[Mapping[Kind, Writer]] = {"messages": write, "preference": write_preference, "unpaired": write_unpaired}


def only_answer(turns: list[Message], column: str, why: str) -> None:
    """See that an answer is one message of the assistant's.

    Raises:
        CannotHold: it is not.
    """
    if [turn["role"] for turn in turns] != ["assistant"]:
        raise CannotHold(column, f"not one message of the assistant's, and {why}", turns)


def write_turns(
    record: Record, column: str, losses: Losses, fields: frozenset[str] = _FIELDS, who: str = "ShareGPT"
) -> list[dict[str, Any]]:
    """The turns of a column, which is left with what they say.

    Args:
        record: its column is replaced.
        column: e.g. messages.
        losses: takes in what is lost.
        fields: of messages, that there is a place for; roles, content and calls are always among them.
        who: the format's name, for reasons.
    """
    turns = take_turns(record, column, fields, who, losses)
    spell_calls_compactly(turns)
    written = []
    for number, turn in enumerate(turns):
        if "tool_calls" in turn:
            _without_ids(turn, f"{column}[{number}]", who, losses)
            plain = {"from": "function_call", "value": thought(turn) + sharegpt_calls(turn["tool_calls"])}
        else:
            plain = {"from": _FROM[turn["role"]], "value": turn["content"]}
        if "train" in turn:
            plain["train"] = turn["train"]
        written.append(plain)
    return written


def thought(turn: Message) -> str:
    """What comes before a call where the format has a place for reasoning, in the marks of LLaMA-Factory."""
    return f"<think>\n{turn['reasoning_content']}\n</think>\n\n" if turn.get("reasoning_content") else ""


def _without_ids(turn: Message, where: str, who: str, losses: Losses) -> None:
    """Take ids and text off a message that calls tools. Its role is the assistant's, and empty text says nothing."""
    if turn["role"] != "assistant":
        raise CannotHold(f"{where}.role", f"{who} knows calls of the assistant's only", turn["role"])
    if content := turn.pop("content", ""):
        losses.append(Loss(f"{where}.content", f"{who} has no place for text beside a tool call", described(content)))
    calls = orjson.loads(turn["tool_calls"])
    for number, call in enumerate(calls):
        if "id" in call:
            place = f"{where}.tool_calls[{number}].id"
            losses.append(Loss(place, f"{who} has no place for it", described(call.pop("id"))))
    turn["tool_calls"] = to_json(calls)
