"""Questions with their answers in two columns: prompt and completion, or user and assistant (with system).

{"prompt": "hi", "completion": "hello"}  ->  messages: user "hi", assistant "hello"
{"客户问题": "多少钱？", "销售回复": "一千元。"} with columns = {"客户问题" = "user", "销售回复" = "assistant"}
    ->  messages: user "多少钱？", assistant "一千元。"
"""

from __future__ import annotations

from typing import Final

from datakit.formats.prompt import conversation, with_system
from datakit.formats.row import BadRow, Draft, Row
from datakit.formats.turns import Extra, said

NEEDS: Final = "prompt and completion, or user and assistant"

_USED: Final = {
    ("prompt", "completion"): frozenset({"prompt", "completion", "system"}),
    ("user", "assistant"): frozenset({"user", "assistant", "system"}),
}


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return ("prompt" in keys and "completion" in keys) or ("user" in keys and "assistant" in keys)


def read(row: Row) -> Draft:
    """The messages record of a row.

    Raises:
        BadRow: a column is no text and no messages, or all are blank.
    """
    extra: Extra = {}
    names = next(names for names in _USED if names[0] in row and names[1] in row)
    prompt = conversation(row[names[0]], names[0], "user", extra)
    messages = [*with_system(row, prompt, extra), *conversation(row[names[1]], names[1], "assistant", extra)]
    if not said(messages):
        raise BadRow("empty", f"{names[0]} and {names[1]} are blank")
    return Draft("messages", (messages, None), _USED[names], extra or None)
