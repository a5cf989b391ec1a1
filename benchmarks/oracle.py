"""All pairs of a set of texts from a Jaccard similarity on: exact, by an inverted index, no hashing.

Feasible to some tens of thousands of texts: every two texts that share a shingle are counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.shingles import N, cut_units

CHUNK = 500  # texts whose pairs are counted together: bounds memory, not the result
# A number as datakit's documentation of variants has it: digits and Chinese numerals, single separators inside.
_NUMERAL = "[\\d〇零一二三四五六七八九十百千万亿两]"
_NUMBER = re.compile(f"[-\u2212]?{_NUMERAL}(?:[.,:/-]?{_NUMERAL})*")


def _number_shingles(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One entry a shingle occurrence: the text's position, and the shingle's number. No two shingles share one."""
    vocabulary: dict[str, int] = {}
    owners: list[NDArray[np.int64]] = []
    grams: list[NDArray[np.int64]] = []
    for position, text in enumerate(texts):
        units = cut_units(text)
        # A text without units is one shingle, itself; the mark keeps it apart from any unit.
        names = units or ["\0" + "".join(text.lower().split())] * bool(text)
        if not names:
            continue
        ids = np.array([vocabulary.setdefault(name, len(vocabulary) + 1) for name in names], dtype=np.int64)
        if len(ids) < N:
            ids = np.pad(ids, (0, N - len(ids)))
        windows = np.lib.stride_tricks.sliding_window_view(ids, N)
        owners.append(np.full(len(windows), position, dtype=np.int64))
        grams.append(windows)
    table = np.concatenate(grams)
    numbers = table[:, 0]
    for column in range(1, N):
        # Two numbers become one: their product stays far below 2**63, so that nothing collides.
        _, numbers = np.unique(numbers * (len(vocabulary) + 1) + table[:, column], return_inverse=True)
    return np.concatenate(owners), numbers.astype(np.int64)


def find_all_pairs(texts: Sequence[str], threshold: float) -> pl.DataFrame:
    """Every pair from the threshold on: columns left < right (positions) and jaccard, exact."""
    owners, numbers = _number_shingles(texts)
    index = pl.DataFrame({"text": owners, "shingle": numbers}).unique()
    sizes = np.zeros(len(texts), dtype=np.int64)
    counts = index.group_by("text").len()
    sizes[counts["text"].to_numpy()] = counts["len"].to_numpy()
    shared = index.filter(pl.len().over("shingle") > 1).sort("shingle", "text")
    found: list[pl.DataFrame] = []
    for start in range(0, len(texts), CHUNK):
        lefts = shared.filter(pl.col("text").is_between(start, start + CHUNK - 1))
        pairs = (
            lefts.lazy()
            .rename({"text": "left"})
            .join(shared.lazy().rename({"text": "right"}), on="shingle")
            .filter(pl.col("left") < pl.col("right"))
            .group_by("left", "right")
            .agg(pl.len().cast(pl.Int64).alias("both"))
            .collect()
        )
        union = sizes[pairs["left"].to_numpy()] + sizes[pairs["right"].to_numpy()] - pairs["both"].to_numpy()
        similarity = pairs["both"].to_numpy() / union
        found.append(pairs.select("left", "right").with_columns(jaccard=similarity).filter(similarity >= threshold))
    return pl.concat(found).sort("left", "right")


def are_variants(left: str, right: str) -> bool:
    """Whether two texts differ in their numbers and in nothing else: they must both stay.

    Numbers are compared as they stand, everything else as units, so that spaces and punctuation do not count.
    """
    blanked = [cut_units(_NUMBER.sub(" 0 ", text)) for text in (left, right)]
    return blanked[0] == blanked[1] and _NUMBER.findall(left) != _NUMBER.findall(right)
