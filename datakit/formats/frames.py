"""Frames of records out of drafts: flat lists to flat columns, and messages grouped into lists by polars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from datakit.formats.row import Message
from datakit.records import CONTENT, MESSAGE, MESSAGES, SCHEMAS, Kind

_TYPES: Final = {field.name: field.dtype for field in MESSAGE.fields}


@dataclass
class Records:
    """Rows of one kind while they are gathered: parallel lists."""

    kind: Kind
    ids: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    metas: list[str | None] = field(default_factory=list)
    values: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, line: int, values: tuple[Any, ...], meta: str | None) -> None:
        """Take in one record."""
        self.ids.append(record_id(self.kind, values, meta))
        self.lines.append(line)
        self.metas.append(meta)
        self.values.append(values)

    def frame(self, source: str) -> pl.DataFrame:
        """The records as a frame of `SCHEMAS[kind]`."""
        columns: dict[str, pl.Series] = {
            "id": pl.Series(self.ids, dtype=pl.String),
            "source": pl.repeat(source, len(self.ids), dtype=pl.String, eager=True),
            "line": pl.Series(self.lines, dtype=pl.Int64),
        }
        for (name, dtype), values in zip(CONTENT[self.kind].items(), zip(*self.values, strict=True), strict=True):
            columns[name] = message_lists(values) if dtype == MESSAGES else pl.Series(values, dtype=dtype)
        columns["meta"] = pl.Series(self.metas, dtype=pl.String)
        return pl.DataFrame(columns).select(list(SCHEMAS[self.kind]))


def record_id(kind: Kind, values: tuple[Any, ...], meta: str | None) -> str:
    """16 hex digits: blake2b over the JSON list of kind, content columns in order, and meta, keys sorted.

    Messages are objects of the fields that are not null; meta is the JSON text of its column.
    """
    canonical = orjson.dumps((kind, *values, meta), option=orjson.OPT_SORT_KEYS)
    return blake2b(canonical).digest()[:8].hex()


def message_lists(lists: Sequence[Sequence[Message]]) -> pl.Series:
    """A List(Struct) column out of lists of messages."""
    flat = list(chain.from_iterable(lists))
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    if not flat:
        return pl.Series([[] for _ in lists], dtype=MESSAGES)
    columns = [pl.Series("role", [turn["role"] for turn in flat], dtype=pl.String)]
    present = set().union(*flat)
    for name in list(_TYPES)[1:]:
        if name not in present:
            columns.append(pl.repeat(None, len(flat), dtype=_TYPES[name], eager=True).alias(name))
        else:
            columns.append(pl.Series(name, [turn.get(name) for turn in flat], dtype=_TYPES[name]))
    rows = pl.Series("_row", np.repeat(np.arange(len(lists), dtype=np.uint32), lengths)).set_sorted()
    turns = pl.DataFrame([rows, pl.DataFrame(columns).to_struct("_turn")])
    grouped = turns.group_by("_row", maintain_order=True).agg("_turn")
    if grouped.height == len(lists):
        return grouped["_turn"]
    # Lists without a message (the prompt of an implicit pair) have no group.
    every = pl.DataFrame({"_row": np.arange(len(lists), dtype=np.uint32)})
    joined = every.join(grouped, on="_row", how="left", maintain_order="left")["_turn"]
    nothing = pl.Series([[]], dtype=MESSAGES)
    return pl.select(pl.when(joined.is_not_null()).then(joined).otherwise(pl.lit(nothing))).to_series()
