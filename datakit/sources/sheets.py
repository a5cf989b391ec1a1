"""Workbooks sheet by sheet: the first row that is not blank names the columns, every cell is text, as in csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from datakit.sources.block import Block, Broken, Notice, Reject
from datakit.sources.extract import UNPACKED
from datakit.sources.office import open_package
from datakit.sources.tabular import column_names, packed

SHEET = "sheet"  # the column that says where a row is from


def read_workbook(data: bytes, source: str, target_bytes: int, max_row_bytes: int, notice: Notice) -> Iterator[Block]:
    """Blocks of the rows of an xlsx file, numbered from 1 through all of its sheets, headers not counted.

    Args:
        data: the file.
        source: its name in row keys.
        target_bytes: size of a block.
        max_row_bytes: the file may unpack to eight times as much.
        notice: hears of empty sheets, and of columns without a name of their own.
    """
    import fastexcel

    try:
        open_package(data, UNPACKED * max_row_bytes).close()
        workbook = fastexcel.read_excel(data)
    except (Broken, fastexcel.FastExcelError) as error:
        yield _rejected(source, 1, error)
        return
    line = 1
    for name in workbook.sheet_names:
        try:
            frame = workbook.load_sheet(name, header_row=None, dtypes="string").to_polars()
        except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
            yield _rejected(source, line, error)
            line += 1
            continue
        rows = _table(frame, f"{source}, sheet '{name}'", notice)
        if rows is None:
            notice(f"{source}: the sheet '{name}' holds no rows")
            continue
        if SHEET not in rows.columns:
            rows = rows.with_columns(pl.lit(name).alias(SHEET))
        for block in packed(iter([rows]), source, target_bytes, line):
            yield replace(block, strings=True)
        line += rows.height


def _table(frame: pl.DataFrame, where: str, notice: Notice) -> pl.DataFrame | None:
    """The data rows under the names of their columns; None where there are none. Blank rows and columns are no rows."""
    if not frame.width:
        return None
    texts = frame.with_columns(pl.all().fill_null(""))
    texts = texts.filter(pl.any_horizontal(pl.all().str.strip_chars() != ""))
    if texts.height < 2:
        return None
    texts = texts.select(column for column in texts if (column.str.strip_chars() != "").any())
    names = column_names([str(cell) for cell in texts.row(0)], where, notice)
    return texts.slice(1).rename(dict(zip(texts.columns, names, strict=True)))


def _rejected(source: str, line: int, error: Exception) -> Block:
    if isinstance(error, Broken):
        reject = Reject(line, None, None, error.reason, error.detail)
    else:
        first = str(error).strip().splitlines()[:1]
        reject = Reject(line, None, None, "broken_document", f"cannot be read as xlsx ({''.join(first)})")
    return Block(source, line, 0, rejects=(reject,))
