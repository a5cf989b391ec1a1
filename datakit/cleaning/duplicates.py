"""Duplicates among all rows of a run: the pass that looks across batches.

Holds a few numbers a row (some 60 bytes), one band of the signatures at a time, and the texts of candidates in
blocks; the texts themselves stay in the work folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning.batch import INDEX, batch_file
from datakit.cleaning.compared import Compared
from datakit.cleaning.components import components
from datakit.cleaning.exact import find_exact_duplicates
from datakit.cleaning.near import NearCounts, NearDuplicates, decide_known, find_near_duplicates
from datakit.kernels.buffers import TextBuffer, from_buffer, join_buffers
from datakit.kernels.jaccard import Verifier
from datakit.recipe.clean import CleanSettings
from datakit.recipe.near import NearSettings
from datakit.versions.ledger import FATE

FOUND: Final = pl.Schema({"batch": pl.Int64(), "place": pl.UInt32(), **FATE})
"""A duplicate: where its row stands (batch and place in it), and its columns of the ledger."""

PAIRS: Final = "pairs.parquet"
_KEY: Final = ["id", "source", "line"]
_UNDATED: Final = -(2**62)  # before any date, so that undated rows come last


@dataclass(frozen=True)
class Duplicates:
    """rows: the duplicates (see FOUND); counts: what the search looked at."""

    rows: pl.DataFrame
    counts: dict[str, int]


@dataclass(frozen=True)
class Known:
    """What an earlier search among the same rows found: its pairs, as pairs.parquet has them, and its counts."""

    pairs: pl.DataFrame
    counts: NearCounts


def find_duplicates(
    work: Path, batch_rows: Sequence[int], settings: CleanSettings, threads: int, known: Known | None = None
) -> Duplicates:
    """Exact, then near duplicates among the rows that nothing speaks against yet; pairs.parquet lies in `work` then.

    known: where it is given, nothing is searched, and near duplicates are decided by its pairs.
    """
    store = _Store(work, batch_rows)
    alive = store.columns(alive=pl.col("reason").is_null())["alive"]
    twins = pl.DataFrame(schema={"row": pl.Int64, "twin": pl.Int64})
    if "exact" in settings.steps:
        twins = _find_exact(store, alive)
    found = twins.with_columns(
        reason=pl.lit("exact_duplicate"), similarity=pl.lit(1.0), threshold=pl.lit(None, pl.Float64)
    )
    if "near" not in settings.steps:
        store.write_pairs(None)
        return Duplicates(store.described(found), {})
    alive[twins["row"].to_numpy()] = False
    near = _find_near(store, alive, settings.near, threads, known)
    found = _with_near(found, near, settings.near)
    store.write_pairs(near)
    return Duplicates(store.described(found), near.counts._asdict())


def _find_exact(store: _Store, alive: NDArray[np.bool_]) -> pl.DataFrame:
    """Exact duplicates among the rows that are alive: columns row and twin."""
    # Half of the hash tells most rows to be unique; only the others are looked at whole.
    half = store.columns(half=pl.col("exact_0").fill_null(0))["half"]
    ordered = np.sort(half[alive])
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    places = np.minimum(np.searchsorted(repeated, half), max(0, repeated.size - 1))
    rows = np.flatnonzero(alive & (repeated[places] == half)) if repeated.size else np.zeros(0, dtype=np.int64)
    columns = ["verified", "length", "date", "exact_0", "exact_1"]
    return find_exact_duplicates(store.rows(rows, columns))


def _with_near(exact: pl.DataFrame, near: NearDuplicates, settings: NearSettings) -> pl.DataFrame:
    """Both sorts of duplicates. A row follows its exact twin where that turned out a near duplicate: twins are kept."""
    gone = np.flatnonzero(near.decisions.dropped)
    found = pl.DataFrame(
        {
            "row": gone,
            "twin": near.decisions.twin[gone],
            "reason": ["near_duplicate"] * gone.size,
            "similarity": near.decisions.similarity[gone],
            "threshold": [settings.threshold] * gone.size,
        },
        schema_overrides={"row": pl.Int64, "twin": pl.Int64, "reason": pl.String, "threshold": pl.Float64},
    )
    moved = exact.join(found, left_on="twin", right_on="row", how="inner", suffix="_near").select(
        "row",
        pl.col("twin_near").alias("twin"),
        pl.col("reason_near").alias("reason"),
        pl.col("similarity_near").alias("similarity"),
        pl.col("threshold_near").alias("threshold"),
    )
    settled = exact.join(moved, on="row", how="anti")
    return pl.concat([settled.select(found.columns), moved.select(found.columns), found])


def _find_near(
    store: _Store, alive: NDArray[np.bool_], settings: NearSettings, threads: int, known: Known | None
) -> NearDuplicates:
    bands = _Bands(store, settings.bands)
    column = store.columns(
        **{name: pl.col(name).fill_null(0) for name in ("blank_0", "blank_1")},
        date=pl.col("date").fill_null(_UNDATED),
        length=pl.col("length").fill_null(0).cast(pl.Int64),
        verified=pl.col("verified").fill_null(value=False),
    )
    blanks = np.stack([column.pop("blank_0"), column.pop("blank_1")], axis=1)
    guard = _AnswersDiffer(store, settings)
    dates = column["date"]
    undated = dates == _UNDATED

    def search(when: NDArray[np.int64]) -> NearDuplicates:
        rank = _rank(column["verified"], column["length"], when)
        if known is not None:
            ends, values = store.found(known.pairs)
            return decide_known(ends, values, known.counts, rank, settings, eligible=alive, apart=guard)
        return find_near_duplicates(
            bands, blanks, rank, store.texts, settings, eligible=alive, apart=guard, threads=threads
        )

    result = search(dates)
    if undated.all() or not undated.any():
        return result
    comparable = _comparable_dates(store, dates, result, settings.threshold)
    # Rare: duplicates that tie on everything, some dated and some not. Their dates mean nothing, so rank without them.
    return result if np.array_equal(comparable, dates) else search(comparable)


def _rank(verified: NDArray[np.bool_], length: NDArray[np.int64], dates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row's place among all, the best to keep first: verified, longer, later, smaller (source, line)."""
    order = np.lexsort((-dates, -length, ~verified))  # stable, so that rows which tie stay in the order of their keys
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return rank


