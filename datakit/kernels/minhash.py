"""Units, shingles, their hash and MinHash signatures: plain Python for the definition, kernels for the speed.

The definition. A text is folded (NFKC, then lower case). A *unit* is a run of word characters, or one Han or
kana character. A *shingle* is five consecutive units joined by one space; a text of one to four units is one
shingle; a text without units is one shingle, itself without white space; an empty text has none.

The signature of a text is that of `datasketch.MinHash(num_perm=128, hashfunc=hashfunc)` updated with
`shingles(text)`: scheme "affine32", seed 1, bit for bit. Method: Broder 1997, "On the resemblance and
containment of documents"; bands: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer, from_buffer, to_buffer
from datakit.kernels.characters import CJK, CLASS, COMPLEX, FOLD, SPACE, WORD
from datakit.kernels.jit import inner, kernel
from datakit.recipe.near import PERMUTATIONS

WIDTH: Final = 5
"""Units in a shingle: as datatrove, text-dedup and data-juicer have it (facts/cleaning.md 2.5)."""

SEED: Final = 1
"""The seed of the permutations: datasketch's default."""

EMPTY_KEY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
"""The band key of a text without shingles. It stands for "none": two of them are no candidates."""

_BITS: Final = 0xFFFFFFFFFFFFFFFF
# Odd 64-bit multipliers with evenly spread bits: 2^64 / golden ratio; two of wyhash's and rrmxmx's.
_UNIT_SEED: Final = np.uint64(0x243F6A8885A308D3)
_UNIT: Final = np.uint64(0x9E3779B97F4A7C15)
_JOIN: Final = np.uint64(0xD6E8FEB86659FD93)
_LAST: Final = np.uint64(0xA0761D6478BD642F)
_32: Final = np.uint64(32)
_16: Final = np.uint32(16)
_13: Final = np.uint32(13)
# MurmurHash3's finaliser, which datasketch applies to every hash before its permutations.
_MIX_A: Final = np.uint32(0x85EBCA6B)
_MIX_B: Final = np.uint32(0xC2B2AE35)
_TOP: Final = np.uint32(0xFFFFFFFF)
NEEDS_PYTHON: Final = -1
_CHUNK: Final = 4096


class Signatures(NamedTuple):
    """MinHash signatures of texts. values: uint32, shape (n, 128); a text without shingles has the largest value."""

    values: NDArray[np.uint32]


