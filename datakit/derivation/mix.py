"""`mix`: versions with weights or caps as one version, every row accounted for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.derivation.draw import draws
from datakit.derivation.output import finish, write_ledger, write_pairs
from datakit.derivation.rows import Rows, Writer
from datakit.errors import DataVerdict, UsageFault
from datakit.files import disk_faults
from datakit.progress import Progress, Silent
from datakit.versions.store import Version, prepare_output

REASONS: Final = ("over_share", "over_cap", "same_row")
"""Why a row is left out: its version holds more than its weight asks for; or more than its cap; or an earlier version
of the mixture has the row already, as its id says, which is of the record as it was read."""

_STAGE: Final = "mix"


@dataclass(frozen=True)
class Ingredient:
    """A version, and how much of it: weight, against those of others; most, rows at most. Neither: all of it."""

    version: Version
    weight: float | None = None
    most: int | None = None


@dataclass(frozen=True)
class MixResult:
    """What `mix` made. taken: rows of each ingredient, in their order."""

    version: Version
    taken: list[int]


def mix(
    ingredients: Sequence[Ingredient],
    out: Path,
    *,
    rows: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> MixResult:
    """Mix versions into one. No row is ever taken twice.

    Where versions have weights, as many rows are taken as these proportions allow: the version that is scarcest for its
    weight is taken whole.

    Args:
        ingredients: versions with their weights and caps.
        out: the dataset's folder.
        rows: at most so many rows of the versions with weights, together.
        seed: of the draw.
        progress: hears of progress.
        command: what log.jsonl records as the cause.

    Raises:
        UsageFault: a weight or a cap is wrong.
        DataVerdict: nothing is left.
    """
    listener = progress or Silent()
    _check(ingredients, rows)
    tables = _without_same(ingredients)
    wanted = _wanted(ingredients, [int(table["reason"].is_null().sum()) for table in tables], rows)
    fates = pl.concat(
        [_drawn(table, most, one, seed) for table, most, one in zip(tables, wanted, ingredients, strict=True)]
    )
    if not (fates["decision"] == "kept").any():
        raise DataVerdict(str(out), "no row is left", cure="Raise weights or caps")
    work = prepare_output(out)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        stack.enter_context(disk_faults(work))
        folder = work / "version"
        writer = Writer(folder)
        for place, one in enumerate(ingredients):
            mine = fates.filter(pl.col("ingredient") == place)
            kept = (mine["decision"] == "kept").to_numpy()
            for kind, frame, at in Rows.of(one.version).frames():
                writer.take(kind, frame.with_columns(mine["source"][at]), kept[at])
            listener.advance("mixing", place + 1, len(ingredients), "versions")
        write_ledger(folder, fates.drop("written", "ingredient"))
        write_pairs(folder, [one.version for one in ingredients], fates.filter(pl.col("decision") == "kept"))
        parts = [
            {"version": one.version.manifest.fingerprint, "weight": one.weight, "most": one.most} for one in ingredients
        ]
        recipe = {"mix": {"versions": parts, "rows": rows, "seed": seed}}
        named = command or ("datakit.mix", *(one.version.reference for one in ingredients))
        parents = list({one.version.reference: one.version for one in ingredients}.values())
        version = finish(folder, out, fates, writer.finish(), parents, recipe, named)
    taken = [
        int((fates.filter(pl.col("ingredient") == place)["decision"] == "kept").sum()) for place in range(len(tables))
    ]
    return MixResult(version, taken)


def _check(ingredients: Sequence[Ingredient], rows: int | None) -> None:
    names = [one.version.name for one in ingredients]
    for one in ingredients:
        if one.weight is not None and not 0 < one.weight < float("inf"):
            raise UsageFault(f"weight of {one.version.reference}", f"{one.weight:g}", "a number above 0")
        if one.most is not None and one.most < 1:
            raise UsageFault(f"cap of {one.version.reference}", f"{one.most}", "1 row or more")
        if names.count(one.version.name) > 1:
            raise UsageFault(one.version.reference, "named twice", "each version once")
    if rows is not None and all(one.weight is None for one in ingredients):
        raise UsageFault("rows", f"{rows}", "a version with a weight", "Caps say how many rows of a version to take")


def _without_same(ingredients: Sequence[Ingredient]) -> list[pl.DataFrame]:
    """The rows of each version with `written`, `reason` and twin: `same_row` where an earlier version has the row.

    Where two versions have keys in common, the sources of the later one get its name before them.
    """
    tables: list[pl.DataFrame] = []
    known = pl.DataFrame(schema={"twin": pl.String, "twin_source": pl.String, "twin_line": pl.Int64})
    for place, one in enumerate(ingredients):
        rows = Rows.of(one.version)
        index = rows.index.with_columns(rows.written(), ingredient=pl.lit(place))
        keys = known.select(source="twin_source", line="twin_line")
        if index.join(keys, on=["source", "line"], how="semi").height:
            index = index.with_columns(source=pl.lit(f"{one.version.reference}/") + pl.col("source"))
        twins = known.unique("twin", keep="first", maintain_order=True).with_columns(reason=pl.lit("same_row"))
        index = index.join(twins, left_on="id", right_on="twin", how="left", maintain_order="left", coalesce=False)
        known = pl.concat([known, index.select(twin="id", twin_source="source", twin_line="line")])
        tables.append(index)
    return tables


def _wanted(ingredients: Sequence[Ingredient], there: Sequence[int], rows: int | None) -> list[int]:
    """How many rows of each version are taken."""
    caps = [min(count, one.most or count) for one, count in zip(ingredients, there, strict=True)]
    weights = [one.weight for one in ingredients]
    total = sum(weight for weight in weights if weight is not None)
    if not total:
        return caps
    whole = min(cap * total / weight for cap, weight in zip(caps, weights, strict=True) if weight is not None)
    whole = min(whole, rows) if rows is not None else whole
    return [
        cap if weight is None else min(cap, round(whole * weight / total))
        for cap, weight in zip(caps, weights, strict=True)
    ]


def _drawn(table: pl.DataFrame, most: int, one: Ingredient, seed: int) -> pl.DataFrame:
    """The rows of a version with their decision: of those that are there, `most` are drawn."""
    there = np.flatnonzero(table["reason"].is_null().to_numpy())
    drawn: NDArray[np.uint64] = draws(table["id"].gather(there), seed)
    chosen = there[np.argsort(drawn, kind="stable")[:most]]
    kept = np.zeros(table.height, dtype=np.bool_)
    kept[chosen] = True
    why = "over_share" if one.weight is not None else "over_cap"
    reason = pl.when(pl.Series(kept)).then(None).otherwise(pl.coalesce("reason", pl.lit(why)))
    decided = table.with_columns(
        reason=reason,
        decision=pl.select(pl.when(pl.Series(kept)).then(pl.lit("kept")).otherwise(pl.lit("dropped"))).to_series(),
    )
    return decided.with_columns(stage=pl.when(pl.col("reason").is_not_null()).then(pl.lit(_STAGE)))
