"""The ledger: one row an input row, what became of it and why; and the version's files that follow it.

Works on groups of batches, so that memory stays bounded however many rows there are; groups run in workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from datakit.cleaning.batch import batch_file
from datakit.records import KINDS, SCHEMAS
from datakit.versions.ledger import DECISIONS, LEDGER

_ROWS: Final = 1 << 16  # rows that are held while a file of the whole version is written
_SORTED: Final = 1 << 20  # rows whose lines are sorted at once: some 60 MB
_PACKED: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 1,
}  # higher levels cost more than they save


@dataclass(frozen=True)
class Group:
    """Batches that are written together: their numbers, and the duplicates among their rows.

    duplicates: columns batch, place (position in the batch's index) and those of FATE.
    """

    number: int
    batches: tuple[int, ...]
    duplicates: pl.DataFrame
    work: Path


def write_group(group: Group) -> None:
    """Lay down a group's share of every file of the version, in the work folder."""
    ledgers, scores = [], []
    kept: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
    dropped: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
    for number in group.batches:
        ledger = _decide(group, number)
        ledgers.append(ledger.select(*LEDGER, "written"))
        scores.append(
            ledger.select("source", "line", "id").hstack(pl.read_ipc(batch_file(group.work, "scores", number)))
        )
        for kind in KINDS:
            path = batch_file(group.work, kind, number)
            if path.exists():
                records = pl.read_ipc(path).select(*SCHEMAS[kind])
                fate = ledger.filter(pl.col("kind") == kind).select(
                    "source", "line", (pl.col("decision") == "dropped").alias("_out")
                )
                # Both stand in the order of the file, so that one mask serves; the key is compared to be sure.
                if not records.select("source", "line").equals(fate.select("source", "line")):
                    raise AssertionError(f"records and index of batch {number} ({kind}) are out of step")
                kept[kind].append(records.filter(~fate["_out"]))
                dropped[kind].append(records.filter(fate["_out"]))
    for name, frames in (("ledger", ledgers), ("scores", scores)):
        pl.concat(frames, how="diagonal").write_ipc(batch_file(group.work, f"final-{name}", group.number))
    for kind in KINDS:
        _write_rows(group, "dropped", kind, dropped[kind])
        _write_rows(group, "data", kind, kept[kind])


def _write_rows(group: Group, where: str, kind: str, frames: list[pl.DataFrame]) -> None:
    rows = pl.concat(frames) if frames else pl.DataFrame()
    if not rows.is_empty():
        rows.write_parquet(group.work / f"final-{where}-{kind}-{group.number:05d}.parquet", **_PACKED)


def _decide(group: Group, number: int) -> pl.DataFrame:
    """The ledger of one batch, with the columns of the index beside it."""
    index = pl.read_ipc(batch_file(group.work, "index", number)).with_row_index("place")
    duplicates = group.duplicates.filter(pl.col("batch") == number).drop("batch")
    late = ("stage", "reason", "value", "threshold")
    joined = index.join(duplicates, on="place", how="left", maintain_order="left", suffix="_late")
    return joined.with_columns(
        *(pl.coalesce(name, f"{name}_late").alias(name) for name in late),
        pl.when(pl.col("kind").is_null())
        .then(pl.lit("rejected"))
        .when(pl.coalesce("reason", "reason_late").is_not_null())
        .then(pl.lit("dropped"))
        .when("edited")
        .then(pl.lit("edited"))
        .otherwise(pl.lit("kept"))
        .alias("decision"),
    )


def gather(work: Path, final: Path, groups: int) -> None:
    """Put the groups' shares together into the version's files below `final`."""
    for folder in ("data", "dropped"):
        (final / folder).mkdir(parents=True)
    ledgers = [pl.scan_ipc(batch_file(work, "final-ledger", number)) for number in range(groups)]
    pl.concat(ledgers).drop("written").sink_parquet(final / "ledger.parquet", **_PACKED, row_group_size=_ROWS)
    scores = [pl.scan_ipc(batch_file(work, "final-scores", number)) for number in range(groups)]
    pl.concat(scores, how="diagonal").sink_parquet(final / "scores.parquet", **_PACKED, row_group_size=_ROWS)
    _sink(
        sorted(work.glob("edits-*.arrow")),
        final / "edits.parquet",
        {"source": pl.String, "line": pl.Int64, "step": pl.String, "count": pl.UInt32},
    )
    _sink(sorted(work.glob("rejected-*.arrow")), final / "dropped" / "rejected.parquet", {})
    for kind in KINDS:
        parts = sorted(work.glob(f"final-data-{kind}-*.parquet"))
        for place, part in enumerate(parts):
            part.rename(final / "data" / f"{kind}-{place:05d}-of-{len(parts):05d}.parquet")
        shares = sorted(work.glob(f"final-dropped-{kind}-*.parquet"))
        if shares:
            pl.scan_parquet(shares).sink_parquet(final / "dropped" / f"{kind}.parquet", **_PACKED)


def _sink(parts: Sequence[Path], target: Path, schema: dict[str, type[pl.DataType]]) -> None:
    if parts:
        pl.concat([pl.scan_ipc(part) for part in parts]).sink_parquet(target, **_PACKED)
    else:
        pl.DataFrame(schema=schema).write_parquet(target)


def count(work: Path, groups: int) -> tuple[dict[str, int], dict[str, int]]:
    """Rows by decision (with their sum as "in") and rows by reason, most frequent first.

    Raises:
        AssertionError: the sum is not the number of rows that were indexed; a bug, and nothing is written.
    """
    ledger = pl.concat([pl.scan_ipc(batch_file(work, "final-ledger", number)) for number in range(groups)])
    by_decision = dict(ledger.group_by("decision").len().collect().iter_rows())
    rows = {"in": ledger.select(pl.len()).collect().item(), **{name: by_decision.get(name, 0) for name in DECISIONS}}
    reasons = ledger.filter(pl.col("reason").is_not_null()).group_by("reason").len().collect()
    ordered = reasons.sort("len", "reason", descending=[True, False])
    return rows, dict(ordered.iter_rows())


def fingerprint(work: Path, groups: int, settings: str, layout: int) -> str:
    """blake2b over the sorted lines (id, decision, reason, hash as written), the settings and the format number.

    The same rows and settings give the same fingerprint whatever the order of files or the number of workers.
    """
    ledger = pl.concat([pl.scan_ipc(batch_file(work, "final-ledger", number)) for number in range(groups)])
    lines = ledger.select(
        pl.concat_str(
            *(pl.col(name).fill_null("") for name in ("id", "decision", "reason", "written")), separator="\t"
        ).alias("line")
    )
    digest = hashlib.blake2b(f"datakit {layout} {settings}\n".encode(), digest_size=32)
    for part in _sorted_parts(lines):
        digest.update(b"".join(line + b"\n" for line in part["line"].cast(pl.Binary).to_list()))
    return digest.hexdigest()


def _sorted_parts(lines: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The lines in order; of many, a sixteenth at a time in memory, by the first digit of the id they begin with."""
    if lines.select(pl.len()).collect().item() <= _SORTED:
        yield lines.collect().sort("line")
        return
    for first in ("\t", *"0123456789abcdef"):  # a rejected row has no id
        yield lines.filter(pl.col("line").str.starts_with(first)).collect(engine="streaming").sort("line")