def fold(text: str) -> str:
    """The text as it is compared: NFKC, then lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def units(text: str) -> list[str]:
    """The units of a text in order: folded runs of word characters, and single Han or kana characters."""
    found: list[str] = []
    run = ""
    for character in fold(text):
        kind = CLASS[ord(character)]
        if kind & WORD and not kind & CJK:
            run += character
            continue
        if run:
            found.append(run)
            run = ""
        if kind & CJK:
            found.append(character)
    return [*found, run] if run else found


def shingles(text: str) -> list[bytes]:
    """The shingles of a text in order, repeats included, as UTF-8; none for a text that is empty or white space."""
    found = units(text)
    if not found:
        rest = "".join(character for character in fold(text) if not CLASS[ord(character)] & SPACE)
        return [rest.encode()] if rest else []
    grams = [found[start : start + WIDTH] for start in range(max(1, len(found) - WIDTH + 1))]
    return [" ".join(gram).encode() for gram in grams]


def hash64(shingle: bytes) -> int:
    """The 64-bit hash of a shingle as the kernels compute it: over code points, then over units."""
    joined = 0
    for unit in shingle.decode().split(" "):
        state = int(_UNIT_SEED)
        for character in unit:
            state = ((state ^ ord(character)) * int(_UNIT)) & _BITS
        joined = (joined * int(_JOIN) + (state ^ (state >> 32))) & _BITS
    return min(((joined ^ (joined >> 32)) * int(_LAST)) & _BITS, _BITS - 1)


def hashfunc(shingle: bytes) -> int:
    """The 32-bit hash of a shingle: the upper half of `hash64`. Give it to `datasketch.MinHash(hashfunc=…)`."""
    return hash64(shingle) >> 32


@cache
def permutations() -> NDArray[np.uint32]:
    """The factors and summands of datasketch 2's "affine32" scheme for seed 1: uint32, shape (2, 128).

    Drawn as datasketch draws them (datasketch/minhash.py, `_init_permutations`), without importing it.
    """
    draw = np.random.RandomState(SEED)
    factors = draw.randint(0, 1 << 31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    summands = draw.randint(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)
    drawn = np.array([factors, summands])
    drawn.setflags(write=False)
    return drawn


@inner
def decode(data: NDArray[np.uint8], at: int) -> np.int64:
    """The code point whose UTF-8 starts at `at` with a byte of 0xC0 or above."""
    first = np.int64(data[at])
    if first < 0xE0:
        return np.int64((first & 0x1F) << 6 | (data[at + 1] & 0x3F))
    if first < 0xF0:
        return np.int64((first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F))
    tail = np.int64(data[at + 1] & 0x3F) << 12 | np.int64(data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F)
    return np.int64((first & 0x07) << 18 | tail)


@inner
def width_of(first: np.int64) -> int:
    """The number of bytes of the UTF-8 character that starts with the byte `first`."""
    if first < 0x80:
        return 1
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4


@inner
def _cut(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    out: NDArray[np.uint64],
) -> int:
    """Write the hash of each unit of one text to `out`; the number of units, or -1 where Python must fold first."""
    count = 0
    state = _UNIT_SEED
    at = start
    while at < stop:
        code = np.int64(data[at])
        if code < 0x80:
            at += 1
        else:
            step = width_of(code)
            code = decode(data, at)
            at += step
        kind = classes[code]
        if kind & COMPLEX:
            return NEEDS_PYTHON
        if kind & WORD:
            if kind & CJK:
                if state != _UNIT_SEED:
                    out[count] = state ^ (state >> _32)
                    count += 1
                state = (_UNIT_SEED ^ np.uint64(table[code])) * _UNIT
                out[count] = state ^ (state >> _32)
                count += 1
                state = _UNIT_SEED
            else:
                state = (state ^ np.uint64(table[code])) * _UNIT
        elif state != _UNIT_SEED:
            out[count] = state ^ (state >> _32)
            count += 1
            state = _UNIT_SEED
    if state != _UNIT_SEED:
        out[count] = state ^ (state >> _32)
        count += 1
    return count


@inner
def hash_rest(
    data: NDArray[np.uint8], start: int, stop: int, classes: NDArray[np.uint8], out: NDArray[np.uint64]
) -> int:
    """Write the hash of a folded text without units to `out`; 1, or 0 where it is only white space."""
    state = _UNIT_SEED
    at = start
    while at < stop:
        first = np.int64(data[at])
        code = first if first < 0x80 else decode(data, at)
        at += width_of(first)
        if not classes[code] & SPACE:
            state = (state ^ np.uint64(code)) * _UNIT
    out[0] = state ^ (state >> _32)
    return 0 if state == _UNIT_SEED else 1


@inner
def join_units(hashes: NDArray[np.uint64], count: int) -> int:
    """Turn the unit hashes of one text into its shingle hashes, in place; the number of shingles."""
    if count < WIDTH:
        joined = np.uint64(0)
        for unit in range(count):
            joined = joined * _JOIN + hashes[unit]
        hashes[0] = min((joined ^ (joined >> _32)) * _LAST, EMPTY_KEY - np.uint64(1))
        return 1
    for start in range(count - WIDTH + 1):
        joined = np.uint64(0)
        for unit in range(WIDTH):  # a constant, so that LLVM unrolls it and hashes several shingles at a time
            joined = joined * _JOIN + hashes[start + unit]
        hashes[start] = min((joined ^ (joined >> _32)) * _LAST, EMPTY_KEY - np.uint64(1))
    return count - WIDTH + 1


@inner
def shingle_hashes(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    out: NDArray[np.uint64],
) -> int:
    """Write the 64-bit hashes of one text's shingles to `out`; how many, or -1 where Python must fold the text."""
    count = _cut(data, start, stop, table, classes, out)
    if count == 0 and stop > start:
        # `table` is the identity only in the pass over folded texts, where it maps "A" to itself.
        count = hash_rest(data, start, stop, classes, out) if table[65] == 65 else NEEDS_PYTHON
    return join_units(out, count) if count > 0 else count


@inner
def premix(hashes: NDArray[np.uint64], count: int, out: NDArray[np.uint32]) -> int:
    """Write the pre-mixed 32-bit hashes to `out`, the last one repeated up to a multiple of 8; the padded count."""
    for index in range(count):
        short = np.uint32(hashes[index] >> _32)
        short = np.uint32((short ^ (short >> _16)) * _MIX_A)
        short = np.uint32((short ^ (short >> _13)) * _MIX_B)
        out[index] = short ^ (short >> _16)
    padded = (count + 7) // 8 * 8
    for index in range(count, padded):
        out[index] = out[count - 1]
    return padded


