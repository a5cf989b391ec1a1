"""Texts in a file, of which some can be read without the rest: what near duplicates are verified from.

Layout: the number of texts n, then n + 1 offsets (all int64), then the bytes of all texts in UTF-8.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.kernels.buffers import to_buffer


def write_texts(path: Path, texts: pl.Series) -> None:
    """Write all texts; a null is the empty text."""
    buffer = to_buffer(texts)
    with path.open("wb") as file:
        np.array([len(texts)], dtype=np.int64).tofile(file)
        buffer.offsets.tofile(file)
        buffer.data.tofile(file)


def read_texts(path: Path, places: NDArray[np.int64]) -> pl.Series:
    """The texts at some places, in their order."""
    with path.open("rb") as file:
        count = int(np.fromfile(file, dtype=np.int64, count=1)[0])
        offsets = np.fromfile(file, dtype=np.int64, count=count + 1)
        base = 8 * (count + 2)
        starts, stops = offsets[places].tolist(), offsets[places + 1].tolist()
        number = file.fileno()
        texts = [os.pread(number, stop - start, base + start) for start, stop in zip(starts, stops, strict=True)]
    return pl.Series(texts, dtype=pl.Binary).cast(pl.String)
