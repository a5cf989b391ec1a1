"""Who said what of which item, as numbers: what every measure of agreement is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from datakit.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

UNIT: Final = ("item", "question")
"""What makes a unit: two answers can agree where they are about the same question of the same item."""


@dataclass(frozen=True)
class Ratings:
    """Answers in long form: answer k is that annotator `rater[k]` said `categories[code[k]]` of unit `unit[k]`.

    annotators, categories: names, sorted; categories by their order where they have one. scale: the number of each
    category, None where they are no numbers. ordered: whether one category is more than another.
    unit, rater, code: int64, shape (answers,). keys: the item (and question) of each unit, in order.
    """

    annotators: tuple[str, ...]
    categories: tuple[str, ...]
    scale: Floats | None
    ordered: bool
    unit: Ints
    rater: Ints
    code: Ints
    keys: pl.DataFrame

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.keys.height

    def positions(self) -> Floats:
        """Where each category stands on its scale: its number, else its place in the order."""
        return self.scale if self.scale is not None else np.arange(len(self.categories), dtype=np.float64)


def read_ratings(table: pl.DataFrame, order: Sequence[str] | None = None, *, repeated: bool = False) -> Ratings:
    """The answers of a table with the columns item, annotator, value (and question, where there is more than one).

    Rows without a value (null, NaN, blank) say nothing and are left out. Values that all are numbers are numbers.

    Args:
        table: one row an answer.
        order: the values from least to most, for values that are no numbers.
        repeated: whether an annotator may answer a unit more than once.

    Raises:
        InputError: an annotator answers a unit twice, an item or annotator has no name, or a value is not in `order`.
    """
    keys = [name for name in UNIT if name in table.columns]
    found = with_values(table).select(*(pl.col(name).cast(pl.String) for name in (*keys, "annotator")), "value")
    _refuse_nameless(found, (*keys, "annotator"))
    if not repeated:
        _refuse_repeated(found, (*keys, "annotator"))
    categories, scale = _categories(found["value"], order)
    units = found.select(keys).unique().sort(keys)
    annotators = found["annotator"].unique().sort()
    return Ratings(
        annotators=tuple(annotators),
        categories=tuple(categories),
        scale=scale,
        ordered=scale is not None or order is not None,
        unit=found.select(keys)
        .join(units.with_row_index("unit"), on=keys, maintain_order="left")["unit"]
        .cast(pl.Int64)
        .to_numpy(),
        rater=_places(found["annotator"], annotators),
        code=_places(found["value"], categories) if scale is None else _number_places(found["value"], scale),
        keys=units,
    )


def with_values(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table that have a value, which is text from here on."""
    said = table.with_columns(pl.col("value").cast(pl.String).str.strip_chars())
    return said.filter(pl.col("value").is_not_null() & ~pl.col("value").is_in(["", "NaN", "nan"]))


def _refuse_nameless(found: pl.DataFrame, keys: Sequence[str]) -> None:
    for name in keys:
        nameless = int((found[name].is_null() | (found[name] == "")).sum())
        if nameless:
            raise InputError(
                "the table", f"{nameless:,} answers without {name}", f"the name of the {name} in every row"
            )


def _refuse_repeated(found: pl.DataFrame, keys: Sequence[str]) -> None:
    again = found.filter(~pl.struct(keys).is_first_distinct())
    if again.height:
        first = ", ".join(f"{name} {value!r}" for name, value in again.select(keys).row(0, named=True).items())
        raise InputError(
            "the table",
            f"{again.height:,} answers to what the same annotator answered before; the first: {first}",
            "one answer an annotator and item",
            "Keep the one that counts; where they answer several questions, let a column `question` tell them apart",
        )


