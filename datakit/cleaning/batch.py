"""One batch of rows, from the bytes of a file to everything that can be known of them alone.

Runs in a worker process. What it finds is laid down in the work folder (Arrow files that stay aligned row by
row); only the duplicates are left to be found across batches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning import language, normalise, pii, rules
from datakit.cleaning.textfile import write_texts
from datakit.cleaning.views import (
    answer_texts,
    bare_texts,
    content_hashes,
    keeper_keys,
    rejected_texts,
    whole_texts,
    written_hashes,
)
from datakit.formats.read import parse
from datakit.kernels.buffers import TextBuffer, empty_texts, gather_texts, join_buffers, to_buffer
from datakit.kernels.minhash import EMPTY_KEY
from datakit.kernels.signing import sign_and_blank
from datakit.recipe.recipe import Recipe
from datakit.records import KINDS, Kind
from datakit.segments import to_segments, with_texts
from datakit.sources.blocks import Block

INDEX: Final = pl.Schema(
    {
        "source": pl.String(),
        "line": pl.Int64(),
        "id": pl.String(),
        "kind": pl.String(),
        "stage": pl.String(),
        "reason": pl.String(),
        "value": pl.Float64(),
        "threshold": pl.Float64(),
        "edited": pl.Boolean(),
        "written": pl.String(),
        "verified": pl.Boolean(),
        "length": pl.UInt32(),
        "date": pl.Int64(),
        "exact_0": pl.UInt64(),
        "exact_1": pl.UInt64(),
        "blank_0": pl.UInt64(),
        "blank_1": pl.UInt64(),
    }
)
"""One row an input row. `reason` is null while nothing speaks against the row."""

# What a rejected answer is held to: it may be bad, but it must be an answer.
REJECTED_RULES: Final = ("encoding_damage", "symbol_noise", "blob")


@dataclass(frozen=True)
class BatchSummary:
    """What the parent keeps of a batch: rows, the bytes of records laid down, and what was masked.

    records counts the rows that are no rejects, unknown the rows that fit no format, by their columns. masked holds
    originals and is empty unless a vault was asked for: personal data is never laid down.
    """

    number: int
    source: str
    rows: int
    records: int
    bytes: int
    unknown: Counter[tuple[str, ...]]
    masked: pl.DataFrame


@dataclass(frozen=True)
class Assessed:
    """Records of one kind, aligned: their index (see INDEX), scores, texts that are compared, and band keys."""

    index: pl.DataFrame
    scores: pl.DataFrame
    texts: dict[str, TextBuffer]
    bands: NDArray[np.uint64]


@dataclass(frozen=True)
class _KindResult:
    records: pl.DataFrame
    edits: pl.DataFrame
    found: pl.DataFrame
    assessed: Assessed


def batch_file(work: Path, what: str, number: int, suffix: str = "arrow") -> Path:
    """Where a batch's file of one sort lies: `index-00007.arrow`."""
    return work / f"{what}-{number:05d}.{suffix}"


def clean_batch(block: Block, recipe: Recipe, work: Path, number: int, *, apart: bool = True) -> BatchSummary:
    """Parse a block, run every step that needs no other rows, and lay the results down.

    apart: whether texts that stand in the records are laid down once more, to be read one by one; else the records
    are held open while duplicates are sought.
    """
    parsed = parse(block, recipe.data)
    results = {kind: _clean_kind(parsed.frames[kind], kind, recipe) for kind in KINDS if kind in parsed.frames}
    rejected = parsed.rejected
    index = pl.concat(
        [
            *(result.assessed.index for result in results.values()),
            pl.DataFrame(schema=INDEX),
            rejected.select("source", "line", pl.lit("read").alias("stage"), "reason", pl.lit(False).alias("edited")),
        ],
        how="diagonal",
    ).with_row_index("_place")
    order = index.sort("line", "_place", maintain_order=True)["_place"].to_numpy()
    index = index[order].drop("_place")
    for kind, result in results.items():
        # Not compressed: it costs more than the disk does.
        result.records.write_ipc(batch_file(work, kind, number))
    index.write_ipc(batch_file(work, "index", number))
    rejected.write_ipc(batch_file(work, "rejected", number))
    if results:
        edits = pl.concat([result.edits for result in results.values()])
        edits.write_ipc(batch_file(work, "edits", number))
    assessed = {kind: result.assessed for kind, result in results.items()}
    near = recipe.clean.near.bands if "near" in recipe.clean.steps else 0
    lay_down(work, number, assessed, order, near)
    if near:
        lay_down_texts(work, number, assessed, order, apart)
    size = sum(batch_file(work, kind, number).stat().st_size for kind in results)
    vaulted = [result.found for result in results.values()] if recipe.clean.pii.vault is not None else []
    masked = pl.concat(vaulted) if vaulted else pl.DataFrame()
    records = index.height - rejected.height
    return BatchSummary(number, block.source, index.height, records, size, parsed.unknown, masked)


