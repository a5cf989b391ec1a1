"""Exact Jaccard similarity of shingle sets, computed for candidate pairs in bounded memory.

The sets hold 64-bit hashes, so that two shingles of one corpus practically never share one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer
from datakit.kernels.characters import CLASS, FOLD
from datakit.kernels.jit import inner, kernel
from datakit.kernels.minhash import EMPTY_KEY, fold_rows, plain_tables, shingle_hashes

Fetch = Callable[[NDArray[np.int64]], TextBuffer]
"""Gives the texts of the asked rows; it is called with sorted, distinct row numbers, at most FETCH_ROWS of them."""

FETCH_ROWS: Final = 2048
BELOW: Final = -1.0
"""Stands for a similarity below the floor of `similarities`: not computed to the end."""

_32: Final = np.uint64(32)
_FIRST_GUESS: Final = 512  # shingles of a set


class ShingleSets(NamedTuple):
    """Shingle sets: set i is `hashes[bounds[i, 0]:bounds[i, 1]]`, ascending and distinct.

    hashes: uint64; bounds: int64, shape (n, 2).
    """

    hashes: NDArray[np.uint64]
    bounds: NDArray[np.int64]


@inner
def _sorted_set(hashes: NDArray[np.uint64], count: int, slots: NDArray[np.uint64], out: NDArray[np.uint64]) -> int:
    """Write the distinct values of `hashes[:count]` to `out` in ascending order; how many there are.

    Linear probing sort (Gonnet and Munro 1984): evenly spread values fall into slots by their upper bits and
    keep their order where they collide, so that reading the slots gives them sorted. `slots` has room for 3
    slots a value.
    """
    homes = np.uint64(2 * count)
    for slot in range(3 * count):
        slots[slot] = EMPTY_KEY
    for index in range(count):
        value = hashes[index]
        at = np.int64(((value >> _32) * homes) >> _32)
        while slots[at] < value:
            at += 1
        while slots[at] != EMPTY_KEY and value != slots[at]:
            slots[at], value = value, slots[at]
            at += 1
        slots[at] = value
    size = 0
    for slot in range(3 * count):
        if slots[slot] != EMPTY_KEY:
            out[size] = slots[slot]
            size += 1
    return size


@kernel
def _collect(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    at: int,
    out: NDArray[np.uint64],
    bounds: NDArray[np.int64],
) -> int:
    """Write the shingle sets to `out` from `at` on, and where each lies to `bounds`; where the last one ends.

    A text that Python must fold first has -1 as the end of its set.
    """
    longest = np.int64(0)
    for row in range(bounds.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest // 2 + 2, dtype=np.uint64)
    slots = np.empty(3 * (longest // 2 + 2), dtype=np.uint64)
    for row in range(bounds.shape[0]):
        count = shingle_hashes(data, offsets[row], offsets[row + 1], table, classes, hashes)
        bounds[row, 0] = at
        if count >= 0:
            at += _sorted_set(hashes, count, slots, out[at:])
        bounds[row, 1] = at if count >= 0 else -1
    return at


class _Shelf:
    """A run of memory in which shingle sets are put side by side."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes, self.size = hashes, 0
        self.bounds: list[NDArray[np.int64]] = []

    def put(self, texts: TextBuffer) -> bool:
        """Add the sets of these texts; False, and none of them, where there may be no room."""
        bounds = np.zeros((texts.size, 2), dtype=np.int64)
        if self.size + _most_shingles(texts) > self.hashes.size:
            return False
        end = _collect(*texts, FOLD, CLASS, self.size, self.hashes, bounds)
        rows = np.flatnonzero(bounds[:, 1] == -1)
        if rows.size:
            folded, again = fold_rows(texts, rows), np.zeros((rows.size, 2), dtype=np.int64)
            if end + _most_shingles(folded) > self.hashes.size:
                return False
            end = _collect(*folded, *plain_tables(), end, self.hashes, again)
            bounds[rows] = again
        self.size = end
        self.bounds.append(bounds)
        return True


def _most_shingles(texts: TextBuffer) -> int:
    """More shingles than there can be: each takes two bytes at least."""
    return texts.data.size // 2 + 2 * texts.size + 1


def shingle_sets(texts: TextBuffer) -> ShingleSets:
    """The shingle sets of some texts; a text without shingles has the empty set."""
    room = _most_shingles(texts)
    while not (shelf := _Shelf(np.empty(room, dtype=np.uint64))).put(texts):
        room *= 2  # texts that Python folds may become longer
    return ShingleSets(shelf.hashes[: shelf.size], np.concatenate(shelf.bounds))


