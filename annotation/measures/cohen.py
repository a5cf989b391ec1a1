"""Cohen's kappa: agreement of two annotators beyond chance, each with habits of their own; plain and weighted."""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from annotation.measures.ratings import Floats, Paired

Weights = Literal["linear", "quadratic"]
WEIGHTS: Final[tuple[Weights, ...]] = ("linear", "quadratic")


def cohen(pair: Paired, categories: int, times: Floats | None = None) -> float:
    """Kappa, at most 1; 0 is what chance gives; NaN where no unit has both answers or both always say one and the same.

        kappa = (po - pe) / (1 - pe),   pe = sum_c p1_c p2_c

    po: share of the units on which both say the same; p1_c, p2_c: how often each of them says c, over those units.
    Cohen (1960), A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20(1).

    Args:
        pair: what both said.
        categories: how many there are.
        times: how often each pattern of two answers occurs; as it was found, if None.
    """
    times = pair.times if times is None else times
    if not times.size:
        return math.nan
    first, second = _shares(pair, categories, times)
    observed = float(times[pair.first == pair.second].sum()) / float(times.sum())
    expected = float(first @ second)
    return (observed - expected) / (1 - expected) if expected < 1 else math.nan


def weighted_cohen(pair: Paired, scale: Floats, weights: Weights) -> float:
    """Kappa that counts a small disagreement less than a large one; as `cohen`: NaN where both always say the same.

        kappa = 1 - (mean distance of their answers to one unit) / (mean distance of any answer of each)

    Distance: the difference of the numbers (linear) or its square (quadratic). Cohen (1968), Weighted kappa,
    Psychological Bulletin 70(4). For values 1, 2, 3, … these are the usual weights by place.

    Args:
        pair: what both said.
        scale: the number of each category, ascending, shape (categories,).
        weights: linear or quadratic.
    """
    if not pair.times.size:
        return math.nan
    first, second = _shares(pair, scale.size, pair.times)
    apart = np.abs(scale[pair.first] - scale[pair.second])
    if weights == "quadratic":
        observed = float(pair.times @ np.square(apart)) / float(pair.times.sum())
        middle = scale - scale.mean()
        expected = float(first @ middle**2 + second @ middle**2 - 2 * (first @ middle) * (second @ middle))
    else:
        observed = float(pair.times @ apart) / float(pair.times.sum())
        # E|X - Y|: along every step of the scale, how often one of the two lies below it and the other above.
        below, other_below = np.cumsum(first)[:-1], np.cumsum(second)[:-1]
        expected = float(np.diff(scale) @ (below * (1 - other_below) + other_below * (1 - below)))
    return 1 - observed / expected if expected > _NOTHING else math.nan


_NOTHING: Final = 1e-12  # a mean distance of nought, but for rounding


def _shares(pair: Paired, categories: int, times: Floats) -> tuple[Floats, Floats]:
    """How often each of the two says each category, as shares, each of shape (categories,)."""
    total = float(times.sum())
    first = np.bincount(pair.first, times, categories) / total
    return first, np.bincount(pair.second, times, categories) / total
