"""Texts as one run of bytes: what the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray


class TextBuffer(NamedTuple):
    """Texts side by side in UTF-8.

    data: uint8, all bytes; offsets: int64, shape (n + 1,): text i is `data[offsets[i]:offsets[i + 1]]`.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @property
    def size(self) -> int:
        """How many texts."""
        return len(self.offsets) - 1

    def sealed(self) -> TextBuffer:
        """The same texts, read-only as those of a series are: to numba that is a type, and kernels load for one."""
        self.data.setflags(write=False)
        return self


Texts = pl.Series | TextBuffer
"""Texts as callers have them: a String series, or a buffer that was made of one already."""


def to_buffer(texts: Texts) -> TextBuffer:
    """The texts of a String series as one UTF-8 buffer; a null counts as the empty text. A buffer as it is."""
    if isinstance(texts, TextBuffer):
        return texts
    filled = texts.fill_null("")
    offsets = np.zeros(len(filled) + 1, dtype=np.int64)
    np.cumsum(filled.str.len_bytes().to_numpy(), out=offsets[1:])
    # Joining bytes objects copies each text twice at memory speed; decoding them to str would cost ten times that.
    data = b"".join(filled.cast(pl.Binary).to_list())
    return TextBuffer(np.frombuffer(data, dtype=np.uint8), offsets)


def from_buffer(texts: TextBuffer, rows: NDArray[np.int64]) -> list[str]:
    """The texts at `rows`, in that order."""
    ends = zip(texts.offsets[rows].tolist(), texts.offsets[rows + 1].tolist(), strict=True)
    return [texts.data[start:stop].tobytes().decode() for start, stop in ends]


def empty_texts(count: int) -> TextBuffer:
    """So many empty texts."""
    return TextBuffer(np.zeros(0, dtype=np.uint8), np.zeros(count + 1, dtype=np.int64)).sealed()


def gather_texts(texts: TextBuffer, rows: NDArray[np.int64]) -> TextBuffer:
    """The texts at `rows`, in that order."""
    starts, stops = texts.offsets[rows], texts.offsets[rows + 1]
    data = [texts.data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    offsets = np.concatenate([[0], np.cumsum(stops - starts)])
    return TextBuffer(np.concatenate([np.zeros(0, np.uint8), *data]), offsets).sealed()


def join_buffers(parts: Sequence[TextBuffer]) -> TextBuffer:
    """The texts of all parts, in their order; each part's bytes begin at its first text."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.data.size for part in parts)])
    offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
    data = [np.zeros(0, dtype=np.uint8), *(part.data for part in parts)]
    return TextBuffer(np.concatenate(data), np.concatenate([np.zeros(1, dtype=np.int64), *offsets])).sealed()
