"""Band keys and blanked hashes of texts in one pass: what `sign_bands` and `blank_hash` give, cut only once.

The hash of a unit is the same in both (minhash.py, variants.py); they part at numbers, which are units of their own
to a shingle and blanks to a variant.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer, Texts, to_buffer
from datakit.kernels.characters import CJK, CLASS
from datakit.kernels.jit import inner, kernel
from datakit.kernels.minhash import (
    EMPTY_KEY,
    NEEDS_PYTHON,
    band_keys,
    decode,
    fold_rows,
    hash_rest,
    join_units,
    permutations,
    permute,
    premix,
    width_of,
)
from datakit.kernels.variants import (
    BLANK,
    IS_CJK,
    IS_COMPLEX,
    IS_LETTER,
    IS_MINUS,
    IS_NUMBER,
    Tables,
    blank_hash,
    folded_tables,
    hash_number,
    hash_sequence,
    raw_tables,
)

_SEED: Final = np.uint64(0x243F6A8885A308D3)
_UNIT: Final = np.uint64(0x9E3779B97F4A7C15)
_JOIN: Final = np.uint64(0xD6E8FEB86659FD93)
_32: Final = np.uint64(32)
_CHUNK: Final = 4096

# An entry of the table: the folded code point, and bits for what the character is.
_POINT: Final = np.uint32(0x1FFFFF)
_LETTER, _CJK, _NUMBER, _MINUS, _COMPLEX = (np.uint32(1 << bit) for bit in range(24, 29))


class Signed(NamedTuple):
    """blank: uint64, shape (n, 2), as `blank_hash`; bands: uint64, shape (n, bands), as `sign_bands`."""

    blank: NDArray[np.uint64]
    bands: NDArray[np.uint64]


def _pack(tables: Tables) -> NDArray[np.uint32]:
    """One table of both: half the loads."""
    packed = tables.fold.copy()
    kinds = ((_LETTER, IS_LETTER), (_CJK, IS_CJK), (_NUMBER, IS_NUMBER), (_MINUS, IS_MINUS), (_COMPLEX, IS_COMPLEX))
    for bit, kind in kinds:
        packed[tables.kinds & kind != 0] |= bit
    packed[(tables.kinds & IS_NUMBER != 0) & (CLASS & CJK != 0)] |= (
        _CJK  # a Chinese numeral is a unit of its own to a shingle
    )
    return packed


@cache
def _raw_table() -> NDArray[np.uint32]:
    return _pack(raw_tables())


@cache
def _folded_table() -> NDArray[np.uint32]:
    return _pack(folded_tables(0))


@inner
def _end_unit(state: np.uint64, out: NDArray[np.uint64], count: int) -> int:
    """Write the hash of a unit, where there is one; the number of units."""
    if state == _SEED:
        return count
    out[count] = state ^ (state >> _32)
    return count + 1


@inner
def _cut_and_blank(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    packed: NDArray[np.uint32],
    table: NDArray[np.uint32],
    kinds: NDArray[np.uint8],
    out: NDArray[np.uint64],
    pair: NDArray[np.uint64],
) -> int:
    """Write the hash of each unit to `out` and the two blanked hashes to `pair`; the number of units.

    -1 where Python must fold the text first.
    """
    count = 0
    state, unit, blanked, values = _SEED, _SEED, _SEED, _SEED
    signed = False
    number_end = start
    at = start
    while at < stop:
        here = at
        first = np.int64(data[at])
        code = first if first < 0x80 else decode(data, at)
        at += width_of(first)
        entry = packed[code]
        point = np.uint64(entry & _POINT)
        if entry & _LETTER:
            state = (state ^ point) * _UNIT
            unit = (unit ^ point) * _UNIT
            signed = False
            continue
        if entry & _NUMBER:
            if here >= number_end:
                number_end, value = hash_number(data, here, stop, table, kinds, _JOIN if signed else _SEED)
                values = hash_sequence(values, value)
                unit = (unit ^ BLANK) * _UNIT
            signed = False
            if not entry & _CJK:
                state = (state ^ point) * _UNIT
                continue
        elif entry & _CJK:
            blanked = hash_sequence(hash_sequence(blanked, unit), (_SEED ^ point) * _UNIT)
            unit = _SEED
            signed = False
        elif entry & _COMPLEX:
            return NEEDS_PYTHON
        elif here >= number_end:
            signed = entry & _MINUS != 0 and unit == _SEED  # "a-5" has a hyphen, " -5" a minus sign
            blanked = hash_sequence(blanked, unit)
            unit = _SEED
        count = _end_unit(state, out, count)
        state = _SEED
        if entry & _CJK:
            count = _end_unit((_SEED ^ point) * _UNIT, out, count)
    count = _end_unit(state, out, count)
    pair[0] = hash_sequence(blanked, unit)
    pair[1] = values
    return count


@kernel
def _sign_all(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    packed: NDArray[np.uint32],
    table: NDArray[np.uint32],
    kinds: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    drawn: NDArray[np.uint32],
    values: NDArray[np.uint32],
    pairs: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> None:
    """Sign and blank each text into its row; `counts` gets its number of shingles, or -1 where Python must fold it."""
    longest = np.int64(0)
    for row in range(counts.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest // 2 + 2, dtype=np.uint64)  # a unit takes two bytes at least: itself and what ends it
    short = np.empty(longest // 2 + 16, dtype=np.uint32)
    for row in range(counts.shape[0]):
        start, stop = offsets[row], offsets[row + 1]
        count = _cut_and_blank(data, start, stop, packed, table, kinds, hashes, pairs[row])
        if count == 0 and stop > start:
            # `table` is the identity only in the pass over folded texts, where it maps "A" to itself.
            count = hash_rest(data, start, stop, classes, hashes) if table[65] == 65 else NEEDS_PYTHON
        if count > 0:
            count = join_units(hashes, count)
        counts[row] = count
        permute(short, premix(hashes, max(0, count), short), drawn, values[row])


def _sign_buffer(
    texts: TextBuffer, tables: Tables, packed: NDArray[np.uint32], width: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.int64]]:
    size = texts.size
    values = np.empty((size, width), dtype=np.uint32)
    pairs, counts = np.empty((size, 2), dtype=np.uint64), np.empty(size, dtype=np.int64)
    drawn = permutations()[:, :width].copy()
    _sign_all(*texts, packed, *tables, CLASS, drawn, values, pairs, counts)
    return values, pairs, counts


def sign_and_blank(texts: Texts, bands: int = 20, rows: int = 6, keep_apart: Sequence[str] = ()) -> Signed:
    """The band keys and the blanked hashes of texts; see `sign_bands` and `blank_hash`."""
    buffer = to_buffer(texts)
    size = buffer.size
    signed = Signed(np.empty((size, 2), dtype=np.uint64), np.empty((size, bands), dtype=np.uint64))
    for start in range(0, size, _CHUNK):  # so that the signatures stay in the processor's cache
        chunk = TextBuffer(buffer.data, buffer.offsets[start : start + _CHUNK + 1])
        values, pairs, counts = _sign_buffer(chunk, raw_tables(), _raw_table(), bands * rows)
        folded = np.flatnonzero(counts == NEEDS_PYTHON)
        if folded.size:
            again = _sign_buffer(fold_rows(chunk, folded), folded_tables(0), _folded_table(), bands * rows)
            values[folded], pairs[folded], counts[folded] = again
        part = signed.bands[start : start + _CHUNK]
        band_keys(values, rows, part)
        part[counts == 0] = EMPTY_KEY
        signed.blank[start : start + _CHUNK] = pairs
    if keep_apart:
        signed.blank[:] = blank_hash(buffer, keep_apart)
    return signed
