"""Texts as one run of bytes: what the kernels read."""

from __future__ import annotations

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


def to_buffer(texts: pl.Series) -> TextBuffer:
    """The texts of a String series as one UTF-8 buffer; a null counts as the empty text."""
    filled = texts.fill_null("")
    offsets = np.zeros(len(filled) + 1, dtype=np.int64)
    np.cumsum(filled.str.len_bytes().to_numpy(), out=offsets[1:])
    # Joining bytes objects copies each text twice at memory speed; decoding them to str would cost ten times that.
    data = b"".join(filled.cast(pl.Binary).to_list())
    return TextBuffer(np.frombuffer(data, dtype=np.uint8), offsets)
