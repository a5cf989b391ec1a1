"""JSON files: the elements of an array one by one, without the file in memory; or one object that holds the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from datakit.sources.block import Block, Notice, Reject
from datakit.sources.lines import read_lines
from datakit.sources.stream import CutOff, take_head

_HEAD: Final = 1 << 20  # bytes looked at to tell an array, an object and JSON Lines apart
_SPACE: Final = b" \t\r\n"
_QUOTE, _BACKSLASH, _COMMA = 0x22, 0x5C, 0x2C

# What the bytes of an array that matter mean: +1 opens, -1 closes, 2 a quote, 3 a comma.
_MEANING = np.zeros(256, dtype=np.int8)
for _byte in b"[{":
    _MEANING[_byte] = 1
for _byte in b"]}":
    _MEANING[_byte] = -1
_MEANING[_QUOTE] = 2
_MEANING[_COMMA] = 3


def read_json(
    stream: Iterable[bytes],
    source: str,
    target_bytes: int,
    max_row_bytes: int,
    keep_whole: frozenset[str],
    notice: Notice,
) -> Iterator[Block]:
    """Blocks of the elements of an array, of the one list of objects in an object, or of JSON Lines named .json.

    Args:
        stream: the file as UTF-8.
        source: its name in row keys.
        target_bytes: size of a block.
        max_row_bytes: a longer element is rejected while it streams by; a longer object, too.
        keep_whole: keys that hold a list of objects inside one record, such as `messages`: an object with one of
            them is a record itself.
        notice: hears of JSON Lines under the name .json.
    """
    head, chunks = take_head(stream, _HEAD)
    first = head.lstrip(_SPACE)[:1]
    whole = chain([head], chunks)
    if not head.strip(_SPACE):
        yield from read_lines(whole, source, target_bytes, max_row_bytes)
    elif first == b"[":
        yield from _array(whole, source, target_bytes, max_row_bytes)
    elif _is_lines(head):
        notice(f"{source}: holds JSON Lines, read as such")
        yield from read_lines(whole, source, target_bytes, max_row_bytes)
    else:
        yield from _object(whole, source, target_bytes, max_row_bytes, keep_whole)


def _is_lines(head: bytes) -> bool:
    """Whether the first line is an object by itself and another line follows."""
    line, _, rest = head.lstrip(_SPACE).partition(b"\n")
    if not rest.strip(_SPACE):
        return False
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


@dataclass
class _Elements:
    """Gathers the elements of an array into blocks."""

    source: str
    target_bytes: int
    line: int = 1
    first: int = 1
    parts: list[bytes] = field(default_factory=list)
    offsets: list[int | None] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    size: int = 0

    def add(self, element: bytes, offset: int | None) -> None:
        # Line ends between tokens become \r, white space as well; inside a string both are equally invalid.
        self.parts.append(element.replace(b"\n", b"\r"))
        self.offsets.append(offset)
        self.size += len(element) + 1
        self.line += 1

    def reject(self, offset: int, length: int, reason: str, detail: str) -> Iterator[Block]:
        """The elements so far as a block, then the reject as one: elements of a block are consecutive."""
        yield from self.flush()
        rejected = Reject(self.line, offset, length, reason, detail)
        yield Block(self.source, self.line, offset, rejects=(rejected,), size=length)
        self.line += 1
        self.first = self.line

    def flush(self) -> Iterator[Block]:
        if self.parts:
            payload = b"\n".join(self.parts)
            offsets = tuple(self.offsets)
            yield Block(self.source, self.first, offsets[0] or 0, payload, "elements", offsets, size=self.size)
        self.parts, self.offsets, self.size, self.first = [], [], 0, self.line


def _array(stream: Iterator[bytes], source: str, target_bytes: int, max_row_bytes: int) -> Iterator[Block]:
    """Blocks of the elements of a top-level array, whose first byte but white space is its bracket."""
    out = _Elements(source, target_bytes)
    scan = _Scanner()
    held: list[bytes] = []
    length = offset = begin = 0  # of the element at hand: bytes, and where the chunk and the element begin
    ended, cut = False, "the array does not end"
    try:
        for chunk in stream:
            start = chunk.index(b"[") + 1 if offset == 0 else 0
            begin = start if offset == 0 else begin
            for position, closes in [] if ended else scan.cuts(chunk):
                held.append(chunk[start:position])
                length += position - start
                yield from _element(out, held, length, begin, max_row_bytes, last=closes)
                held, length, start, ended = [], 0, position + 1, closes
                begin = offset + start
            length += len(chunk) - start
            held = [*held, chunk[start:]] if length <= max_row_bytes else [b"?"]
            offset += len(chunk)
    except CutOff as damage:
        ended, cut = False, str(damage)
    yield from out.flush()
    rest = b"".join(held).strip(_SPACE)
    if not ended:
        yield from out.reject(begin, length, "truncated_file", f"{cut}; {length:,} bytes of its last element are there")
    elif rest:
        yield from out.reject(begin, length, "invalid_json", f"{length:,} bytes after the end of the array")


def _element(
    out: _Elements, held: list[bytes], length: int, begin: int, max_row_bytes: int, *, last: bool
) -> Iterator[Block]:
    """One element put into the block at hand; the block, when it is full or the element cannot be read."""
    if length > max_row_bytes:
        detail = f"{length:,} bytes, the limit is {max_row_bytes:,} (clean.max_row_mb)"
        yield from out.reject(begin, length, "row_too_long", detail)
        return
    raw = b"".join(held)
    element = raw.strip(_SPACE)
    if element:
        out.add(element, begin + len(raw) - len(raw.lstrip(_SPACE)))
    elif not last:
        yield from out.reject(begin, length, "invalid_json", "nothing between two commas")
    if out.size >= out.target_bytes:
        yield from out.flush()


class _Scanner:
    """Where the elements of a top-level array end, chunk by chunk."""

    def __init__(self) -> None:
        self.depth = 0
        self._in_string = False
        self._escaped = False  # whether the last chunk ended in an odd number of backslashes

    def cuts(self, chunk: bytes) -> list[tuple[int, bool]]:
        """Positions of the commas between elements and, marked True, of the array's closing bracket."""
        data = np.frombuffer(chunk, dtype=np.uint8)
        places = np.flatnonzero(_MEANING[data])
        meaning = _MEANING[data[places]]
        quotes = meaning == 2
        quotes[quotes] = ~self._escaped_quotes(chunk, data, places[quotes])
        # Inside a string after an odd number of quotes; a quote itself counts as inside, which does no harm.
        inside = (np.cumsum(quotes) + self._in_string) % 2 == 1
        structure = ~inside & (meaning != 2)
        places, meaning = places[structure], meaning[structure]
        step = np.where(meaning == 3, 0, meaning).astype(np.int64)
        depth = self.depth + np.cumsum(step)
        self._in_string = bool((int(quotes.sum()) + self._in_string) % 2)
        self.depth = int(depth[-1]) if depth.size else self.depth
        self._escaped = self._run_before(chunk, len(chunk)) % 2 == 1
        return self._found(places, meaning, depth)

    def _found(self, places: NDArray[Any], meaning: NDArray[Any], depth: NDArray[Any]) -> list[tuple[int, bool]]:
        ends = np.flatnonzero(((meaning == 3) & (depth == 1)) | ((meaning == -1) & (depth == 0)))
        found = []
        for place, closes in zip(places[ends].tolist(), (meaning[ends] == -1).tolist(), strict=True):
            found.append((place, closes))
            if closes:
                break
        return found

    def _escaped_quotes(self, chunk: bytes, data: NDArray[Any], quotes: NDArray[Any]) -> NDArray[Any]:
        """Which quotes stand after an odd number of backslashes."""
        escaped = np.zeros(len(quotes), dtype=bool)
        if not len(quotes):
            return escaped
        before = data[np.maximum(quotes - 1, 0)] == _BACKSLASH
        before[quotes == 0] = False
        for index in np.flatnonzero(before).tolist():
            escaped[index] = self._run_before(chunk, int(quotes[index])) % 2 == 1
        if self._escaped and quotes[0] == 0:
            escaped[0] = True
        return escaped

    def _run_before(self, chunk: bytes, end: int) -> int:
        """How many backslashes stand before `end`, those of the chunk before included (0 or 1 for their parity)."""
        start = end
        while start > 0 and chunk[start - 1] == _BACKSLASH:  # runs are short
            start -= 1
        return end - start + (start == 0 and self._escaped)


