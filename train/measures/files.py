"""Evaluation files: read by the readers of `datakit clean`, and strictly, because a measure has no row to lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datakit.errors import InputError, NoRows
from datakit.formats.read import parse
from datakit.recipe.data import DataSettings, Format
from datakit.records import Kind
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import discover


def read_records(paths: Sequence[str], kind: Kind, form: Format) -> list[dict[str, Any]]:
    """The records of files, with the columns of `records.SCHEMAS[kind]`, in the order of their keys.

    Args:
        paths: files, folders or globs.
        kind: what the files must hold.
        form: the format that yields records of this kind.

    Raises:
        MissingInput: a file is not there.
        InputError: a row cannot be read.
        NoRows: there is none.
    """
    settings = DataSettings(format=form)
    records: list[dict[str, Any]] = []
    for file in discover(paths):
        for block in read_blocks(file, settings):
            parsed = parse(block, settings)
            for row in parsed.rejected.head(1).iter_rows(named=True):
                raise InputError(f"{row['source']}:{row['line']}", f"{row['reason']} ({row['detail']})", f"a {kind}")
            if kind in parsed.frames:
                records += parsed.frames[kind].iter_rows(named=True)
    if not records:
        raise NoRows(", ".join(paths), f"holds no {kind}")
    return records
