"""JSON Lines: blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datakit.sources.block import Block, LineSplitter, Reject
from datakit.sources.stream import CutOff


def read_lines(stream: Iterable[bytes], source: str, target_bytes: int, max_row_bytes: int) -> Iterator[Block]:
    """Blocks of about `target_bytes` of whole lines.

    A line over `max_row_bytes`, and the cut last line of a damaged file, are rejects in blocks of their own.
    """
    splitter = LineSplitter(max_row_bytes)
    held: list[bytes] = []
    size, line, offset = 0, 1, 0
    for piece in _pieces(stream, splitter):
        if isinstance(piece, Reject):
            if held:
                yield Block(source, line, offset, b"".join(held), size=size)
                held, size = [], 0
            yield Block(source, piece.line, piece.offset or 0, rejects=(piece,), size=piece.length or 0)
            continue
        if held and size + len(piece) > target_bytes:
            yield Block(source, line, offset, b"".join(held), size=size)
            held, size = [], 0
        if not held:
            line, offset = splitter.line, splitter.offset
        held.append(piece)
        size += len(piece)
    if held:
        yield Block(source, line, offset, b"".join(held), size=size)


def _pieces(stream: Iterable[bytes], splitter: LineSplitter) -> Iterator[bytes | Reject]:
    try:
        for chunk in stream:
            yield from splitter.feed(chunk)
    except CutOff as cut:
        yield splitter.cut_off(str(cut))
    else:
        yield from splitter.close()


def single_lines(stream: Iterable[bytes], max_row_bytes: int) -> Iterator[tuple[int, int, bytes | Reject]]:
    r"""Every line with its 1-based number and byte offset, its b"\n" kept; a reject for one over the limit."""
    splitter = LineSplitter(max_row_bytes)
    for piece in _pieces(stream, splitter):
        if isinstance(piece, Reject):
            yield piece.line, piece.offset or 0, piece
            continue
        number, offset = splitter.line, splitter.offset
        start = 0
        while start < len(piece):
            end = piece.find(b"\n", start) + 1 or len(piece)
            yield number, offset + start, piece[start:end]
            number, start = number + 1, end
