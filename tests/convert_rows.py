"""Records as rows of other formats: what the tests of writing and converting share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
from record_rows import lines

from datakit.conversion.rows import Row, convert_frame
from datakit.conversion.targets import Target
from datakit.formats.frames import Records
from datakit.formats.read import parse
from datakit.formats.row import to_json
from datakit.recipe.data import DataSettings
from datakit.records import CONTENT, Kind

TOOLS = '[{"function":{"name":"weather","parameters":{"properties":{},"type":"object"}},"type":"function"}]'


def call(*arguments: str, ids: bool = False) -> str:
    """The tool_calls of a message that calls f with each of the texts."""
    calls = [{"type": "function", "function": {"name": "f", "arguments": text}} for text in arguments]
    return to_json([{**one, "id": f"c{n}"} if ids else one for n, one in enumerate(calls)])


def frame_of(kind: Kind, *records: dict[str, Any]) -> pl.DataFrame:
    """A frame of records, given by their columns; `meta` is a dict."""
    gathered = Records(kind)
    for line, record in enumerate(records, 1):
        meta = to_json(record["meta"]) if record.get("meta") else None
        gathered.add(line, tuple(record.get(name) for name in CONTENT[kind]), meta)
    return gathered.frame("x.jsonl")


def convert(frame: pl.DataFrame, kind: Kind, target: Target, *, meta_as_text: bool = False) -> list[Row]:
    return convert_frame(frame, kind, target, meta_as_text=meta_as_text)


def rows_of(rows: list[Row]) -> list[Any]:
    """The written rows, None for those that are not."""
    return [None if row.written is None else orjson.loads(row.written) for row in rows]


def read(*rows: Any) -> dict[Kind, pl.DataFrame]:
    """The frames of rows, none of them rejected."""
    parsed = parse(lines(*rows), DataSettings())
    assert parsed.rejected.is_empty(), parsed.rejected["detail"].to_list()
    return parsed.frames


def lost(rows: list[Row]) -> list[str]:
    return [loss.field for row in rows for loss in row.losses]


def shared(*parts: str) -> Path:
    """Where real data lies on a developer's machine, beside the repository; it may be missing."""
    return Path(__file__).parents[2].joinpath("shared", "data", *parts)
