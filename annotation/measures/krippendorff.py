"""Krippendorff's alpha: agreement beyond chance for any number of annotators, missing answers and three levels.

    alpha = 1 - Do / De
    Do = 1/n  sum_i  1/(m_i - 1)  sum_(c,k) n_ic n_ik d(c,k)        disagreement within units
    De = 1/(n (n - 1))  sum_(c,k) n_c n_k d(c,k)                     disagreement of all answers with all others

n_ic: how often c was said of unit i, m_i: answers to unit i (2 or more; a unit with one says nothing),
n_c = sum_i n_ic, n = sum_c n_c. d is 1 for unequal values (nominal), the squared difference of numbers (interval), or
that of mean ranks (ordinal). Krippendorff (2011), Computing Krippendorff's Alpha-Reliability; his ordinal difference,
(sum of n_g for g from c to k, less half of n_c + n_k) squared, is the squared difference of the values' mean ranks.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from annotation.measures.ratings import Floats, Tally

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: Final[tuple[Level, ...]] = ("nominal", "ordinal", "interval")


def krippendorff(
    tally: Tally, level: Level = "nominal", scale: Floats | None = None, times: Floats | None = None
) -> float:
    """Alpha, at most 1; 0 is what chance gives; NaN where no unit has two answers or all answers are the same.

    Args:
        tally: the units by pattern; for ordinal alpha its categories are in order.
        level: of measurement.
        scale: the number of each category, shape (categories,); needed for interval alpha, NaN comes back without.
        times: how often each pattern occurs; as it was found, if None.
    """
    times = tally.times if times is None else times
    said = tally.said(times)
    if np.count_nonzero(said) < 2 or (level == "interval" and scale is None):
        return math.nan
    if level == "nominal":
        within = tally.size * (tally.size - 1) - tally.agreeing
        among = float(said.sum()) ** 2 - float(said @ said)
    else:
        values = _mean_ranks(said) if scale is None or level == "ordinal" else scale
        values = values - float(said @ values) / float(said.sum())  # about their mean, lest large numbers cancel
        put = values[tally.code] * tally.count
        squares = tally.sum_by_pattern(put * values[tally.code])
        within = 2 * (tally.size * squares - np.square(tally.sum_by_pattern(put)))
        among = 2 * float(said.sum()) * float(said @ np.square(values))
    # Do / De; what both divide by n has gone.
    return 1 - float(times @ (within / (tally.size - 1))) * (float(said.sum()) - 1) / among


def _mean_ranks(said: Floats) -> Floats:
    """The mean rank of the answers of each category, when all answers stand in order."""
    return np.cumsum(said) - said / 2
