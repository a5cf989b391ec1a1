"""How long rows may be, and which lose what is trained by it (M16)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from datakit.masks.batch import FOUND, BatchResult, read_sheet
from datakit.recipe.masks import MaskSettings
from datakit.records import Kind


class Held(NamedTuple):
    """A batch at its length: rows and tokens that are left, and a finding for each row that is not."""

    rows: int
    total: int
    trained: int
    lost: pl.DataFrame


def length_of(kind: Kind, masks: MaskSettings, results: Sequence[BatchResult]) -> int | None:
    """Tokens that the rows of a kind are held to: what was set, or what 99 of 100 rows keep to; None: any number.

    A text that is longer is split where rows are packed, but by bfd, which would drop its end. Pairs are held to a
    set length when they are replayed, as their trainers do it.
    """
    if kind == "text" and masks.packing != "bfd":
        return None
    if isinstance(masks.max_length, int) and kind not in ("messages", "text"):
        return None
    return asked_length(kind, masks, results)


def asked_length(kind: Kind, masks: MaskSettings, results: Sequence[BatchResult]) -> int | None:
    """What was set, or what 99 of 100 rows of a kind keep to; None: any number, or no row is left."""
    if masks.max_length == "none":
        return None
    if masks.max_length != "p99":
        return masks.max_length
    lengths = np.concatenate([result.lengths for result in results if result.batch.kind == kind])
    rank = -(-99 * len(lengths) // 100) - 1
    return int(np.partition(lengths, rank)[rank]) if len(lengths) else None


def held(number: int, length: int | None, masks: MaskSettings, work: Path) -> Held:
    """What becomes of a batch's rows at a length. A length that was found from the rows makes a mere note.

    Args:
        number: of the batch.
        length: as `length_of` gives it.
        masks: the settings.
        work: where the batch has written its sizes.
    """
    sizes = read_sheet(work, "sizes", number)
    if length is None:
        return Held(len(sizes), int(sizes["length"].sum()), int(sizes["trained"].sum()), pl.DataFrame(schema=FOUND))
    severity = "note" if masks.max_length == "p99" else "error"
    cut = pl.format(
        "{} tokens, and {} are needed for its last stop token; rows are held to {}", "length", "needed", length
    )
    lost = sizes.filter(pl.col("needed") > length).select(
        "id", "source", "line", code=pl.lit("M16"), severity=pl.lit(severity), detail=cut
    )
    kept = sizes.filter(pl.col("needed") <= length)
    return Held(len(kept), int(kept["length"].clip(upper_bound=length).sum()), int(kept["trained"].sum()), lost)