def _categories(values: pl.Series, order: Sequence[str] | None) -> tuple[pl.Series, Floats | None]:
    """The values that there are, in order, and the number of each where all are numbers."""
    distinct = values.unique().sort()
    if order is not None:
        strange = [value for value in distinct if value not in order]
        if strange:
            raise InputError("the order", f"does not hold the value {strange[0]!r}", "every value, from least to most")
        return pl.Series(list(order), dtype=pl.String), None
    numbers = distinct.cast(pl.Float64, strict=False)
    if not distinct.len() or numbers.is_null().any() or not numbers.is_finite().all():
        return distinct, None
    # 4 and 4.0 are one number, which goes by the shortest way to write it.
    written = pl.DataFrame({"name": distinct, "number": numbers}).sort(pl.col("name").str.len_chars(), "name")
    written = written.unique("number", keep="first", maintain_order=True).sort("number")
    return written["name"], written["number"].to_numpy()


def _places(values: pl.Series, among: pl.Series) -> Ints:
    return values.replace_strict(among, pl.arange(len(among), eager=True), return_dtype=pl.Int64).to_numpy()


def _number_places(values: pl.Series, scale: Floats) -> Ints:
    return np.searchsorted(scale, values.cast(pl.Float64).to_numpy()).astype(np.int64)


@dataclass(frozen=True)
class Tally:
    """How often each category was said of a unit, whoever said it; units of one pattern stand together.

    Only units with two answers or more are here: one answer agrees with nothing. times: units of each pattern, shape
    (patterns,). size: answers to a unit of each pattern, at least 2. pattern, code, count: every category that occurs
    in a pattern and how often, shape (entries,). categories: how many there are.
    """

    times: Floats
    size: Floats
    pattern: Ints
    code: Ints
    count: Floats
    categories: int

    @property
    def agreeing(self) -> Floats:
        """Ordered pairs of equal answers to a unit of each pattern, of size * (size - 1), shape (patterns,)."""
        return self.sum_by_pattern(self.count * (self.count - 1))

    def sum_by_pattern(self, entries: Floats) -> Floats:
        """What the entries of each pattern come to, shape (patterns,)."""
        return np.bincount(self.pattern, entries, self.times.size).astype(np.float64)

    def said(self, times: Floats) -> Floats:
        """How often each category was said where pattern p occurs `times[p]` times, shape (categories,)."""
        return np.bincount(self.code, self.count * times[self.pattern], self.categories).astype(np.float64)


def tally(ratings: Ratings) -> Tally:
    """The patterns of a table's units. As few as there are: 3 annotators with 4 values show at most 20."""
    counted = (
        pl.DataFrame({"unit": ratings.unit, "code": ratings.code}, schema={"unit": pl.Int64, "code": pl.Int64})
        .sort("unit", "code")
        .group_by("unit", maintain_order=True)
        .agg("code")
        .filter(pl.col("code").list.len() >= 2)
        .group_by("code", maintain_order=True)
        .len("times")
        .with_row_index("pattern")
    )
    entries = counted.explode("code").group_by("pattern", "code", maintain_order=True).len("count")
    return Tally(
        times=counted["times"].cast(pl.Float64).to_numpy(),
        size=counted["code"].list.len().cast(pl.Float64).to_numpy(),
        pattern=entries["pattern"].cast(pl.Int64).to_numpy(),
        code=entries["code"].to_numpy(),
        count=entries["count"].cast(pl.Float64).to_numpy(),
        categories=len(ratings.categories),
    )


@dataclass(frozen=True)
class Paired:
    """What two annotators said of the units that both answered: first, second: codes; times: units that show both."""

    first: Ints
    second: Ints
    times: Floats


def paired(ratings: Ratings, first: int, second: int) -> Paired:
    """The units that two annotators (by their place among `annotators`) both answered."""
    one, other = ratings.rater == first, ratings.rater == second
    said = np.full((2, ratings.units), -1, dtype=np.int64)
    said[0, ratings.unit[one]] = ratings.code[one]
    said[1, ratings.unit[other]] = ratings.code[other]
    both = said[:, (said >= 0).all(axis=0)]
    patterns, times = np.unique(both, axis=1, return_counts=True)
    return Paired(patterns[0], patterns[1], times.astype(np.float64))
