"""Bootstrap intervals: how far a measure might be off because these items were drawn and not others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from annotation.measures.ratings import Floats

RESAMPLES: Final = 1_000
COVERAGE: Final = 0.95
_UNDEFINED: Final = 0.05  # the share of resamples that may be undefined, e.g. for want of a second category

Interval = tuple[float, float]


def intervals(
    measure: Callable[[Floats], Floats], times: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval | None]:
    """The middle 95 % of each measure over resamples of the units; None where too few resamples define it.

    Units are drawn with replacement (Efron 1979, Bootstrap methods, Annals of Statistics 7(1); the percentile
    interval). Annotators are not: the interval speaks of other items before the same people. Units of one pattern are
    alike to every measure, so how often each pattern is drawn is drawn at once, from the multinomial distribution.

    Args:
        measure: what is measured, shape (measures,), where pattern p occurs `times[p]` times; NaN where undefined.
        times: how often each pattern occurs, shape (patterns,).
        resamples: how many; 0 leaves all undefined.
        seed: same seed, same intervals.

    Returns:
        One interval a measure. With fewer than two units there is none.
    """
    units = int(times.sum())
    measures = len(measure(times))
    if units < 2 or not resamples:
        return [None] * measures
    random = np.random.default_rng(seed)
    drawn = np.array([measure(random.multinomial(units, times / units).astype(np.float64)) for _ in range(resamples)])
    return [_middle(drawn[:, place]) for place in range(measures)]


def _middle(drawn: Floats) -> Interval | None:
    defined = drawn[~np.isnan(drawn)]
    if defined.size < math.ceil((1 - _UNDEFINED) * drawn.size):
        return None
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
