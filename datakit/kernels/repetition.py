"""Repetition inside one text: duplicate lines and paragraphs, top and duplicate n-grams.

The scores are Gopher's (Rae et al. 2021, arXiv 2112.11446, table A1) in datatrove's definition
(`gopher_repetition_filter.py`): only repeats after the first occurrence count, and the n-grams of a text are
walked greedily, jumping n words over each repeat. Strings are compared by 64-bit hashes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.jit import inner

CJK_PER_WORD: Final = 1.8
"""Chinese characters a word: jieba 0.42.1 cuts the replies of alpaca_zh_demo (55,970 Han characters) into words
of 1.81. It carries thresholds that FineWeb-2 states for jieba words over to characters."""

WORD_ORDERS: Final = np.arange(2, 11, dtype=np.int64)
"""n of the n-grams in words: top 2, 3, 4, then duplicate 5 to 10."""

CJK_ORDERS: Final = np.round(WORD_ORDERS * CJK_PER_WORD).astype(np.int64)
"""The same in units (characters) for a text that is mostly Chinese or Japanese: 4, 5, 7, 9, 11, 13, 14, 16, 18."""

TOP_ORDERS: Final = 3
"""So many of the orders, from the left, are scored by their most frequent n-gram, the others by duplicates."""

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_SPREAD: Final = np.uint64(0xD6E8FEB86659FD93)
_ONE: Final = np.uint64(1)


class Table(NamedTuple):
    """An open-addressing table, cleared for each use only as far as that use needs.

    keys: uint64, 0 where free; counts: int32. Same length, a power of two.
    """

    keys: NDArray[np.uint64]
    counts: NDArray[np.int32]


class Units(NamedTuple):
    """The units of one text, at most as many as the arrays hold.

    starts: int32, first character of each unit; words: uint8, its number among the known words (0: none);
    prefix: uint64, one longer, polynomial hash of all units before; sizes: int32, one longer, their characters.
    """

    starts: NDArray[np.int32]
    words: NDArray[np.uint8]
    prefix: NDArray[np.uint64]
    sizes: NDArray[np.int32]


class Walk(NamedTuple):
    """Positions still in question while the orders grow, and the slot of each in the table; int32."""

    positions: NDArray[np.int32]
    slots: NDArray[np.int32]


@inner
def extend_prefix(prefix: np.uint64, unit: np.uint64) -> np.uint64:
    """The polynomial hash of a sequence with one more unit."""
    return prefix * _BASE + unit


@inner
def clear(table: Table, entries: int) -> int:
    """Free the part of the table that so many entries need; its size, a power of two at least twice as large."""
    size = 16
    while size < 2 * entries:
        size *= 2
    for slot in range(size):
        table.keys[slot] = 0
        table.counts[slot] = 0
    return size


@inner
def place(table: Table, size: int, key: np.uint64) -> int:
    """The slot of a key, counted once more."""
    if key == 0:
        key = _ONE
    slot = int(np.int64((key * _SPREAD) >> np.uint64(32))) & (size - 1)
    while table.keys[slot] != 0 and table.keys[slot] != key:
        slot = (slot + 1) & (size - 1)
    table.keys[slot] = key
    table.counts[slot] += 1
    return slot


@inner
def count_duplicates(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int32], entries: int, table: Table
) -> tuple[int, int]:
    """How many of the entries repeat an earlier one, and the sum of their lengths."""
    size = clear(table, entries)
    repeats, characters = 0, 0
    for entry in range(entries):
        if table.counts[place(table, size, hashes[entry])] > 1:
            repeats += 1
            characters += lengths[entry]
    return repeats, characters


@inner
def find_grams(units: Units, order: int, walk: Walk, left: int, table: Table) -> None:
    """Count the n-grams of `order` units that begin at the positions left, and note the slot of each."""
    power = _ONE
    for _ in range(order):
        power = power * _BASE
    size = clear(table, left)
    for index in range(left):
        start = walk.positions[index]
        gram = units.prefix[start + order] - units.prefix[start] * power
        walk.slots[index] = place(table, size, gram)


@inner
def score_top(units: Units, order: int, gaps: int, walk: Walk, left: int, table: Table) -> int:
    """Characters in all occurrences of the most frequent n-gram (of equals, the first); 0 where none occurs twice."""
    best, where = 1, 0
    for index in range(left):
        count = table.counts[walk.slots[index]]
        if count > best:
            best, where = count, walk.positions[index]
    return best * (units.sizes[where + order] - units.sizes[where] + gaps) if best > 1 else 0


@inner
def score_duplicates(units: Units, order: int, gaps: int, walk: Walk, left: int, table: Table) -> int:
    """Characters in repeated n-grams, walking greedily: over a repeat the walk jumps `order` units.

    The count of an n-gram is negated once the walk has met it.
    """
    characters, free = 0, 0
    for index in range(left):
        start = walk.positions[index]
        slot = walk.slots[index]
        if start < free or table.counts[slot] == 1:
            continue
        if table.counts[slot] < 0:
            characters += units.sizes[start + order] - units.sizes[start] + gaps
            free = start + order
        else:
            table.counts[slot] = -table.counts[slot]
    return characters


@inner
def keep_repeated(walk: Walk, left: int, last: int, table: Table) -> int:
    """Keep the positions up to `last` whose n-gram occurs more than once: only there can a longer one repeat."""
    kept = 0
    for index in range(left):
        if abs(table.counts[walk.slots[index]]) > 1 and walk.positions[index] <= last:
            walk.positions[kept] = walk.positions[index]
            kept += 1
    return kept


@inner
def score_grams(units: Units, length: int, cjk: bool, walk: Walk, table: Table, scores: NDArray[np.int64]) -> None:
    """Write the characters in top and duplicate n-grams of the first `length` units.

    scores: int64, shape (9,), zeros on entry, one for each of `WORD_ORDERS`. An n-gram is as long as its units and
    one gap between each two of its n words, as if written out with spaces; so for Chinese too, whose thresholds
    were found on jieba words joined by spaces.
    """
    orders = CJK_ORDERS if cjk else WORD_ORDERS
    left = max(0, length - orders[0] + 1)
    for start in range(left):
        walk.positions[start] = start
    for index in range(len(orders)):
        if left < 2:
            break
        order, gaps = orders[index], WORD_ORDERS[index] - 1
        find_grams(units, order, walk, left, table)
        if index < TOP_ORDERS:
            scores[index] = score_top(units, order, gaps, walk, left, table)
        else:
            scores[index] = score_duplicates(units, order, gaps, walk, left, table)
        if index + 1 < len(orders):
            left = keep_repeated(walk, left, length - orders[index + 1], table)
