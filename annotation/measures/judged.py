"""A campaign's judgements as a table of answers that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
import polars as pl

from annotation.measures.krippendorff import Level

COUNTS: Final = "submitted"
"""The status of a judgement that counts; discarded, withdrawn and unfinished ones say nothing."""

_FREE: Final = ("text",)  # of free text no two answers are equal, and that says nothing of agreement


def judged(judgements: pl.DataFrame, roles: Sequence[str] = ("ask",), *, as_shown: bool = False) -> pl.DataFrame:
    """The judgements that count, as `agreement` and `dawid_skene` take them, values as people write them.

    Columns item, question, annotator, value, stratum, answered_at. Gold items are left out, for they were chosen
    because their answer is plain, and so are repeats, which would count a row twice; so is free text.

    Args:
        judgements: as `datakit annotate pull` keeps them.
        roles: of the items that are wanted: ask, gold, repeat.
        as_shown: values as they were said, A or B in place of first or second. What people agree on is the same: all
            see an item in one order. What they would agree on by chance is not: they cannot know which answer is the
            row's first one, and where that mostly is the better one, chance would seem to explain everything.
    """
    counted = judgements.filter(
        (pl.col("status") == COUNTS)
        & pl.col("role").is_in(list(roles))
        & ~pl.col("kind").is_in([*_FREE, "rewriting"])
        & pl.col("value").is_not_null()
    )
    said = counted["shown" if as_shown else "value"].alias("value")
    return counted.select("item", "question", "annotator", plain_values(said).alias("value"), "stratum", "answered_at")


def plain_values(values: pl.Series) -> pl.Series:
    """JSON values as people write them: first, 4, polite + short; several labels in alphabetical order."""
    distinct = values.drop_nulls().unique()
    plain = pl.Series([_plain(orjson.loads(value)) for value in distinct], dtype=pl.String)
    return values.replace_strict(distinct, plain, default=None, return_dtype=pl.String)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " + ".join(sorted(value)) or "(none)"
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def level_of(judgements: pl.DataFrame) -> Level:
    """The level of measurement of a campaign's answers: ratings are in order, anything else is not."""
    kinds = set(judgements["kind"].unique())
    return "ordinal" if kinds == {"rating"} else "nominal"
