"""Blocks to records: every row becomes exactly one record or one rejected row."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from datakit.engine.collector import no_collection
from datakit.formats.detect import candidates, read_row
from datakit.formats.frames import Records
from datakit.formats.row import BadRow, Draft, Row, described, to_json
from datakit.recipe.data import DataSettings, Format
from datakit.records import KINDS, Kind
from datakit.sources.block import Block, Document, Reject
from datakit.sources.extract import document_rows

REJECTED: Final[dict[str, pl.DataType]] = {
    "source": pl.String(),
    "line": pl.Int64(),
    "offset": pl.Int64(),
    "length": pl.Int64(),
    "reason": pl.String(),
    "detail": pl.String(),
}
"""A rejected row: where its bytes are in the decompressed, decoded file (null in tables), and why it was rejected."""

REASONS: Final = (
    "invalid_json",
    "bad_encoding",
    "unknown_kind",
    "wrong_type",
    "duplicate_key",
    "row_too_long",
    "truncated_file",
    "ragged_row",
    "empty",
    "encrypted",
    "no_text",
    "broken_document",
)

_KEY: Final = frozenset({"id", "source", "line"})
_METAS: Final = ("meta", "metadata")
_MANY: Final = 4096  # sets of columns remembered: rows of one file have few
_DETAIL: Final = 300  # characters
_LONG: Final = re.compile(rb"\d{19}")  # perhaps an integer over 64 bits


@dataclass(frozen=True)
class Parsed:
    """What a block holds.

    frames: kind to records (`records.SCHEMAS`), only kinds that occur; rejected: columns as `REJECTED`;
    unknown: columns of rows that fit no format, with their number: see `columns.column_report`.
    """

    frames: dict[Kind, pl.DataFrame]
    rejected: pl.DataFrame
    unknown: Counter[tuple[str, ...]]


def parse(block: Block, settings: DataSettings) -> Parsed:
    """The records and the rejected rows of a block; nothing in it raises.

    Args:
        block: from `read_blocks`.
        settings: the [data] table: `format` and `columns` are used here.
    """
    reader = _Reader(block, settings)
    for reject in block.rejects:
        reader.rejected.append((reject.line, reject.offset, reject.length, reject.reason, reject.detail))
    with no_collection():
        if block.shape == "table":
            _read_table(block, reader)
        elif isinstance(block.payload, tuple):
            _read_documents(block.payload, reader)
        elif isinstance(block.payload, list):
            for line, offset, length, row in block.payload:
                reader.take(line, offset, length, row)
        else:
            _read_lines(block, reader)
        return reader.parsed()


@dataclass
class _Plan:
    """What the columns of a row say: the formats that fit, and which columns go to meta."""

    fitting: tuple[Format, ...]
    keys: tuple[str, ...]
    metas: dict[frozenset[str], tuple[str, ...]] = field(default_factory=dict)

    def meta_keys(self, used: frozenset[str]) -> tuple[str, ...]:
        found = self.metas.get(used)
        if found is None:
            found = self.metas[used] = tuple(key for key in self.keys if key not in used)
        return found

    def is_plain(self) -> bool:
        """Whether the columns are all that decides what becomes of strings in them."""
        return not any(key in _METAS or '"' in key for key in self.keys)


class _Reader:
    """Takes rows in, one by one."""

    def __init__(self, block: Block, settings: DataSettings) -> None:
        self.source, self.strings = block.source, block.strings
        self.columns, self.forced, self.layout = settings.columns, settings.format, block.layout
        if self.layout is not None and self.forced is None:
            self.forced = self.layout.format
        self.records: dict[Kind, Records] = {}
        self.rejected: list[tuple[int, int | None, int | None, str, str]] = []
        self.unknown: Counter[tuple[str, ...]] = Counter()
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._plain: dict[tuple[str, ...], str] = {}

    def take(self, line: int, offset: int | None, length: int | None, row: Any) -> None:
        """Turn one parsed row into a record or a rejected row."""
        try:
            if type(row) is not dict:
                raise BadRow("wrong_type", f"the row: found {described(row)}, expected an object")
            self._keep(line, row)
        except BadRow as bad:
            self.reject(line, offset, length, bad.reason, bad.detail)
        except RecursionError:
            self.reject(line, offset, length, "invalid_json", "nested too deeply")

    def take_plain(self, line: int, raw: bytes, row: Any) -> bool:
        """Take a row of a text and other strings whose columns were seen before, as `take` would, in half its time.

        False where the row needs a closer look: other values, blank text, perhaps a key that is given twice.
        """
        name = self._plain.get(tuple(row)) if type(row) is dict else None
        if name is None:
            return False
        inner = 0  # quotes inside strings, each of which a backslash takes into the line
        for value in row.values():
            if type(value) is not str:
                return False
            inner += value.count('"')
        if raw.count(b'"') != 4 * len(row) + inner or (inner and b"\\u" in raw):
            return False
        text = row.pop(name)
        if not text or text.isspace():
            row[name] = text
            return False
        self.records["text"].add(line, (text,), to_json(row) if row else None)
        return True

    def reject(self, line: int, offset: int | None, length: int | None, reason: str, detail: str) -> None:
        """A row that becomes no record."""
        clean = detail.encode("utf-8", "replace").decode("utf-8")
        self.rejected.append((line, offset, length, reason, clean if len(clean) <= _DETAIL else clean[:_DETAIL] + "…"))

    def _keep(self, line: int, row: dict[str, Any]) -> None:
        if self.layout is not None:
            row = self.layout.retagged(_renamed(row, self.layout.columns))
        if self.columns:
            row = _renamed(row, self.columns)
        if "meta" in row and row.keys() >= _KEY:
            # A row of one of our versions: its key is given anew, by the file it is read from.
            row = {key: value for key, value in row.items() if key not in _KEY}
        if None in row.values():
            row = {key: value for key, value in row.items() if value is not None}
        keys = tuple(row)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._plan(keys)
        draft = self._draft(row, plan)
        self._add(line, row, plan, draft)
        if plan.fitting == ("text",) and not (self.columns or self.layout) and plan.is_plain():
            self._plain[keys] = next(iter(draft.used))

    def _add(self, line: int, row: Row, plan: _Plan, draft: Draft) -> None:
        left = plan.meta_keys(draft.used)
        meta = _meta(row, left, self.strings) if left else None
        if draft.extra:
            meta = {**(meta or {}), **draft.extra}
        try:
            records = self.records.get(draft.kind) or Records(draft.kind)
            records.add(line, draft.values, to_json(meta) if meta else None)
        except (TypeError, UnicodeError) as error:  # orjson cannot write what it read
            raise BadRow("invalid_json", f"cannot be kept as JSON ({error})") from None
        self.records[draft.kind] = records

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        if len(self._plans) >= _MANY:
            self._plans.clear()
            self._plain.clear()
        own = frozenset(keys)
        plan = self._plans[keys] = _Plan(candidates(own, self.forced), keys)
        return plan

    def _draft(self, row: Row, plan: _Plan) -> Draft:
        if not row or (self.strings and not any(type(v) is not str or v.strip() for v in row.values())):
            raise BadRow("empty", "no content at all")
        try:
            return read_row(row, plan.fitting, self.forced)
        except BadRow as bad:
            if bad.reason == "unknown_kind" and not plan.fitting and len(self.unknown) < _MANY:
                self.unknown[tuple(row)] += 1
            raise

    def parsed(self) -> Parsed:
        """Everything taken in, as frames."""
        frames = {kind: self.records[kind].frame(self.source) for kind in KINDS if kind in self.records}
        rejected = pl.DataFrame(
            [(self.source, *row) for row in sorted(self.rejected, key=lambda row: row[0])],
            schema=REJECTED,
            orient="row",
        )
        return Parsed(frames, rejected, self.unknown)


def _renamed(row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row under the names of the mapping; a column whose name is given to another stays as `…_original`."""
    given = {target for column, target in columns.items() if column in row and column != target}
    if not given:
        return row
    renamed = {}
    for key, value in row.items():
        name = columns.get(key, key)
        if key not in columns and key in given:
            name = f"{key}_original"
        renamed[name] = value
    return renamed


