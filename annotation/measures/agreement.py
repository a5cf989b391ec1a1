"""Agreement of annotators: every measure at once, with intervals, over all or by question, pair, time and stratum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from annotation.measures.bootstrap import RESAMPLES, Interval, intervals
from annotation.measures.cohen import WEIGHTS, Weights, cohen, weighted_cohen
from annotation.measures.fleiss import fleiss
from annotation.measures.krippendorff import LEVELS, Level, krippendorff
from annotation.measures.percent import percent
from annotation.measures.ratings import Floats, Ratings, Tally, paired, read_ratings, tally, with_values

By = Literal["question", "pair", "day", "week", "stratum"]
BY: Final[tuple[By, ...]] = ("question", "pair", "day", "week", "stratum")

_DATES: Final[Mapping[By, str]] = {"day": "%Y-%m-%d", "week": "%G-W%V"}

MOST_PAIRS: Final = 45
"""Pairs of annotators (those of ten) up to which Cohen's kappa of each gets an interval: 0.03 s a pair. In breakdowns
only those of `pair` get one."""

Measured = float | None
"""A measure; None where it is undefined."""


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree. Shares are 0 to 1; kappas and alphas at most 1, 0 is what chance gives.

    items: items with an answer. compared: units (items, or items and questions) with two answers or more, on which
    all but Cohen's kappas rest. answers: how many. cohen: "a|b" to kappa, over the units that both answered; weighted:
    the same with linear and quadratic weights, empty where values have no order. krippendorff: level to alpha.
    interval: 95 % intervals, laid out as the measures are. level: the one to read, by what the values are.
    notes: why a measure is undefined, as sentences.
    """

    items: int
    compared: int
    answers: int
    annotators: tuple[str, ...]
    categories: tuple[str, ...]
    level: Level
    percent: Measured
    cohen: Mapping[str, Measured]
    weighted: Mapping[Weights, Mapping[str, Measured]]
    fleiss: Measured
    krippendorff: Mapping[Level, Measured]
    interval: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    by: Mapping[By, Mapping[str, Agreement]] = field(default_factory=dict)

    @property
    def alpha(self) -> Measured:
        """Krippendorff's alpha at the level to read."""
        return self.krippendorff[self.level]

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is undefined is None. Breakdowns stand under `by`, each part laid out as the whole."""
        plain: dict[str, Any] = {
            "items": self.items,
            "compared": self.compared,
            "answers": self.answers,
            "annotators": len(self.annotators),
            "categories": list(self.categories),
            "level": self.level,
            "percent": self.percent,
            "cohen": dict(self.cohen),
            "weighted": {weights: dict(kappas) for weights, kappas in self.weighted.items()},
            "fleiss": self.fleiss,
            "krippendorff": dict(self.krippendorff),
            "interval": dict(self.interval),
            "notes": list(self.notes),
        }
        if self.by:
            plain["by"] = {
                name: {part: found.to_json() for part, found in parts.items()} for name, parts in self.by.items()
            }
        return plain


def agreement(
    table: pl.DataFrame,
    level: Level = "nominal",
    seed: int = 0,
    resamples: int = RESAMPLES,
    *,
    order: Sequence[str] | None = None,
    by: Sequence[By] = (),
) -> Agreement:
    """Measure the agreement in a table of answers.

    Args:
        table: one row an answer, with columns item, annotator, value; `question` where there is more than one, whose
            answers are compared only with each other; `stratum` and `answered_at` (a time, or text that begins with a
            date) for breakdowns by them. Rows without a value are left out.
        level: which alpha is the one to read; all are measured.
        seed: of the bootstrap.
        resamples: of the bootstrap; 0 leaves intervals out.
        order: the values from least to most, for values that are no numbers.
        by: breakdowns to add.

    Raises:
        InputError: an annotator answers a unit twice, an item or annotator has no name, or a value is not in `order`.
    """
    found = with_values(table)
    whole = _measured(found, level, seed, resamples, order, pairs=resamples)
    broken_down: dict[By, dict[str, Agreement]] = {
        name: {
            part: _measured(inner, level, seed, resamples, order, pairs=resamples if name == "pair" else 0)
            for part, inner in parts(found, name).items()
        }
        for name in by
    }
    return replace(whole, by=broken_down)


def _measured(
    found: pl.DataFrame, level: Level, seed: int, resamples: int, order: Sequence[str] | None, *, pairs: int
) -> Agreement:
    """The agreement in answers that all have a value; `pairs`: resamples for each pair's kappa."""
    ratings = read_ratings(found, order)
    units = tally(ratings)
    whole, reach = _interchangeable(ratings, units, resamples, seed)
    kappas, kappa_reach = _pairs(ratings, pairs, seed)
    return Agreement(
        items=found["item"].n_unique(),
        compared=int(units.times.sum()),
        answers=found.height,
        annotators=ratings.annotators,
        categories=ratings.categories,
        level=level,
        percent=whole["percent"],
        cohen=kappas,
        weighted=_weighted(ratings),
        fleiss=whole["fleiss"],
        krippendorff={name: whole[name] for name in LEVELS},
        interval={
            "percent": reach["percent"],
            "cohen": kappa_reach,
            "fleiss": reach["fleiss"],
            "krippendorff": {name: reach[name] for name in LEVELS},
        },
        notes=_notes(ratings, units),
    )


