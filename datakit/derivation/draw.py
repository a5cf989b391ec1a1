"""Draws that are the same on every machine: a number for each row, from its id and a seed."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

# Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators": the finaliser of SplitMix64.
_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIXES: Final = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


def draws(ids: pl.Series, seed: int) -> NDArray[np.uint64]:
    """One number a row, uint64, spread evenly; equal ids draw the same number.

    ids: String, 16 hex digits each.
    """
    numbers = np.fromiter((int(found, 16) for found in ids.to_list()), dtype=np.uint64, count=len(ids))
    return _mixed(numbers ^ _mixed(np.array([seed], dtype=np.int64).view(np.uint64)))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = values + _GAMMA
    for shift, factor in _MIXES:
        mixed = (mixed ^ (mixed >> shift)) * factor
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
