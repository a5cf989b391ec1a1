"""All counts that the rules need, of many texts in one pass."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer
from datakit.kernels.characters import CJK, LETTER, SPACE, WORD
from datakit.kernels.jit import inner, kernel
from datakit.kernels.kinds import KINDS
from datakit.kernels.lines import LINE_COUNTS, PHRASE_WORDS, Lines, count_lines
from datakit.kernels.noise import NOISE_COUNTS, count_noise
from datakit.kernels.repetition import WORD_ORDERS, Table, Units, Walk, extend_prefix, score_grams

ENGLISH_STOP_WORDS: Final = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's (Rae et al. 2021, section A1.1)."""

CHINESE_STOP_WORDS: Final = tuple("的年在月是和日了於·為有被人中为他與後也而由")
"""FineWeb-2's 22 for Mandarin (`configs/cmn_Hani.yml`)."""

GRAM_COUNTS: Final = tuple(
    f"{'top' if words < 5 else 'duplicate'}_{words}_gram_characters" for words in WORD_ORDERS.tolist()
)

UNIT_COUNTS: Final = (
    "units", "cjk_units", "unit_characters", "letter_words", "english_stop_words", "chinese_stop_words",
)  # fmt: skip
"""What `find_units` writes, in this order. Letter words: units with a letter that are not CJK."""

COUNTS: Final = ("characters", "non_space", *NOISE_COUNTS, *UNIT_COUNTS, *LINE_COUNTS, *GRAM_COUNTS)
"""The columns of `count`, in this order."""

_NOISE: Final = 2
_UNIT: Final = _NOISE + len(NOISE_COUNTS)
_LINE: Final = _UNIT + len(UNIT_COUNTS)
_GRAM: Final = _LINE + len(LINE_COUNTS)
(_UNITS, _CJK_UNITS, _UNIT_CHARACTERS, _LETTER_WORDS, _ENGLISH, _CHINESE) = range(len(UNIT_COUNTS))

MAX_UNITS: Final = 1 << 20
"""Repetition and phrases are looked for in so many units, lines and paragraphs from the start of a text; no page
or answer comes near it, and it bounds the working memory (about 100 MB) for one that does."""

_PRIME: Final = np.uint64(0x100000001B3)
_SEED: Final = np.uint64(0xCBF29CE484222325)
_MIX: Final = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT: Final = np.uint64(32)


class Known(NamedTuple):
    """Words with a meaning of their own, each in the slot that the lower bits of its hash say.

    keys: uint64, 0 where free; numbers: uint8, the place in `PHRASE_WORDS` from 1, or 0; stop: int64, the bit of
    a stop word: English from bit 0, Chinese from bit 8. All of one length, a power of two.
    """

    keys: NDArray[np.uint64]
    numbers: NDArray[np.uint8]
    stop: NDArray[np.int64]


class Page(NamedTuple):
    """One text, decoded: its code points (uint32) and their kinds (uint16); as long as the longest text."""

    points: NDArray[np.uint32]
    kinds: NDArray[np.uint16]


class Work(NamedTuple):
    """Arrays that every text of a call uses again."""

    units: Units
    lines: Lines
    walk: Walk
    table: Table


def hash_word(word: str) -> int:
    """The hash of one unit, in plain Python: FNV-1a over its code points, A to Z lowered, and a last mixing."""
    value = int(_SEED)
    for character in word:
        point = ord(character) + 32 if "A" <= character <= "Z" else ord(character)
        value = (value ^ point) * int(_PRIME) % 2**64
    return (value ^ value >> 32) * int(_MIX) % 2**64


def _known_words() -> Known:
    stop_words = (*ENGLISH_STOP_WORDS, *CHINESE_STOP_WORDS)
    words = sorted({*PHRASE_WORDS, *stop_words})
    size = 1024
    while len({hash_word(word) % size for word in words}) < len(words):
        size *= 2  # until each has a slot of its own
    known = Known(np.zeros(size, np.uint64), np.zeros(size, np.uint8), np.zeros(size, np.int64))
    for word in words:
        slot = hash_word(word) % size
        known.keys[slot] = hash_word(word)
        known.numbers[slot] = PHRASE_WORDS.index(word) + 1 if word in PHRASE_WORDS else 0
        known.stop[slot] = 1 << stop_words.index(word) if word in stop_words else 0
    return known


_KNOWN: Final = _known_words()
_MIDDLE_DOT: Final = 0xB7
_MIDDLE_DOT_STOP: Final = 1 << (len(ENGLISH_STOP_WORDS) + CHINESE_STOP_WORDS.index("·"))


@inner
def low_bits(data: NDArray[np.uint8], at: int) -> int:
    """The six bits that a following byte of UTF-8 carries."""
    return int(np.int64(data[at]) & 0x3F)


@inner
def decode(
    data: NDArray[np.uint8], start: int, end: int, table: NDArray[np.uint16], page: Page
) -> tuple[int, int, int]:
    """Write the code points and kinds of the UTF-8 between `start` and `end`.

    Back come the characters, how many of them are white space, and every bit that one of the kinds has.
    """
    points, kinds = page
    length, at, spaces, seen = 0, start, 0, 0
    while at < end:
        point = int(np.int64(data[at]))
        if point < 0x80:
            at += 1
        elif point < 0xE0:
            point = (point & 0x1F) << 6 | low_bits(data, at + 1)
            at += 2
        elif point < 0xF0:
            point = (point & 0x0F) << 12 | low_bits(data, at + 1) << 6 | low_bits(data, at + 2)
            at += 3
        else:
            point = (point & 0x07) << 18 | low_bits(data, at + 1) << 12
            point |= low_bits(data, at + 2) << 6 | low_bits(data, at + 3)
            at += 4
        kind = int(np.int64(table[point]))
        points[length], kinds[length] = point, kind
        spaces += (kind & SPACE) != 0
        seen |= kind
        length += 1
    return length, spaces, seen


