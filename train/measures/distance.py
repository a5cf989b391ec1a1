"""How far two collections of texts are apart by their terms, and two texts by their characters.

Jensen-Shannon divergence of two samples is above 0 even where both come from one source, and the more so the smaller
they are. So each collection is cut into two halves, all of one size: what halves of the two are apart is set against
what the halves of one are, as Cohen's kappa sets agreement against chance. Two samples of one source come out near 0,
two that share no term at 1, whatever their size.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import Final

from train.measures.words import terms

FEWEST: Final = 1_000
"""Terms that each collection must hold to be compared: below, chance decides."""

_SPLITS: Final = 8  # into halves, whose mean is taken
_SHINGLE: Final = 3  # characters


def divergence(texts: Sequence[str], others: Sequence[str]) -> float | None:
    """How far the terms of two collections are apart: Jensen-Shannon divergence beyond chance, 0 to 1.

    Args:
        texts: one collection; its lines are what is drawn into halves, by a seed of its own.
        others: the other one.

    Returns:
        None where one of them holds fewer than `FEWEST` terms, or no term twice.
    """
    lines, other_lines = _lines(texts), _lines(others)
    if min(sum(map(len, lines)), sum(map(len, other_lines))) < FEWEST:
        return None
    chance = random.Random(0)
    pairs = [_between_and_within(_halves(lines, chance), _halves(other_lines, chance)) for _ in range(_SPLITS)]
    between, within = (fmean(column) for column in zip(*pairs, strict=True))
    return max(0.0, between - within) / (1 - within) if within < 1 else None


def _between_and_within(mine: Sequence[list[str]], its: Sequence[list[str]]) -> tuple[float, float]:
    """Mean divergence of halves of the two collections, and of the halves of one, all cut to one size."""
    size = min(map(len, (*mine, *its)))
    (first, second), (other, another) = ([Counter(half[:size]) for half in halves] for halves in (mine, its))
    between = fmean(_divergence(one, two) for one in (first, second) for two in (other, another))
    return between, fmean((_divergence(first, second), _divergence(other, another)))


def pair_distance(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Median over pairs of 1 minus the Jaccard similarity of both texts' character 3-grams, 0 to 1; None of none."""
    return median(_apart(first, second) for first, second in pairs) if pairs else None


def _lines(texts: Sequence[str]) -> list[list[str]]:
    return [found for text in texts for line in text.splitlines() if (found := terms(line))]


def _halves(lines: Sequence[list[str]], chance: random.Random) -> tuple[list[str], list[str]]:
    """The terms of half of the lines, drawn anew, and of the others."""
    drawn = chance.sample(lines, len(lines))
    return [term for line in drawn[::2] for term in line], [term for line in drawn[1::2] for term in line]


def _divergence(first: Counter[str], second: Counter[str]) -> float:
    """Jensen-Shannon divergence in bits of two counts of the same total."""
    total = 0.0
    for counts, others in ((first, second), (second, first)):
        size = counts.total()
        total += sum(count * math.log2(2 * count / (count + others[term])) for term, count in counts.items()) / size
    return total / 2


def _apart(first: str, second: str) -> float:
    mine, its = _shingles(first), _shingles(second)
    return 1 - len(mine & its) / len(mine | its)


def _shingles(text: str) -> set[str]:
    """Runs of three characters; a shorter text is one run."""
    return {text[place : place + _SHINGLE] for place in range(max(1, len(text) - _SHINGLE + 1))}
