"""People's ratings of a model's answers, read from the files of a campaign.

A rating campaign gives 1 to 5 an aspect. An answer's score is the mean over its aspects, each the mean of its votes;
the model's is the mean over answers, and what it rests on is their number.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
import polars as pl

from datakit.errors import InputError
from datakit.records import KINDS
from datakit.versions.store import Version, open_version
from train.measures.evaluation import Value

_LOWEST, _HIGHEST = 1.0, 5.0
_JUDGEMENTS: Final = "judgements"


def human_score(reference: str) -> Value:
    """The mean score of the answers that people rated, and how many these are.

    Args:
        reference: a dataset or version: the judgements of a rating campaign as they were pulled, of which gold items
            and repeats do not count, or what `datakit annotate resolve` made of them.

    Raises:
        UnknownVersion: there is none.
        InputError: it holds no ratings, or they are not from 1 to 5.
    """
    version = open_version(reference)
    scores = _judged(version) if version.data_files(_JUDGEMENTS) else _resolved(version)
    if not scores:
        raise InputError(
            version.reference, "holds no ratings", "a rating campaign's judgements, or a version resolved from them"
        )
    if outside := [score for score in scores if not _LOWEST <= score <= _HIGHEST]:
        raise InputError(version.reference, f"a score of {outside[0]:g}", f"{_LOWEST:g} to {_HIGHEST:g}")
    return Value(sum(scores) / len(scores), len(scores))


def _judged(version: Version) -> list[float]:
    """A score an item that asks, over its aspects and their votes."""
    counted = version.frame(_JUDGEMENTS).filter(
        pl.col("kind") == "rating",
        pl.col("role") == "ask",
        pl.col("status") == "submitted",
        pl.col("value").is_not_null(),
    )
    votes = counted.select("item", "question", pl.col("value").cast(pl.Float64))
    aspects = votes.group_by("item", "question").agg(pl.col("value").mean())
    items = aspects.group_by("item").agg(pl.col("value").mean()).sort("item")
    return items["value"].to_list()


def _resolved(version: Version) -> list[float]:
    """The scores in `meta` of every row that was rated."""
    metas = [meta for kind in KINDS if version.data_files(kind) for meta in version.frame(kind)["meta"].drop_nulls()]
    return [float(score) for meta in metas if (score := _score(orjson.loads(meta))) is not None]


def _score(meta: dict[str, Any]) -> float | None:
    return meta.get("score") if "annotation" in meta and isinstance(meta.get("score"), int | float) else None
