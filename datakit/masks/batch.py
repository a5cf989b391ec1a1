"""One batch of rows proved, in whatever process: its rows to a file, its figures to the caller."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from datakit.engine.collector import no_collection
from datakit.masks.findings import Findings, RowFinding, at_least
from datakit.masks.labels import count_trained, trained_runs
from datakit.masks.plan import Plan
from datakit.masks.prover import Proved, Prover
from datakit.masks.replay import Replayer, cut
from datakit.masks.replay import Stage as TrainerStage
from datakit.recipe.masks import MaskSettings
from datakit.records import Kind

_ENCODED: Final = 1024  # rows that are tokenised at a time: with 128 the same takes an eighth longer

KEY: Final = {"id": pl.String, "source": pl.String, "line": pl.Int64}
SIZES: Final[dict[str, Any]] = {
    **KEY, "length": pl.Int64, "needed": pl.Int64, "trained": pl.Int64, "runs": pl.List(pl.Int32)
}  # fmt: skip
"""Columns of a batch's sizes: one row a row that is left; `runs` (`trained_runs`) are empty where nothing is packed."""
FOUND: Final = {**KEY, "code": pl.String, "severity": pl.String, "detail": pl.String}
"""Columns of findings.parquet: one row a finding of a row."""


class Batch(NamedTuple):
    """Rows of one file of a version: `number` orders all batches of a proof."""

    number: int
    kind: Kind
    file: Path
    first: int
    rows: int


@dataclass
class BatchResult:
    """What became of a batch.

    Attributes:
        batch: which one.
        lengths: tokens of each row that is left, shape (n_rows,).
        findings: what is wrong with its rows.
        left_out: rows left out for an error.
        calling: rows that call tools.
        unprompted: dialogues without a system message.
    """

    batch: Batch
    lengths: npt.NDArray[np.int64]
    findings: Findings
    left_out: int
    calling: int
    unprompted: int


class _Entry(NamedTuple):
    """A row that is proved, whatever its kind."""

    key: tuple[str, str, int]
    columns: dict[str, Any]
    length: int
    needed: int
    trained: int
    findings: Sequence[RowFinding]
    runs: Sequence[int] = ()


def prove_batch(batch: Batch, plan: Path, work: Path, keep: bool) -> BatchResult:
    """Prove the rows of a batch.

    Args:
        batch: which rows.
        plan: a pickled `Plan`.
        work: where the sizes and the findings of its rows are written; `read_sheet` reads them.
        keep: whether the rows themselves, their ids, are written too.
    """
    with no_collection():
        return _proved(batch, bench_of(plan), work, keep)


def _proved(batch: Batch, bench: Bench, work: Path, keep: bool) -> BatchResult:
    rows = pl.scan_parquet(batch.file).slice(batch.first, batch.rows).collect().to_dicts()
    entries = [
        entry
        for first in range(0, len(rows), _ENCODED)
        for entry in _entries(bench, batch.kind, rows[first : first + _ENCODED])
    ]
    left = [entry for entry in entries if not _leaves_out(entry.findings, bench.settings.masks)]
    _write(left, entries, batch, work, keep)
    return BatchResult(
        batch,
        lengths=np.array([entry.length for entry in left], dtype=np.int64),
        findings=_gathered(entries),
        left_out=len(entries) - len(left),
        calling=sum(_calls(row) for row in rows),
        unprompted=sum("messages" in row and row["messages"][0]["role"] != "system" for row in rows),
    )


class Bench:
    """What a process proves with; made once a plan."""

    def __init__(self, plan: Plan) -> None:
        self.settings = plan.settings
        self.prover = Prover(plan.model, plan.settings.masks, plan.settings.arguments, plan.clock)
        self._replayers: dict[TrainerStage, Replayer] = {}

    def replayer(self, stage: TrainerStage) -> Replayer:
        """What rows of a stage are replayed with."""
        if stage not in self._replayers:
            prover = self.prover
            self._replayers[stage] = Replayer(prover.model, prover.renderer, stage, prover.habits)
        return self._replayers[stage]

    def entry(self, proved: Proved) -> _Entry:
        """A dialogue or a text as an entry."""
        return _Entry(
            key=(proved.id, proved.source, proved.line),
            columns={"input_ids": proved.ids, "labels": proved.labels},
            length=len(proved.ids),
            needed=proved.needed,
            trained=count_trained(proved.labels),
            findings=proved.findings,
            runs=() if self.settings.packing is None else trained_runs(proved.labels),
        )