def _meta(row: Row, keys: tuple[str, ...], strings: bool) -> dict[str, Any]:
    """The columns without a place of their own; an object in `meta` or `metadata` is laid out among them."""
    meta = {key: row[key] for key in keys if not (strings and row[key] == "")}
    for name in _METAS:
        value = meta.get(name)
        if type(value) is str and value.lstrip()[:1] == "{":
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                continue
        if type(value) is dict and meta.keys().isdisjoint(value.keys() - {name}):
            del meta[name]
            meta.update(value)
    return meta


def _read_table(block: Block, reader: _Reader) -> None:
    """Rows of an Arrow table; nulls are columns that a row does not have."""
    frame = pl.read_ipc(io.BytesIO(block.payload)) if isinstance(block.payload, bytes) and block.payload else None
    if frame is not None:
        for line, row in enumerate(frame.iter_rows(named=True), block.line):
            reader.take(line, None, None, row)


def _read_documents(documents: tuple[Document, ...], reader: _Reader) -> None:
    """Rows of documents, their text taken out of them here."""
    for document in documents:
        for row in document_rows(document):
            if isinstance(row, Reject):
                reader.reject(row.line, row.offset, row.length, row.reason, row.detail)
            else:
                reader.take(*row)


def _read_lines(block: Block, reader: _Reader) -> None:
    """Rows of JSON, one a line; lines that are blank are no rows."""
    payload = block.payload
    if not isinstance(payload, bytes) or not payload:
        return
    offset, offsets = block.offset, block.offsets
    loads, take, take_plain = orjson.loads, reader.take, reader.take_plain
    for place, raw in enumerate(payload.split(b"\n")):
        if raw and not raw.isspace():
            line, at = block.line + place, offsets[place] if offsets else offset
            try:
                row = loads(raw)
            except orjson.JSONDecodeError as error:
                reader.reject(line, at, len(raw), *_json_fault(raw, error))
            else:
                if take_plain(line, raw, row):
                    pass
                elif type(row) is dict and _may_repeat_a_key(raw, row) and (key := _doubled(raw)) is not None:
                    reader.reject(line, at, len(raw), "duplicate_key", f"the key '{key}' is given twice in one object")
                else:
                    take(line, at, len(raw), _in_full(raw) if _LONG.search(raw) else row)
        offset += len(raw) + 1


