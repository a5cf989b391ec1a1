"""The ledger of a version, as every command that makes one writes it: one row an input row, its decision and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

DECISIONS: Final = ("kept", "edited", "dropped", "rejected")

FATE: Final = pl.Schema(
    {
        "stage": pl.String(),
        "reason": pl.String(),
        "value": pl.Float64(),
        "threshold": pl.Float64(),
        "twin": pl.String(),
        "twin_source": pl.String(),
        "twin_line": pl.Int64(),
        "similarity": pl.Float64(),
    }
)
"""Why a row is dropped or rejected: the part of the ledger that duplicates fill in late."""

LEDGER: Final = pl.Schema(
    {"source": pl.String(), "line": pl.Int64(), "id": pl.String(), "decision": pl.String(), **FATE}
)


def most_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Reasons with their counts as a manifest lists them: the most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda found: (-found[1], found[0])))
