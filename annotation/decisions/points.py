"""Answers of every kind as points: single questions with one answer each, which can be counted.

preference "second"                  ->  ("", "second")
labels ["a", "c"]                    ->  ("a", "yes"), ("c", "yes"); ("b", "no") where somebody else said b
spans [{start, end, label}]          ->  likewise, a point a span that anybody marked
ranking [1, 2, 1]                    ->  ("0,1", "first"), ("0,2", "tie"), ("1,2", "second"): every two answers
rating 4, one label, a text          ->  ("", the value)
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any, Final

import orjson
import polars as pl

POINTS: Final = pl.Schema(
    {"item": pl.String(), "question": pl.String(), "point": pl.String(), "annotator": pl.String(), "value": pl.String()}
)
"""One row an annotator and point; `value` is no JSON but a plain word or text. Sorted by all but the value."""

YES: Final = "yes"
NO: Final = "no"


def points_of(votes: pl.DataFrame, kind: str, *, multiple: bool = False) -> pl.DataFrame:
    """The points of votes, as `POINTS`.

    Args:
        votes: of one question, as `annotation.decisions.votes.VOTES`.
        kind: of the question: preference, rating, ranking, labels, spans or rewriting.
        multiple: of labels: whether an answer is a list of them.
    """
    if kind == "spans" or (kind == "labels" and multiple):
        rows = _memberships(votes)
    elif kind == "ranking":
        rows = [
            (vote["item"], vote["question"], f"{one},{other}", vote["annotator"], _before(ranks[one], ranks[other]))
            for vote in votes.iter_rows(named=True)
            for ranks in (orjson.loads(vote["value"]),)
            for one, other in combinations(range(len(ranks)), 2)
        ]
    else:
        rows = [
            (vote["item"], vote["question"], "", vote["annotator"], _plain(vote["value"]))
            for vote in votes.iter_rows(named=True)
        ]
    return pl.DataFrame(rows, schema=POINTS, orient="row").sort("item", "question", "point", "annotator")


def _plain(value: str) -> str:
    read = orjson.loads(value)
    return read if isinstance(read, str) else orjson.dumps(read, option=orjson.OPT_SORT_KEYS).decode()


def _before(one: float, other: float) -> str:
    """Which of two ranks is the better one: rank 1 comes first."""
    return "first" if one < other else "second" if one > other else "tie"


def _memberships(votes: pl.DataFrame) -> list[tuple[str, str, str, str, str]]:
    """Every member that anybody named of an item, and who named it; an empty answer says no to all of them."""
    said: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(dict)
    for vote in votes.iter_rows(named=True):
        members = orjson.loads(vote["value"])
        named = {member_text(member) for member in (members if isinstance(members, list) else [members])}
        said[vote["item"], vote["question"]][vote["annotator"]] = named
    return [
        (item, question, point, annotator, YES if point in named else NO)
        for (item, question), by in said.items()
        for point in sorted(set().union(*by.values()))
        for annotator, named in by.items()
    ]


def member_text(member: Any) -> str:
    """A label or a span as the name of a point."""
    return member if isinstance(member, str) else orjson.dumps(member, option=orjson.OPT_SORT_KEYS).decode()


def member_of(point: str) -> Any:
    """The label or span that a point asks about; a span's name is a JSON object, which no label is."""
    return orjson.loads(point) if point.startswith("{") else point
