"""What each Unicode code point is to the kernels: how it folds, and which classes it belongs to.

The two tables are shipped (`data/characters.npz`, made by `data/make_characters.py`) rather than computed
from `unicodedata`, so that every Python version cuts a text into the same units and a version's
fingerprint does not depend on the interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

WORD: Final = 1  #: part of a unit: a letter, digit, mark or underscore once folded
CJK: Final = 2  #: Han or kana: one character is one unit (has WORD too)
SPACE: Final = 4  #: white space
COMPLEX: Final = 8  #: does not fold alone to one code point: the text goes through `unicodedata` first
LETTER: Final = 16  #: alphabetic, CJK included
DIGIT: Final = 32  #: decimal digit (category Nd)
SYMBOL: Final = 64  #: punctuation or symbol (categories P and S)
TERMINAL: Final = 128  #: ends a sentence, in any script


def _load() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    with np.load(Path(__file__).with_name("data") / "characters.npz") as tables:
        # Stored as the distance from the identity: almost all zeros, so the file stays at a few kilobytes.
        fold = (np.arange(0x110000, dtype=np.uint32) + tables["fold_shift"]).astype(np.uint32)
        return fold, tables["classes"]


FOLD, CLASS = _load()
"""FOLD: uint32, shape (0x110000,), the code point that NFKC and lower-casing make of each code point
(itself where COMPLEX). CLASS: uint8, shape (0x110000,), the bits above."""
