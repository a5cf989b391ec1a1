"""Where a trained model comes from: run by run back to a base, and row by row, over all versions, to a raw file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from datakit.errors import DatakitError, DataVerdict, MissingInput
from datakit.masks.proofs import read as read_proof
from datakit.versions.store import Version, open_version
from train.holdout import held_out
from train.runs import RECORD, Run, flatten
from train.stages import STAGES

_ROW = ("source", "line", "id", "decision", "reason", "twin_source", "twin_line")


def ancestors(run: Run) -> list[Run]:
    """The run, the run that trained what it began with, and so on; the last one began with a base model."""
    chain = [run]
    while (base := chain[-1].place("base")) is not None and (before := Run.of_model(base)) is not None:
        if any(before.path == known.path for known in chain):
            raise DataVerdict(str(before.path / RECORD), "its base is a model that was trained from it")
        chain.append(before)
    return chain


def lineage(run: Run, row: str | None = None) -> dict[str, Any]:
    """The whole way back, as JSON types.

    Args:
        run: whose model is traced.
        row: `source:line` or an id; by default the first row that the run trained on.

    Returns:
        chain: a link a run, newest first; base: what the first run began with; files: the raw files that the run's
        version was made from; row: one row's way from its raw file into the run: decision of
        the version, use in the run (trained, held_out, or left_out of its proof), tokens and trained tokens; versions:
        the run's version and those that it descends from, each with what it decided on rows of that key.

    Raises:
        MissingInput: the version has no such row.
    """
    chain = ancestors(run)
    base = chain[-1].place("base")
    found: dict[str, Any] = {
        "chain": [_link(link) for link in chain],
        "base": str(base) if base else None,
        "files": [],
        "row": None,
        "versions": [],
    }
    version = _version(run)
    if version is not None:
        found["files"] = [source.model_dump() for source in version.manifest.inputs]
        holdout = float(flatten(run.fields["facts"]).get("recipe.holdout", 0))
        found["row"] = _row(version, _proved(run), row, holdout)
        key = (found["row"]["source"], found["row"]["line"])
        found["versions"] = [_decided(name, known, key) for name, known in descent(version)]
    return found


def descent(version: Version) -> list[tuple[str, Version | None]]:
    """A version and all that it descends from, nearest first, by reference; None where one is no longer found.

    A reference has no place: `clean@3f2a9c1b04d2` is looked for beside the version's dataset, and in every folder
    above it.
    """
    found: dict[str, Version | None] = {version.reference: version}
    ahead = [version]
    for known in ahead:
        for parent in known.manifest.parents:
            if parent not in found:
                found[parent] = _found_above(known.path, parent)
                ahead += [before] if (before := found[parent]) is not None else []
    return list(found.items())


def _found_above(path: Path, reference: str) -> Version | None:
    for folder in path.resolve().parents:
        try:
            return open_version(folder / reference)
        except DatakitError:
            continue
    return None


def _decided(name: str, version: Version | None, key: tuple[str, int]) -> dict[str, Any]:
    """How often a version's ledger decided what on rows of a key: once, or of judgements once an answer."""
    if version is None:
        return {"version": name, "path": None, "decisions": {}}
    same = (pl.col("source") == key[0]) & (pl.col("line") == key[1])
    ledger = pl.scan_parquet(version.path / "ledger.parquet").filter(same)
    counted = ledger.group_by("decision").len().sort("decision").collect()
    return {"version": name, "path": str(version.path), "decisions": dict(counted.iter_rows())}


def _link(run: Run) -> dict[str, Any]:
    version = _version(run)
    return {
        "run": run.name,
        "stage": run.fields["stage"],
        "status": run.status,
        "model": str(run.model) if run.model.is_dir() else None,
        "forked_from": (run.fields.get("parent") or {}).get("run"),
        "dataset": version.reference if version is not None else None,
        "facts": run.fields["facts"],
    }


def _version(run: Run) -> Version | None:
    """The version that the run trained on; None where it is no longer there."""
    path = run.place("dataset")
    try:
        return open_version(path) if path is not None else None
    except DatakitError:
        return None


def _row(version: Version, proved: pl.LazyFrame | None, name: str | None, holdout: float) -> dict[str, Any]:
    """One row: what became of it in the version, and what the run did with it."""
    if name is None and proved is not None:
        first = proved.filter(~held_out(holdout)).head(1).collect()
        name = f"{first['source'][0]}:{first['line'][0]}" if first.height else None
    ledger = pl.scan_parquet(version.path / "ledger.parquet").select(_ROW)
    wanted = _named(name) if name is not None else pl.col("decision").is_in(["kept", "edited"])
    found = ledger.filter(wanted).head(1).collect()
    if not found.height:
        raise MissingInput(str(name), f"no such row in {version.reference}", "source:line, or an id of its ledger")
    row: dict[str, Any] = found.to_dicts()[0]
    row["file"] = next((part.blake2b for part in version.manifest.inputs if part.source == row["source"]), None)
    if proved is not None:
        key = (pl.col("source") == row["source"]) & (pl.col("line") == row["line"])
        mine = proved.filter(key).with_columns(held=held_out(holdout)).collect()
        row["use"] = "left_out" if not mine.height else "held_out" if mine["held"].all() else "trained"
        row["tokens"], row["trained_tokens"] = int(mine["tokens"].sum()), int(mine["trained"].sum())
    return row


def _named(name: str) -> pl.Expr:
    source, _, line = name.rpartition(":")
    if source and line.isdecimal():
        return (pl.col("source") == source) & (pl.col("line") == int(line))
    return pl.col("id") == name


def _proved(run: Run) -> pl.LazyFrame | None:
    """Key, id, tokens and trained tokens of the proof's rows that the run's stage trains on; None of no proof."""
    path = run.place("proof")
    if path is None or not path.is_dir():
        return None
    files = read_proof(path).data_files(STAGES[run.fields["stage"]].kind)
    return pl.concat([_counted(pl.scan_parquet(file)) for file in files]) if files else None


def _counted(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Tokens of every row; trained are those with a label, and of pairs, which carry none, those of the answers."""
    lists = [name for name, kind in rows.collect_schema().items() if isinstance(kind, pl.List) and name != "labels"]
    if lists == ["input_ids"]:
        trained = pl.col("labels").list.eval(pl.element() >= 0).list.sum()
    else:
        trained = pl.sum_horizontal(pl.col(name).list.len() for name in lists if not name.startswith("prompt"))
    tokens = pl.sum_horizontal(pl.col(name).list.len() for name in lists)
    return rows.select("source", "line", "id", tokens=tokens.cast(pl.Int64), trained=trained.cast(pl.Int64))
