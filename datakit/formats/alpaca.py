r"""Alpaca: instruction, input, output, with optional system and history.

    {"instruction": "Translate", "input": "你好", "output": "Hello", "history": [["Hi", "Hi!"]]}
        ->  messages: user "Hi", assistant "Hi!", user "Translate\n你好", assistant "Hello"

Instruction and input are joined by a line end, as LLaMA-Factory does.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from datakit.formats.row import BadRow, Draft, Message, Row, text_at, text_or_none, wrong_type
from datakit.formats.turns import said

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