@inner
def _overlap(hashes: NDArray[np.uint64], left: NDArray[np.int64], right: NDArray[np.int64], floor: float) -> float:
    """The Jaccard similarity of two sets, or BELOW as soon as it cannot reach the floor."""
    i, j = left[0], right[0]
    total = float(left[1] - i + right[1] - j)
    # |A ∩ B| / (|A| + |B| - |A ∩ B|) >= floor needs so many in common; the margin is for rounding.
    needed = floor / (1.0 + floor) * total - 1e-6
    spare = float(left[1] - i) - needed  # how many of the left set may have no partner
    common = 0
    while i < left[1] and j < right[1]:
        a = hashes[i]
        b = hashes[j]
        common += a == b
        i += a <= b
        j += b <= a
        if i - left[0] - common > spare:
            return BELOW
    similarity = common / max(1.0, total - common)
    return similarity if similarity >= floor else BELOW


@kernel
def _overlaps(
    hashes: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    pairs: NDArray[np.int64],
    floor: float,
    out: NDArray[np.float64],
) -> None:
    """Write the similarity of each pair of sets to `out`."""
    for pair in range(pairs.shape[0]):
        out[pair] = _overlap(hashes, bounds[pairs[pair, 0]], bounds[pairs[pair, 1]], floor)


def similarities(sets: ShingleSets, pairs: NDArray[np.int64], floor: float = 0.0) -> NDArray[np.float64]:
    """The exact Jaccard similarity of each pair of sets; BELOW where it is under the floor. 0 for two empty sets.

    pairs: int64, shape (m, 2), numbers of sets.
    """
    out = np.empty(len(pairs), dtype=np.float64)
    _overlaps(*sets, pairs, floor, out)
    return out


class Verifier:
    """Computes the similarity of row pairs, fetching texts in groups and holding their sets within a bound.

    fetch may be called by as many threads at a time as `threads` says.
    """

    def __init__(self, fetch: Fetch, floor: float, memory_mb: float, threads: int = 1) -> None:
        self._fetch, self._threads = fetch, threads
        self._floor = floor
        self._room = int(memory_mb * 2**20) // 8  # hashes
        self._set_size = float(_FIRST_GUESS)  # hashes of a set, measured as sets come in

    def similarities(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """The Jaccard similarity of each pair of rows; BELOW where it is under the floor.

        pairs: int64, shape (m, 2), row numbers; best sorted, so that neighbours share rows.
        """
        out = np.empty(len(pairs), dtype=np.float64)
        start, size = 0, len(pairs)
        while start < len(pairs):
            part = pairs[start : start + size]
            rows, places = np.unique(part, return_inverse=True)
            sets = self._load(rows, len(part) == 1)
            if sets is None:
                size = max(1, len(part) // 2)
                continue
            out[start : start + len(part)] = similarities(sets, places.reshape(part.shape), self._floor)
            start += len(part)
            size = 2 * len(part)
        return out

    def _load(self, rows: NDArray[np.int64], at_any_size: bool) -> ShingleSets | None:
        """The sets of the rows; None where they do not fit."""
        if at_any_size:
            self._set_size = float(_FIRST_GUESS)  # what follows need not be as large
            return shingle_sets(self._fetch(rows))
        if rows.size * self._set_size > self._room:
            return None
        threads = min(self._threads, max(1, rows.size // FETCH_ROWS))
        # One run of memory with a shelf a thread; pages that are never written cost nothing.
        hashes = np.empty(self._room, dtype=np.uint64)
        shelves = [_Shelf(part) for part in np.array_split(hashes, threads)]
        with ThreadPoolExecutor(threads) as pool:
            whole = list(pool.map(self._fill, shelves, np.array_split(rows, threads)))
        done = sum(len(part) for shelf in shelves for part in shelf.bounds)
        self._set_size = max(1.0, sum(shelf.size for shelf in shelves) / max(1, done))
        if not all(whole):
            self._set_size = max(self._set_size, 1.01 * self._room / rows.size)  # so that fewer rows are asked for next
            return None
        starts = np.cumsum([0, *(shelf.hashes.size for shelf in shelves)])
        bounds = [part + start for shelf, start in zip(shelves, starts, strict=False) for part in shelf.bounds]
        return ShingleSets(hashes, np.concatenate(bounds))

    def _fill(self, shelf: _Shelf, rows: NDArray[np.int64]) -> bool:
        """Put the sets of the rows on the shelf; whether there was room for all."""
        stretches = range(0, rows.size, FETCH_ROWS)
        return all(shelf.put(self._fetch(rows[start : start + FETCH_ROWS])) for start in stretches)
