"""The classes of characters, and eight more that only the rules ask for, in one table of 16 bits."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.characters import CLASS

DAMAGED: Final = 1 << 8  #: stands for nothing: U+FFFD, private use, noncharacters, C1 controls, empty planes; with
#: WORD, a Chinese character of those that broken encodings leave (WRECKS)
SYNTAX: Final = 1 << 9  #: quotes, brackets, commas, colons: what JSON and code are made of
ASIDE: Final = 1 << 10  #: emoji and dingbats, table bars, box drawing: they come in lists and rows, which is no noise
ENCODING: Final = 1 << 11  #: base64 (plain or for URLs) and hexadecimal are written with it
URL_END: Final = 1 << 12  #: a URL is over: white space, quotes, closing brackets, all beyond ASCII
STOP: Final = 1 << 13  #: . ? ! end a sentence before white space
FULL_STOP: Final = 1 << 14  #: 。？！ end a sentence anywhere
CLOSER: Final = 1 << 15  #: closing quotes and brackets still belong to the sentence

WRECKS: Final = "锟斤拷锘铪葺烫屯"
"""锟斤拷 is U+FFFD twice, written as UTF-8 and read as GBK, 锘 the byte order mark; 烫, 屯, 葺 and 铪 are memory that
debuggers fill with 0xCC, 0xCD, 0xDD and 0xFE."""


def _make_kinds() -> NDArray[np.uint16]:
    kinds = CLASS.astype(np.uint16)

    def mark(bit: int, *spans: tuple[int, int]) -> None:
        for first, last in spans:
            kinds[first : last + 1] |= bit

    def mark_each(bit: int, characters: str) -> None:
        mark(bit, *((ord(character), ord(character)) for character in characters))

    # Code points of assigned planes that no Unicode version has filled yet do not count as damage: which they
    # are depends on the version, and new emoji would be damage to an old table. U+0085 is white space.
    mark(DAMAGED, (0x80, 0x84), (0x86, 0x9F), (0xE000, 0xF8FF), (0xFDD0, 0xFDEF), (0xFFFD, 0xFFFF))
    mark(DAMAGED, (0x1FFFE, 0x1FFFF), (0x2FFFE, 0x2FFFF), (0x3FFFE, 0xDFFFF), (0xEFFFE, 0x10FFFF))
    mark(ASIDE, (0x2500, 0x27BF), (0x1F000, 0x1FAFF))
    mark(ENCODING, (0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A))
    mark(URL_END, (0, 0x20), (0x7F, 0x10FFFF))
    mark_each(DAMAGED, WRECKS)
    mark_each(SYNTAX, "\"',:;()[]{}")
    mark_each(ASIDE, "|")
    mark_each(ENCODING, "+/-_=")
    mark_each(URL_END, "\"')<>\\]|}")
    mark_each(STOP, ".?!")
    mark_each(FULL_STOP, "。？！")
    mark_each(CLOSER, "\"')]’”」』）")
    return kinds


KINDS: Final = _make_kinds()
"""uint16, shape (0x110000,): the bits of `characters.CLASS` and those above."""