def _in_full(raw: bytes) -> Any:
    """The row with integers over 64 bits, which orjson reads as floats."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):  # digits by the thousand, or deeper than Python goes
        return orjson.loads(raw)


def _json_fault(raw: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    """Reason and detail of a line that is no JSON."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return (
            "bad_encoding",
            f"byte {wrong.start:,} of the row (0x{raw[wrong.start]:02x}) is not valid in the file's encoding",
        )
    return "invalid_json", str(error)


def _may_repeat_a_key(raw: bytes, row: dict[str, Any]) -> bool:
    """Whether an object of the row may hold a key twice: the line holds more strings than came out of it.

    Strings are counted by their quotes, those after a backslash left out. A string that ends in a backslash would
    mislead the count; such a line is looked at closely.
    """
    quotes = raw.count(b'"')
    if b"\\" in raw:
        if b'\\\\"' in raw:
            return True
        quotes -= raw.count(b'\\"')
    if quotes == 2 * _shallow_strings(row):
        return False
    try:
        again = orjson.dumps(row)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes, if not than it reads
        return True
    return quotes != again.count(b'"') - again.count(b'\\"')


def _shallow_strings(row: dict[str, Any]) -> int:
    """How many strings a row holds, keys included, down to the fields of messages: nearly every row has no more."""
    strings = len(row)
    for value in row.values():
        if type(value) is str:
            strings += 1
        elif type(value) is list:
            for inner in value:
                if type(inner) is dict:
                    strings += len(inner)
                    for field_value in inner.values():
                        if type(field_value) is str:
                            strings += 1
    return strings


class _Doubled(Exception):
    pass


def _doubled(raw: bytes) -> str | None:
    """The first key that an object of the line gives twice."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise _Doubled(key)
            seen.add(key)

    try:
        json.loads(raw, object_pairs_hook=check)
    except _Doubled as found:
        return str(found)
    except (ValueError, RecursionError):
        return None
    return None