def _interchangeable(
    ratings: Ratings, units: Tally, resamples: int, seed: int
) -> tuple[dict[str, Measured], dict[str, Interval | None]]:
    """The measures that do not ask who said what, by name, and their intervals."""
    levels = LEVELS if ratings.scale is not None else LEVELS[: 2 if ratings.ordered else 1]

    def measure(times: Floats) -> Floats:
        alphas = (krippendorff(units, level, ratings.scale, times) for level in levels)
        return np.array([percent(units, times), fleiss(units, times), *alphas])

    names = ("percent", "fleiss", *levels)
    values = dict.fromkeys(("percent", "fleiss", *LEVELS), None) | {
        name: _defined(value) for name, value in zip(names, measure(units.times), strict=True)
    }
    reach = dict(zip(names, intervals(measure, units.times, resamples=resamples, seed=seed), strict=True))
    return values, {name: reach.get(name) if values[name] is not None else None for name in values}


def _pairs(ratings: Ratings, resamples: int, seed: int) -> tuple[dict[str, Measured], dict[str, Interval | None]]:
    """Cohen's kappa of every two annotators, and its interval."""
    values: dict[str, Measured] = {}
    reach: dict[str, Interval | None] = {}
    every = list(combinations(range(len(ratings.annotators)), 2))
    drawn = resamples if len(every) <= MOST_PAIRS else 0
    kinds = len(ratings.categories)
    for one, other in every:
        pair, name = paired(ratings, one, other), f"{ratings.annotators[one]}|{ratings.annotators[other]}"
        values[name] = _defined(cohen(pair, kinds))

        def measure(times: Floats) -> Floats:
            return np.array([cohen(pair, kinds, times)])  # noqa: B023  # called before the loop goes on

        found = intervals(measure, pair.times, resamples=drawn, seed=seed)[0]
        reach[name] = found if values[name] is not None else None
    return values, reach


def _weighted(ratings: Ratings) -> dict[Weights, dict[str, Measured]]:
    if not ratings.ordered:
        return {}
    every = list(combinations(range(len(ratings.annotators)), 2))
    return {
        weights: {
            f"{ratings.annotators[one]}|{ratings.annotators[other]}": _defined(
                weighted_cohen(paired(ratings, one, other), ratings.positions(), weights)
            )
            for one, other in every
        }
        for weights in WEIGHTS
    }


def _defined(value: float) -> Measured:
    return None if math.isnan(value) else float(value)


def _notes(ratings: Ratings, units: Tally) -> tuple[str, ...]:
    """Why measures are undefined."""
    if not ratings.units:
        return ("nobody has answered yet",)
    notes = []
    if len(ratings.annotators) == 1:
        notes.append("one annotator: there is nobody to agree with")
    elif not units.times.size:
        notes.append("no item has answers of two annotators")
    elif np.count_nonzero(units.said(units.times)) == 1:
        only = ratings.categories[int(np.argmax(units.said(units.times)))]
        notes.append(f"all answers are {only!r}: without a second value, agreement cannot be told from chance")
    if not ratings.ordered:
        notes.append("the values are no numbers and no order of them was given: no ordinal or interval alpha")
    elif ratings.scale is None:
        notes.append("the values are no numbers: no interval alpha")
    return tuple(notes)


def parts(table: pl.DataFrame, by: By) -> dict[str, pl.DataFrame]:
    """A table cut by question, pair of annotators, day, ISO week (`2026-W48`) or stratum, in order of the parts' names.

    An item belongs to the day and week of its latest answer: that is when it could be compared. A part of a
    pair holds what the two said, and so the items that only one of them answered too.
    """
    if by == "pair":
        return {
            f"{one}|{other}": table.filter(pl.col("annotator").is_in([one, other]))
            for one, other in combinations(table["annotator"].cast(pl.String).unique().sort(), 2)
        }
    if ("answered_at" if by in _DATES else by) not in table.columns:
        return {}
    name = _date(table, _DATES[by]) if by in _DATES else pl.col(by).cast(pl.String)
    named = table.with_columns(name.alias("_part")).filter(pl.col("_part").is_not_null())
    cut = named.sort("_part", maintain_order=True).partition_by("_part", as_dict=True, include_key=False)
    return {str(name): part for (name,), part in cut.items()}


def _date(table: pl.DataFrame, written: str) -> pl.Expr:
    unit = [name for name in ("item", "question") if name in table.columns]
    latest = pl.col("answered_at").max().over(unit)
    day = latest.str.slice(0, 10).str.to_date(strict=False) if table["answered_at"].dtype == pl.String else latest
    return day.dt.strftime(written)
