"""Imported by the server that workers are forked from: what a batch needs is there, its kernels loaded.

Nothing here may start the threads of polars, which no fork survives: so texts are buffers, never series.
"""

from __future__ import annotations

import numpy as np

import datakit.cleaning.batch  # noqa: F401 - what workers run
from datakit.cleaning.language import load_kernels as _load_language
from datakit.kernels.buffers import TextBuffer
from datakit.kernels.signing import sign_and_blank
from datakit.kernels.statistics import count

_text = b"A first text, which nobody reads."
_texts = TextBuffer(np.frombuffer(_text, dtype=np.uint8), np.array([0, len(_text)], dtype=np.int64))
sign_and_blank(_texts)
count(_texts)
_load_language(_texts)
