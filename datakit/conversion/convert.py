"""`convert`: rows of any format in, rows of another out, every row accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import polars as pl

from datakit.conversion.output import Output
from datakit.conversion.report import LostField, Report
from datakit.conversion.rows import convert_frame
from datakit.conversion.targets import TRAINERS, Target
from datakit.errors import NoRows, UsageFault
from datakit.files import disk_faults
from datakit.formats.columns import column_report
from datakit.formats.read import parse
from datakit.formats.writing import Loss
from datakit.progress import Progress, Silent
from datakit.recipe.data import DataSettings
from datakit.recipe.load import load_recipe
from datakit.records import KINDS, Kind
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import discover
from datakit.versions.store import Version, is_dataset, is_reference, is_version, open_version

_SLICE: Final = 4096  # rows of a version at a time


@dataclass(frozen=True)
class ConvertResult:
    """What `convert` made.

    target: the format; files: kind to the file that holds its rows, empty where nothing was written; report: the file
    that names every loss, where there is one; rows: in = written + not_written; altered: how many of the written rows
    have lost a field; reasons: why rows were not written, a word each; fields: field, why, and how many rows lost it;
    losses: the first 1,000, row by row; usage: how the trainer is told of the files, empty for general formats.
    """

    target: Target
    files: dict[Kind, Path]
    report: Path | None
    rows: dict[str, int]
    altered: int
    reasons: dict[str, int]
    fields: tuple[tuple[str, str, int], ...]
    losses: tuple[LostField, ...]
    usage: str


def convert(
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    to: Target,
    *,
    lossy: bool = False,
    format: str | None = None,  # noqa: A002 - the name of the recipe's key
    progress: Progress | None = None,
) -> ConvertResult:
    """Write rows in another format. Where it cannot hold all of them, nothing is written, unless `lossy`.

    Args:
        paths: files, folders, globs, "-" for standard input, or versions of datasets (`clean`, `clean@3f2a`).
        out: a file, its form by its suffix (.jsonl or .json, perhaps .gz or .zst; .parquet), or a folder, which gets a
            file a kind. It must not be there yet.
        to: the format.
        lossy: write what can be held, and name the rest in `OUT.lost.jsonl`.
        format: take every row of files for this format instead of detecting it.
        progress: hears of progress and notices.

    Raises:
        UsageFault: input or output is wrong (exit 2).
        Surroundings: the disk failed (exit 4).
    """
    listener = progress or Silent()
    if to not in get_args(Target):
        raise UsageFault("to", f"the format '{to}'", f"one of {', '.join(get_args(Target))}")
    settings = load_recipe(None, [f"data.format={format}"] if format else []).data
    inputs = [paths] if isinstance(paths, (str, Path)) else list(paths)
    rows = _read(inputs, settings, listener)
    output = Output(Path(out), to)
    job = _Job(output, lossy)
    try:
        with disk_faults(output.out):
            return job.run(rows)
    finally:
        job.report.close()
        output.discard()


_Batches = Iterator[tuple[dict[Kind, pl.DataFrame], pl.DataFrame | None]]


def _read(paths: Sequence[str | Path], settings: DataSettings, progress: Progress) -> _Batches:
    """Frames of records, and the rejected rows of files. Faults of the input show before anything is read."""
    versions = [version for path in paths if (version := _version(path)) is not None]
    files = [path for path in paths if _version(path) is None]
    found = discover(files, progress.notice) if files or not versions else []

    def batches() -> _Batches:
        for version in versions:
            yield from _version_batches(version, progress)
        total, done, read, unknown = sum(file.bytes for file in found), 0, bool(versions), []
        for file in found:
            for block in read_blocks(file, settings, notice=progress.notice):
                parsed = parse(block, settings)
                read = read or bool(parsed.frames)
                unknown += [(file.source, columns, rows) for columns, rows in parsed.unknown.items()]
                yield parsed.frames, parsed.rejected
                progress.advance("converting", min(done + len(block), total), total, "B")
            done += file.bytes
        if unknown and not read:
            raise column_report(*unknown[0]).error()

    return batches()


def _version(path: str | Path) -> Version | None:
    place = Path(path)
    return open_version(path) if is_reference(path) or is_dataset(place) or is_version(place) else None


def _version_batches(version: Version, progress: Progress) -> _Batches:
    total, done = sum(version.manifest.counts.kinds.values()), 0
    for kind in KINDS:
        for path in version.data_files(kind):
            for frame in pl.read_parquet(path).iter_slices(_SLICE):
                yield {kind: frame}, None
                done += frame.height
                progress.advance("converting", done, total, "rows")


class _Job:
    """One run: rows counted, written or named."""

    def __init__(self, output: Output, lossy: bool) -> None:
        self.output, self.lossy = output, lossy
        self.report = Report(output.work / "lost")
        self.rows, self.written, self.altered = 0, 0, 0
        self.reasons: Counter[str] = Counter()

    def run(self, batches: _Batches) -> ConvertResult:
        for frames, rejected in batches:
            for kind, frame in frames.items():
                self._convert(kind, frame)
            if rejected is not None:
                self._name_rejected(rejected)
        if not self.rows:
            raise NoRows("input", "no rows found", "at least one row", "Check that the files hold data")
        self.report.close()
        return self._finish()

    def _convert(self, kind: Kind, frame: pl.DataFrame) -> None:
        as_text = self.output.form == "parquet"
        for row in convert_frame(frame, kind, self.output.target, meta_as_text=as_text):
            self.rows += 1
            if row.losses:
                self.report.add(row.source, row.line, row.losses, written=row.written is not None)
            if row.written is None:
                self.reasons[row.reason] += 1
            elif row.losses and not self.lossy:
                self.reasons["loses_fields"] += 1
            else:
                self.altered += bool(row.losses)
                self.written += 1
                self.output.add(kind, row.written, row.columns)

    def _name_rejected(self, rejected: pl.DataFrame) -> None:
        self.rows += rejected.height
        for row in rejected.iter_rows(named=True):
            self.reasons[row["reason"]] += 1
            losses = [Loss("row", f"{row['reason']}: {row['detail']}", "")]
            self.report.add(row["source"], row["line"], losses, written=False)

    def _finish(self) -> ConvertResult:
        files: dict[Kind, Path] = {}
        if self.written and (self.lossy or not self.report.counts):
            files = self.output.finish()
        elif self.written:
            self.reasons["withheld"] = self.written  # they could be held, but others could not
            self.written = 0
        if self.rows != self.written + self.reasons.total():
            raise AssertionError(f"rows do not add up: {self.rows} in, {self.written} written, {self.reasons}")
        target = self.output.target
        return ConvertResult(
            target,
            files,
            self.output.lost if files and self.report.counts else None,
            {"in": self.rows, "written": self.written, "not_written": self.rows - self.written},
            self.altered,
            dict(self.reasons.most_common()),
            tuple(self.report.by_field()),
            tuple(self.report.listed),
            TRAINERS[target].usage(str(self.output.out), {kind: str(path) for kind, path in files.items()})
            if files and target in TRAINERS
            else "",
        )
