"""A derived version made whole: ledger, fingerprint, manifest, pages, commit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from datakit.cleaning.clean import libraries
from datakit.records import SCHEMAS, Kind
from datakit.report.page import report_page
from datakit.versions.card import version_card
from datakit.versions.ledger import DECISIONS, LEDGER
from datakit.versions.manifest import FORMAT, Counts, Input, Manifest, describe_parts
from datakit.versions.store import Version, commit

_KEY: Final = ["source", "line"]
_PAIRS: Final = "pairs.parquet"


def settings_hash(values: dict[str, Any]) -> str:
    """The hash of the values that decide what comes out."""
    return hashlib.blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def write_ledger(folder: Path, fates: pl.DataFrame) -> None:
    """Write the ledger: fates has the columns of LEDGER as far as they say something."""
    blank = [pl.lit(None, dtype).alias(name) for name, dtype in LEDGER.items() if name not in fates.columns]
    fates.with_columns(blank).select(*LEDGER).cast(LEDGER).sort(_KEY).write_parquet(
        folder / "ledger.parquet", compression="zstd"
    )


def write_pairs(folder: Path, parents: Sequence[Version], kept: pl.DataFrame) -> None:
    """Hand on the similar pairs that both stay: so a share or a mixture can be split by groups once more."""
    found = [pl.read_parquet(parent.path / _PAIRS) for parent in parents if (parent.path / _PAIRS).is_file()]
    if found:
        pairs = pl.concat(found, how="diagonal").unique(maintain_order=True)
        for end in "ab":
            keys = kept.select(*(pl.col(name).alias(f"{end}_{name}") for name in _KEY))
            pairs = pairs.join(keys, on=keys.columns, how="semi", maintain_order="left")
        pairs.write_parquet(folder / _PAIRS, compression="zstd")


def finish(
    folder: Path,
    dataset: Path,
    fates: pl.DataFrame,
    kinds: dict[str, int],
    parents: Sequence[Version],
    recipe: dict[str, Any],
    command: Sequence[str],
) -> Version:
    """Commit the parts in `folder` as a version of `dataset`.

    Args:
        folder: with data, dropped and ledger.
        dataset: exists, or is made.
        fates: source, line, id, decision, reason and written, one an input row.
        kinds: kept rows by kind.
        parents: what the rows are from.
        recipe: how they were chosen; all of it counts for the fingerprint.
        command: what log.jsonl records as the cause.

    Raises:
        AssertionError: rows do not add up; a bug, and nothing is committed.
    """
    decided = dict(fates.group_by("decision").len().iter_rows())
    rows = {"in": fates.height, **{name: decided.get(name, 0) for name in DECISIONS}}
    kept = rows["kept"] + rows["edited"]
    if rows["in"] != kept + rows["dropped"] + rows["rejected"] or kept != sum(kinds.values()):
        raise AssertionError(f"rows do not add up: {rows}, {kinds}")
    reasons = (
        fates.filter(pl.col("reason").is_not_null())
        .group_by("reason")
        .len()
        .sort(["len", "reason"], descending=[True, False])
    )
    settings = settings_hash(recipe)
    schemas: dict[Kind, pl.Schema] = {kind: SCHEMAS[kind] for kind in SCHEMAS if kind in kinds}
    inputs: dict[Input, None] = dict.fromkeys(source for parent in parents for source in parent.manifest.inputs)
    manifest = Manifest(
        format=FORMAT,
        fingerprint=_fingerprint(fates, settings),
        schemas={kind: {name: str(dtype) for name, dtype in schema.items()} for kind, schema in schemas.items()},
        counts=Counts(rows=rows, reasons=dict(reasons.iter_rows()), kinds=kinds, edits={}, near={}),
        parts={},
        parents=tuple(parent.reference for parent in parents),
        inputs=tuple(inputs),
        recipe=recipe,
        settings=settings,
        libraries=libraries(),
    )
    (folder / "README.md").write_text(version_card(manifest), encoding="utf-8")
    (folder / "report.html").write_text(report_page(manifest, folder), encoding="utf-8")
    return commit(folder, dataset, manifest.model_copy(update={"parts": describe_parts(folder)}), command)


def _fingerprint(fates: pl.DataFrame, settings: str) -> str:
    """As `datakit clean` makes it: the sorted lines (id, decision, reason, hash as written), settings and format."""
    columns = ("id", "decision", "reason", "written")
    lines = fates.select(line=pl.concat_str(*(pl.col(name).fill_null("") for name in columns), separator="\t"))
    digest = hashlib.blake2b(f"datakit derived {FORMAT} {settings}\n".encode(), digest_size=32)
    digest.update(b"".join(line.encode() + b"\n" for line in lines["line"].sort().to_list()))
    return digest.hexdigest()
