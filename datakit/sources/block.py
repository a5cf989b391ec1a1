"""What every reader gives: small blocks of rows, which travel to worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from datakit.sources.layout import Layout

Notice = Callable[[str], None]

TARGET_BYTES: Final = 8 << 20  # a block: large enough for polars to pay off, small enough that a worker stays small
MAX_ROW_BYTES: Final = 64_000_000  # `clean.max_row_mb`

Shape = Literal["lines", "elements", "rows", "table", "documents"]
DocumentForm = Literal["html", "pdf", "docx", "txt"]


@dataclass(frozen=True)
class Reject:
    """A row that is known to be unreadable before it is parsed.

    line: 1-based, as in the row key; offset and length: bytes in the decompressed, decoded file; reason: a word
    of the ledger; detail: a sentence for a person.
    """

    line: int
    offset: int | None
    length: int | None
    reason: str
    detail: str


class Broken(Exception):
    """A document, or a part of it, that holds no text that can be read: a reason word, and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Document:
    """A document whose text is taken out of it by `extract.document_rows`, in a worker process.

    Attributes:
        form: what it is.
        data: its bytes.
        line: 1-based number of its first row.
        offset: where it begins in the decompressed file.
        charset: what the server said of its encoding, for html.
        encoding: what the recipe says of it, which decides.
        meta: columns that every row of it gets beside the text.
        largest: bytes of a row; a longer page or section is rejected.
    """

    form: DocumentForm
    data: bytes
    line: int = 1
    largest: int = MAX_ROW_BYTES
    offset: int = 0
    charset: str | None = None
    encoding: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    r"""Consecutive rows of one file, not yet parsed; picklable.

    Attributes:
        source: the file's name, as in the row key.
        line: 1-based number of the first row (of `lines`, physical lines).
        offset: byte offset of the payload in the decompressed, decoded file (0 for tables).
        payload: by `shape`: "lines", UTF-8 bytes that end at line ends, a row a line, blank lines are no rows;
            "elements", the same with the elements of a JSON array, a line each; "rows", a list of (line, offset,
            length, dict of text cells); "table", an Arrow IPC file whose rows are consecutive; "documents", documents
            that are still to be read.
        shape: what the payload is.
        offsets: of "elements", the offset of each in the file (None where an object holds the list).
        rejects: rows of this stretch that could not be read, beside those of the payload.
        strings: all cells are text, as in csv: lists and booleans stand in strings.
        layout: what a catalogue beside the file says of its columns.
        size: bytes of the file that this block covers.
    """

    source: str
    line: int
    offset: int
    payload: bytes | list[tuple[int, int | None, int | None, dict[str, Any]]] | tuple[Document, ...] = b""
    shape: Shape = "lines"
    offsets: tuple[int | None, ...] = ()
    rejects: tuple[Reject, ...] = field(default=())
    strings: bool = False
    layout: Layout | None = None
    size: int = 0

    def __len__(self) -> int:
        """Bytes of the file that this block covers."""
        return self.size


@dataclass
class LineSplitter:
    r"""Whole lines out of a stream of chunks, none longer than a limit.

    A longer line is skipped while it streams by, so that memory stays bounded. Lines end at b"\n" only: U+2028,
    U+0085 and the like occur inside JSON strings.
    """

    max_row_bytes: int
    line: int = 1
    offset: int = 0
    _pending: list[bytes] = field(default_factory=list)
    _held: int = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | Reject]:
        """Pieces of one or more whole lines, and a reject for a line over the limit. Advances `line` and `offset`.

        `line` and `offset` are those of the piece that is being yielded; they move on when the next is asked for.
        """
        start = 0
        if self._pending:
            first = chunk.find(b"\n") + 1
            if not first:
                self._hold(chunk)
                return
            yield from self._finish(chunk[:first])
            start = first
        end = chunk.rfind(b"\n") + 1
        if end > start:
            piece = chunk if start == 0 and end == len(chunk) else chunk[start:end]
            yield from self._whole(piece)
        if max(end, start) < len(chunk):
            self._hold(chunk[max(end, start) :])

    def close(self) -> Iterator[bytes | Reject]:
        """The last line, where the file does not end with a line end."""
        if self._pending:
            yield from self._finish(b"")

    def cut_off(self, detail: str) -> Reject:
        """The reject that stands for the end of a damaged file: its last line, as far as it could be read."""
        return Reject(self.line, self.offset, self._held, "truncated_file", detail)

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self.max_row_bytes + 1:  # one for the line end
            self._pending = [b""]  # too long already: only its length still counts
        else:
            self._pending.append(part)

    def _finish(self, rest: bytes) -> Iterator[bytes | Reject]:
        self._hold(rest)
        held, parts = self._held, self._pending
        self._pending, self._held = [], 0
        if held - rest.endswith(b"\n") > self.max_row_bytes:
            yield self._too_long(held)
        else:
            yield from self._passed(b"".join(parts), 1)

    def _whole(self, piece: bytes) -> Iterator[bytes | Reject]:
        if len(piece) <= self.max_row_bytes:
            yield from self._passed(piece, piece.count(b"\n"))
            return
        for text in piece.split(b"\n")[:-1]:  # only where the limit is smaller than a chunk
            if len(text) > self.max_row_bytes:
                yield self._too_long(len(text) + 1)
            else:
                yield from self._passed(text + b"\n", 1)

    def _passed(self, piece: bytes, lines: int) -> Iterator[bytes]:
        yield piece
        self.line += lines
        self.offset += len(piece)

    def _too_long(self, length: int) -> Reject:
        detail = f"{length:,} bytes, the limit is {self.max_row_bytes:,} (clean.max_row_mb)"
        reject = Reject(self.line, self.offset, length, "row_too_long", detail)
        self.line += 1
        self.offset += length
        return reject
