"""Texts in a file, of which some can be read without the rest: what near duplicates are verified from.

Layout: the number of texts n, then n + 1 offsets (all int64), then the bytes of all texts in UTF-8.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer


def write_texts(path: Path, texts: TextBuffer) -> None:
    """Write all texts."""
    with path.open("wb") as file:
        np.array([texts.size], dtype=np.int64).tofile(file)
        texts.offsets.tofile(file)
        texts.data.tofile(file)


def read_texts(path: Path, places: NDArray[np.int64]) -> TextBuffer:
    """The texts at some places, in their order."""
    with path.open("rb", buffering=0) as file:
        count = int(np.fromfile(file, dtype=np.int64, count=1)[0])
        offsets = np.fromfile(file, dtype=np.int64, count=count + 1)
        base = 8 * (count + 2)
        starts = offsets[places]
        ends = np.concatenate([[0], np.cumsum(offsets[places + 1] - starts)])
        data = np.empty(int(ends[-1]), dtype=np.uint8)
        view = memoryview(data)  # type: ignore[arg-type]
        for start, (at, end) in zip(starts.tolist(), pairwise(ends.tolist()), strict=True):
            file.seek(base + start)
            file.readinto(view[at:end])
    return TextBuffer(data, ends).sealed()
