"""Variants: texts that differ only in their numbers, or in terms that the recipe keeps apart.

Two texts are variants when they become equal once their values are blanked, but differ in the values: a price
list of one template is many rows, not one. A *value* is

- a number: a run of digits of any script and of Chinese numerals (〇零一二三四五六七八九十百千万亿两), with single
  separators `. , : / -` between two of them, and with the minus sign before it ("12,800", "3.5", "2024-03-18",
  "-5" and "三百" are one number each); full-width digits and superscripts count as the digits they fold to;
  digits inside words ("v2", "3x") count as well;
- a term of `clean.near.keep_apart`, whatever its case and width.

datatrove maps every number to 0 before hashing and so removes such rows (facts/cleaning.md 4.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer, Texts, from_buffer, to_buffer
from datakit.kernels.characters import CJK, CLASS, COMPLEX, DIGIT, FOLD, WORD
from datakit.kernels.jit import inner, kernel
from datakit.kernels.minhash import decode, fold, width_of

NUMERALS: Final = "〇零一二三四五六七八九十百千万亿两"
SEPARATORS: Final = ".,:/-"
MINUS: Final = "-\u2212"

# What a code point is to the kernel: one bit each, as tests of bits stay apart while LLVM makes one slow jump
# table of a chain of comparisons.
IS_LETTER, IS_CJK, IS_NUMBER, IS_TERM, IS_MINUS, IS_SEPARATOR, IS_COMPLEX = (1 << bit for bit in range(7))
_OTHER: Final = 0

_FIRST_TERM: Final = 0xF0000
"""Terms become private-use characters before the kernel runs: texts with their own of these are not expected."""

BLANK: Final = np.uint64(0x110000)  # no code point
_UNIT_SEED: Final = np.uint64(0x243F6A8885A308D3)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_JOIN: Final = np.uint64(0xD6E8FEB86659FD93)
_32: Final = np.uint64(32)


class Tables(NamedTuple):
    """fold: uint32 and kinds: uint8, both of shape (0x110000,) and by the code point as it stands in the text."""

    fold: NDArray[np.uint32]
    kinds: NDArray[np.uint8]


def _kinds() -> NDArray[np.uint8]:
    """The kind of each folded code point."""
    kinds = np.full(FOLD.shape[0], _OTHER, dtype=np.uint8)
    kinds[CLASS & WORD != 0] = IS_LETTER
    kinds[CLASS & CJK != 0] = IS_CJK
    kinds[CLASS & DIGIT != 0] = IS_NUMBER
    for characters, kind in ((NUMERALS, IS_NUMBER), (SEPARATORS, IS_SEPARATOR), (MINUS, IS_MINUS)):
        kinds[[ord(character) for character in characters]] = kind
    return kinds


@cache
def raw_tables() -> Tables:
    """The tables for texts as they are; a complex code point sends its text through Python."""
    kinds = _kinds()[FOLD]
    kinds[CLASS & COMPLEX != 0] = IS_COMPLEX
    return Tables(FOLD, kinds)


@cache
def folded_tables(terms: int) -> Tables:
    """The tables for texts that Python folded, and in which it put characters of their own for so many terms."""
    kinds = _kinds()
    kinds[_FIRST_TERM : _FIRST_TERM + terms] = IS_TERM
    return Tables(np.arange(FOLD.shape[0], dtype=np.uint32), kinds)


@inner
def hash_number(
    data: NDArray[np.uint8], at: int, stop: int, table: NDArray[np.uint32], kinds: NDArray[np.uint8], state: np.uint64
) -> tuple[int, np.uint64]:
    """Where the number that starts at `at` ends, and its hash, begun from `state`."""
    end = at
    gap = np.uint64(0)
    while at < stop:
        code = np.int64(data[at])
        step = width_of(code)
        if code >= 0x80:
            code = decode(data, at)
        at += step
        kind = kinds[code]
        if kind & IS_NUMBER:
            if gap:
                state = (state ^ gap) * _STEP
                gap = np.uint64(0)
            state = (state ^ np.uint64(table[code])) * _STEP
            end = at
        elif gap == 0 and (kind & IS_SEPARATOR or table[code] == 45):
            gap = np.uint64(table[code])
        else:
            break
    return end, state


@inner
def hash_sequence(total: np.uint64, part: np.uint64) -> np.uint64:
    """The hash of a sequence with one more member; unchanged where the member is empty."""
    if part == _UNIT_SEED:
        return total
    return (total ^ (total >> _32) ^ part ^ (part >> _32)) * _JOIN


@inner
def _blank(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    kinds: NDArray[np.uint8],
    out: NDArray[np.uint64],
) -> bool:
    """Write the two hashes of one text to `out`; False where Python must fold it first."""
    blanked = _UNIT_SEED
    values = _UNIT_SEED
    unit = _UNIT_SEED
    signed = False
    at = start
    while at < stop:
        here = at
        code = np.int64(data[at])
        at += width_of(code)
        if code >= 0x80:
            code = decode(data, here)
        kind = kinds[code]
        if kind & IS_LETTER:
            unit = (unit ^ np.uint64(table[code])) * _STEP
        elif kind & IS_NUMBER:
            at, value = hash_number(data, here, stop, table, kinds, _JOIN if signed else _UNIT_SEED)
            values = hash_sequence(values, value)
            unit = (unit ^ BLANK) * _STEP
        elif kind & IS_CJK:
            blanked = hash_sequence(hash_sequence(blanked, unit), (_UNIT_SEED ^ np.uint64(table[code])) * _STEP)
            unit = _UNIT_SEED
        elif kind & IS_TERM:
            values = hash_sequence(values, np.uint64(table[code]))
            unit = (unit ^ BLANK) * _STEP
        elif kind & IS_COMPLEX:
            return False
        else:
            signed = kind & IS_MINUS != 0 and unit == _UNIT_SEED  # "a-5" has a hyphen, " -5" a minus sign
            blanked = hash_sequence(blanked, unit)
            unit = _UNIT_SEED
            continue
        signed = False
    out[0] = hash_sequence(blanked, unit)
    out[1] = values
    return True


@kernel
def _blank_all(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    kinds: NDArray[np.uint8],
    out: NDArray[np.uint64],
    done: NDArray[np.bool_],
) -> None:
    """Write the two hashes of every text; `done` is False where Python must fold the text first."""
    for row in range(done.shape[0]):
        done[row] = _blank(data, offsets[row], offsets[row + 1], table, kinds, out[row])


def folded_terms(keep_apart: Sequence[str]) -> list[str]:
    """The terms as they stand in a folded text, the longest first, so that none hides inside another."""
    return sorted({fold(term) for term in keep_apart}, key=lambda term: (-len(term), term))


def _holding(texts: TextBuffer, terms: list[str]) -> NDArray[np.bool_]:
    """Which texts may hold one of the terms."""
    folded = (
        pl.Series(from_buffer(texts, np.arange(texts.size)), dtype=pl.String).str.normalize("NFKC").str.to_lowercase()
    )
    return np.asarray(folded.str.contains_any(terms).to_numpy(), dtype=np.bool_)


def _marked(texts: TextBuffer, rows: NDArray[np.int64], terms: list[str]) -> TextBuffer:
    """The chosen texts, folded, with each term replaced by a character of its own."""
    folded = [fold(text) for text in from_buffer(texts, rows)]
    if terms:
        number = {term: chr(_FIRST_TERM + index) for index, term in enumerate(terms)}
        pattern = re.compile("|".join(map(re.escape, terms)))
        folded = [pattern.sub(lambda found: number[found[0]], text) for text in folded]
    return to_buffer(pl.Series(folded, dtype=pl.String))


def blank_hash(texts: Texts, keep_apart: Sequence[str] = ()) -> NDArray[np.uint64]:
    """Two hashes a text: uint64, shape (n, 2): of its units with the values blanked, and of the values alone.

    Two texts with the same first hash and different second ones are variants of each other.
    """
    buffer = to_buffer(texts)
    out = np.empty((buffer.size, 2), dtype=np.uint64)
    done = np.zeros(buffer.size, dtype=np.bool_)
    terms = folded_terms(keep_apart)
    _blank_all(*buffer, *raw_tables(), out, done)
    if terms:
        done &= ~_holding(buffer, terms)
    rows = np.flatnonzero(~done)
    if rows.size:
        part, folded = np.empty((rows.size, 2), dtype=np.uint64), np.empty(rows.size, dtype=np.bool_)
        _blank_all(*_marked(buffer, rows, terms), *folded_tables(len(terms)), part, folded)
        out[rows] = part
    return out


def blank(text: str, keep_apart: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The units of a text with "#" for each value, and the values, in plain Python: what the kernel is held to."""
    either = "|".join(map(re.escape, folded_terms(keep_apart))) or "(?!)"
    digit = f"[{NUMERALS}\\d]"
    value = re.compile(f"{either}|(?P<number>{digit}+(?:[.,:/-]{digit}+)*)")
    words: list[str] = []
    values: list[str] = []
    word, signed = "", False
    folded, at = fold(text), 0
    while at < len(folded):
        character, kind = folded[at], CLASS[ord(folded[at])]
        found = value.match(folded, at)
        if found:
            values.append("-" * (signed and found["number"] is not None) + found[0])
            word += "#"
        elif kind & WORD and not kind & CJK:
            word += character
        signed = found is None and character in MINUS and not word
        if not found and (kind & CJK or not kind & WORD):
            words += [part for part in (word, character if kind & CJK else "") if part]
            word = ""
        at = found.end() if found else at + 1
    return ([*words, word] if word else words), values
