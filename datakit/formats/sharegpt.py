"""ShareGPT: `conversations` of from and value, with optional system and tools; also `conversation` and `dialogue`.

{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "system": "be kind"}
    ->  messages: system "be kind", user "hi", assistant "hello"
"""

from __future__ import annotations

from typing import Final

from datakit.formats import chatml
from datakit.formats.row import Draft, Row

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
