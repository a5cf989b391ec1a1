"""A version laid down again as the batches of a run: records, index and scores, as they were when it was cleaned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning.batch import INDEX, Assessed, BatchSummary, assess, batch_file, lay_down, lay_down_texts
from datakit.errors import DataVerdict
from datakit.recipe.recipe import Recipe
from datakit.records import KINDS, SCHEMAS, Kind
from datakit.segments import to_segments
from datakit.versions.store import Version

_BATCH: Final = 32 << 20  # bytes of records a batch, by what a row takes on average
_ROWS: Final = 1 << 16
_KEY: Final = ["source", "line"]


@dataclass(frozen=True)
class _Shelf:
    """A file of records of one kind, and the place in the ledger of each of its rows, ascending."""

    kind: Kind
    path: Path
    places: NDArray[np.int64]

    def read(self, start: int, stop: int) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """The records whose places are from `start` on and below `stop`."""
        first, last = np.searchsorted(self.places, [start, stop]).tolist()
        rows = pl.scan_parquet(self.path).slice(first, last - first).collect()
        return rows.select(*SCHEMAS[self.kind]), self.places[first:last]


class Restored:
    """A cleaned version, a batch at a time in the order of its ledger.

    Raises:
        DataVerdict: its files contradict each other.
    """

    def __init__(self, version: Version) -> None:
        self.version = version
        self.ledger = pl.read_parquet(version.path / "ledger.parquet").with_row_index("place")
        self._edits = pl.read_parquet(version.path / "edits.parquet")
        self._rejected = pl.read_parquet(version.path / "dropped" / "rejected.parquet")
        self._shelves = list(self._find_shelves())
        size = sum(shelf.path.stat().st_size for shelf in self._shelves) * 4  # unpacked, by experience
        self._step = max(256, min(_ROWS, self.ledger.height * _BATCH // max(1, size)))

    def _find_shelves(self) -> Iterator[_Shelf]:
        keys = self.ledger.select("place", *_KEY)
        if keys.select(pl.struct(_KEY).is_duplicated().any()).item():
            raise DataVerdict(str(self.version.path), "two rows of one key", cure="Run `datakit clean` again")
        for kind in KINDS:
            aside = self.version.path / "dropped" / f"{kind}.parquet"
            for path in (*self.version.data_files(kind), *([aside] if aside.is_file() else [])):
                mine = pl.read_parquet(path, columns=_KEY)
                places = mine.join(keys, on=_KEY, how="left", maintain_order="left")["place"]
                if places.null_count() or not places.is_sorted():
                    raise DataVerdict(str(path), "out of step with the ledger", cure="Run `datakit clean` again")
                yield _Shelf(kind, path, places.to_numpy().astype(np.int64))

    def lay_down(self, work: Path, recipe: Recipe, *, sign: bool) -> Iterator[BatchSummary]:
        """Lay every batch down in `work` as `clean_batch` would, judged by `recipe` from the scores that are stored.

        sign: whether near duplicates will be sought, and not decided by the pairs that are stored.
        """
        for number, start in enumerate(range(0, self.ledger.height, self._step)):
            yield self._batch(work, recipe, number, start, sign)

    def _batch(self, work: Path, recipe: Recipe, number: int, start: int, sign: bool) -> BatchSummary:
        ledger = self.ledger[start : start + self._step]
        keys = ledger.select("place", *_KEY).lazy()
        scores = pl.scan_parquet(self.version.path / "scores.parquet").slice(start, self._step).collect()
        edits = self._edits.lazy().join(keys, on=_KEY, how="inner", maintain_order="left").collect()
        assessed: dict[Kind, Assessed] = {}
        places = []
        for kind in KINDS:
            found = [shelf.read(start, start + self._step) for shelf in self._shelves if shelf.kind == kind]
            found = [(rows, at) for rows, at in found if rows.height]
            if found:
                at = np.concatenate([at for _, at in found])
                frame = pl.concat([rows for rows, _ in found])[np.argsort(at)]
                at = np.sort(at)
                assessed[kind] = _assessed(frame, kind, at - start, scores, edits, recipe, start, sign)
                frame.write_ipc(batch_file(work, kind, number))
                places.append(at)
        rejected = self._rejected.lazy().join(keys, on=_KEY, how="inner", maintain_order="left").collect()
        places.append(rejected["place"].to_numpy().astype(np.int64))
        order = np.argsort(np.concatenate(places), kind="stable")
        if order.size != ledger.height:
            raise DataVerdict(str(self.version.path), "rows are missing", cure="Run `datakit clean` again")
        unread = rejected.select(*_KEY, pl.lit("read").alias("stage"), "reason", pl.lit(False).alias("edited"))
        index = pl.concat(
            [*(one.index for one in assessed.values()), pl.DataFrame(schema=INDEX), unread], how="diagonal"
        )
        index[order].write_ipc(batch_file(work, "index", number))
        rejected.drop("place").write_ipc(batch_file(work, "rejected", number))
        edits.drop("place").write_ipc(batch_file(work, "edits", number))
        near = "near" in recipe.clean.steps
        lay_down(work, number, assessed, order, recipe.clean.near.bands if near and sign else 0)
        if near:
            lay_down_texts(work, number, assessed, order, apart=True)
        size = sum(batch_file(work, kind, number).stat().st_size for kind in assessed)
        records = index.height - rejected.height
        return BatchSummary(number, "", index.height, records, size, Counter(), pl.DataFrame())


def _assessed(
    frame: pl.DataFrame,
    kind: Kind,
    rows: NDArray[np.int64],
    scores: pl.DataFrame,
    edits: pl.DataFrame,
    recipe: Recipe,
    start: int,
    sign: bool,
) -> Assessed:
    """Records judged from their stored scores; rows: their places in the slice of scores."""
    mine = pl.DataFrame({"place": rows + start, "row": np.arange(rows.size)}, schema_overrides={"row": pl.UInt32})
    touched = edits.with_columns(pl.col("place").cast(pl.Int64)).join(mine, on="place", how="inner")
    masked = touched.filter(pl.col("step") == "pii").select("row", "count")
    edited = pl.Series(np.isin(np.arange(rows.size), touched["row"].to_numpy()))
    return assess(frame, to_segments(frame, kind), kind, edited, masked, recipe, stored=scores[rows], sign=sign)
