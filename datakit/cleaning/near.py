"""Near duplicates: candidates by bands, exact similarity, and a decision without chains.

Rows are taken in the order of their rank, the best first. A row is dropped when a better row that is itself
kept stands at or above the threshold; so every dropped row has a kept twin, and no two kept rows that share a
band are above the threshold. That decision is the one greedy independent set of the graph of duplicates
(Blelloch, Fineman, Shun 2012, 1202.3205): it depends on texts and ranks alone, never on the order of input.

Not every edge is needed to find it. Whatever edges are known, once no two *kept* rows share a band without
having been compared, the greedy set over the known edges is the greedy set over all of them: each kept row has
no better kept neighbour, each dropped one has. So large buckets are searched a window at a time, among rows
that are still kept (bands.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.bands import band_pairs, contains, shared_keys, unpack
from datakit.kernels.jaccard import Fetch, Verifier
from datakit.kernels.jit import kernel
from datakit.kernels.minhash import EMPTY_KEY
from datakit.recipe.near import NearSettings

Apart = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Says of row pairs, int64 of shape (m, 2), which must stay apart although their texts are near duplicates."""

BLOCK: Final = 1 << 20
"""Pairs gathered before they are verified; a constant, so that the pairs compared never depend on the machine."""

PAIRS_A_ROW: Final = 64
LEAST_PAIRS: Final = 1 << 20
MOST_PAIRS: Final = 1 << 24  # 8 bytes each while the search runs, 24 where recorded
"""The budget of the search beyond its first round: 64 pairs a row, at least 1 million, at most 16.8 million.
Ordinary corpora need 0.25 pairs a row (facts/performance.md 4); only templates just below the threshold reach it."""

DEPTHS: Final = (10, 5, 2)
"""Before a large bucket is searched at length, its rows that agree in so many bands in a row are compared: of
what a budget cannot reach, the most similar pairs are the ones found."""

_Scored = tuple[NDArray[np.uint64], NDArray[np.float64]]  # packed pairs of positions and their similarities

_32: Final = np.uint64(32)
_GROUP: Final = np.uint64(0x9E3779B97F4A7C15)
_APART_ROWS: Final = 1 << 14


class NearCounts(NamedTuple):
    """What the search did, for the manifest.

    candidates: pairs of rows that share a band and are no variants, as far as looked at; verified: those whose
    similarity was computed, the same number; rejected: those below the threshold; apart: those at or above it
    that the guard kept apart; variants: rows that have a variant among the rows; skipped: at most so many pairs
    were not looked at, 0 unless the budget ran out; rounds: how often the bands were read; whole: 1 where every pair of
    rows that share a band was compared, dropped ones included: then the pairs hold for any other threshold, and among
    any fewer rows.
    """

    candidates: int
    verified: int
    rejected: int
    apart: int
    variants: int
    skipped: int
    rounds: int
    whole: int = 0


class Decisions(NamedTuple):
    """Who is dropped, and why.

    dropped: bool, shape (n,). twin: int64, shape (n,): the kept row that stands for a dropped one, -1 elsewhere:
    of the better kept rows the most similar one, of equals the best. similarity: float64, shape (n,): to the
    twin, NaN elsewhere.
    """

    dropped: NDArray[np.bool_]
    twin: NDArray[np.int64]
    similarity: NDArray[np.float64]


class NearDuplicates(NamedTuple):
    """The result of `find_near_duplicates`.

    pairs: int64, shape (m, 2), row numbers, the better first: every compared pair at or above
    `settings.record_from`, sorted by rank; similarities: float64, shape (m,), exact Jaccard.
    """

    decisions: Decisions
    pairs: NDArray[np.int64]
    similarities: NDArray[np.float64]
    counts: NearCounts


def s_curve(bands: int, rows: int, points: Iterable[float]) -> list[tuple[float, float]]:
    """Each similarity with the probability that a pair of that similarity becomes a candidate: 1 - (1 - s^r)^b."""
    return [(point, 1.0 - (1.0 - point**rows) ** bands) for point in points]


