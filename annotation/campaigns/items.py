"""The items of a campaign: what is shown to people, one row each; who plays which role stays in this file.

The server knows an item by its id and its fields, and nothing else: not its row, its role, the order of its answers, or
what anybody or any model thinks of it.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import polars as pl

Role = Literal["ask", "gold", "repeat"]

SCHEMA: Final = pl.Schema(
    {
        "item": pl.String(),  # Argilla's external_id
        "id": pl.String(),
        "source": pl.String(),
        "line": pl.Int64(),
        "role": pl.String(),
        "of": pl.String(),  # the item that a repeat shows again
        "stratum": pl.String(),
        "batch": pl.Int64(),
        "order": pl.List(pl.Int64()),  # place p shows answer order[p]
        "expected": pl.String(),  # JSON of the right value of a gold item, in terms of answers, not of places
        "row_kind": pl.String(),
    }
)
"""Column to type. Rows are in the order in which they are sent."""


def item_id(campaign: str, seed: int, role: Role, source: str, line: int) -> str:
    """16 hex digits that tell nothing, and are the same whenever the campaign is planned again."""
    words = "\0".join(("item", campaign, str(seed), role, source, str(line)))
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()


def lot(seed: int, *words: object) -> int:
    """A number below 2⁶⁴ drawn for some words: the campaign's only source of chance."""
    text = "\0".join((str(seed), *(str(word) for word in words)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