def lay_down(work: Path, number: int, results: dict[Kind, Assessed], order: NDArray[Any], width: int) -> None:
    """Write the files whose rows follow the index: scores and bands."""
    blank = order.size - sum(result.index.height for result in results.values())
    nothing = pl.DataFrame(schema={"language": pl.String}).clear(blank)
    scores = pl.concat([*(r.scores for r in results.values()), nothing], how="diagonal")
    scores[order].write_ipc(batch_file(work, "scores", number))
    if width:
        bands = np.concatenate([*(r.bands for r in results.values()), np.zeros((blank, width), dtype=np.uint64)])
        # One band after the other, so that a band of all rows is read without the rest.
        np.ascontiguousarray(bands[order].T).tofile(batch_file(work, "bands", number, "bin"))


def lay_down_texts(work: Path, number: int, results: dict[Kind, Assessed], order: NDArray[Any], apart: bool) -> None:
    """Write what near duplicates are verified from; compared.py reads it."""
    blank = order.size - sum(result.index.height for result in results.values())
    in_place = (order == np.arange(order.size)).all()
    if not apart and list(results) == ["text"] and not blank and in_place:
        return  # row by row, the texts stand in the records
    for name in sorted({name for result in results.values() for name in result.texts}):
        parts = [r.texts.get(name) or empty_texts(r.index.height) for r in results.values()]
        texts = join_buffers([*parts, empty_texts(blank)] if blank else parts)
        write_texts(batch_file(work, name, number, "bin"), texts if in_place else gather_texts(texts, order))


def _clean_kind(frame: pl.DataFrame, kind: Kind, recipe: Recipe) -> _KindResult:
    """All steps of one kind's rows of a batch."""
    settings, rows = recipe.clean, frame.height
    before = to_segments(frame, kind)
    segments, edits = _normalised(before, recipe)
    segments, found = _masked(segments, recipe)
    if not found.is_empty() and settings.pii.mode != "tag":
        edits = pl.concat(
            [edits, found.group_by("row", maintain_order=True).agg(pl.lit("pii").alias("step"), pl.col("count").sum())]
        )
    changed = segments.filter(segments["text"] != before["text"])
    frame = with_texts(frame, kind, changed)
    edited = pl.Series(np.isin(np.arange(rows), changed["row"].unique().to_numpy()))
    masked = found.group_by("row").agg(pl.col("count").sum())
    assessed = assess(frame, segments, kind, edited, masked, recipe)
    key = assessed.index.select("source", "line").with_row_index("row")
    return _KindResult(
        records=frame,
        edits=key.join(edits, on="row", how="inner", maintain_order="right").select("source", "line", "step", "count"),
        found=key.join(found, on="row", how="inner", maintain_order="right").drop("row"),
        assessed=assessed,
    )


def assess(
    frame: pl.DataFrame,
    segments: pl.DataFrame,
    kind: Kind,
    edited: pl.Series,
    masked: pl.DataFrame,
    recipe: Recipe,
    *,
    stored: pl.DataFrame | None = None,
    sign: bool = True,
) -> Assessed:
    """What can be known of records of one kind as they will be written, alone.

    Args:
        frame: the records.
        segments: their texts, by `to_segments`.
        kind: of the records.
        edited: Boolean, one a record.
        masked: row and count of personal data found in it.
        recipe: its [clean] table is in force.
        stored: scores of these records, where they were measured before: they are not measured again.
        sign: whether near duplicates will be sought by signatures.
    """
    settings, rows = recipe.clean, frame.height
    whole = frame["text"] if kind == "text" else whole_texts(segments, rows)
    answers = whole if kind == "text" else answer_texts(segments, kind, rows)
    said = _said(segments, kind, whole, answers)
    scores, drops = _judged(frame, kind, whole, answers, said, recipe, stored)
    if settings.pii.mode == "drop" and not masked.is_empty():
        hits = masked.select(pl.col("row").cast(pl.UInt32), pl.col("count").cast(pl.Float64).alias("value"))
        drops.insert(1, hits.with_columns(stage=pl.lit("pii"), reason=pl.lit("pii"), threshold=pl.lit(0.0)))
    verdicts = pl.concat([drop.select(*_VERDICT).cast(_VERDICT) for drop in drops]).unique(
        "row", keep="first", maintain_order=True
    )

    keys = frame.select("source", "line", "id", pl.lit(kind).alias("kind")).with_row_index("row")
    bare = bare_texts(whole)
    exact = content_hashes(frame, segments, kind, bare)
    blank, bands = _signed(said["text"], kind, recipe, sign=sign)
    index = keys.join(verdicts, on="row", how="left", maintain_order="left").with_columns(
        edited.alias("edited"),
        written_hashes(frame, kind, edited),
        *keeper_keys(frame, bare).get_columns(),
        pl.Series("exact_0", exact[:, 0]),
        pl.Series("exact_1", exact[:, 1]),
        pl.Series("blank_0", blank[:, 0]),
        pl.Series("blank_1", blank[:, 1]),
    )
    return Assessed(index.select(*INDEX).cast(INDEX), scores, said, bands)


