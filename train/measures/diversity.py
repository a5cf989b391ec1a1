"""How varied texts are: distinct n-grams, and n-grams that a text says again.

Source of distinct-n: Li et al. 2016, "A Diversity-Promoting Objective Function", section 5. It falls with the amount
of text, so two models are compared on as many n-grams of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from train.measures.words import units


def distinct(texts: Sequence[str], n: int = 2) -> float | None:
    """Different n-grams over all n-grams of the texts, 0 to 1; None where there is no n-gram."""
    grams = list(_grams_of(texts, n))
    return len(set(grams)) / len(grams) if grams else None


def distinct_ratio(texts: Sequence[str], baseline: Sequence[str], n: int = 2) -> float | None:
    """distinct-n of the texts over that of the baseline's, each on as many n-grams as both have.

    1: as varied; below: less. 0 where the texts hold no n-gram at all; None where the baseline holds none.
    """
    ours, theirs = list(_grams_of(texts, n)), list(_grams_of(baseline, n))
    if not theirs:
        return None
    size = min(len(ours), len(theirs))
    return len(set(ours[:size])) / len(set(theirs[:size])) if size else 0.0


def repeated(texts: Sequence[str], n: int = 4) -> float | None:
    """Mean over the texts of the share of n-grams that the same text has said before, 0 to 1.

    None where no text is long enough to hold one.
    """
    shares = [1 - len(set(grams)) / len(grams) for text in texts if (grams := list(_grams(units(text), n)))]
    return sum(shares) / len(shares) if shares else None


def _grams_of(texts: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    for text in texts:
        yield from _grams(units(text), n)


def _grams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
