"""Which rows are kept back from training, so that a measure never asks what was trained."""

from __future__ import annotations

from typing import Final

import polars as pl

_DIGITS: Final = 8  # hex digits of the id that decide: shares are exact to one in four thousand million


def held_out(share: float) -> pl.Expr:
    """A Boolean expression over a frame with an `id` column: whether a row is kept back.

    It is decided by the row's id alone, so a row is on the same side in every version, stage and run; a larger share
    keeps back the rows of a smaller one, and more.

    Args:
        share: of the rows, 0 to 1.
    """
    number = pl.col("id").str.slice(0, _DIGITS).str.to_integer(base=16, dtype=pl.Int64)
    return number < round(share * 16**_DIGITS)