@lru_cache(maxsize=1)
def bench_of(plan: Path) -> Bench:
    """What a pickled plan is proved with; made once a process."""
    return Bench(pickle.loads(plan.read_bytes()))


def _entries(bench: Bench, kind: Kind, rows: Sequence[dict[str, Any]]) -> Iterable[_Entry]:
    if kind == "messages":
        return map(bench.entry, bench.prover.prove_messages(rows))
    if kind == "text":
        return map(bench.entry, bench.prover.prove_text(rows))
    return _replayed(bench, kind, rows)


def _replayed(bench: Bench, kind: Kind, rows: Sequence[dict[str, Any]]) -> Iterable[_Entry]:
    """Pairs, rated answers and prompts, as TRL's trainers make them; held to a length that is set as they do it."""
    masks, stage = bench.settings.masks, bench.settings.stage_of(kind)
    if stage == "cpt" or stage == "sft":
        raise AssertionError(f"{kind} is not proved for {stage}")
    for row, found in zip(rows, bench.replayer(stage).replay(rows), strict=True):
        if isinstance(masks.max_length, int):
            found = cut(found, masks.max_length, masks.max_completion)
        columns: dict[str, Any] = {name: np.array(ids, dtype=np.int32) for name, ids in found.columns().items()}
        trained = sum(len(side.ids) - side.start for side in found.sides)
        if kind == "unpaired":
            columns["label"] = row["label"]
        yield _Entry((found.id, found.source, found.line), columns, found.tokens, found.tokens, trained, found.findings)


def _leaves_out(findings: Iterable[RowFinding], masks: MaskSettings) -> bool:
    return any(at_least(finding.weight, masks.fail_on) and finding.reach == "row" for finding in findings)


def _gathered(entries: Iterable[_Entry]) -> Findings:
    """The findings of rows, one a code and severity of each, so that counts are of rows."""
    findings = Findings()
    for entry in entries:
        first = {(finding.code, finding.weight): finding for finding in reversed(entry.findings)}
        for finding in first.values():
            findings.add(finding.code, "{1}:{2}".format(*entry.key), finding.detail, severity=finding.weight)
    return findings


def _calls(row: dict[str, Any]) -> bool:
    return any(message["tool_calls"] for message in row.get("messages", ()))


def _write(left: Sequence[_Entry], entries: Sequence[_Entry], batch: Batch, work: Path, keep: bool) -> None:
    sizes = [(*entry.key, entry.length, entry.needed, entry.trained, entry.runs) for entry in left]
    found = [
        (*entry.key, finding.code, finding.weight, finding.detail) for entry in entries for finding in entry.findings
    ]
    pl.DataFrame(sizes, schema=SIZES, orient="row").write_ipc(_sheet(work, "sizes", batch.number))
    pl.DataFrame(found, schema=FOUND, orient="row").write_ipc(_sheet(work, "found", batch.number))
    if keep and left:
        # The cast is needed: of arrays of one length polars makes a column of arrays, whatever type it is given.
        ids = [pl.Series(name, [entry.columns[name] for entry in left]).cast(_dtype(name)) for name in left[0].columns]
        keys = pl.DataFrame([entry.key for entry in left], schema=KEY, orient="row")
        keys.with_columns(ids).write_ipc(_sheet(work, "rows", batch.number))


def read_sheet(work: Path, sheet: Literal["sizes", "found", "rows"], number: int) -> pl.DataFrame:
    """What a batch has written."""
    with _sheet(work, sheet, number).open("rb") as file:
        return pl.read_ipc(file)


def _sheet(work: Path, sheet: str, number: int) -> Path:
    return work / f"{sheet}-{number:06d}.arrow"


def _dtype(name: str) -> pl.DataType:
    return pl.Boolean() if name == "label" else pl.List(pl.Int32)
