"""How the votes on a point become one answer: by majority, by weight, or by Dawid and Skene.

Each method gives every point's values their shares, which add up to 1; everything else follows from these:

    confidence   the share of the value that wins
    lead         that share less the next one's; 0 where two are equal: the vote is split
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from annotation.measures.dawid_skene import dawid_skene

_POINT: Final = ("item", "question", "point")
_DIGITS: Final = 9  # of a share: sums of the same weights in another order are the same number
_ESTIMATED: Final = 6  # of a probability: the rounds of EM end where none changes by more than 1e-6

SHARES: Final = pl.Schema(
    {"item": pl.String(), "question": pl.String(), "point": pl.String(), "value": pl.String(), "share": pl.Float64()}
)


@dataclass(frozen=True)
class Decision:
    """What became of one point.

    value: the winner; of equal ones the first by name. shares: value to share, the largest first.
    """

    value: str
    shares: Mapping[str, float]

    @property
    def confidence(self) -> float:
        """The winner's share, 0 to 1."""
        return self.shares[self.value]

    @property
    def lead(self) -> float:
        """How far the winner is ahead, 0 to 1."""
        ordered = list(self.shares.values())
        return round(ordered[0] - (ordered[1] if len(ordered) > 1 else 0.0), _DIGITS)


def weighted_shares(points: pl.DataFrame, weights: Mapping[str, float] | None = None) -> pl.DataFrame:
    """The shares of the values of each point, as `SHARES`.

    Args:
        points: as `annotation.decisions.points.POINTS`.
        weights: annotator to weight of 0 or more; None: every vote counts the same. A point that only annotators
            without weight answered is shared by them all alike: nothing is known that would tell them apart.
    """
    weight = pl.lit(1.0) if weights is None else pl.col("annotator").replace_strict(weights, default=0.0)
    counted = (
        points.with_columns(weight=weight.cast(pl.Float64), one=pl.lit(1.0))
        .sort(*_POINT, "annotator")
        .group_by(*_POINT, "value", maintain_order=True)
        .agg(pl.col("weight", "one").sum())
    )
    whole = counted.with_columns(total=pl.col("weight").sum().over(_POINT), heads=pl.col("one").sum().over(_POINT))
    share = (
        pl.when(pl.col("total") > 0).then(pl.col("weight") / pl.col("total")).otherwise(pl.col("one") / pl.col("heads"))
    )
    return whole.select(*_POINT, "value", share.round(_DIGITS).alias("share"))


def likely_shares(points: pl.DataFrame, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """The shares as Dawid and Skene's posterior probabilities, as `SHARES`: how each annotator errs is learnt too.

    Args:
        points: of all items together, gold items included, so that an annotator's errors are learnt from all of them.
        known: item, question, point and value of points whose answer is known. Without any, three annotators are few:
            see `annotation.measures.dawid_skene`.
    """
    keys = points.select(_POINT).unique(maintain_order=True).with_row_index("key")
    named = keys.with_columns(key=pl.col("key").cast(pl.String))

    def by_key(table: pl.DataFrame) -> pl.DataFrame:
        return table.join(named, on=_POINT, maintain_order="left").rename({"item": "_", "key": "item"}).drop(_POINT[1:])

    sure = by_key(known).select("item", "value") if known is not None and known.height else None
    found = dawid_skene(by_key(points).select("item", "annotator", "value"), known=sure).posterior
    shares = found.rename({"item": "key"}).join(named, on="key").filter(pl.col("probability") > 0)
    return shares.select(*_POINT, "value", pl.col("probability").round(_ESTIMATED).alias("share"))


def decide(shares: pl.DataFrame) -> dict[tuple[str, str], dict[str, Decision]]:
    """What each point is decided as: (item, question) to point to decision.

    Args:
        shares: as `SHARES`.
    """
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    ordered = shares.sort(*_POINT, "share", "value", descending=[False, False, False, True, False])
    for row in ordered.iter_rows(named=True):
        points = found.setdefault((row["item"], row["question"]), {})
        points.setdefault(row["point"], {})[row["value"]] = row["share"]
    return {
        key: {point: Decision(next(iter(shares)), shares) for point, shares in points.items()}
        for key, points in found.items()
    }


def agreement_of(points: pl.DataFrame) -> dict[tuple[str, str], float]:
    """(item, question) to the share of pairs of annotators who say the same, 0 to 1; only where there are pairs.

    Over the points of a question together: sum of n_v (n_v - 1) over sum of n (n - 1), n_v votes for a value of n.
    """
    counted = points.group_by(*_POINT, "value").agg(votes=pl.len().cast(pl.Int64))
    per_point = counted.group_by(_POINT).agg(
        same=(pl.col("votes") * (pl.col("votes") - 1)).sum(),
        all=pl.col("votes").sum() * (pl.col("votes").sum() - 1),
    )
    together = per_point.group_by("item", "question").agg(pl.col("same", "all").sum()).filter(pl.col("all") > 0)
    rows = together.select("item", "question", pl.col("same") / pl.col("all"))
    return {(item, question): share for item, question, share in rows.iter_rows()}
