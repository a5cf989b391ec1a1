r"""Alpaca: instruction, input, output, with optional system and history.

    {"instruction": "Translate", "input": "你好", "output": "Hello", "history": [["Hi", "Hi!"]]}
        ->  messages: user "Hi", assistant "Hi!", user "Translate\n你好", assistant "Hello"

Instruction and input are joined by a line end, as LLaMA-Factory does; where they were joined cannot be told any more,
so all of it is written as the instruction. Preference pairs are written with `chosen` and `rejected` in the place of
output, judged answers with `kto_tag`. Alpaca holds texts of user and assistant in turns, with one system prompt before
them: there is no place for tools, reasoning and flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from datakit.formats.row import BadRow, Draft, Message, Row, text_at, text_or_none, wrong_type
from datakit.formats.turns import said
from datakit.formats.writing import CannotHold, Losses, Record, Writer, lose, take_turns
from datakit.records import Kind

NEEDS: Final = "instruction and output"

CONTEXT: Final = frozenset({"instruction", "input", "system", "history"})
_USED: Final = CONTEXT | {"output"}


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return "instruction" in keys and "output" in keys


def read(row: Row) -> Draft:
    """The messages record of a row.

    Raises:
        BadRow: a column holds no text, or all are blank.
    """
    messages = [*context(row), {"role": "assistant", "content": text_at(row, "output")}]
    if not said(messages):
        raise BadRow("empty", "instruction and output are blank")
    return Draft("messages", (messages, None), _USED)


def context(row: Row) -> list[Message]:
    """The messages before the answer: system, history, and the question.

    Raises:
        BadRow: a column holds no text, or history no pairs.
    """
    question, more = text_at(row, "instruction"), text_or_none(row, "input")
    if more is not None:
        question = f"{question}\n{more}" if question else more
    messages: list[Message] = []
    if (system := text_or_none(row, "system")) is not None:
        messages.append({"role": "system", "content": system})
    messages += _history(row.get("history"))
    messages.append({"role": "user", "content": question})
    return messages


def _history(history: Any) -> list[Message]:
    if type(history) is str:  # csv
        try:
            history = orjson.loads(history) if history.strip() else None
        except orjson.JSONDecodeError:
            raise wrong_type("history", history, "a list of pairs") from None
    if history is None:
        return []
    if type(history) is not list:
        raise wrong_type("history", history, "a list of pairs")
    messages: list[Message] = []
    for number, pair in enumerate(history):
        if type(pair) is not list or len(pair) != 2:
            raise wrong_type(f"history[{number}]", pair, "a question and an answer")
        for role, text in zip(("user", "assistant"), pair, strict=True):
            if type(text) is not str:
                raise wrong_type(f"history[{number}]", text)
            messages.append({"role": role, "content": text})
    return messages


_FIELDS: Final = frozenset({"role", "content"})
_WHO: Final = "Alpaca"


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a messages record.

    Raises:
        CannotHold: it is not user and assistant in turns, the assistant last.
    """
    lose(record, "tools", f"{_WHO} has no place for it", losses)
    turns = take_turns(record, "messages", _FIELDS, _WHO, losses)
    if turns[-1]["role"] != "assistant":
        raise CannotHold(f"messages[{len(turns) - 1}].role", f"{_WHO} ends with the assistant", turns[-1]["role"])
    return _row(turns[:-1], "messages", {"output": turns[-1]["content"]})


def write_preference(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a preference record.

    Raises:
        CannotHold: its prompt is not user and assistant in turns, or an answer is not one message.
    """
    answers: dict[str, Any] = {side: _answer(record, side, losses) for side in ("chosen", "rejected")}
    if "margin" in record:
        answers["margin"] = record["margin"]
    return _row(take_turns(record, "prompt", _FIELDS, _WHO, losses), "prompt", answers)


def write_unpaired(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of an unpaired record.

    Raises:
        CannotHold: its prompt is not user and assistant in turns, or the completion is not one message.
    """
    answer = {"output": _answer(record, "completion", losses), "kto_tag": record["label"]}
    return _row(take_turns(record, "prompt", _FIELDS, _WHO, losses), "prompt", answer)


WRITES: Final[Mapping[Kind, Writer]] = {"messages": write, "preference": write_preference, "unpaired": write_unpaired}


def _answer(record: Record, column: str, losses: Losses) -> str:
    turns = take_turns(record, column, _FIELDS, _WHO, losses)
    if [turn["role"] for turn in turns] != ["assistant"]:
        raise CannotHold(column, f"{_WHO} has a place for one message of the assistant's", turns)
    text: str = turns[0]["content"]
    return text


def _row(turns: list[Message], column: str, answer: dict[str, Any]) -> dict[str, Any]:
    """System, history and question of the messages before the answer, and the answer after them."""
    start = int(bool(turns) and turns[0]["role"] == "system")
    if start and not turns[0]["content"]:
        raise CannotHold(f"{column}[0]", f"{_WHO} cannot tell an empty system prompt from none", "")
    for number, turn in enumerate(turns[start:], start):
        if turn["role"] != ("user", "assistant")[(number - start) % 2]:
            raise CannotHold(f"{column}[{number}].role", f"{_WHO} holds user and assistant in turns", turn["role"])
    if len(turns) % 2 == start:
        raise CannotHold(column, f"{_WHO} has a question of the user before the answer", turns)
    texts = [turn["content"] for turn in turns]
    row = {"instruction": texts[-1], "input": "", **answer}
    if start:
        row["system"] = texts[0]
    if len(texts) > start + 1:
        row["history"] = [list(pair) for pair in zip(texts[start:-1:2], texts[start + 1 : -1 : 2], strict=True)]
    return row
