"""Rows as records: what the tests of formats share."""

from __future__ import annotations

import json
from typing import Any

import orjson

from datakit.formats.read import parse
from datakit.recipe.data import DataSettings
from datakit.records import SCHEMAS
from datakit.sources.block import Block

USER, GOOD, BAD = (
    {"role": "user", "content": "多少钱？"},
    {"role": "assistant", "content": "一千元。"},
    {"role": "assistant", "content": "不知道"},
)
SYSTEM = {"role": "system", "content": "You sell software."}


def bare(value: Any) -> Any:
    """A value without null fields."""
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if inner is not None}
    return value


def lines(*rows: Any) -> Block:
    return Block(
        "x.jsonl", 1, 0, b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows)
    )


def one(row: Any, **options: Any) -> tuple[str, dict[str, Any]]:
    """Kind and content of the record that a row becomes, or "rejected" with reason and detail."""
    parsed = parse(lines(row), DataSettings(**options))
    found = [(kind, frame.row(0, named=True)) for kind, frame in parsed.frames.items()]
    found += [("rejected", row) for row in parsed.rejected.iter_rows(named=True)]
    ((kind, record),) = found
    if kind != "rejected":
        assert parsed.frames[kind].schema == SCHEMAS[kind]  # type: ignore[index]
        record["meta"] = None if record["meta"] is None else json.loads(record["meta"])
    return kind, {
        name: bare(value)
        for name, value in record.items()
        if value is not None and name not in ("id", "source", "line", "offset", "length")
    }
