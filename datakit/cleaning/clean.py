"""`clean`: raw files in, a version out, every row accounted for.

Three passes, each with bounded memory. First every batch alone, in worker processes: parse, normalise, mask,
language, rules, signatures. Then the duplicates, over the index of all rows. Last the version's files, again
batch by batch. The manifest is written at the very end.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from datakit.cleaning import rules, vault
from datakit.cleaning.batch import BatchSummary, clean_batch
from datakit.cleaning.compared import HELD
from datakit.cleaning.duplicates import PAIRS, Duplicates, find_duplicates
from datakit.cleaning.ledger import Group, count, fingerprint, gather, write_group
from datakit.cleaning.workers import run_aside, start_pool, worker_count
from datakit.errors import DataVerdict, InputError, NoRows, OutputError
from datakit.files import checksum, disk_faults
from datakit.formats.columns import column_report
from datakit.kernels.jit import is_prepared
from datakit.progress import Progress, Silent
from datakit.recipe.clean import effective_values
from datakit.recipe.load import load_recipe, recipe_from
from datakit.recipe.recipe import Recipe
from datakit.records import KINDS, SCHEMAS
from datakit.release import VERSION
from datakit.report.page import report_page
from datakit.sources.blocks import Block, read_blocks
from datakit.sources.discover import SourceFile, discover
from datakit.sources.remote import without_secrets
from datakit.versions.card import version_card
from datakit.versions.manifest import FORMAT, Counts, Input, Manifest, describe_parts
from datakit.versions.store import (
    Version,
    commit,
    is_complete,
    is_dataset,
    is_reference,
    is_version,
    open_version,
    prepare_output,
)

_BLOCK = 8 << 20  # bytes of input a batch, at most: large enough for polars to pay off
_BLOCK_MEMORY = 50  # what a batch takes at its peak, in times its bytes, twice over as two wait for each worker
_GROUP = 96 << 20  # bytes of records that are written together
_LIBRARIES = ("polars", "numpy", "numba", "ftfy", "orjson")


@dataclass(frozen=True)
class CleanResult:
    """What `clean` made.

    version: the version, with its manifest; unchanged: whether it was there before; seconds: wall time.
    """

    version: Version
    seconds: float
    unchanged: bool

    @property
    def path(self) -> Path:
        """The version's folder."""
        return self.version.path

    @property
    def rows(self) -> dict[str, int]:
        """in, kept, edited, dropped, rejected."""
        return self.version.manifest.counts.rows

    @property
    def reasons(self) -> dict[str, int]:
        """Reason word to rows that were dropped or rejected for it."""
        return self.version.manifest.counts.reasons

    @cached_property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The rows of the version, a frame a kind."""
        return {kind: self.version.frame(kind) for kind in KINDS if self.version.data_files(kind)}

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """One row an input row."""
        return self.version.ledger()


def clean(
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> CleanResult:
    """Clean files or folders into a version of the dataset `out`.

    Args:
        paths: files, folders, globs, or "-" for standard input.
        out: the dataset's folder; made where it is missing.
        recipe: a recipe, its tables as a mapping, or a TOML file; defaults where None.
        workers: processes; by the size of the input where None.
        progress: hears of progress and notices.
        command: what log.jsonl records as the cause.

    Raises:
        UsageFault: recipe, input or output is wrong (exit 2).
        Surroundings: disk or worker failed (exit 4).
    """
    began = time.monotonic()
    listener = progress or Silent()
    plan = recipe if isinstance(recipe, Recipe) else _as_recipe(recipe)
    dataset = Path(out)
    inputs = [_resolve(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
    _refuse_output_inside_input(inputs, dataset)
    if plan.clean.pii.vault is not None:
        vault.check(plan.clean.pii.vault, dataset / "version")
    files = discover(inputs, listener.notice)
    sums = _checksums(files, listener)
    settings = settings_hash(plan)
    same = _unchanged(dataset, sums, settings) if plan.clean.pii.vault is None else None
    if same is not None:
        return CleanResult(same, time.monotonic() - began, unchanged=True)
    if not is_prepared():
        listener.notice("first run on this machine: preparing the kernels, some ten seconds, once")
    work = prepare_output(dataset)
    try:
        with disk_faults(work):
            processes = workers or worker_count(sum(file.bytes for file in files), plan.clean.memory_mb)
            job = Job(plan, files, work, processes, listener)
            final = job.run()
            manifest = job.manifest(final, sums, settings, parents=_parents(inputs))
            (final / "README.md").write_text(version_card(manifest), encoding="utf-8")
            (final / "report.html").write_text(report_page(manifest, final), encoding="utf-8")
            manifest = manifest.model_copy(update={"parts": describe_parts(final)})
            before = dataset / manifest.version
            known = is_version(before)
            told = command or ("datakit.clean", *map(str, inputs))
            version = commit(final, dataset, manifest, tuple(map(without_secrets, told)))
            job.write_vault(version)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return CleanResult(version, time.monotonic() - began, unchanged=known)


def settings_hash(recipe: Recipe) -> str:
    """The hash of all recipe values that decide what comes out: cleaning, and how files are read."""
    data = recipe.data.model_dump(mode="json", exclude={"input", "output"})
    values = {"clean": effective_values(recipe.clean), "data": data}
    if "rules" in values["clean"]:  # a threshold that the recipe leaves open counts with the value it has
        values["clean"]["rules"] = {
            f"{kind}.{language}": rules.effective_rules(recipe.clean.rules, kind, language)
            for kind in KINDS
            for language in rules.LANGUAGES
        }
    return hashlib.blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _as_recipe(recipe: Mapping[str, Any] | str | Path | None) -> Recipe:
    return recipe_from(recipe) if isinstance(recipe, Mapping) else load_recipe(recipe)


def _resolve(path: str | Path) -> str | Path:
    """A reference such as `clean@3f2a` as its version's folder; anything else as it is."""
    return open_version(path).path if is_reference(path) else path


