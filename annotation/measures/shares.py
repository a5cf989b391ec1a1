"""Shares of a count, with how far chance may have moved them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from annotation.measures.ratings import Floats

COVERAGE: Final = 0.95
_HALVINGS: Final = 60  # of the range 0 to 1: more than a float can tell apart


@dataclass(frozen=True)
class Share:
    """`hits` of `of`, the share, and its 95 % interval. p: how likely a share as far from a half is by chance alone."""

    hits: int
    of: int
    value: float
    low: float
    high: float
    p: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values; `p` only where a half was tested."""
        plain = {"hits": self.hits, "of": self.of, "value": self.value, "interval": [self.low, self.high]}
        return plain if self.p is None else {**plain, "p": self.p}


def wilson(hits: int, of: int) -> Share | None:
    """A share with Wilson's score interval; None where `of` is 0.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.96. Wilson (1927), Probable inference, JASA 22.
    It keeps its word for few answers and for shares near 0 and 1, where the textbook's p -+ z sqrt(p(1-p)/n) has no
    width at all.
    """
    if not of:
        return None
    z = NormalDist().inv_cdf((1 + COVERAGE) / 2)
    share, much = hits / of, z * z / of
    middle = (share + much / 2) / (1 + much)
    reach = z * math.sqrt(share * (1 - share) / of + much / (4 * of)) / (1 + much)
    low = 0.0 if not hits else max(0.0, middle - reach)
    return Share(hits, of, share, low, 1.0 if hits == of else min(1.0, middle + reach))


def against_half(hits: int, of: int) -> Share | None:
    """A share with the exact binomial test against a half, two-sided, and its exact interval; None where `of` is 0.

    p = the probability, if heads and tails are alike, of a count as far from `of`/2 as this one or farther. The
    interval is Clopper's and Pearson's (1934, Biometrika 26): the shares that an exact one-sided test at 2.5 % does not
    rule out.
    """
    if not of:
        return None
    far = abs(hits - of / 2)
    counts = np.arange(of + 1)
    p = float(np.exp(_log_probabilities(of, 0.5))[np.abs(counts - of / 2) >= far - 1e-9].sum())
    tail = (1 - COVERAGE) / 2
    # P(count >= hits) grows with the share, P(count <= hits) falls.
    low = _root(lambda share: _tail(of, share, hits, of) - tail) if hits else 0.0
    high = _root(lambda share: tail - _tail(of, share, 0, hits)) if hits < of else 1.0
    return Share(hits, of, hits / of, low, high, min(1.0, p))


def _tail(of: int, share: float, first: int, last: int) -> float:
    """The probability of `first` to `last` hits of `of`."""
    return float(np.exp(_log_probabilities(of, share)[first : last + 1]).sum())


def _log_probabilities(of: int, share: float) -> Floats:
    """The logarithm of the probability of 0, 1, … `of` hits, shape (of + 1,)."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, of + 1)))])
    hits = np.arange(of + 1)
    ways = factorials[of] - factorials - factorials[::-1]
    chances: Floats = ways + hits * math.log(share) + (of - hits) * math.log1p(-share)
    return chances


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function crosses 0 between 0 and 1."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
