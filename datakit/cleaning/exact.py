"""Exact duplicates: equal content, whatever stands in meta."""

from __future__ import annotations

from typing import Final

import polars as pl

KEEPER: Final = ("verified", "length", "date", "row")
"""Which of several rows stays: verified, longer, later, then the smaller (source, line), which `row` orders by."""


def find_exact_duplicates(index: pl.DataFrame) -> pl.DataFrame:
    """The rows whose content another row holds already, each with the row that stays.

    Args:
        index: columns row, exact_0, exact_1, verified, length, date; only rows that are still in.

    Returns:
        Columns row and twin (both as in `index`), ordered by row.
    """
    same = ["exact_0", "exact_1"]
    repeated = index.filter(pl.struct(same).is_duplicated())
    ranked = in_keeper_order(repeated, same)
    return (
        ranked.with_columns(pl.col("row").first().over(same).alias("twin"))
        .filter(pl.col("row") != pl.col("twin"))
        .select("row", "twin")
        .sort("row")
    )


def in_keeper_order(rows: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """The rows sorted by `group`, and inside each group by who would stay, best first.

    A date counts only where every row of the group that ties on verified and length has one: with a dated and an
    undated row, "later" would mean nothing.
    """
    tie = [*group, "verified", "length"]
    dated = rows.with_columns(
        pl.when(pl.col("date").null_count().over(tie) == 0).then("date").otherwise(None).alias("_date")
    )
    return dated.sort(
        [*group, "verified", "length", "_date", "row"],
        descending=[*[False] * len(group), True, True, True, False],
        nulls_last=True,
    ).drop("_date")
