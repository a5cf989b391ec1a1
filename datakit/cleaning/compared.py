"""The texts that near duplicates are verified from, read as they are asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning.batch import batch_file
from datakit.cleaning.textfile import read_texts
from datakit.kernels.buffers import TextBuffer, empty_texts, to_buffer

HELD: Final = 64
"""Batches whose records may be held open: half a gigabyte of mapped files."""


class Compared:
    """What `clean_batch` has laid down in a work folder: whole texts ("text") and answers ("answer", "rejected")."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._records = lru_cache(maxsize=HELD)(_texts_of_records)

    def read(self, name: str, number: int, places: NDArray[np.int64]) -> TextBuffer:
        """The texts of some rows of a batch, by their places in its index."""
        path = batch_file(self._work, name, number, "bin")
        if path.exists():
            return read_texts(path, places)
        if name == "text" and places.size:  # laid down with the records alone
            return to_buffer(self._records(batch_file(self._work, name, number)).gather(places))
        return empty_texts(places.size)  # no answers in plain texts


def _texts_of_records(path: Path) -> pl.Series:
    return pl.read_ipc(path, columns=["text"])["text"]
