"""Dawid-Skene: what is most likely true of each item, when annotators err each in a way of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from annotation.measures.ratings import Floats, Ratings, read_ratings, with_values
from datakit.errors import InputError

SMOOTHING: Final = 4.0
"""Imaginary answers of each annotator to each true class: who answered once is not taken for infallible."""

_RIGHT: Final = 0.7  # share of the imaginary answers that are right: people are better than guessing, but not by much
_MOST_ROUNDS: Final = 1_000
_STILL: Final = 1e-6  # the largest change of a probability at which the rounds end


@dataclass(frozen=True)
class DawidSkene:
    """What was estimated.

    posterior: columns item (and question, where the table has it), value, probability; one row an item and class, in
    the order of items and classes; the probabilities of an item sum to 1. confusion: annotator to float64, shape
    (classes, classes): row t, column s is the probability that they say class s where t is true. prior: probability
    of each class, shape (classes,). converged: whether the rounds ended by themselves.
    """

    posterior: pl.DataFrame
    confusion: dict[str, Floats]
    prior: Floats
    classes: tuple[str, ...]
    iterations: int
    converged: bool

    def accuracy(self) -> dict[str, float]:
        """How often each annotator says what is true, by their confusion and the classes' probabilities, 0 to 1."""
        return {name: float(self.prior @ np.diag(matrix)) for name, matrix in self.confusion.items()}


def dawid_skene(
    table: pl.DataFrame,
    classes: Sequence[str] | None = None,
    *,
    known: pl.DataFrame | None = None,
    smoothing: float = SMOOTHING,
) -> DawidSkene:
    """Estimate true classes and annotators' errors together, by expectation maximisation.

    It starts from each item's shares of votes and takes turns: given the classes, how each annotator confuses them;
    given the confusions, the classes' probabilities of each item. Dawid and Skene (1979), Maximum likelihood
    estimation of observer error-rates using the EM algorithm, Applied Statistics 28(1). No chance is involved: the
    same table gives the same estimate, in any order of its rows. With one annotator it can only repeat what was said.
    Three annotators leave it little to hold on to: with one good, one careless and one biased (300 pairs, 30 runs) it
    was right on 0.83 of the items where the majority was on 0.82, but on 0.67 at worst, below the majority in 10 runs.
    Thirty `known` items brought that to 0.95, 0.84 at worst, and never below the majority.

    Args:
        table: columns item, annotator, value, and question where there is more than one; an annotator may answer an
            item more than once. Rows without a value are left out.
        classes: all that may be true, in order; by default the values that occur.
        known: columns item (and question) and value: units whose truth is known, as gold items; others are ignored.
        smoothing: imaginary answers of each annotator to each true class, most of them right, and one imaginary item,
            spread evenly over the classes; 0 gives the estimate as published.

    Raises:
        InputError: no row has a value, or a value is not in `classes`.
    """
    ratings = read_ratings(table, _classes(table, classes, known), repeated=True)
    if not ratings.units:
        raise InputError("the table", "no row has a value", "answers")
    count, kinds = len(ratings.annotators), len(ratings.categories)
    sure = _sure(ratings, known)
    truth = np.where(np.isnan(sure), _votes(ratings), sure)
    changed, rounds = np.inf, 0
    while changed > _STILL and rounds < _MOST_ROUNDS:
        confusion, prior = _maximise(ratings, truth, smoothing)
        before, truth = truth, np.where(np.isnan(sure), _expect(ratings, confusion, prior), sure)
        changed, rounds = float(np.abs(truth - before).max()), rounds + 1
    names = ratings.annotators
    return DawidSkene(
        posterior=_posterior(ratings, truth),
        confusion={names[place]: confusion.reshape(count, kinds, kinds)[place] for place in range(count)},
        prior=prior,
        classes=ratings.categories,
        iterations=rounds,
        converged=changed <= _STILL,
    )


def _classes(table: pl.DataFrame, classes: Sequence[str] | None, known: pl.DataFrame | None) -> Sequence[str] | None:
    """The classes, with those that only `known` names; None where the values of the table are all."""
    if known is None or classes is not None:
        return classes
    said = with_values(table)["value"].unique()
    if known["value"].is_in(said.implode()).all():
        return None
    return sorted({*said, *known["value"].cast(pl.String)})


def _sure(ratings: Ratings, known: pl.DataFrame | None) -> Floats:
    """The probabilities of each class of units whose truth is known, shape (units, classes); NaN for all others."""
    sure = np.full((ratings.units, len(ratings.categories)), np.nan)
    if known is not None and known.height:
        keys = ratings.keys.columns
        named = known.select(pl.col(name).cast(pl.String) for name in (*keys, "value")).unique(keys, keep="first")
        truth = ratings.keys.join(named, on=keys, how="left", maintain_order="left")["value"]
        for unit, value in enumerate(truth):
            if value is not None:
                sure[unit] = [float(name == value) for name in ratings.categories]
    return sure


def _votes(ratings: Ratings) -> Floats:
    """The share of each class among the answers to each unit, shape (units, classes)."""
    kinds = len(ratings.categories)
    votes = np.bincount(ratings.unit * kinds + ratings.code, minlength=ratings.units * kinds)
    shaped = votes.reshape(ratings.units, kinds).astype(np.float64)
    shares: Floats = shaped / shaped.sum(axis=1, keepdims=True)
    return shares


def _maximise(ratings: Ratings, truth: Floats, smoothing: float) -> tuple[Floats, Floats]:
    """Confusions, shape (annotators, true class, said class), and the classes' probabilities, given `truth`."""
    count, kinds = len(ratings.annotators), len(ratings.categories)
    cell = ratings.rater * kinds + ratings.code
    weighed = [np.bincount(cell, truth[ratings.unit, true], count * kinds) for true in range(kinds)]
    imaginary = np.full((kinds, kinds), (1 - _RIGHT) / max(1, kinds - 1))
    np.fill_diagonal(imaginary, _RIGHT)
    confusion = np.stack(weighed).reshape(kinds, count, kinds).swapaxes(0, 1) + smoothing * imaginary
    rows = confusion.sum(axis=2, keepdims=True)
    # Without smoothing, a class that an annotator never met says nothing of them: any row does.
    confusion = np.divide(confusion, rows, out=np.full_like(confusion, 1 / kinds), where=rows > 0)
    prior = truth.sum(axis=0) + min(smoothing, 1) / kinds
    return confusion, prior / prior.sum()


def _expect(ratings: Ratings, confusion: Floats, prior: Floats) -> Floats:
    """The probability of each class of each unit, shape (units, classes), given the confusions."""
    with np.errstate(divide="ignore"):  # the logarithm of 0 is what is meant: impossible
        log_confusion, log_prior = np.log(confusion), np.log(prior)
    said = log_confusion[ratings.rater, :, ratings.code]
    likely = np.stack([np.bincount(ratings.unit, said[:, true], ratings.units) for true in range(prior.size)], axis=1)
    likely = likely + log_prior
    best = likely.max(axis=1, keepdims=True)
    shares: Floats = np.exp(likely - np.where(np.isfinite(best), best, 0.0))
    # Without smoothing an answer can be impossible under every class; then the unit tells nothing but the prior.
    shares = np.where(np.isfinite(best), shares, prior)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _posterior(ratings: Ratings, truth: Floats) -> pl.DataFrame:
    kinds = len(ratings.categories)
    return ratings.keys.select(pl.all().repeat_by(kinds).explode()).with_columns(
        pl.Series("value", list(ratings.categories) * ratings.units, dtype=pl.String),
        pl.Series("probability", truth.ravel()),
    )
