"""One batch of records as lines of the other format, each read back before it counts as written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from datakit.conversion.targets import TRAINERS, WRITERS, Target
from datakit.formats.frames import record_id
from datakit.formats.meta import with_meta
from datakit.formats.read import parse
from datakit.formats.row import to_json
from datakit.formats.writing import CannotHold, Loss, Losses, Record
from datakit.recipe.data import DataSettings
from datakit.records import CONTENT, MESSAGES, Kind
from datakit.sources.block import Block

_DETECT: Final = DataSettings()


@dataclass
class Row:
    """What became of a record.

    source, line: its key; written: its line, None where the format cannot hold the row; columns: of that line; losses:
    what the format has no place for; reason: why the row is not written, a word.
    """

    source: str
    line: int
    written: bytes | None = None
    columns: frozenset[str] = frozenset()
    losses: Losses = field(default_factory=list)
    reason: str = ""


def convert_frame(frame: pl.DataFrame, kind: Kind, target: Target, *, meta_as_text: bool) -> list[Row]:
    """What became of every record of a frame, in order.

    Args:
        frame: of `records.SCHEMAS[kind]`.
        kind: of its records.
        target: the format.
        meta_as_text: put `meta` into one column of JSON text, also where the format would lay it out.
    """
    as_text = meta_as_text or target in TRAINERS
    rows: list[Row] = []
    records: list[Record] = []
    for raw in frame.iter_rows(named=True):
        row, record = Row(raw["source"], raw["line"]), open_record(raw, kind)
        plain = _write(row, record, kind, target)
        if plain is not None:
            plain = with_meta(plain, kind, record["meta"], as_text=as_text)
            row.written, row.columns = _dumped(plain, row), frozenset(plain)
        rows.append(row)
        records.append(record)
    _read_back(rows, records, kind)
    return rows


def open_record(raw: dict[str, Any], kind: Kind) -> Record:
    """The record of a row of a frame: columns that are not null, messages without null fields, meta as a dict."""
    record: Record = {"meta": orjson.loads(raw["meta"]) if raw["meta"] else {}}
    for name, dtype in CONTENT[kind].items():
        value = raw[name]
        if value is not None:
            record[name] = [_bare(turn) for turn in value] if dtype == MESSAGES else value
    return record


def _bare(turn: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if value is not None}


def _write(row: Row, record: Record, kind: Kind, target: Target) -> dict[str, Any] | None:
    writer = WRITERS[target].get(kind)
    if writer is None:
        row.reason = "kind_not_held"
        row.losses.append(Loss("row", f"{target} holds no {kind} rows, but {', '.join(WRITERS[target])}", ""))
        return None
    try:
        return writer(record, row.losses)
    except CannotHold as whole:
        row.reason = "row_not_held"
        row.losses.append(whole.loss)
    return None


def _dumped(plain: dict[str, Any], row: Row) -> bytes | None:
    try:
        return orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:  # an integer over 64 bits that was a text until now
        row.reason = "row_not_held"
        row.losses.append(Loss("row", f"cannot be written as JSON ({error})", ""))
        return None


def _read_back(rows: list[Row], records: list[Record], kind: Kind) -> None:
    """Read the written lines with our own readers, and take back each that is not read as what its record has become.

    The writers of this package are held to that by its tests; this holds every row of every run to it.
    """
    written = [(row, record) for row, record in zip(rows, records, strict=True) if row.written is not None]
    parsed = parse(Block("written", 1, 0, b"".join(row.written or b"" for row, _ in written)), _DETECT)
    frame = parsed.frames.get(kind)
    ids = dict(zip(frame["line"], frame["id"], strict=True)) if frame is not None else {}
    for number, (row, record) in enumerate(written, 1):
        meta = to_json(record["meta"]) if record["meta"] else None
        if ids.get(number) != record_id(kind, tuple(record.get(name) for name in CONTENT[kind]), meta):
            row.written, row.reason = None, "reads_back_differently"
            row.losses.append(Loss("row", "what would be written is read back as something else", ""))
