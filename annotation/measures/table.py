"""Any table of who said what of which item, from CSV, TSV, JSON, JSONL or Parquet: long, or a column an annotator."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from datakit.errors import InputError, MissingInput, UsageFault

LONG: Final = ("item", "annotator", "value")
"""The columns of a long table: one row an answer."""

_KEPT: Final = ("question", "stratum", "answered_at")  # what breakdowns go by

# CSV cells stay text, so that nothing is lost: 007 is not 7 until all values are numbers.
_READERS: Final[Mapping[str, Callable[[Path], pl.DataFrame]]] = {
    ".csv": lambda path: pl.read_csv(path, infer_schema=False, try_parse_dates=False),
    ".tsv": lambda path: pl.read_csv(path, infer_schema=False, separator="\t"),
    ".json": lambda path: pl.read_json(path, infer_schema_length=None),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".parquet": pl.read_parquet,
}


def read_table(path: Path, columns: Mapping[str, str] | None = None, wide: Sequence[str] | None = None) -> pl.DataFrame:
    """A table as `agreement` takes it: item, annotator, value, and question, stratum, answered_at where it has them.

        long    item,annotator,value        wide    item,anna,ben
                d1,anna,A                           d1,A,B
                d1,ben,B

    Args:
        path: the file; its ending says what it is.
        columns: what it calls item, annotator, value, question, stratum or answered_at where that differs.
        wide: the columns of a wide table that hold each annotator's answers. Where it has no item column, a row is an
            item and goes by its number, from 1.

    Raises:
        MissingInput: there is no such file.
        InputError: it cannot be read, or a column is missing.
        UsageFault: its ending is unknown.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageFault(str(path), f"a table of the kind '{path.suffix}'", f"one of {', '.join(_READERS)}")
    if not path.is_file():
        raise MissingInput(str(path), "no such file", cure="Check the path")
    try:
        found = read(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(str(path), f"cannot be read ({str(error).splitlines()[0]})", f"a {path.suffix} file") from None
    names = dict(columns or {})
    if wide:
        return _from_wide(found, names, wide, str(path))
    kept = [name for name in _KEPT if name in names or name in found.columns]
    return _select(found, {name: names.get(name, name) for name in (*LONG, *kept)}, str(path))


def _from_wide(found: pl.DataFrame, names: dict[str, str], wide: Sequence[str], where: str) -> pl.DataFrame:
    kept = [name for name in ("item", *_KEPT) if name in names or name in found.columns]
    chosen = _select(found, {name: names.get(name, name) for name in kept} | {name: name for name in wide}, where)
    if "item" not in chosen.columns:
        chosen = chosen.with_row_index("item", offset=1)
    # Annotators whose columns differ in type (an empty one is null) are compared as text.
    said = chosen.with_columns(pl.col(wide).cast(pl.String))
    return said.unpivot(wide, index=["item", *(k for k in kept if k != "item")], variable_name="annotator")


def _select(found: pl.DataFrame, names: Mapping[str, str], where: str) -> pl.DataFrame:
    """The columns by our names for them."""
    missing = [column for column in names.values() if column not in found.columns]
    if missing:
        near = difflib.get_close_matches(missing[0], found.columns, n=1)
        raise InputError(
            where,
            f"no column {', '.join(map(repr, missing))}; there are {', '.join(map(repr, found.columns))}",
            "item, annotator and value, or a column an annotator",
            (f"Did you mean {near[0]!r}? " if near else "")
            + "Name them with --columns item=NAME,annotator=NAME,value=NAME or --wide NAME,NAME",
        )
    for column in names.values():
        if found[column].dtype.is_nested():
            raise InputError(
                where, f"column {column!r} holds {found[column].dtype}", "texts or numbers", "Write each as text"
            )
    return found.select(pl.col(column).alias(name) for name, column in names.items())
