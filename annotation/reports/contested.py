"""The items on which annotators disagree most, with what they saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from annotation.campaigns.answers import Messages, answers_of, context_of
from datakit.versions.store import Version

SHOWN: Final = 12
"""Examples that are shown."""


@dataclass(frozen=True)
class Contested:
    """One unit: who said what of it; and what they saw: what came before, and the answers, first to last."""

    source: str
    line: int
    question: str
    said: tuple[tuple[str, str], ...]
    context: Messages
    answers: Sequence[Messages]


def most_contested(table: pl.DataFrame, most: int = SHOWN) -> pl.DataFrame:
    """The units that divide annotators most: columns item, question, said (structs of annotator and value).

    Those come first whose numbers lie furthest apart, if the values are numbers; then those of which the fewest pairs
    of answers are equal; then those with more answers.

    Args:
        table: columns item, question, annotator, value.
        most: how many are wanted.
    """
    unit = ["item", "question"]
    number, votes = pl.col("value").cast(pl.Float64, strict=False), pl.len().over(*unit, "value")
    divided = (
        table.with_columns(equal=votes - 1)
        .group_by(unit)
        .agg(
            spread=number.max() - number.min(),
            share=pl.col("equal").sum() / (pl.len() - 1),
            answers=pl.len(),
        )
        .filter(pl.col("share") < pl.col("answers"))
        .with_columns(pl.col("spread").fill_null(0.0), pl.col("share") / pl.col("answers"))
    )
    first = divided.sort("spread", "share", "answers", *unit, descending=[True, False, True, False, False]).head(most)
    said = table.sort("annotator").group_by(unit).agg(said=pl.struct("annotator", "value"))
    return first.select(unit).join(said, on=unit, maintain_order="left")


def find_contested(table: pl.DataFrame, items: pl.DataFrame, source: Version, most: int = SHOWN) -> list[Contested]:
    """The units that divide annotators most, the worst first, with the texts of their rows.

    Args:
        table: columns item, question, annotator, value.
        items: a campaign's items.
        source: the version that the items come from.
        most: how many are wanted.
    """
    rows = most_contested(table, most).join(
        items.select("item", "source", "line", "row_kind"), on="item", maintain_order="left"
    )
    records = _records(rows, source)
    found = []
    for row in rows.iter_rows(named=True):
        record = records.get((row["source"], row["line"]))
        found.append(
            Contested(
                row["source"],
                row["line"],
                row["question"],
                tuple((vote["annotator"], vote["value"]) for vote in row["said"]),
                context_of(record, row["row_kind"]) if record else [],
                answers_of(record, row["row_kind"]) if record else [],
            )
        )
    return found


def _records(rows: pl.DataFrame, source: Version) -> Mapping[tuple[str, int], Mapping[str, Any]]:
    """The records of some rows, by key."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for (kind,), part in rows.partition_by("row_kind", as_dict=True).items():
        keys = part.lazy().select("source", "line").unique()
        lines = pl.scan_parquet(source.data_files(str(kind))).join(keys, on=["source", "line"], how="semi")
        for record in lines.collect(engine="streaming").iter_rows(named=True):
            found[record["source"], record["line"]] = record
    return found
