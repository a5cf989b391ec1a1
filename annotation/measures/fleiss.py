"""Fleiss' kappa: agreement of any number of annotators beyond chance, for categories without an order."""

from __future__ import annotations

import math

import numpy as np

from annotation.measures.ratings import Floats, Tally


def fleiss(tally: Tally, times: Floats | None = None) -> float:
    """Kappa, at most 1; 0 is what chance gives; NaN where no unit has two answers or only one category occurs.

        kappa = (P - Pe) / (1 - Pe)
        P  = mean over units of  sum_c n_ic (n_ic - 1) / (m_i (m_i - 1))
        Pe = sum_c p_c^2,  p_c: share of category c among all answers

    Fleiss (1971), Measuring nominal scale agreement among many raters, Psychological Bulletin 76(5), asks for as many
    answers m to every unit. Where units have more or fewer, each unit with two or more weighs the same in P and each
    of their answers the same in p_c; with equal numbers this is the published formula.

    Args:
        tally: the units by pattern.
        times: how often each pattern occurs; as it was found, if None.
    """
    times = tally.times if times is None else times
    said = tally.said(times)
    if np.count_nonzero(said) < 2:
        return math.nan
    observed = float(times @ (tally.agreeing / (tally.size * (tally.size - 1)))) / float(times.sum())
    expected = float(np.square(said / said.sum()).sum())
    return (observed - expected) / (1 - expected)
