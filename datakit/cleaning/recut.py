"""`recut`: a new version from what is stored with one, by other settings; no raw file is read, nothing measured again.

Records, scores and pairs are laid down as the batches of a run would be, and go the way of a run from there: judged by
the same code, decided, written. So the version is the one that `clean` gives over the raw files, by fingerprint and
ledger.

Only where rows come back that had been dropped before near duplicates were sought, nothing is known of what they are
similar to: then signatures are made of the stored texts and the near duplicates sought again, and a notice says so.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning.batch import BatchSummary, batch_file
from datakit.cleaning.clean import CleanResult, Job, settings_hash
from datakit.cleaning.duplicates import Duplicates, Known, find_duplicates
from datakit.cleaning.exact import find_exact_duplicates
from datakit.cleaning.near import NearCounts
from datakit.cleaning.recuttable import check_settings, check_threshold, not_cleaned
from datakit.cleaning.restored import Restored
from datakit.errors import UsageFault
from datakit.files import disk_faults
from datakit.progress import Progress, Silent
from datakit.recipe.load import recipe_over
from datakit.recipe.recipe import Recipe
from datakit.report.page import report_page
from datakit.versions.card import version_card
from datakit.versions.manifest import describe_parts
from datakit.versions.store import Version, commit, is_version, prepare_output, verify

_STORED: Final = ("ledger.parquet", "scores.parquet", "pairs.parquet", "edits.parquet", "dropped/rejected.parquet")


def recut(
    version: Version,
    overrides: Sequence[str],
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> CleanResult:
    """Cut a version anew by other settings.

    Args:
        version: that `datakit clean` made, or `recut`.
        overrides: `clean.near.threshold=0.9` each, laid over the settings that it was made by.
        out: the dataset's folder; the version's own where None.
        progress: hears of progress and notices.
        command: what log.jsonl records as the cause.

    Raises:
        RecipeError: a setting is wrong, or its result is not stored.
        UsageFault: the version was not made by cleaning.
        DataVerdict: it is damaged.
    """
    began = time.monotonic()
    listener = progress or Silent()
    tables = version.manifest.recipe
    if "clean" not in tables or not all((version.path / name).is_file() for name in _STORED):
        raise not_cleaned(version.reference)
    check_threshold(tables, overrides, version.reference)
    before, recipe = recipe_over(tables, ()), recipe_over(tables, overrides)
    check_settings(before, recipe, version.reference)
    if version.manifest.settings != settings_hash(before):
        raise UsageFault(version.reference, "made by another datakit", cure="Run `datakit clean` over the raw files")
    if faults := verify(version):
        raise faults[0]
    dataset = out or version.path.parent
    work = prepare_output(dataset)
    try:
        with disk_faults(work):
            job = _Recut(version, before, recipe, work, listener)
            final = job.run()
            settings = settings_hash(recipe)
            manifest = job.manifest(final, list(version.manifest.inputs), settings, (version.reference,))
            (final / "README.md").write_text(version_card(manifest), encoding="utf-8")
            (final / "report.html").write_text(report_page(manifest, final), encoding="utf-8")
            manifest = manifest.model_copy(update={"parts": describe_parts(final)})
            known = is_version(dataset / manifest.version)
            made = commit(final, dataset, manifest, command or ("datakit.recut", version.reference))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return CleanResult(made, time.monotonic() - began, unchanged=known)


class _Recut(Job):
    """A run whose first pass is a version, and whose pairs are known."""

    def __init__(self, version: Version, before: Recipe, recipe: Recipe, work: Path, progress: Progress) -> None:
        super().__init__(recipe, (), work, 1, progress)
        self._version, self._before = version, before

    def _first_pass(self) -> list[BatchSummary]:
        return self._laid_down(sign=False)

    def _laid_down(self, *, sign: bool) -> list[BatchSummary]:
        restored = Restored(self._version)
        batches, done = [], 0
        for batch in restored.lay_down(self.work, self.recipe, sign=sign):
            batches.append(batch)
            done += batch.rows
            self.progress.advance("signing" if sign else "judging", done, restored.ledger.height, "rows")
        return batches

    def _find(self, rows: list[int]) -> Duplicates:
        if "near" not in self.recipe.clean.steps:
            return find_duplicates(self.work, rows, self.recipe.clean, 1)
        counts = NearCounts(**self._version.manifest.counts.near)
        came = self._unsought()
        if came or not counts.whole:
            why = f"{came:,} rows come back that had not been compared" if came else "the search did not compare all"
            self.progress.notice(f"{why}: near duplicates are sought again, from the stored texts")
            self.batches = self._laid_down(sign=True)
            return find_duplicates(self.work, rows, self.recipe.clean, 1)
        pairs = pl.read_parquet(self._version.path / "pairs.parquet")
        return find_duplicates(self.work, rows, self.recipe.clean, 1, Known(pairs, counts))

    def _unsought(self) -> int:
        """How many rows near duplicates are to be sought for now, and were not when the version was made."""
        columns = ["reason", "verified", "length", "date", "exact_0", "exact_1"]
        parts = [pl.read_ipc(batch_file(self.work, "index", batch.number), columns=columns) for batch in self.batches]
        index = pl.concat(parts).with_row_index("row")
        ledger = pl.read_parquet(self._version.path / "ledger.parquet", columns=["decision", "stage"])
        late = ledger["stage"].is_in(["exact", "near"]) | ledger["decision"].is_in(["kept", "edited"])
        before = _sought(index, late.to_numpy(), "exact" in self._before.clean.steps)
        after = _sought(index, index["reason"].is_null().to_numpy(), "exact" in self.recipe.clean.steps)
        return int((after & ~before).sum())


def _sought(index: pl.DataFrame, alive: NDArray[np.bool_], exact: bool) -> NDArray[np.bool_]:
    """Which of the rows that nothing spoke against are no exact duplicates: near ones are sought among them."""
    sought = alive.copy()
    if exact:
        sought[find_exact_duplicates(index.filter(alive).drop("reason"))["row"].to_numpy()] = False
    return sought
