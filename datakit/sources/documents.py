"""Documents: a txt file as one record, by paragraphs or by lines; a md file section by section."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from datakit.sources.block import Block, Reject
from datakit.sources.lines import single_lines
from datakit.sources.stream import CutOff
from datakit.sources.tabular import RowPacker

_HEADING: Final = re.compile(rb" {0,3}#{1,6}(?:[ \t\r\n]|$)")  # ATX, CommonMark 0.31 section 4.2
_UNDERLINE: Final = re.compile(rb" {0,3}(?:=+|-+)[ \t]*\r?\n?$")  # setext, section 4.3
_FENCE: Final = re.compile(rb" {0,3}(`{3,}|~{3,})([^\r\n]*)")  # section 4.5
_NO_PARAGRAPH: Final = re.compile(rb"(?: {4}|\t| {0,3}(?:[-*+>|]|\d+[.)]))")  # what an underline cannot make a heading


def read_text(
    stream: Iterable[bytes], source: str, target_bytes: int, max_row_bytes: int, split: Literal["blank", "lines"] | None
) -> Iterator[Block]:
    """Blocks of the records of a txt file.

    Args:
        stream: the file as UTF-8.
        source: its name in row keys.
        target_bytes: size of a block.
        max_row_bytes: a longer record is rejected.
        split: None, one record a file, line 1; "lines", every line that is not blank; "blank", every paragraph,
            by the number of its first line.
    """
    out = RowPacker(source, target_bytes)
    if split is None:
        yield from _whole(stream, out, max_row_bytes)
    else:
        parts = _Parts(out, max_row_bytes)
        for number, offset, line in single_lines(stream, max_row_bytes):
            if isinstance(line, Reject):
                yield from parts.fail(line)
            elif not line.strip():
                yield from parts.end()
            else:
                if split == "lines":
                    yield from parts.end()
                parts.take(number, offset, line)
        yield from parts.end()
    yield from out.flush()


def read_sections(stream: Iterable[bytes], source: str, target_bytes: int, max_row_bytes: int) -> Iterator[Block]:
    """Blocks of the sections of a md file, each with its heading as first line, counted from 1.

    What stands before the first heading is a section of its own. Marks inside fenced code and front matter are no
    headings.
    """
    out = RowPacker(source, target_bytes)
    parts = _Parts(out, max_row_bytes, counted=True)
    marks = _Marks()
    for number, offset, line in single_lines(stream, max_row_bytes):
        if isinstance(line, Reject):
            yield from parts.fail(line)
            continue
        match marks.see(number, line):
            case "heading":
                yield from parts.end()
            case "underline" if parts.lines:
                # The line before was the heading: it opens a new section.
                title = parts.lines.pop()
                yield from parts.end()
                parts.take(number - 1, offset - len(title), title)
        parts.take(number, offset, line)
    yield from parts.end()
    yield from out.flush()


def _whole(stream: Iterable[bytes], out: RowPacker, max_row_bytes: int) -> Iterator[Block]:
    held: list[bytes] = []
    size = 0
    try:
        for chunk in stream:
            size += len(chunk)
            if size <= max_row_bytes:
                held.append(chunk)
            else:
                held = []
    except CutOff as cut:
        yield from out.reject(1, 0, size, "truncated_file", str(cut))
        return
    if size > max_row_bytes:
        detail = f"{size:,} bytes, the limit is {max_row_bytes:,} (clean.max_row_mb); split: blank or lines"
        yield from out.reject(1, 0, size, "row_too_long", detail)
    elif b"".join(held).strip():
        # The line end that closes a file is no part of its text, as with paragraphs and sections.
        yield from _decoded(out, 1, 0, b"".join(held).rstrip(b"\r\n"))


def _decoded(out: RowPacker, line: int, offset: int, raw: bytes) -> Iterator[Block]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"byte {error.start:,} of the record is not valid in the file's encoding"
        yield from out.reject(line, offset, len(raw), "bad_encoding", detail)
    else:
        yield from out.add(line, offset, len(raw), {"text": text})


@dataclass
class _Parts:
    """Gathers lines into records, known by their first line's number, or by their own where `counted`."""

    out: RowPacker
    max_row_bytes: int
    counted: bool = False
    count: int = 0
    lines: list[bytes] = field(default_factory=list)
    number: int = 0
    offset: int = 0
    size: int = 0

    def take(self, number: int, offset: int, line: bytes) -> None:
        """One more line of the record at hand. Of a record over the limit only the size is kept."""
        if not self.size:
            self.number, self.offset = number, offset
        self.size += len(line)
        if self.size <= self.max_row_bytes + 1:
            self.lines.append(line)
        else:
            self.lines = [b""]

    def end(self) -> Iterator[Block]:
        """The record at hand is whole."""
        if self.size > self.max_row_bytes + 1:
            detail = f"{self.size:,} bytes, the limit is {self.max_row_bytes:,} (clean.max_row_mb)"
            yield from self.out.reject(self._key(self.number), self.offset, self.size, "row_too_long", detail)
        else:
            raw = b"".join(self.lines)
            if raw.strip():
                yield from _decoded(self.out, self._key(self.number), self.offset, raw.rstrip(b"\r\n"))
        self.lines, self.size = [], 0

    def fail(self, reject: Reject) -> Iterator[Block]:
        """A line cannot be read: the record it belongs to is rejected for it."""
        if self.size:
            length = self.size + (reject.length or 0)
            yield from self.out.reject(self._key(self.number), self.offset, length, reject.reason, reject.detail)
        else:
            key = self._key(reject.line)
            yield from self.out.reject(key, reject.offset or 0, reject.length or 0, reject.reason, reject.detail)
        self.lines, self.size = [], 0

    def _key(self, line: int) -> int:
        self.count += 1
        return self.count if self.counted else line


class _Marks:
    """Tells headings from the rest, line by line."""

    def __init__(self) -> None:
        self._fence: bytes | None = None
        self._matter = False
        self._before = b""

    def see(self, number: int, line: bytes) -> Literal["heading", "underline"] | None:
        """What the line is: a heading, the underline of the line before, or neither (None)."""
        before, self._before = self._before, b""
        if number == 1 and line.rstrip() == b"---":
            self._matter = True
            return None
        if self._matter:
            self._matter = line.rstrip() not in (b"---", b"...")
            return None
        if self._in_code(line):
            return None
        if _HEADING.match(line):
            return "heading"
        if _UNDERLINE.match(line) and before:
            return "underline"
        # Only the last line of a paragraph can be underlined into a heading.
        self._before = b"" if not line.strip() or _NO_PARAGRAPH.match(line) else line
        return None

    def _in_code(self, line: bytes) -> bool:
        """Whether the line belongs to a fenced block, its fences included."""
        mark = _FENCE.match(line)
        if self._fence is not None:
            if mark and mark[1].startswith(self._fence) and not mark[2].strip():
                self._fence = None
            return True
        if mark and not (mark[1].startswith(b"`") and b"`" in mark[2]):
            self._fence = mark[1]
            return True
        return False
