"""Near-duplicates of real documents, planted on purpose: scattered edits, replaced blocks, other numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from random import Random
from typing import NamedTuple

from benchmarks.shingles import cut_shingles, jaccard

_DIGITS = re.compile(r"\d+")
KINDS = ("base", "exact", "edits", "block", "numbers")


class Planted(NamedTuple):
    """One document of a cluster: how it was made from the cluster's first ("base") and its parts.

    parts: the text itself, or the contents of a dialogue's messages in order.
    """

    kind: str
    parts: tuple[str, ...]


class Pair(NamedTuple):
    """Two documents of one cluster, as positions in the cluster, and their exact Jaccard similarity."""

    left: int
    right: int
    jaccard: float


def _pieces(text: str, language: str) -> list[str]:
    return text.split(" ") if language == "en" else list(text)


def _join(pieces: list[str], language: str) -> str:
    return (" " if language == "en" else "").join(pieces)


def edit_scattered(text: str, filler: str, language: str, rng: Random) -> str:
    """The text with 0 to 6 % of its words (Chinese: characters) replaced by others, in one of ten up to 30 %."""
    pieces, others = _pieces(text, language), _pieces(filler, language)
    rate = rng.uniform(0.06, 0.3) if rng.random() < 0.1 else rng.uniform(0, 0.06)
    for _ in range(max(1, round(rate * len(pieces)))):
        at = rng.randrange(len(pieces))
        if "\n" not in pieces[at]:
            pieces[at] = rng.choice(others).strip() or pieces[at]
    return _join(pieces, language)


def replace_block(text: str, filler: str, language: str, rng: Random) -> str:
    """The text with one run of 0 to 30 % of its words (Chinese: characters) replaced by a run of another text."""
    pieces, others = _pieces(text, language), _pieces(filler, language)
    length = max(1, round(rng.uniform(0, 0.3) * len(pieces)))
    start = rng.randrange(len(pieces) - length + 1)
    pieces[start : start + length] = others[:length]
    return _join(pieces, language)


def change_numbers(text: str, rng: Random) -> str:
    """The text with each number replaced by another of as many digits: a variant that must stay."""
    return _DIGITS.sub(lambda m: "".join(rng.choice("123456789") for _ in m[0]), text)


def _alter(kind: str, base: Planted, filler: str, language: str, rng: Random) -> Planted:
    if kind == "numbers":
        return Planted(kind, tuple(change_numbers(part, rng) for part in base.parts))
    change = edit_scattered if kind == "edits" else replace_block
    # A dialogue is edited in its longest message only, as templates with one changed answer are.
    longest = max(range(len(base.parts)), key=lambda i: len(base.parts[i]))
    altered = change(base.parts[longest], filler, language, rng)
    return Planted(kind, (*base.parts[:longest], altered, *base.parts[longest + 1 :]))


def plant(parts: tuple[str, ...], draw_filler: Callable[[], str], language: str, rng: Random) -> list[Planted]:
    """The base document and what is planted beside it: mostly nothing. Replaced parts are drawn from other text.

    Of all documents about 75 % are bases, 5 % exact copies and 20 % near-duplicates; one near-duplicate
    cluster in ten has 3 to 10 members. Half are scattered edits, half replaced blocks, a few only other numbers.
    """
    base = Planted("base", parts)
    cluster = [base]
    if rng.random() < 0.196:
        size = rng.randint(2, 9) if rng.random() < 0.1 else 1
        for _ in range(size):
            kind = rng.choices(("edits", "block", "numbers"), (48, 48, 4))[0]
            altered = _alter(kind, base, draw_filler(), language, rng)
            if altered.parts != base.parts:
                cluster.append(altered)
    if rng.random() < 0.067:
        cluster.append(Planted("exact", rng.choice(cluster).parts))
    return cluster


def compare(cluster: list[Planted]) -> list[Pair]:
    """Every pair of a cluster with its exact Jaccard similarity (of a dialogue: of its contents, one a line)."""
    sets = [cut_shingles("\n".join(member.parts)) for member in cluster]
    return [Pair(i, j, jaccard(sets[i], sets[j])) for i, j in combinations(range(len(cluster)), 2)]
