"""The files of a proof, made of its batches: rows cut to the length that was found, in parts of bounded size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from datakit.masks.batch import BatchResult, read_sheet
from datakit.records import Kind

_PACKED: Final[dict[str, Any]] = {"compression": "zstd", "compression_level": 1, "statistics": False}
_TOKENS: Final = 1 << 23  # a part: 64 MB of ids and labels before they are packed


class Share(NamedTuple):
    """The batches of one part; `place` is its number among the `parts` of its kind, `length` what rows are held to."""

    kind: Kind
    place: int
    parts: int
    numbers: tuple[int, ...]
    length: int | None


def shares(results: Sequence[BatchResult], lengths: Mapping[Kind, int | None]) -> Iterator[Share]:
    """The parts: consecutive batches of one kind until a part is full; depends on the rows alone."""
    for kind, length in lengths.items():
        cuts: list[list[int]] = [[]]
        size = 0
        for result in results:
            if result.batch.kind != kind or not len(result.lengths):
                continue
            if cuts[-1] and size + int(result.lengths.sum()) > _TOKENS:
                cuts.append([])
                size = 0
            cuts[-1].append(result.batch.number)
            size += int(result.lengths.sum())
        for place, numbers in enumerate(cuts):
            if numbers:
                yield Share(kind, place, len(cuts), tuple(numbers), length)


def write_part(share: Share, work: Path, final: Path) -> str:
    """Write one part; blake2b over keys, ids and labels of its rows, in their order, comes back."""
    whole = pl.concat([hold(number, share.length, work) for number in share.numbers])
    name = f"{share.kind}-{share.place:05d}-of-{share.parts:05d}.parquet"
    whole.write_parquet(final / "data" / name, **_PACKED)
    return _digest(whole)


def hold(number: int, length: int | None, work: Path) -> pl.DataFrame:
    """A batch's rows of at most `length` tokens: longer ones are cut behind their last trained token, or left out."""
    rows = read_sheet(work, "rows", number)
    if length is None:
        return rows
    needed = read_sheet(work, "sizes", number)["needed"]
    kept = rows.filter(needed <= length)
    return kept.with_columns(pl.col("input_ids", "labels").list.head(length)) if "labels" in kept.columns else kept


def _digest(rows: pl.DataFrame) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in rows.columns:
        column = rows[name]
        if column.dtype == pl.List(pl.Int32):
            digest.update(column.list.len().to_numpy().tobytes())
            digest.update(np.ascontiguousarray(column.explode(empty_as_null=False).to_numpy()).tobytes())
        else:
            digest.update("\n".join(map(str, column.to_list())).encode())
    return digest.hexdigest()
