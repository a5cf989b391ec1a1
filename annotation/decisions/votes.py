"""From judgements to votes: what each annotator says of each row that was asked about, once.

An annotator may have answered a row twice, the second time as a repeat with its sides exchanged: the answer to the
item itself is the vote, and the repeat's stands in only where there is no other. Drafts, discarded and withdrawn
answers are no votes. Gold items are nobody's rows: they only say how often an annotator is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import orjson
import polars as pl

from datakit.errors import UsageFault

VOTES: Final = pl.Schema(
    {
        "item": pl.String(),  # an item that asks, never a repeat
        "question": pl.String(),
        "annotator": pl.String(),
        "value": pl.String(),  # canonical JSON, as in judgements
        "answered_at": pl.String(),
        "guideline": pl.String(),
    }
)
"""One row a vote; an annotator has one an item and question. Sorted by item, question and annotator."""

TRUTH: Final = ""
"""Who knows the right answers of gold items; no annotator is called so."""

_ONE: Final = ("item", "question", "annotator")


def votes_of(judgements: pl.DataFrame, *, both_bad_ties: bool = False) -> pl.DataFrame:
    """The votes among judgements, as `VOTES`.

    Args:
        judgements: of a campaign, with the columns of `annotation.judgements.judgements`.
        both_bad_ties: whether a preference for neither side counts as a tie.
    """
    return _once(judgements.filter(pl.col("role") != "gold"), both_bad_ties)


def gold_votes(judgements: pl.DataFrame, items: pl.DataFrame, *, both_bad_ties: bool = False) -> pl.DataFrame:
    """The votes on gold items, and beside them the right answers, as those of an annotator called `TRUTH`.

    Args:
        judgements: of a campaign.
        items: its items; `expected` is a value, or an object of question to value.
        both_bad_ties: as for `votes_of`.
    """
    gold = judgements.filter(pl.col("role") == "gold")
    expected = {row["item"]: orjson.loads(row["expected"]) for row in items.iter_rows(named=True) if row["expected"]}
    asked = gold.select("item", "question", "kind").unique(maintain_order=True)
    rows = [
        {"item": item, "question": question, "kind": kind, "value": orjson.dumps(right).decode(), "annotator": TRUTH}
        for item, question, kind in asked.iter_rows()
        for right in (_right(expected.get(item), question),)
        if right is not None
    ]
    known = {"status": "submitted", "role": "gold", "answered_at": "", "response": ""}
    truth = pl.DataFrame([{**known, **row} for row in rows], schema=gold.schema)
    return _once(pl.concat([gold, truth]), both_bad_ties)


def _right(expected: Any, question: str) -> Any:
    return expected.get(question) if isinstance(expected, dict) else expected


def _once(judgements: pl.DataFrame, both_bad_ties: bool) -> pl.DataFrame:
    said = (
        judgements.filter(pl.col("status") == "submitted", pl.col("value").is_not_null())
        .with_columns(item=asked_item(), again=pl.col("role") == "repeat", order=pl.col("answered_at").fill_null(""))
        .sort(*_ONE, "again", "order", "response")
    )
    # The item before its repeat; of several answers to one of them, which should not be, the last.
    last = said.unique([*_ONE, "again"], keep="last", maintain_order=True)
    votes = last.unique(list(_ONE), keep="first", maintain_order=True)
    if both_bad_ties:
        neither = (pl.col("kind") == "preference") & (pl.col("value") == '"both_bad"')
        votes = votes.with_columns(value=pl.when(neither).then(pl.lit('"tie"')).otherwise("value"))
    return votes.select(*VOTES).cast(VOTES)


def discards_of(judgements: pl.DataFrame) -> dict[str, int]:
    """Item to the number of annotators who discarded it, and submitted no answer to it either."""
    asked = judgements.filter(pl.col("role") != "gold").with_columns(item=asked_item())
    said = asked.filter(pl.col("status") == "submitted").select("item", "annotator")
    gone = asked.filter(pl.col("status") == "discarded").select("item", "annotator").unique()
    left = gone.join(said, on=["item", "annotator"], how="anti")
    return dict(left.group_by("item").len().iter_rows())


def asked_item() -> pl.Expr:
    """The item that a judgement is about: of a repeat, the one that it repeats."""
    return pl.when(pl.col("role") == "repeat").then("of").otherwise("item")


def accuracy_weights(gold: pl.DataFrame, annotators: Iterable[str], classes: int) -> dict[str, float]:
    """Annotator to weight by accuracy on gold items: 0 at chance and below, growing with the odds of being right.

    w = max(0, log((K - 1) p / (1 - p))), K classes, p the accuracy: what a vote says of the truth where errors fall on
    all other classes alike. For K = 2 these are the optimal weights of Nitzan and Paroush (1982), Optimal decision
    rules in uncertain dichotomous choice situations, International Economic Review 23(2). Few gold answers say little,
    so p is drawn towards the accuracy of all annotators together by as much as two answers weigh; who answered none
    has just that.

    Args:
        gold: one row an answer to a gold item: annotator, hit (whether it is right).
        annotators: who gets a weight.
        classes: answers that there are to choose from.

    Raises:
        UsageFault: nobody answered a gold item.
    """
    if gold.is_empty():
        raise UsageFault(
            "annotate.resolve.method = weighted",
            "nobody answered a gold item",
            "gold items in the campaign, or annotate.resolve.weights",
            "Set the weights, or choose majority or dawid_skene",
        )
    counts = {name: (right, answered) for name, right, answered in _by_annotator(gold)}
    together = (sum(right for right, _ in counts.values()) + 1) / (gold.height + 2)  # never 0 or 1
    weights = {}
    for name in annotators:
        right, answered = counts.get(name, (0, 0))
        share = (right + 2 * together) / (answered + 2)
        weights[name] = max(0.0, math.log((classes - 1) * share / (1 - share)))
    return weights


def _by_annotator(gold: pl.DataFrame) -> Iterable[tuple[str, int, int]]:
    return gold.group_by("annotator").agg(pl.col("hit").sum(), answered=pl.len()).sort("annotator").iter_rows()