@kernel
def _greedy(better: NDArray[np.int64], worse: NDArray[np.int64], kept: NDArray[np.bool_]) -> None:
    """Mark in `kept` who stays. Edges ascend by their worse end, so a better end is settled when it is read."""
    for edge in range(better.shape[0]):
        if kept[better[edge]]:
            kept[worse[edge]] = False


def keep_greedily(pairs: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which of `count` positions are kept, bool, shape (count,).

    pairs: int64, shape (m, 2): positions of duplicates, the better (smaller) first.
    """
    kept = np.ones(count, dtype=np.bool_)
    order = np.argsort(pairs[:, 1], kind="stable")
    _greedy(pairs[order, 0], pairs[order, 1], kept)
    return kept


def decide(pairs: NDArray[np.int64], similarities: NDArray[np.float64], rank: NDArray[np.int64]) -> Decisions:
    """Who is dropped among rows with these duplicates.

    pairs: int64, shape (m, 2), row numbers; similarities: float64, shape (m,); rank: int64, shape (n,), all
    different, 0 the best.
    """
    order = np.argsort(rank)
    position = np.empty(rank.size, dtype=np.int64)
    position[order] = np.arange(rank.size)
    ends = np.sort(position[pairs], axis=1)
    kept = keep_greedily(ends, rank.size)
    twins = np.full(rank.size, -1, dtype=np.int64)
    values = np.full(rank.size, np.nan)
    deciding = np.flatnonzero(kept[ends[:, 0]] & ~kept[ends[:, 1]])
    better, worse = ends[deciding, 0], ends[deciding, 1]
    best_last = np.lexsort((-better, similarities[deciding]))
    rows = order[worse[best_last]]
    twins[rows] = order[better[best_last]]  # of several for one row, the last assignment stays
    values[rows] = similarities[deciding][best_last]
    dropped = np.empty(rank.size, dtype=np.bool_)
    dropped[order] = ~kept
    return Decisions(dropped, twins, values)


def _rows_with_variant(blanks: NDArray[np.uint64]) -> int:
    """How many rows share the first hash with a row that has another second one."""
    blanks = blanks[shared_keys(blanks[:, 0])]
    ordered = blanks[np.lexsort((blanks[:, 1], blanks[:, 0]))]
    same_text = ordered[1:, 0] == ordered[:-1, 0]
    family = np.cumsum(np.concatenate(([False], ~same_text)))
    mixed = np.zeros(len(ordered), dtype=np.bool_)
    mixed[family[1:][same_text & (ordered[1:, 1] != ordered[:-1, 1])]] = True
    return int(mixed[family].sum()) if len(ordered) else 0


class _Search:
    """The state of one search; rows are positions in the order of rank."""

    def __init__(
        self,
        rows: NDArray[np.int64],
        blanks: NDArray[np.uint64],
        verifier: Verifier,
        threshold: float,
        apart: Apart | None,
    ) -> None:
        self.rows = rows
        self.blanks = blanks
        self.kept: NDArray[np.bool_] = np.ones(rows.size, dtype=np.bool_)
        self.behind = np.zeros(rows.size, dtype=np.bool_)  # was not kept while some band was read
        self.whole = True  # no row was left out of a band, no bucket listed in part
        self.seen = np.zeros(0, dtype=np.uint64)
        self.recorded: list[_Scored] = []
        self.duplicates: list[_Scored] = []
        self.apart = 0
        self._waiting: list[NDArray[np.uint64]] = []
        self._verifier = verifier
        self._threshold = threshold
        self._guard = apart

    def read(self, bands: Iterable[NDArray[np.uint64]], active: NDArray[np.bool_], window: int, budget: int) -> bool:
        """Compare what the bands give among the active rows that are kept; whether the budget held.

        On return `active` tells which rows are in buckets that were not listed to the end.
        """
        cut = np.zeros(active.size, dtype=np.bool_)
        for keys in bands:
            here = np.flatnonzero(active & self.kept)
            self.behind |= ~self.kept
            found = band_pairs(keys[self.rows[here]], here, self.blanks, window)
            cut[found.cut] = True
            self.whole = self.whole and here.size == active.size and not found.cut.size
            self._waiting.append(found.pairs)
            if sum(part.size for part in self._waiting) >= BLOCK:
                self.compare()
                if self.seen.size >= budget:
                    return False
        self.compare()
        active[:] = cut
        return self.seen.size < budget

    def compare(self) -> None:
        """Verify the pairs that wait and were not seen, and decide anew."""
        found = _distinct(np.concatenate(self._waiting)) if self._waiting else self.seen[:0]
        self._waiting = []
        found = found[~contains(self.seen, found)]
        if not found.size:
            return
        self.seen = np.sort(np.concatenate([self.seen, found]))
        values = self._verifier.similarities(self.rows[unpack(found)])
        found, values = found[values >= 0], values[values >= 0]
        self.recorded.append((found, values))
        above = values >= self._threshold
        found, values = found[above], values[above]
        apart = self._held_apart(found)
        self.apart += int(apart.sum())
        self.duplicates.append((found[~apart], values[~apart]))
        self.kept = keep_greedily(unpack(np.concatenate([pairs for pairs, _ in self.duplicates])), self.rows.size)

    def _held_apart(self, found: NDArray[np.uint64]) -> NDArray[np.bool_]:
        apart = np.zeros(found.size, dtype=np.bool_)
        if self._guard is not None:
            for start in range(0, found.size, _APART_ROWS):
                part = slice(start, start + _APART_ROWS)
                apart[part] = self._guard(self.rows[unpack(found[part])])
        return apart

    def skipped(self, bands: Iterable[NDArray[np.uint64]]) -> int:
        """At most so many pairs of kept rows were not compared: a pair counts once a band that it shares."""
        here = np.flatnonzero(self.kept)
        left = 0
        for keys in bands:
            found = band_pairs(keys[self.rows[here]], here, self.blanks, 0)
            left += found.left + int((~contains(self.seen, found.pairs)).sum())
        return left


def _distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The distinct values, ascending (np.unique hashes since numpy 2.3, which takes 50 times as long on these)."""
    ordered = np.sort(values)
    first = np.ones(ordered.size, dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def _grouped(bands: Iterable[NDArray[np.uint64]], depth: int) -> Iterator[NDArray[np.uint64]]:
    """Keys over each `depth` bands in a row: rows that share one are likely to be very similar."""
    keys: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
    for number, column in enumerate(bands):
        if number % depth == 0:
            keys = column.copy()
        else:
            keys = np.where(column == EMPTY_KEY, EMPTY_KEY, (keys ^ (keys >> _32)) * _GROUP + column)
        if number % depth == depth - 1:
            yield keys


def _search(search: _Search, bands: Iterable[NDArray[np.uint64]], budget: int) -> tuple[int, int]:
    """Read the bands until no two kept rows that share one are uncompared; rounds, and pairs skipped."""
    active = np.ones(search.rows.size, dtype=np.bool_)
    search.read(bands, active, 1, 1 << 62)  # the first round always ends: it finds what ordinary corpora have
    rounds = 1
    window = 1
    for depth in DEPTHS if (active & search.kept).any() else ():
        search.read(_grouped(bands, depth), active.copy(), 2, budget)
        rounds += 1
    while True:
        revived = search.behind & search.kept
        if revived.any():  # a row whose twin was dropped later: it has to catch up with everyone
            search.behind &= ~revived
            active[:] = True
        if not (active & search.kept).any():
            return rounds, 0
        window *= 2
        rounds += 1
        if search.seen.size >= budget or not search.read(bands, active, window, budget):
            return rounds, search.skipped(bands)


def _joined(parts: list[_Scored]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of positions, sorted, and their similarities."""
    packed = np.concatenate([np.zeros(0, dtype=np.uint64), *(pairs for pairs, _ in parts)])
    values = np.concatenate([np.zeros(0), *(values for _, values in parts)])
    order = np.argsort(packed)
    return unpack(packed[order]), values[order]


def decide_known(
    pairs: NDArray[np.int64],
    similarities: NDArray[np.float64],
    counts: NearCounts,
    rank: NDArray[np.int64],
    settings: NearSettings,
    *,
    eligible: NDArray[np.bool_],
    apart: Apart,
) -> NearDuplicates:
    """What `find_near_duplicates` gives, from all pairs that an earlier search recorded among these rows or more.

    pairs: int64, shape (m, 2), row numbers; similarities: float64, shape (m,); counts: of that search. The others as
    there.
    """
    recorded = (similarities >= settings.record_from) & eligible[pairs].all(axis=1)
    ends, values = pairs[recorded], similarities[recorded]
    ends = np.take_along_axis(ends, np.argsort(rank[ends], axis=1), axis=1)
    order = np.lexsort((rank[ends[:, 1]], rank[ends[:, 0]]))
    ends, values = ends[order], values[order]
    above = np.flatnonzero(values >= settings.threshold)
    held = apart(ends[above]) if above.size else np.zeros(0, dtype=np.bool_)
    duplicates = above[~held]
    found = counts._replace(rejected=counts.verified - above.size, apart=int(held.sum()))
    return NearDuplicates(decide(ends[duplicates], values[duplicates], rank), ends, values, found)


def find_near_duplicates(
    bands: Iterable[NDArray[np.uint64]],
    blanks: NDArray[np.uint64],
    rank: NDArray[np.int64],
    fetch: Fetch,
    settings: NearSettings,
    *,
    eligible: NDArray[np.bool_] | None = None,
    apart: Apart | None = None,
    threads: int = 1,
) -> NearDuplicates:
    """The near duplicates among n rows.

    Args:
        bands: the columns of `sign_bands`, uint64, shape (n,) each; iterated once a round, so no generator.
        blanks: uint64, shape (n, 2): `blank_hash` of the rows.
        rank: int64, shape (n,): all different, the smallest the best to keep.
        fetch: the texts of some rows; called with at most FETCH_ROWS sorted, distinct row numbers.
        settings: threshold, record_from and memory_mb are read here.
        eligible: bool, shape (n,): which rows take part; all where it is None.
        threads: how many may call `fetch` and hash its texts at a time.
        apart: a guard over row pairs at or above the threshold, e.g. dialogues whose answers differ.

    Memory: about 75 bytes a row beside the arguments, 8 bytes a compared pair, and `settings.memory_mb`.
    """
    taking_part = np.arange(rank.size) if eligible is None else np.flatnonzero(eligible)
    rows = taking_part[np.argsort(rank[taking_part])]
    verifier = Verifier(fetch, settings.record_from, settings.memory_mb, threads)
    search = _Search(rows, np.ascontiguousarray(blanks[rows]), verifier, settings.threshold, apart)
    budget = min(max(LEAST_PAIRS, PAIRS_A_ROW * rows.size), MOST_PAIRS)
    rounds, skipped = _search(search, bands, budget)

    duplicates, values = _joined(search.duplicates)
    decisions = decide(rows[duplicates], values, rank)
    recorded, similarities = _joined(search.recorded)
    verified = search.seen.size
    counts = NearCounts(
        candidates=verified,
        verified=verified,
        rejected=verified - len(duplicates) - search.apart,
        apart=search.apart,
        variants=_rows_with_variant(search.blanks),
        skipped=skipped,
        rounds=rounds,
        whole=int(search.whole and rounds == 1),
    )
    return NearDuplicates(decisions, rows[recorded], similarities, counts)