@inner
def permute(hashes: NDArray[np.uint32], padded: int, drawn: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """Write the smallest value under each permutation to `out`.

    Eight hashes a turn: the inner loop runs over permutations, which LLVM turns into vector instructions, and
    the eight keep the running minimum out of the way of the multiplications (2.5 ns a shingle, against 13).
    """
    factors = drawn[0]
    summands = drawn[1]
    for p in range(out.shape[0]):
        out[p] = _TOP
    for i in range(0, padded, 8):
        x0, x1, x2, x3 = hashes[i], hashes[i + 1], hashes[i + 2], hashes[i + 3]
        x4, x5, x6, x7 = hashes[i + 4], hashes[i + 5], hashes[i + 6], hashes[i + 7]
        for p in range(out.shape[0]):
            a = factors[p]
            b = summands[p]
            low = min(np.uint32(a * x0 + b), np.uint32(a * x1 + b))
            low = min(low, min(np.uint32(a * x2 + b), np.uint32(a * x3 + b)))
            high = min(np.uint32(a * x4 + b), np.uint32(a * x5 + b))
            high = min(high, min(np.uint32(a * x6 + b), np.uint32(a * x7 + b)))
            out[p] = min(out[p], min(low, high))


@kernel
def _sign(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    drawn: NDArray[np.uint32],
    out: NDArray[np.uint32],
    counts: NDArray[np.int64],
) -> None:
    """Sign each text into its row of `out`; `counts` gets its number of shingles, or -1 where Python must fold it."""
    longest = np.int64(0)
    for row in range(counts.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest // 2 + 2, dtype=np.uint64)  # a unit takes two bytes at least: itself and what ends it
    short = np.empty(longest // 2 + 16, dtype=np.uint32)
    for row in range(counts.shape[0]):
        counts[row] = shingle_hashes(data, offsets[row], offsets[row + 1], table, classes, hashes)
        padded = premix(hashes, max(0, counts[row]), short)
        permute(short, padded, drawn, out[row])


@kernel
def band_keys(values: NDArray[np.uint32], rows: int, out: NDArray[np.uint64]) -> None:
    """Write the 64-bit key of each band of each signature to `out`: over the band's number and its `rows` values."""
    for row in range(out.shape[0]):
        for band in range(out.shape[1]):
            state = (_UNIT_SEED ^ np.uint64(band)) * _UNIT
            for value in range(band * rows, band * rows + rows):
                state = (state ^ (state >> _32) ^ np.uint64(values[row, value])) * _JOIN
            out[row, band] = min(state ^ (state >> _32), EMPTY_KEY - np.uint64(1))


@cache
def plain_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """The tables for texts that Python folded: every code point stays itself, and none is complex."""
    return np.arange(FOLD.shape[0], dtype=np.uint32), CLASS & np.uint8(0xFF ^ COMPLEX)


def fold_rows(texts: TextBuffer, rows: NDArray[np.int64]) -> TextBuffer:
    """The chosen texts, folded by Python."""
    return to_buffer(pl.Series([fold(text) for text in from_buffer(texts, rows)], dtype=pl.String))


def _sign_rows(texts: pl.Series, width: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The first `width` values of each signature, and each text's number of shingles."""
    drawn = permutations()[:, :width].copy()
    values = np.empty((len(texts), width), dtype=np.uint32)
    counts = np.empty(len(texts), dtype=np.int64)
    buffer = to_buffer(texts)
    _sign(*buffer, FOLD, CLASS, drawn, values, counts)
    rows = np.flatnonzero(counts == NEEDS_PYTHON)
    if rows.size:
        folded, found = np.empty((rows.size, width), dtype=np.uint32), np.empty(rows.size, dtype=np.int64)
        _sign(*fold_rows(buffer, rows), *plain_tables(), drawn, folded, found)
        values[rows], counts[rows] = folded, found
    return values, counts


def sign(texts: pl.Series) -> Signatures:
    """The MinHash signatures of a String series, 512 bytes a text; null counts as empty."""
    return Signatures(_sign_rows(texts, PERMUTATIONS)[0])


def sign_bands(texts: pl.Series, bands: int = 20, rows: int = 6) -> NDArray[np.uint64]:
    """The band keys of a String series: uint64, shape (n, bands), one 64-bit hash of `rows` signature values a band.

    Two texts are a candidate pair when a key of one is equal to the other's of the same band. Texts without
    shingles have EMPTY_KEY in every band, which is equal to nothing. bands x rows: at most 128.
    """
    keys = np.empty((len(texts), bands), dtype=np.uint64)
    for start in range(0, len(texts), _CHUNK):  # so that the signatures stay in the processor's cache
        values, counts = _sign_rows(texts.slice(start, _CHUNK), bands * rows)
        part = keys[start : start + _CHUNK]
        band_keys(values, rows, part)
        part[counts == 0] = EMPTY_KEY
    return keys
