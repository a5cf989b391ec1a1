"""Rows of a version by their names: lines of its ledger, and the records behind them, kept or dropped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import polars as pl

from datakit.errors import UsageFault
from datakit.records import KINDS, Kind
from datakit.versions.store import Version

Key = tuple[str, int]
"""Source and line."""

Row = dict[str, Any]

SHORTEST: Final = 4
"""Digits of an id that name a row."""

_NAMED: Final = 5  # rows that an error names


def find_row(version: Version, name: str) -> Row:
    """The line of the ledger that a name stands for.

    Args:
        version: whose ledger.
        name: `source:line`, of the source its last part will do; or the first digits of an id, at least four.

    Raises:
        UsageFault: no row has that name, or several have; these are listed with what became of them.
    """
    ledger = pl.scan_parquet(version.path / "ledger.parquet")
    source, _, line = name.strip().rpartition(":")
    digits = line.replace(",", "")
    if source and digits.isdecimal():
        named = (pl.col("source") == source) | pl.col("source").str.ends_with(f"/{source}")
        wanted = named & (pl.col("line") == int(digits))
    elif len(name) >= SHORTEST:
        wanted = pl.col("id").str.starts_with(name.strip().lower())
    else:
        wanted = pl.lit(value=False)
    found = ledger.filter(wanted).collect(engine="streaming")
    exact = found.filter(pl.col("source") == source)
    rows = (exact if exact.height else found).to_dicts()
    if len(rows) == 1:
        return rows[0]
    raise _several(version, name, rows) if rows else _unknown(version, name, source)


def _several(version: Version, name: str, rows: list[Row]) -> UsageFault:
    shown = ", ".join(f"{row['source']}:{row['line']} ({row['reason'] or row['decision']})" for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
    found = f"{len(rows):,} rows of {version.reference} have that name: {shown}{more}"
    return UsageFault(f"row {name}", found, cure="Name one of them")


def _unknown(version: Version, name: str, source: str) -> UsageFault:
    ledger = pl.scan_parquet(version.path / "ledger.parquet")
    ends = ledger.group_by("source", maintain_order=True).agg(pl.col("line").max()).collect(engine="streaming")
    mine = ends.filter((pl.col("source") == source) | pl.col("source").str.ends_with(f"/{source}"))
    if source and mine.height:
        cure = f"Its rows of {mine['source'][0]} end with line {mine['line'][0]:,}"
    else:
        cure = f"Its sources: {', '.join(ends['source'].head(_NAMED))}{' …' if ends.height > _NAMED else ''}"
    expected = f"source:line, or {SHORTEST} and more digits of an id"
    return UsageFault(f"row {name}", f"{version.reference} has no such row", expected, cure)


def ledger_lines(version: Version, keys: Iterable[Key]) -> dict[Key, Row]:
    """The lines of the ledger with these keys."""
    wanted = _keys(keys)
    if wanted.is_empty():
        return {}
    lines = pl.scan_parquet(version.path / "ledger.parquet").join(wanted.lazy(), on=["source", "line"], how="semi")
    return {(row["source"], row["line"]): row for row in lines.collect(engine="streaming").iter_rows(named=True)}


def records(version: Version, keys: Iterable[Key]) -> dict[Key, tuple[Kind, pl.DataFrame]]:
    """The records with these keys as frames of one row, with their kind; rejected rows have none.

    Dropped records are kept whole beside the others, and like them with personal data masked.
    """
    wanted = _keys(keys)
    found: dict[Key, tuple[Kind, pl.DataFrame]] = {}
    for kind in KINDS if wanted.height else ():
        aside = version.path / "dropped" / f"{kind}.parquet"
        for files in (version.data_files(kind), [aside] if aside.is_file() else []):
            if files:
                mine = pl.scan_parquet(files).join(wanted.lazy(), on=["source", "line"], how="semi")
                for record in mine.collect(engine="streaming").iter_slices(1):
                    found[record["source"][0], record["line"][0]] = (kind, record)
    return found


def beside(version: Version, name: str, key: Key) -> list[Row]:
    """The rows with a key of a file beside the ledger: scores, edits, dropped/rejected; none where there is no file."""
    path = version.path / f"{name}.parquet"
    if not path.is_file():
        return []
    rows = pl.scan_parquet(path)
    if not {"source", "line"} <= set(rows.collect_schema().names()):
        return []
    return rows.filter(pl.col("source") == key[0], pl.col("line") == key[1]).collect(engine="streaming").to_dicts()


def _keys(keys: Iterable[Key]) -> pl.DataFrame:
    return pl.DataFrame(sorted(set(keys)), schema={"source": pl.String, "line": pl.Int64}, orient="row")