def _said(segments: pl.DataFrame, kind: Kind, whole: pl.Series, answers: pl.Series) -> dict[str, TextBuffer]:
    """What is measured, and what near duplicates are compared by: the whole text, and each answer on its own."""
    said = {"text": to_buffer(whole)}
    if kind in ("messages", "preference", "unpaired"):
        said["answer"] = to_buffer(answers)
    if kind == "preference":
        said["rejected"] = to_buffer(rejected_texts(segments, len(whole)))
    return said


_VERDICT: Final = pl.Schema(
    {
        "row": pl.UInt32(),
        "stage": pl.String(),
        "reason": pl.String(),
        "value": pl.Float64(),
        "threshold": pl.Float64(),
    }
)


def _normalised(segments: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The segments normalised, and how often that changed something: columns row, step, count."""
    nothing = pl.DataFrame(schema={"row": pl.UInt32, "step": pl.String, "count": pl.UInt32})
    if "normalise" not in recipe.clean.steps:
        return segments, nothing
    texts, counts = normalise.normalise(segments["text"], recipe.clean.normalise)
    # JSON in a string is data, not prose: its escapes and blanks stay as they are.
    prose = ~segments["json"]
    texts = texts.zip_with(prose, segments["text"])
    edits = segments.select("row", pl.lit("normalise").alias("step")).with_columns(
        counts.cast(pl.UInt32).alias("count")
    )
    edits = (
        edits.filter(prose & (pl.col("count") > 0))
        .group_by("row", "step", maintain_order=True)
        .agg(pl.col("count").sum())
    )
    return segments.with_columns(texts.alias("text")), edits


def _masked(segments: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The segments with personal data masked, and what was found: row, kind, original, token, count."""
    if "pii" not in recipe.clean.steps:
        return segments, pl.DataFrame(schema=pii.FOUND)
    masked = pii.mask(segments.select("row", "text", "json"), recipe.clean.pii)
    return segments.with_columns(masked.texts.alias("text")), masked.found


def _judged(
    frame: pl.DataFrame,
    kind: Kind,
    whole: pl.Series,
    answers: pl.Series,
    said: dict[str, TextBuffer],
    recipe: Recipe,
    stored: pl.DataFrame | None,
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Scores of every row, and the verdicts of language and rules: the earlier in the list decides."""
    settings, rows = recipe.clean, len(whole)
    blank = pl.DataFrame({"row": (whole.str.strip_chars() == "").arg_true().cast(pl.UInt32)})
    drops = [
        blank.with_columns(stage=pl.lit("rules"), reason=pl.lit("empty"), value=pl.lit(0.0), threshold=pl.lit(1.0))
    ]
    tags = pl.DataFrame({"language": [None] * rows}, schema={"language": pl.String})
    if "language" in settings.steps:
        tags = language.detect(whole, said["text"]) if stored is None else _tags(stored)
        verdict = language.judge(tags, whole, settings.languages, settings.language)
        drops.append(verdict.with_columns(stage=pl.lit("language")))
    scores = tags.rename({"confidence": "language_confidence"}, strict=False)
    if "rules" in settings.steps:
        judged = said["text"] if answers is whole else said.get("answer", answers)
        measured = rules.measure(judged) if stored is None else stored.select(rules.SCORES)
        scores = scores.hstack(measured)
        silent = (answers.str.strip_chars() == "").arg_true()  # a turn that only calls a tool says nothing to judge
        verdict = rules.judge(measured, tags["language"], kind, settings.rules)
        if kind == "unpaired":  # a completion labelled bad may be bad, but it must be an answer
            good = pl.Series(frame["label"]).arg_true().implode()
            verdict = verdict.filter(pl.col("row").is_in(good) | pl.col("reason").is_in(REJECTED_RULES))
        drops.append(verdict.filter(~pl.col("row").is_in(silent.implode())).with_columns(stage=pl.lit("rules")))
        if kind == "preference":
            rejected = rules.measure(said["rejected"])
            verdict = rules.judge(rejected, tags["language"], kind, settings.rules)
            drops.append(verdict.filter(pl.col("reason").is_in(REJECTED_RULES)).with_columns(stage=pl.lit("rules")))
    return scores, drops


def _tags(stored: pl.DataFrame) -> pl.DataFrame:
    """What `language.detect` said of these rows when they were measured."""
    return stored.select("language", confidence="language_confidence")


def _signed(
    said: TextBuffer, kind: Kind, recipe: Recipe, *, sign: bool
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Blanked hashes, shape (n, 2), and band keys, shape (n, bands); empty where near duplicates are not sought."""
    near = recipe.clean.near
    if "near" not in recipe.clean.steps or not sign:
        return np.zeros((said.size, 2), dtype=np.uint64), np.zeros((said.size, 0), dtype=np.uint64)
    # Rows of different kinds are never duplicates: the kind is part of every key.
    salt = np.uint64((KINDS.index(kind) + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    signed = sign_and_blank(said, near.bands, near.rows, near.keep_apart)
    return signed.blank, np.where(signed.bands == EMPTY_KEY, signed.bands, signed.bands ^ salt)
