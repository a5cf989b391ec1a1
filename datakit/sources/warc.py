"""WARC: the pages of a crawl (responses with html), and the texts of a WET file (conversions).

ISO 28500:2017. warcio takes the records apart and undoes the encodings of HTTP.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from datakit.sources.block import Block, Document, DocumentForm, Notice, Reject
from datakit.sources.stream import CutOff

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_OK: Final = "200"
_PACKED: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_CHARSET: Final = re.compile(r"""charset\s*=\s*["']?([\w.:-]{2,40})""", re.IGNORECASE)
_LINE: Final = 1 << 16  # bytes of a line of headers
_PIECE: Final = 1 << 18
_SHOWN: Final = 4


def read_warc(
    stream: Iterable[bytes], source: str, target_bytes: int, max_row_bytes: int, encoding: str | None, notice: Notice
) -> Iterator[Block]:
    """Blocks of the pages and texts of a WARC file; a row is known by the number of its record, all records counted.

    Args:
        stream: the file, unpacked.
        source: its name in row keys.
        target_bytes: size of a block before html is taken apart.
        max_row_bytes: a longer record is rejected without being read.
        encoding: that of all pages, where the recipe says so.
        notice: hears of responses that are no page.
    """
    out = _Packer(source, target_bytes, max_row_bytes, encoding)
    passed: Counter[str] = Counter()
    number = 0
    try:
        for number, (offset, record) in enumerate(_records(_Stream(stream)), 1):
            if record.rec_type == "response" or record.rec_type == "conversion":
                yield from _taken(number, offset, record, out, passed)
    except CutOff as cut:
        yield from out.reject(number + 1, None, None, "truncated_file", str(cut))
    yield from out.flush()
    if passed:
        most = ", ".join(f"{count:,} {what}" for what, count in passed.most_common(_SHOWN))
        notice(f"{source}: passed over {passed.total():,} responses that are no page: {most}")


def _records(stream: _Stream) -> Iterator[tuple[int, Any]]:
    """Every record with its offset; what is left unread of it is skipped.

    Raises:
        CutOff: something stands where a record should begin, or the last one is not whole.
    """
    from warcio.recordloader import ArcWarcRecordLoader

    loader = ArcWarcRecordLoader(verify_http=False)
    while (line := stream.readline()).strip() or line:
        if not line.strip():
            continue  # two blank lines part the records
        offset = stream.offset - len(line)
        try:
            record = loader.parse_record_stream(stream, line, "warc")
        except CutOff:
            raise
        except Exception as error:  # warcio's own, and what it trips over in damaged headers
            raise CutOff(f"no WARC record at byte {offset:,} ({type(error).__name__})") from None
        if getattr(record.raw_stream, "limit", None) is None:
            raise CutOff(f"the record at byte {offset:,} has no length")
        yield offset, record
        _skip_rest(record, offset)


def _skip_rest(record: Any, offset: int) -> None:
    """Read over what is left of a record.

    Raises:
        CutOff: the file ends before the record does.
    """
    while record.raw_stream.read(_PIECE):
        pass
    if record.raw_stream.limit > 0:
        raise CutOff(f"the record at byte {offset:,} ends {record.raw_stream.limit:,} bytes early")


def _taken(number: int, offset: int, record: Any, out: _Packer, passed: Counter[str]) -> Iterator[Block]:
    """One record: a page or text, a response of another kind, or one that cannot be decoded."""
    if record.length > out.largest:
        detail = f"{record.length:,} bytes, the limit is {out.largest:,} (clean.max_row_mb)"
        yield from out.reject(number, offset, record.length, "row_too_long", detail)
        return
    if record.rec_type == "response" and (why := _why_no_page(record)) is not None:
        passed[why] += 1
        return
    data = b""
    try:
        content = record.content_stream()
        while len(data) <= out.largest and (piece := content.read(_PIECE)):
            data += piece
        _skip_rest(record, offset)
    except CutOff:
        raise
    except Exception as error:  # zlib's, brotli's, warcio's own: one response is lost, not the file
        detail = f"its http encoding is damaged ({type(error).__name__})"
        yield from out.reject(number, offset, record.length, "broken_document", detail)
        return
    if len(data) > out.largest:
        detail = f"unpacks to over {out.largest:,} bytes (clean.max_row_mb)"
        yield from out.reject(number, offset, record.length, "row_too_long", detail)
    else:
        yield from out.add(number, offset, record, data)


def _why_no_page(record: Any) -> str | None:
    """What a response is instead of a page; None for a page."""
    headers = record.http_headers
    if headers is None:
        return "without http"
    if headers.get_statuscode() != _OK:
        return f"of status {headers.get_statuscode() or 'unknown'}"
    if (packed := (headers.get_header("Content-Encoding") or "").lower()) not in _PACKED:
        return f"packed as {packed}"
    kind = (headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    return None if kind in _HTML else f"of type {kind or 'unknown'}"


class _Stream:
    """A stream of chunks as what warcio reads from; knows where it is."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held, self._at = b"", 0
        self.offset = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        if self._at == len(self._held):
            self._held, self._at = next(self._chunks, b""), 0
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        self.offset += len(piece)
        return piece

    def tell(self) -> int:
        """Bytes read so far."""
        return self.offset

    def readline(self, size: int = _LINE) -> bytes:
        """The rest of the line, at most `size` bytes of it."""
        parts: list[bytes] = []
        while size > 0:
            if self._at == len(self._held):
                self._held, self._at = next(self._chunks, b""), 0
            end = self._held.find(b"\n", self._at) + 1
            piece = self.read(min(size, (end or len(self._held)) - self._at))
            parts.append(piece)
            size -= len(piece)
            if not piece or piece.endswith(b"\n"):
                break
        return b"".join(parts)


@dataclass
class _Packer:
    """Gathers records into blocks."""

    source: str
    target_bytes: int
    largest: int
    encoding: str | None
    documents: list[Document] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    size: int = 0

    def add(self, number: int, offset: int, record: Any, data: bytes) -> Iterator[Block]:
        """Take in a page or a text."""
        meta = {
            name: value
            for name, header in (("url", "WARC-Target-URI"), ("crawled", "WARC-Date"))
            if (value := record.rec_headers.get_header(header))
        }
        form: DocumentForm = "html" if record.rec_type == "response" else "txt"
        kind = record.http_headers.get_header("Content-Type") if form == "html" else ""
        charset = _CHARSET.search(kind or "")
        self.documents.append(
            Document(form, data, number, self.largest, offset, charset and charset[1], self.encoding, meta)
        )
        yield from self._grown(len(data))

    def reject(self, number: int, offset: int | None, length: int | None, reason: str, detail: str) -> Iterator[Block]:
        """Take in a record that cannot be read."""
        self.rejects.append(Reject(number, offset, length, reason, detail))
        yield from self._grown(256)

    def _grown(self, size: int) -> Iterator[Block]:
        self.size += size
        if self.size >= self.target_bytes:
            yield from self.flush()

    def flush(self) -> Iterator[Block]:
        """What is left, as a block."""
        if self.documents or self.rejects:
            line = min([one.line for one in self.documents[:1]] + [one.line for one in self.rejects[:1]])
            yield Block(
                self.source, line, 0, tuple(self.documents), "documents", rejects=tuple(self.rejects), size=self.size
            )
        self.documents, self.rejects, self.size = [], [], 0
