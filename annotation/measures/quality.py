"""Annotators: are they right where the answer is known, do they lean to one side, do they say the same thing twice?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import orjson
import polars as pl

from annotation.measures.dawid_skene import dawid_skene
from annotation.measures.judged import COUNTS, judged, plain_values
from annotation.measures.shares import Share, against_half, wilson

PAUSE: Final = 1_800.0
"""Seconds between two answers from which on the annotator was away: such gaps are no pace."""


@dataclass(frozen=True)
class Quality:
    """What is known of one annotator; None where nothing was measured.

    items: items they answered; discarded: items they declined. gold: answers to gold items that are right. left: of
    their answers that chose a side, those that chose the left one (A), tested against a half. consistency: repeats
    that were answered as the first time. estimated: probability of being right by Dawid-Skene, on the items that
    others answered too, gold as its known part. seconds: median time from one answer to the next, pauses left out.
    """

    annotator: str
    items: int
    discarded: int
    gold: Share | None
    left: Share | None
    consistency: Share | None
    estimated: float | None
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        shares = {name: getattr(self, name) for name in ("gold", "left", "consistency")}
        return {
            "items": self.items,
            "discarded": self.discarded,
            **{name: share and share.to_json() for name, share in shares.items()},
            "estimated": self.estimated,
            "seconds": self.seconds,
        }


def annotator_quality(judgements: pl.DataFrame, items: pl.DataFrame) -> dict[str, Quality]:
    """The quality of every annotator, by name, in order of names.

    Args:
        judgements: as `datakit annotate pull` keeps them; every status, every role.
        items: the campaign's items, with item and expected (of gold items: JSON, the answer or one a question).
    """
    counted = _counted(judgements)
    right, left, same = gold_hits(judgements, items), _left(counted), _repeated(counted)
    estimated = _estimated(judged(counted, ("ask", "gold")), items)
    found = {}
    for name in judgements["annotator"].unique().sort():
        mine, his = pl.col("annotator") == name, counted.filter(pl.col("annotator") == name)
        found[name] = Quality(
            annotator=name,
            items=his["item"].n_unique(),
            discarded=judgements.filter(mine & (pl.col("status") == "discarded"))["item"].n_unique(),
            gold=wilson(*_hits(right.filter(mine))),
            left=against_half(*_hits(left.filter(mine))),
            consistency=wilson(*_hits(same.filter(mine))),
            estimated=estimated.get(name),
            seconds=_pace(his),
        )
    return found


def _counted(judgements: pl.DataFrame) -> pl.DataFrame:
    return judgements.filter((pl.col("status") == COUNTS) & pl.col("value").is_not_null())


def _hits(found: pl.DataFrame) -> tuple[int, int]:
    return int(found["hit"].sum()), found.height


def gold_hits(judgements: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Every submitted answer to a gold item, one row each: annotator, hit (is it right?)."""
    answers = _counted(judgements).filter(pl.col("role") == "gold")
    answers = answers.join(known_truth(answers, items), on=["item", "question"], suffix="_known")
    return answers.select("annotator", (plain_values(answers["value"]) == answers["value_known"]).alias("hit"))


def known_truth(answers: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """What is known of the units of some answers, from gold: item, question, value (as `judged` writes it)."""
    gold = items.filter(pl.col("expected").is_not_null()).select("item", "expected")
    units = answers.select("item", "question").unique(maintain_order=True).join(gold, on="item", maintain_order="left")
    values = [_expected(*pair) for pair in units.select("expected", "question").iter_rows()]
    found = units.with_columns(plain_values(pl.Series("value", values, dtype=pl.String)))
    return found.select("item", "question", "value").drop_nulls("value")


def _expected(text: str, question: str) -> str | None:
    """The expected answer to a question, as JSON; where there are several questions, they stand by name."""
    value = orjson.loads(text)
    if not isinstance(value, dict):
        return text
    return orjson.dumps(value[question]).decode() if question in value else None


def _left(counted: pl.DataFrame) -> pl.DataFrame:
    """Every answer that chose a side: annotator, hit (was it the left one?). Sides were drawn, so half are left."""
    sides = counted.filter((pl.col("kind") == "preference") & pl.col("shown").is_in(['"A"', '"B"']))
    return sides.select("annotator", (pl.col("shown") == '"A"').alias("hit"))


def _repeated(counted: pl.DataFrame) -> pl.DataFrame:
    """Every answer to a repeat whose first showing the same person answered: annotator, hit (is it the same?)."""
    plain = counted.with_columns(plain_values(counted["value"]).alias("plain"))
    first = plain.select(pl.col("item").alias("of"), "question", "annotator", pl.col("plain").alias("before"))
    both = plain.filter(pl.col("role") == "repeat").join(first, on=["of", "question", "annotator"])
    return both.select("annotator", (pl.col("plain") == pl.col("before")).alias("hit"))


def _estimated(table: pl.DataFrame, items: pl.DataFrame) -> dict[str, float]:
    """How often each annotator is right by Dawid-Skene, over the questions; gold is known, the rest is estimated."""
    shared = table.filter(pl.len().over("item", "question") > 1)
    sums: dict[str, tuple[float, int]] = {}
    for part in shared.partition_by("question"):
        answers = dict(part.group_by("annotator").len().iter_rows())
        for name, accuracy in dawid_skene(part, known=known_truth(part, items)).accuracy().items():
            before, count = sums.get(name, (0.0, 0))
            sums[name] = before + accuracy * answers[name], count + answers[name]
    return {name: total / count for name, (total, count) in sums.items()}


def _pace(mine: pl.DataFrame) -> float | None:
    """The median number of seconds between answers that follow each other without a pause."""
    times = sorted({datetime.fromisoformat(time) for time in mine["answered_at"].drop_nulls()})
    gaps = pl.Series([(after - before).total_seconds() for before, after in pairwise(times)])
    worked = gaps.filter(gaps <= PAUSE) if gaps.len() else gaps
    return float(worked.median()) if worked.len() else None  # type: ignore[arg-type]
