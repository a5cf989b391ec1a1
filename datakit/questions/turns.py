"""A record as people read it: turns with a label, in the order in which they are said."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from datakit.records import Kind
from datakit.segments import to_segments


class Turn(NamedTuple):
    """label: who says it, or which column it is; text: what is said."""

    label: str
    text: str


def turns_of(record: pl.DataFrame, kind: Kind) -> list[Turn]:
    """The turns of a frame of one record, `meta` last; what is empty is left out."""
    return [
        Turn(_label(segment), segment["text"])
        for segment in to_segments(record, kind).iter_rows(named=True)
        if segment["text"]
    ]


def _label(segment: dict[str, str | None]) -> str:
    """`user`, `chosen assistant`, `assistant tool_calls`, `meta`: no more than tells them apart."""
    field = "" if segment["field"] == "messages" else segment["field"]
    slot = "" if segment["slot"] == "content" else segment["slot"]
    return " ".join(word for word in (field, segment["role"], slot) if word)