def _object(
    stream: Iterable[bytes], source: str, target_bytes: int, max_row_bytes: int, keep_whole: frozenset[str]
) -> Iterator[Block]:
    """The rows of one object that holds exactly one list of objects; else the object itself as one row."""
    parts, size = [], 0
    try:
        for chunk in stream:
            size += len(chunk)
            if size <= max_row_bytes:
                parts.append(chunk)
    except CutOff as cut:
        yield Block(source, 1, 0, rejects=(Reject(1, 0, size, "truncated_file", str(cut)),), size=size)
        return
    if size > max_row_bytes:
        detail = (
            f"one object of {size:,} bytes, the limit is {max_row_bytes:,} (clean.max_row_mb): write an array or jsonl"
        )
        yield Block(source, 1, 0, rejects=(Reject(1, 0, size, "row_too_long", detail),), size=size)
        return
    text = b"".join(parts).strip(_SPACE)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None  # said again, with its reason, when the row is parsed
    lists = [] if not isinstance(value, dict) else [v for v in value.values() if _is_rows(v)]
    out = _Elements(source, target_bytes)
    if len(lists) == 1 and not keep_whole & set(value):
        for row in lists[0]:
            out.add(orjson.dumps(row), None)
            if out.size >= target_bytes:
                yield from out.flush()
    else:
        out.add(text, 0)
    yield from out.flush()


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