@inner
def end_of_unit(
    points: NDArray[np.uint32], kinds: NDArray[np.uint16], start: int, length: int
) -> tuple[int, np.uint64, int]:
    """Where the unit that begins at `start` ends, its hash (`hash_word`), and every bit that one of its kinds has."""
    value, at = _SEED, start
    seen = kinds[start]
    last = start + 1 if seen & CJK else length
    while at < last and (at == start or kinds[at] & (WORD | CJK) == WORD):
        point = points[at]
        value = (value ^ np.uint64(point + 32 if 0x41 <= point <= 0x5A else point)) * _PRIME
        seen |= kinds[at]
        at += 1
    return at, (value ^ value >> _SHIFT) * _MIX, seen


@inner
def store_unit(units: Units, number: int, start: int, end: int, value: np.uint64, word: int) -> None:
    """Write unit `number` behind the units before it."""
    units.starts[number] = start
    units.words[number] = word
    units.prefix[number + 1] = extend_prefix(units.prefix[number], value)
    units.sizes[number + 1] = units.sizes[number] + end - start


@inner
def find_units(
    points: NDArray[np.uint32],
    kinds: NDArray[np.uint16],
    length: int,
    units: Units,
    known: Known,
    tally: NDArray[np.int64],
) -> None:
    """Cut a text into units (runs of word characters, single CJK characters) and write the counts in UNIT_COUNTS.

    Words are taken as they are written, except that A to Z count as a to z.
    """
    # Plain 0 would be a type of its own to numba, and each function that takes it compiled twice.
    at, number, stops = int(np.int64(0)), int(np.int64(0)), 0
    last_slot = np.uint64(len(known.keys) - 1)
    while at < length:
        if not kinds[at] & WORD:
            stops |= _MIDDLE_DOT_STOP if points[at] == _MIDDLE_DOT else 0
            at += 1
            continue
        start = at
        at, value, seen = end_of_unit(points, kinds, start, length)
        slot = int(np.int64(value & last_slot))
        met = int(known.keys[slot] == value)
        stops |= known.stop[slot] * met
        if number < len(units.starts):
            store_unit(units, number, start, at, value, known.numbers[slot] * met)
        number += 1
        tally[_UNIT_CHARACTERS] += at - start
        tally[_CJK_UNITS] += (seen & CJK) != 0
        tally[_LETTER_WORDS] += seen & (CJK | LETTER) == LETTER
    tally[_UNITS] = number
    for stop in range(len(ENGLISH_STOP_WORDS) + len(CHINESE_STOP_WORDS)):
        tally[_ENGLISH if stop < len(ENGLISH_STOP_WORDS) else _CHINESE] += stops >> stop & 1


@kernel
def count_characters(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint16],
    page: Page,
    counts: NDArray[np.int64],
) -> None:
    """Write the counts of every text that need no units; counts: int64, shape (texts, len(COUNTS)), zeros on entry."""
    for text in range(len(offsets) - 1):
        tally = counts[text]
        length, spaces, seen = decode(data, offsets[text], offsets[text + 1], table, page)
        tally[0], tally[1] = length, length - spaces
        count_noise(page.points, page.kinds, length, seen, tally[_NOISE:_UNIT])


@kernel
def count_language(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint16],
    known: Known,
    page: Page,
    work: Work,
    counts: NDArray[np.int64],
) -> None:
    """Write the other counts of every text: units, lines, n-grams.

    Texts are decoded a second time here: that costs a twentieth of the whole, and two kernels compile in
    half the time that one with everything inlined takes.
    """
    points, kinds = page
    for text in range(len(offsets) - 1):
        tally = counts[text]
        length, _, _ = decode(data, offsets[text], offsets[text + 1], table, page)
        find_units(points, kinds, length, work.units, known, tally[_UNIT:_LINE])
        units, cjk = tally[_UNIT + _UNITS], tally[_UNIT + _CJK_UNITS]
        stored = min(units, len(work.units.starts))
        count_lines(points, kinds, length, work.units, stored, work.lines, work.table, tally[_LINE:_GRAM])
        score_grams(work.units, stored, 2 * cjk > units, work.walk, work.table, tally[_GRAM:])


def _make_work(longest: int) -> Work:
    """Room for the units of a text of so many bytes."""
    units = min(longest, MAX_UNITS)
    slots = 16
    while slots < 2 * units:
        slots *= 2
    return Work(
        Units(
            np.empty(units, np.int32),
            np.empty(units, np.uint8),
            np.zeros(units + 1, np.uint64),
            np.zeros(units + 1, np.int32),
        ),
        Lines(
            np.empty(units, np.uint64), np.empty(units, np.int32), np.empty(units, np.uint64), np.empty(units, np.int32)
        ),
        Walk(np.empty(units, np.int32), np.empty(units, np.int32)),
        Table(np.empty(slots, np.uint64), np.empty(slots, np.int32)),
    )


def count(texts: TextBuffer) -> NDArray[np.int64]:
    """The counts of each text: int64, shape (texts, len(COUNTS)), columns as in `COUNTS`.

    Memory beyond the result is bounded by the longest text: 6 bytes for each of its bytes, and up to about
    100 MB for its units.
    """
    counts = np.zeros((texts.size, len(COUNTS)), np.int64)
    longest = int(np.diff(texts.offsets).max(initial=0))
    page = Page(np.empty(longest, np.uint32), np.empty(longest, np.uint16))
    count_characters(texts.data, texts.offsets, KINDS, page, counts)
    count_language(texts.data, texts.offsets, KINDS, _KNOWN, page, _make_work(longest), counts)
    return counts
