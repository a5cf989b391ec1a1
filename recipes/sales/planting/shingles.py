"""Exact Jaccard of 5-grams of units, written plainly so that the labels rest on nothing clever.

A unit is a run of word characters or one Han character, after NFKC and lower-casing.
"""

import re
import unicodedata
from collections import Counter

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")
_WIDTH = 5


def split_units(text: str) -> list[str]:
    """The units of a text, in order."""
    return _UNIT.findall(unicodedata.normalize("NFKC", text).lower())


def shingle(text: str) -> frozenset[int]:
    """Hashes of the 5-grams of units; a text of fewer than 5 units is one shingle."""
    units = split_units(text)
    if len(units) < _WIDTH:
        return frozenset({hash(tuple(units))})
    return frozenset(hash(tuple(units[i : i + _WIDTH])) for i in range(len(units) - _WIDTH + 1))


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    """Shared shingles over all shingles, 0 to 1."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def blank_numbers(text: str) -> str:
    """The text with every run of digits replaced, to recognise variants of one template."""
    return re.sub(r"[0-9]+(?:[.,][0-9]+)*", "0", unicodedata.normalize("NFKC", text).lower())


class Neighbours:
    """An inverted index from shingle to rows, to ask for the closest row already seen."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: list[frozenset[int]] = []
        self._holders: dict[int, list[int]] = {}

    def find_above(self, text: str, least: float) -> list[tuple[float, int]]:
        """(Jaccard, number) of the rows seen that share at least `least`, closest last."""
        grams = shingle(text)
        shared = Counter(row for gram in grams for row in self._holders.get(gram, ()))
        pairs = ((count / (len(grams) + len(self._rows[row]) - count), row) for row, count in shared.items())
        return sorted(pair for pair in pairs if pair[0] >= least)

    def add(self, text: str) -> int:
        """Remember a row; returns its number."""
        grams = shingle(text)
        number = len(self._rows)
        self._rows.append(grams)
        for gram in grams:
            self._holders.setdefault(gram, []).append(number)
        return number
