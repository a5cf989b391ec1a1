"""Per cent agreement, as a share: how often two answers to the same item are equal."""

from __future__ import annotations

import math

from annotation.measures.ratings import Floats, Tally


def percent(tally: Tally, times: Floats | None = None) -> float:
    """The share of all pairs of answers to one unit that are equal, 0 to 1; NaN where no unit has two answers.

        sum_i sum_c n_ic (n_ic - 1)  /  sum_i m_i (m_i - 1)

    n_ic: how often category c was said of unit i; m_i: answers to unit i. Every pair weighs the same, so a unit with
    more answers weighs more. Chance is not taken out: two who always say the same word agree by 1.

    Args:
        tally: the units by pattern.
        times: how often each pattern occurs; as it was found, if None. Bootstrap resamples come in here.
    """
    times = tally.times if times is None else times
    pairs = float(times @ (tally.size * (tally.size - 1)))
    return float(times @ tally.agreeing) / pairs if pairs else math.nan
