"""The five kinds of record, the columns of each, and what identifies a row.

Row key: (`source`, `line`): path relative to the input, and 1-based line, row, page or section.
id: the first 16 hex digits of blake2b over the canonical record as read, before any edit.
"""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

Kind = Literal["text", "messages", "preference", "unpaired", "prompt"]

KINDS: Final[tuple[Kind, ...]] = ("text", "messages", "preference", "unpaired", "prompt")

MESSAGE: Final = pl.Struct(
    {
        "role": pl.String,
        "content": pl.String,
        "reasoning_content": pl.String,
        "tool_calls": pl.String,  # JSON, so that Arrow never fills in nulls between arguments of different calls
        "tool_call_id": pl.String,
        "name": pl.String,
        "train": pl.Boolean,
    }
)

MESSAGES: Final = pl.List(MESSAGE)

KEY: Final[dict[str, pl.DataType]] = {"id": pl.String(), "source": pl.String(), "line": pl.Int64()}
META: Final[dict[str, pl.DataType]] = {"meta": pl.String()}

CONTENT: Final[dict[Kind, dict[str, pl.DataType]]] = {
    "text": {"text": pl.String()},
    "messages": {"messages": MESSAGES, "tools": pl.String()},
    "preference": {"prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES, "margin": pl.Float64()},
    "unpaired": {"prompt": MESSAGES, "completion": MESSAGES, "label": pl.Boolean()},
    "prompt": {"prompt": MESSAGES, "answer": pl.String(), "checks": pl.String()},
}
"""The columns that hold each kind's content, in the order they are written."""

SCHEMAS: Final[dict[Kind, pl.Schema]] = {kind: pl.Schema({**KEY, **CONTENT[kind], **META}) for kind in KINDS}
"""Column to type, a kind: key, content, meta (a JSON string)."""

JSON_COLUMNS: Final = frozenset({"tools", "checks", "meta", "tool_calls"})
"""Columns and message fields that hold JSON in a string: edits must leave them valid JSON."""