def _refuse_output_inside_input(inputs: Sequence[str | Path], out: Path) -> None:
    """A version written below the folder that is read would be its own input next time."""
    for path in map(Path, inputs):
        if (
            path.is_dir()
            and not is_dataset(path)
            and not is_version(path)
            and out.resolve().is_relative_to(path.resolve())
        ):
            raise OutputError(str(out), f"inside the input {path}", "a folder outside of it", "Choose another -o")


def _checksums(files: Sequence[SourceFile], progress: Progress) -> list[Input]:
    total, done = sum(file.bytes for file in files), 0

    def heard(size: int) -> None:
        nonlocal done
        done += size
        progress.advance("checking", done, total, "B")

    return [Input(source=file.source, bytes=file.bytes, blake2b=checksum(file.path, heard)) for file in files]


def _unchanged(dataset: Path, inputs: Sequence[Input], settings: str) -> Version | None:
    """The dataset's latest version if these inputs and settings have made it already, and it is all there."""
    if not is_dataset(dataset):
        return None
    try:
        head = open_version(dataset)
    except DataVerdict:
        return None  # its manifest is damaged: the run makes the version again
    manifest = head.manifest
    same = manifest.inputs == tuple(inputs) and manifest.settings == settings and manifest.format == FORMAT
    return head if same and manifest.libraries == libraries() and is_complete(head) else None


def libraries() -> dict[str, str]:
    """Name to version of everything that has a hand in the result."""
    ours = {"datakit": VERSION, "python": platform.python_version()}
    return {**ours, **{name: library_version(name) for name in _LIBRARIES}}


def _parents(inputs: Sequence[str | Path]) -> tuple[str, ...]:
    """The versions among the inputs: what this one descends from."""
    return tuple(open_version(path).reference for path in inputs if is_dataset(Path(path)) or is_version(Path(path)))