def _comparable_dates(
    store: _Store, dates: NDArray[np.int64], near: NearDuplicates, threshold: float
) -> NDArray[np.int64]:
    """The dates, without those of rows that tie on verified and length with an undated duplicate."""
    edges = near.pairs[near.similarities >= threshold]
    rows = np.unique(edges)
    group = components(np.searchsorted(rows, edges), rows.size)
    tie = ["group", "verified", "length"]
    tied = store.rows(rows, ["verified", "length", "date"]).with_columns(pl.Series("group", group))
    mixed = tied.filter((pl.col("date").null_count().over(tie) > 0) & pl.col("date").is_not_null())
    comparable = dates.copy()
    comparable[mixed["row"].to_numpy()] = _UNDATED
    return comparable


class _Store:
    """The rows of all batches, by their number over the whole run."""

    def __init__(self, work: Path, batch_rows: Sequence[int]) -> None:
        self.work, self._compared = work, Compared(work)
        self.starts = np.concatenate([[0], np.cumsum(batch_rows)]).astype(np.int64)

    def columns(self, **what: pl.Expr) -> dict[str, NDArray[Any]]:
        """One value a row for each expression, never null, of all rows, which order like (source, line).

        Read batch by batch, to hold nothing else.
        """
        read = sorted({column for expression in what.values() for column in expression.meta.root_names()})
        found: dict[str, NDArray[Any]] = {}
        for number, (start, stop) in enumerate(pairwise(self.starts.tolist())):
            for series in pl.read_ipc(batch_file(self.work, "index", number), columns=read).select(**what):
                values = series.to_numpy()
                if series.name not in found:
                    found[series.name] = np.zeros(int(self.starts[-1]), dtype=values.dtype)
                found[series.name][start:stop] = values
        return found

    def texts(self, rows: NDArray[np.int64], column: str = "text") -> TextBuffer:
        """A column of the texts of some rows, sorted by row number."""
        parts = [
            self._compared.read(column, number, rows[start:stop] - self.starts[number])
            for number, start, stop in self._batches(rows)
        ]
        return join_buffers(parts)

    def _batches(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Batches that hold some of the rows, each with the stretch of `rows` that lies in it."""
        cuts = np.searchsorted(rows, self.starts)
        for number, (start, stop) in enumerate(pairwise(cuts.tolist())):
            if start < stop:
                yield number, start, stop

    def rows(self, rows: NDArray[np.int64], columns: list[str]) -> pl.DataFrame:
        """Some columns of the index for some rows, sorted by row number, behind a column `row`."""
        parts = [pl.DataFrame(schema={"row": pl.Int64, **{name: INDEX[name] for name in columns}})]
        for number, start, stop in self._batches(rows):
            mine = rows[start:stop]
            frame = pl.read_ipc(batch_file(self.work, "index", number), columns=columns)
            parts.append(frame[mine - self.starts[number]].select(pl.Series("row", mine), *columns))
        return pl.concat(parts)

    def found(self, pairs: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pairs by their keys: row numbers, int64, shape (m, 2), and similarities; those of other rows are left out."""
        wanted = pl.concat(
            [pairs.select(pl.col(f"^{end}_.*$").name.map(lambda name: name[2:])) for end in "ab"]
        ).unique()
        numbers = []
        for number, start in enumerate(self.starts[:-1].tolist()):
            index = pl.read_ipc(batch_file(self.work, "index", number), columns=["source", "line"])
            numbers.append(index.with_row_index("row", start).join(wanted, on=["source", "line"], how="semi"))
        rows = pl.concat(numbers)
        for end in "ab":
            named = rows.rename({"row": end, "source": f"{end}_source", "line": f"{end}_line"})
            pairs = pairs.join(named, on=[f"{end}_source", f"{end}_line"], how="inner", maintain_order="left")
        return pairs.select(pl.col("a", "b").cast(pl.Int64)).to_numpy(), pairs["similarity"].to_numpy()

    def described(self, found: pl.DataFrame) -> pl.DataFrame:
        """Duplicates with the place of the row and the key of the twin: the columns of FOUND."""
        rows = found["row"].to_numpy()
        batch = np.searchsorted(self.starts, rows, side="right") - 1
        twins = self.rows(np.unique(found["twin"].to_numpy()), _KEY)
        named = twins.rename({"row": "twin", "id": "twin_id", "source": "twin_source", "line": "twin_line"})
        described = found.with_columns(
            pl.Series("batch", batch, dtype=pl.Int64),
            pl.Series("place", rows - self.starts[batch], dtype=pl.UInt32),
            pl.col("reason").str.strip_suffix("_duplicate").alias("stage"),
            pl.col("similarity").alias("value"),
        )
        described = (
            described.join(named, on="twin", how="left", maintain_order="left").drop("twin").rename({"twin_id": "twin"})
        )
        return described.select(*FOUND).cast(FOUND).sort("batch", "place")

    def write_pairs(self, near: NearDuplicates | None) -> None:
        """Write pairs.parquet: both keys and the exact Jaccard similarity of the pairs that were recorded."""
        ends = near.pairs if near is not None else np.zeros((0, 2), dtype=np.int64)
        similarity = near.similarities if near is not None else np.zeros(0)
        keys = self.rows(np.unique(ends), _KEY)
        pairs = pl.DataFrame({"a": ends[:, 0], "b": ends[:, 1], "similarity": similarity})
        for end in ("a", "b"):
            named = keys.rename({"row": end, "id": f"{end}_id", "source": f"{end}_source", "line": f"{end}_line"})
            pairs = pairs.join(named, on=end, how="left", maintain_order="left")
        columns = [f"{end}_{name}" for end in ("a", "b") for name in ("source", "line", "id")]
        ordered = pairs.select(*columns, "similarity").sort(columns)
        ordered.write_parquet(self.work / PAIRS, compression="zstd", compression_level=1)


class _Bands:
    """The band keys of all rows, a band at a time; can be gone through again and again."""

    def __init__(self, store: _Store, bands: int) -> None:
        self._store, self._bands = store, bands

    def __iter__(self) -> Iterator[NDArray[np.uint64]]:
        starts = self._store.starts
        for band in range(self._bands):
            keys = np.empty(int(starts[-1]), dtype=np.uint64)
            for number, (start, stop) in enumerate(pairwise(starts.tolist())):
                path = batch_file(self._store.work, "bands", number, "bin")
                keys[start:stop] = np.fromfile(path, np.uint64, stop - start, offset=8 * band * (stop - start))
            yield keys


class _AnswersDiffer:
    """Keeps dialogues and pairs apart whose answers differ, however much else they share.

    Two dialogues over one long document are near duplicates as a whole even where every answer is another; two
    preference pairs with chosen and rejected swapped are a contradiction, not a duplicate.
    """

    def __init__(self, store: _Store, settings: NearSettings) -> None:
        self._store, self._floor, self._memory_mb = store, settings.answers, settings.memory_mb

    def __call__(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        apart = np.zeros(len(pairs), dtype=np.bool_)
        for column in ("answer", "rejected") if self._floor > 0 else ():
            apart |= self._differ(pairs, column)
        return apart

    def _differ(self, pairs: NDArray[np.int64], column: str) -> NDArray[np.bool_]:
        rows = np.unique(pairs)
        said = from_buffer(self._store.texts(rows, column), np.arange(rows.size))
        silent = np.array([not text or text.isspace() for text in said])
        both_speak = ~silent[np.searchsorted(rows, pairs)]
        apart = both_speak[:, 0] != both_speak[:, 1]
        compared = np.flatnonzero(both_speak.all(axis=1))
        if compared.size:
            verifier = Verifier(lambda asked: self._store.texts(asked, column), self._floor, self._memory_mb)
            apart[compared] = verifier.similarities(pairs[compared]) < self._floor
        return np.asarray(apart, dtype=np.bool_)
