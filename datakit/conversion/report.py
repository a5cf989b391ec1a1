"""What a conversion lost: counted, the first rows kept for showing, and every row in a file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import orjson

from datakit.formats.writing import Loss

LISTED: Final = 1000  # losses that a result holds itself; the file holds all
_PLACE: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class LostField:
    """A field of one row that the format cannot hold, or the row itself.

    source, line: the row's key; field: e.g. `messages[2].name`, or `row`; why: a sentence; value: what stood there,
    in words; written: whether the rest of the row can be written.
    """

    source: str
    line: int
    field: str
    why: str
    value: str
    written: bool


class Report:
    """Takes in what is lost, row by row."""

    def __init__(self, path: Path) -> None:
        """`path`: the file that names every loss; made with the first."""
        self.path = path
        self.listed: list[LostField] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self._file: IO[bytes] | None = None

    def add(self, source: str, line: int, losses: list[Loss], *, written: bool) -> None:
        """Take in the losses of one row."""
        if self._file is None:
            self._file = self.path.open("wb")
        for field, why, value in losses:
            lost = LostField(source, line, field, why, value, written)
            self._file.write(orjson.dumps(lost, option=orjson.OPT_APPEND_NEWLINE))
            if len(self.listed) < LISTED:
                self.listed.append(lost)
        self.counts.update({(_PLACE.sub("[]", field), why) for field, why, _ in losses})

    def close(self) -> None:
        """Flush the file to its place."""
        if self._file is not None:
            self._file.close()

    def by_field(self) -> Iterator[tuple[str, str, int]]:
        """Field without places, why, and the number of rows, most first."""
        for (field, why), rows in sorted(self.counts.items(), key=lambda item: (-item[1], item[0])):
            yield field, why, rows