class Job:
    """The passes of one run, and what they hand on."""

    def __init__(
        self, recipe: Recipe, files: Sequence[SourceFile], work: Path, workers: int, progress: Progress
    ) -> None:
        self.recipe, self.files, self.work, self.workers, self.progress = recipe, files, work, workers, progress
        self.read = 0

    def run(self) -> Path:
        """All three passes; the folder that holds the finished parts comes back."""
        self.batches = self._first_pass()
        if not sum(batch.rows for batch in self.batches):
            names = ", ".join(file.source for file in self.files[:3])
            raise NoRows(names, "no rows found", "at least one row", "Check that the files hold data")
        self._tell_unknown_columns()
        self.progress.advance("duplicates", 0, 1, "steps")
        rows = [batch.rows for batch in self.batches]
        self.duplicates = self._find(rows)
        self.progress.advance("duplicates", 1, 1, "steps")
        groups = self._groups(self.duplicates)
        with start_pool(self.workers) as pool:
            for done, _ in enumerate(pool.run_in_order(write_group, groups), 1):
                self.progress.advance("writing", done, len(groups), "parts")
        final = self.work / "version"
        gather(self.work, final, len(groups))
        (self.work / PAIRS).rename(final / PAIRS)
        self.groups = len(groups)
        return final

    def _find(self, rows: list[int]) -> Duplicates:
        """The second pass; rows: of each batch."""
        return run_aside(self.workers, find_duplicates, self.work, rows, self.recipe.clean, self.workers)

    def _first_pass(self) -> list[BatchSummary]:
        size = sum(file.bytes for file in self.files)
        step = partial(_numbered, recipe=self.recipe, work=self.work, apart=size > HELD * _BLOCK)
        with start_pool(self.workers) as pool:
            return list(pool.run_in_order(step, enumerate(self._blocks())))

    def _tell_unknown_columns(self) -> None:
        """Say which files' columns fit nothing, with a mapping to paste; an error where no file's do.

        Raises:
            InputError: not one row of the input fits a format.
        """
        records: Counter[str] = Counter()
        unknown: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for batch in self.batches:
            records[batch.source] += batch.records
            unknown[batch.source] += batch.unknown
        strangers = [source for source, found in unknown.items() if found and not records[source]]
        reports = [column_report(source, *unknown[source].most_common(1)[0]) for source in strangers]
        if strangers and not +records:
            faults = [report.error() for report in reports]
            raise faults[0] if len(faults) == 1 else InputError("input", "".join(f"\n  - {fault}" for fault in faults))
        for report in reports:
            columns = ", ".join(report.columns)
            self.progress.notice(
                f"{report.source}: no format fits its columns {columns}; in [data]: {report.recipe_line}"
            )

    def _blocks(self) -> Iterator[Block]:
        total, done = sum(file.bytes for file in self.files), 0
        size = min(_BLOCK, max(_BLOCK >> 3, (self.recipe.clean.memory_mb << 20) // (_BLOCK_MEMORY * self.workers)))
        for file in self.files:
            largest = int(self.recipe.clean.max_row_mb * 1e6)
            behind = done
            for block in read_blocks(file, self.recipe.data, size, largest, self.progress.notice):
                yield block
                # What a compressed file unpacks to says little of how far it is read: its end catches up.
                behind = min(behind + len(block), done + file.bytes)
                self.progress.advance("cleaning", behind, total, "B")
            done += file.bytes
            self.progress.advance("cleaning", done, total, "B")

    def _groups(self, duplicates: Duplicates) -> list[Group]:
        """Consecutive batches until a group's records reach its size; depends on the input alone, not on workers."""
        cuts, size = [[]], 0  # type: list[list[int]], int
        for batch in self.batches:
            if cuts[-1] and size + batch.bytes > _GROUP:
                cuts.append([])
                size = 0
            cuts[-1].append(batch.number)
            size += batch.bytes
        found = duplicates.rows
        return [
            Group(place, tuple(cut), found.filter(pl.col("batch").is_between(cut[0], cut[-1])), self.work)
            for place, cut in enumerate(cuts)
        ]

    def manifest(self, final: Path, inputs: list[Input], settings: str, parents: tuple[str, ...]) -> Manifest:
        """The manifest of the finished parts, their checksums left to be filled in."""
        rows, reasons = count(self.work, self.groups)
        if rows["in"] != sum(rows[name] for name in ("kept", "edited", "dropped", "rejected")):
            raise AssertionError(f"rows do not add up: {rows}")
        kinds: dict[str, int] = {
            kind: pl.scan_parquet(files).select(pl.len()).collect().item()
            for kind in KINDS
            if (files := sorted((final / "data").glob(f"{kind}-*")))
        }
        edits = pl.scan_parquet(final / "edits.parquet").group_by("step").agg(pl.len()).sort("step").collect()
        return Manifest(
            format=FORMAT,
            fingerprint=fingerprint(self.work, self.groups, settings, FORMAT),
            schemas={
                kind: {name: str(dtype) for name, dtype in SCHEMAS[kind].items()} for kind in KINDS if kind in kinds
            },
            counts=Counts(
                rows=rows, reasons=reasons, kinds=kinds, edits=dict(edits.iter_rows()), near=self.duplicates.counts
            ),
            parts={},
            parents=parents,
            inputs=tuple(inputs),
            recipe=self.recipe.model_dump(
                mode="json",
                exclude={"data": {"input", "output"}, "clean": {"pii": {"vault"}}, "model": True},  # paths of a machine
                exclude_none=True,
            ),
            settings=settings,
            libraries=libraries(),
        )

    def write_vault(self, version: Version) -> None:
        """Map the tokens back to what they stand for, where a vault was asked for."""
        path = self.recipe.clean.pii.vault
        if path is not None:
            found = [batch.masked for batch in self.batches if not batch.masked.is_empty()]
            vault.write(path, pl.concat(found) if found else pl.DataFrame(), version.path)


def _numbered(numbered: tuple[int, Block], recipe: Recipe, work: Path, apart: bool) -> BatchSummary:
    number, block = numbered
    return clean_batch(block, recipe, work, number, apart=apart)
