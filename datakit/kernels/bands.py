"""Candidate pairs from band keys, one band at a time, without listing the square of a large bucket.

Rows are known here by their *position*: their place in the order of priority, 0 the best. Nothing depends on
where a row stands in the input, so the pairs found are the same for any order of it.

A bucket is the set of rows that have the same key in a band. Up to SMALL rows, every pair of it is listed. In a
larger one each row is linked only to its `window` best partners; the caller drops what it can and comes back
with a wider window for what is left (near.py). Variants are skipped by their hashes and never listed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.jit import kernel
from datakit.kernels.minhash import EMPTY_KEY

SMALL: Final = 16
"""Rows in a bucket up to which all its pairs are listed."""

_32: Final = np.uint64(32)
_CHUNK: Final = 1 << 20


class BandPairs(NamedTuple):
    """What one band gives.

    pairs: uint64, packed by `pack`, a pair at most once a bucket.
    cut: positions in buckets of which not every pair was listed.
    left: how many pairs that are not variants were not listed.
    """

    pairs: NDArray[np.uint64]
    cut: NDArray[np.int64]
    left: int


def unpack(pairs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Packed pairs as int64, shape (m, 2): the better position first."""
    return np.stack([pairs >> _32, pairs & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)


@kernel
def _small_pairs(
    positions: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    blanks: NDArray[np.uint64],
    out: NDArray[np.uint64],
) -> int:
    """Write all pairs of each bucket that are not variants to `out`; how many."""
    count = 0
    for bucket in range(starts.shape[0]):
        stop = starts[bucket] + sizes[bucket]
        for i in range(starts[bucket], stop):
            a = positions[i]
            for j in range(i + 1, stop):
                b = positions[j]
                if blanks[a, 0] != blanks[b, 0] or blanks[a, 1] == blanks[b, 1]:
                    out[count] = np.uint64(min(a, b)) << _32 | np.uint64(max(a, b))
                    count += 1
    return count


@kernel
def _window_pairs(
    members: NDArray[np.int64],
    starts: NDArray[np.int64],
    anchors: NDArray[np.bool_],
    blanks: NDArray[np.uint64],
    window: int,
    out: NDArray[np.uint64],
) -> int:
    """Link each member of a bucket to the `window` best anchors before it that have another blanked text.

    members: positions, ascending within a bucket; starts: of each bucket, and the end; anchors: who can be one.
    """
    count = 0
    listed = np.empty(members.shape[0], dtype=np.int64)
    for bucket in range(starts.shape[0] - 1):
        known = 0
        for i in range(starts[bucket], starts[bucket + 1]):
            b = members[i]
            taken = 0
            for k in range(known):
                a = listed[k]
                if blanks[a, 0] != blanks[b, 0]:
                    out[count] = np.uint64(a) << _32 | np.uint64(b)
                    count += 1
                    taken += 1
                    if taken == window:
                        break
            if anchors[i]:
                listed[known] = b
                known += 1
    return count


def contains(ordered: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values occur in an ascending array: bool, the shape of `values`."""
    found = np.zeros(values.size, dtype=np.bool_)
    for start in range(0, values.size if ordered.size else 0, _CHUNK):  # places take 8 bytes a value
        part = values[start : start + _CHUNK]
        places = np.minimum(np.searchsorted(ordered, part), ordered.size - 1)
        found[start : start + _CHUNK] = ordered[places] == part
    return found


def shared_keys(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where the keys stand that occur more than once and are not EMPTY_KEY: few, so that only these need an order."""
    # A key's lowest bits give way to its place, so that one sort of plain numbers brings equals and places together.
    places = np.uint64((1 << keys.size.bit_length()) - 1)
    ordered = np.sort((keys & ~places) | np.arange(keys.size, dtype=np.uint64))
    repeats = (ordered[1:] ^ ordered[:-1]) <= places
    alike = np.zeros(keys.size, dtype=np.bool_)
    alike[1:] = repeats
    alike[:-1] |= repeats
    found = np.sort(ordered[alike] & places).astype(np.int64)
    # Some of them may differ in the bits that gave way.
    chosen = keys[found]
    ordered = np.sort(chosen)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    return found[contains(repeated[repeated != EMPTY_KEY], chosen)]


def _runs(*columns: NDArray[np.generic]) -> NDArray[np.int64]:
    """The run that each element belongs to, 0, 1, 2 …, where a run goes on while no column changes."""
    change = np.zeros(len(columns[0]), dtype=np.bool_)
    for column in columns:
        change[1:] |= column[1:] != column[:-1]
    return np.cumsum(change)


def _place_in_run(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each element within its run, from 0."""
    starts = np.flatnonzero(np.diff(runs, prepend=-1))
    return np.arange(runs.size) - starts[runs]


def _pairs_within(runs: NDArray[np.int64]) -> int:
    """How many pairs lie within runs."""
    sizes = np.bincount(runs)
    return int((sizes * (sizes - 1) // 2).sum())


def _large_pairs(
    members: NDArray[np.int64], buckets: NDArray[np.int64], blanks: NDArray[np.uint64], window: int
) -> BandPairs:
    """The pairs of large buckets. members: ascending within a bucket; buckets: 0, 1, 2 …, the bucket of each."""
    family, values = blanks[members, 0], blanks[members, 1]
    order = np.lexsort((members, values, family, buckets))
    families = _runs(buckets[order], family[order])
    equals = _runs(families, values[order])

    # Equal units: linked to the best of their own. These are duplicates whatever the threshold.
    place = _place_in_run(equals)
    reach = np.minimum(place, window)
    later = np.repeat(np.arange(place.size), reach)
    nth = np.arange(later.size) - np.repeat(np.cumsum(reach) - reach, reach)
    first = members[order[later - place[later] + nth]]
    same = first.astype(np.uint64) << _32 | members[order[later]].astype(np.uint64)

    # Others: linked to the best of all, at most `window` of each family, as more of one would all be variants.
    anchors = np.empty(members.size, dtype=np.bool_)
    anchors[order] = _place_in_run(families) < window
    starts = np.append(np.flatnonzero(np.diff(buckets, prepend=-1)), members.size)
    room = int(np.minimum(_place_in_run(buckets), window).sum())
    out = np.empty(room, dtype=np.uint64)
    across = out[: _window_pairs(members, starts, anchors, blanks, window, out)]

    left = _pairs_within(buckets) - _pairs_within(families) + _pairs_within(equals) - same.size - across.size
    return BandPairs(np.concatenate([same, across]), members if left else members[:0], left)


def band_pairs(
    keys: NDArray[np.uint64], positions: NDArray[np.int64], blanks: NDArray[np.uint64], window: int
) -> BandPairs:
    """The candidate pairs of one band among some rows.

    keys: uint64, shape (k,), the band keys of these rows; EMPTY_KEY is equal to nothing.
    positions: int64, shape (k,), ascending. blanks: uint64, shape (n, 2), `blank_hash` by position.
    window: partners a row is linked to in a bucket of more than SMALL rows; 0 only counts.
    """
    shared = shared_keys(keys)
    if not shared.size:
        return BandPairs(np.zeros(0, dtype=np.uint64), positions[:0], 0)
    keys, positions = keys[shared], positions[shared]
    order = np.argsort(keys)
    buckets = _runs(keys[order])
    starts = np.flatnonzero(np.diff(buckets, prepend=-1))
    sizes = np.diff(np.append(starts, keys.size))
    large = sizes > SMALL
    small = ~large
    sorted_positions = positions[order]
    room = int((sizes[small] * (sizes[small] - 1) // 2).sum())
    out = np.empty(room, dtype=np.uint64)
    listed = out[: _small_pairs(sorted_positions, starts[small], sizes[small], blanks, out)]
    if not large.any():
        return BandPairs(listed, positions[:0], 0)
    # The sort by key does not keep the positions of a bucket in order.
    inside = large[buckets]
    buckets = (np.cumsum(large) - 1)[buckets[inside]]
    members = sorted_positions[inside]
    members = members[np.lexsort((members, buckets))]
    pairs, cut, left = _large_pairs(members, buckets, blanks, window)
    return BandPairs(np.concatenate([listed, pairs]), cut, left)
