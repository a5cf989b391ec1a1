"""Tables: csv and tsv row by row, parquet and arrow batch by batch."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from datakit.sources.arrow_stream import is_arrow_stream, stream_batches
from datakit.sources.block import Block, Notice, Reject
from datakit.sources.lines import single_lines
from datakit.sources.stream import ByteStream, Compression, CutOff

_DELIMITERS: Final = ",\t;|"
_FIRST_BATCH: Final = 2_048  # rows, until the size of a row is known

# Files of strangers: polars reports most damage as PolarsError, some as a Rust panic.
DAMAGE: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass
class RowPacker:
    """Gathers rows of text cells into blocks."""

    source: str
    target_bytes: int
    strings: bool = False
    rows: list[tuple[int, int | None, int | None, dict[str, Any]]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    size: int = 0

    def add(self, line: int, offset: int, length: int, row: dict[str, Any]) -> Iterator[Block]:
        """Take a row in; the block comes out when it is full."""
        self.rows.append((line, offset, length, row))
        yield from self._grown(length)

    def reject(self, line: int, offset: int, length: int, reason: str, detail: str) -> Iterator[Block]:
        """Take in a row that cannot be read."""
        self.rejects.append(Reject(line, offset, length, reason, detail))
        yield from self._grown(min(length, 256))

    def _grown(self, length: int) -> Iterator[Block]:
        self.size += length
        if self.size >= self.target_bytes:
            yield from self.flush()

    def flush(self) -> Iterator[Block]:
        """What is left, as a block."""
        if self.rows or self.rejects:
            line = min([row[0] for row in self.rows[:1]] + [reject.line for reject in self.rejects[:1]])
            offset = min([row[1] or 0 for row in self.rows[:1]] + [reject.offset or 0 for reject in self.rejects[:1]])
            yield Block(
                self.source,
                line,
                offset,
                self.rows,
                "rows",
                rejects=tuple(self.rejects),
                strings=self.strings,
                size=self.size,
            )
        self.rows, self.rejects, self.size = [], [], 0


class _Unreadable(Exception):
    """A line that never reached the csv reader."""

    def __init__(self, reject: Reject) -> None:
        super().__init__(reject.detail)
        self.reject = reject


class _Feed:
    """Lines for csv.reader, and what they were: where the row at hand begins, and whether it was decodable."""

    def __init__(self, stream: Iterable[bytes], largest: int) -> None:
        self._lines = single_lines(stream, largest)
        self._again: deque[tuple[int, bytes]] = deque()
        self._largest = largest
        self.row: list[tuple[int, bytes]] = []
        self.length = 0

    def begin_row(self) -> None:
        """The next line belongs to a new row."""
        self.row, self.length = [], 0

    def put_back(self, keep: int) -> None:
        """All lines of the row at hand but the first `keep` will be read again."""
        self._again.extendleft(reversed(self.row[keep:]))
        self.row = self.row[:keep]
        self.length = sum(len(raw) for _, raw in self.row)

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self._again:
            offset, raw = self._again.popleft()
        else:
            _, offset, item = next(self._lines)
            if isinstance(item, Reject):
                raise _Unreadable(item)
            raw = item
        self.row.append((offset, raw))
        self.length += len(raw)
        if self.length > self._largest:
            detail = f"over {self._largest:,} bytes (clean.max_row_mb), most likely a quote that is not closed"
            raise _Unreadable(Reject(0, self.row[0][0], self.length, "row_too_long", detail))
        return raw.decode("utf-8", "surrogateescape")

    @property
    def offset(self) -> int:
        return self.row[0][0] if self.row else 0

    @property
    def open_quote(self) -> bool:
        """Whether the row spans lines and holds an odd number of quotes: one is not closed."""
        return len(self.row) > 1 and sum(raw.count(b'"') for _, raw in self.row) % 2 == 1

    @property
    def decodable(self) -> bool:
        try:
            b"".join(raw for _, raw in self.row).decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True


def read_csv(
    stream: Iterable[bytes], source: str, target_bytes: int, max_row_bytes: int, delimiter: str | None, notice: Notice
) -> Iterator[Block]:
    """Blocks of the rows of a csv or tsv file; the first row names the columns, every cell is text.

    Args:
        stream: the file as UTF-8.
        source: its name in row keys; rows are numbered from 1, the header not counted.
        target_bytes: size of a block.
        max_row_bytes: a longer row is rejected.
        delimiter: what parts the cells; found in the header where None.
        notice: hears of another delimiter than a comma, and of columns without a name of their own.
    """
    csv.field_size_limit(max_row_bytes)
    feed = _Feed(stream, max_row_bytes)
    out = RowPacker(source, target_bytes, strings=True)
    try:
        first = next(feed)
        if delimiter is None:
            delimiter = _delimiter(first)
            if delimiter != ",":
                notice(f"{source}: cells are parted by {delimiter!r}")
        feed.put_back(0)
        columns = column_names(next(csv.reader(feed, delimiter=delimiter), []), source, notice)
    except StopIteration:
        return
    except (csv.Error, _Unreadable) as fault:
        detail = f"the header cannot be read ({fault})"
        yield from out.reject(1, feed.offset, feed.length, "ragged_row", detail)
        yield from out.flush()
        return
    yield from _csv_rows(feed, delimiter, columns, out)
    yield from out.flush()


def _csv_rows(feed: _Feed, delimiter: str, columns: list[str], out: RowPacker) -> Iterator[Block]:
    reader = csv.reader(feed, delimiter=delimiter)
    number = 0
    while True:
        feed.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _Unreadable as fault:
            number += 1
            reject = fault.reject
            if reject.line == 0 and len(feed.row) > 1:
                feed.put_back(1)
            length = feed.length if reject.line == 0 else feed.length + (reject.length or 0)
            yield from out.reject(
                number, feed.offset if feed.row else reject.offset or 0, length, reject.reason, reject.detail
            )
            reader = csv.reader(feed, delimiter=delimiter)
            continue
        except csv.Error as error:
            number += 1
            feed.put_back(1)
            yield from out.reject(number, feed.offset, feed.length, "ragged_row", str(error))
            reader = csv.reader(feed, delimiter=delimiter)
            continue
        if not cells:
            continue
        number += 1
        fault_found = _row_fault(feed, cells, columns)
        if fault_found is None:
            yield from out.add(number, feed.offset, feed.length, dict(zip(columns, cells, strict=True)))
            continue
        if feed.open_quote:
            feed.put_back(1)
            reader = csv.reader(feed, delimiter=delimiter)
        yield from out.reject(number, feed.offset, feed.length, *fault_found)


def _row_fault(feed: _Feed, cells: list[str], columns: list[str]) -> tuple[str, str] | None:
    """Why a row cannot be used: reason and detail."""
    if feed.open_quote:
        return "ragged_row", "a quote is opened and not closed on this line"
    if not feed.decodable:
        return "bad_encoding", "bytes that are not valid in the file's encoding"
    if len(cells) != len(columns):
        return "ragged_row", f"{len(cells)} cells, expected {len(columns)} as in the header"
    return None


def _delimiter(header: str) -> str:
    """What parts the cells of a header: the most frequent of comma, tab, semicolon and bar; comma on a tie."""
    return max(_DELIMITERS, key=lambda mark: (header.count(mark), mark == ","))


def column_names(header: list[str], source: str, notice: Notice) -> list[str]:
    """Column names, each its own: blank ones are called column_3, repeated ones name_2."""
    names: list[str] = []
    for place, cell in enumerate(header, 1):
        name = cell.strip().encode("utf-8", "replace").decode("utf-8") or f"column_{place}"
        while name in names:
            name = f"{name}_{place}"
        if name != cell.strip():
            notice(f"{source}: column {place} is called '{name}', as its header is blank or given twice")
        names.append(name)
    return names


def read_parquet(path: Path, source: str, target_bytes: int) -> Iterator[Block]:
    """Blocks of consecutive rows of a Parquet file, each an Arrow IPC file."""
    yield from _frames(lambda: pl.scan_parquet(path, glob=False, hive_partitioning=False), source, target_bytes)


def read_arrow(path: Path, source: str, target_bytes: int) -> Iterator[Block]:
    """Blocks of consecutive rows of an Arrow file (Feather) or Arrow stream (as `datasets` writes it)."""
    if is_arrow_stream(path):
        yield from packed(stream_batches(path), source, target_bytes)
    else:
        yield from _frames(lambda: pl.scan_ipc(path, glob=False, hive_partitioning=False), source, target_bytes)


def _frames(scan: Any, source: str, target_bytes: int) -> Iterator[Block]:
    yield from packed(_batches(scan, target_bytes), source, target_bytes)


def _batches(scan: Any, target_bytes: int) -> Iterator[pl.DataFrame]:
    """The rows of a lazy frame in one pass, in pieces of about a block."""
    sample = scan().head(_FIRST_BATCH).collect()
    per_row = max(sample.estimated_size() // max(sample.height, 1), 1)
    yield from scan().collect_batches(chunk_size=max(target_bytes // per_row, 1), maintain_order=True, lazy=True)


def packed(batches: Iterator[pl.DataFrame], source: str, target_bytes: int, line: int = 1) -> Iterator[Block]:
    """Each batch as an Arrow IPC file of at most about `target_bytes`; rows are numbered from `line` on."""
    try:
        for batch in batches:
            pieces = max(1, round(batch.estimated_size() / target_bytes))
            step = max(1, -(-batch.height // pieces))
            for frame in batch.iter_slices(step):
                buffer = io.BytesIO()
                frame.write_ipc(buffer)
                size = buffer.tell()
                yield Block(source, line, 0, buffer.getvalue(), "table", size=size)
                line += frame.height
    except DAMAGE as error:
        detail = f"cannot be read as a table: {str(error).strip().splitlines()[:1]}"
        yield Block(source, line, 0, rejects=(Reject(line, None, None, "truncated_file", detail),))


@contextmanager
def unpacked(path: Path, compression: Compression) -> Iterator[Path]:
    """The path of the unpacked file: itself, or a temporary copy of at most half the free disk space.

    Raises:
        CutOff: it is damaged, or unpacks to more.
    """
    if compression == "none":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="datakit-") as folder:
        copy = Path(folder) / Path(path.stem).name
        room = shutil.disk_usage(folder).free // 2
        with copy.open("wb") as file:
            for chunk in ByteStream(path, compression):
                room -= len(chunk)
                if room < 0:
                    raise CutOff("it unpacks to more than half of the free disk space")
                file.write(chunk)
        yield copy
