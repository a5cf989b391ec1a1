"""What the steps look at in a record: the whole text, the answers, and what makes two records equal."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from datakit.records import CONTENT, MESSAGES, Kind
from datakit.segments import ANSWER_ROLES, SYSTEM_ROLES, joined

# Which segments are the answer that a model would learn, a kind.
_ANSWERS: Final[dict[Kind, pl.Expr]] = {
    "text": pl.col("field") == "text",
    "messages": pl.col("role").is_in(ANSWER_ROLES) & (pl.col("slot") == "content"),
    "preference": (pl.col("field") == "chosen") & (pl.col("slot") == "content"),
    "unpaired": (pl.col("field") == "completion") & (pl.col("slot") == "content"),
    "prompt": (pl.col("field") == "prompt") & (pl.col("slot") == "content"),
}
_REJECTED: Final = (pl.col("field") == "rejected") & (pl.col("slot") == "content")


def whole_texts(segments: pl.DataFrame, rows: int) -> pl.Series:
    """All that is said in each record, without system prompts: one text a row.

    A system prompt is shared by design by whole datasets; counted in, it would make strangers look alike.
    A record that holds nothing else is its system prompt.
    """
    content = ~pl.col("field").is_in(["meta", "tools", "checks"])
    system = pl.col("role").is_in(SYSTEM_ROLES).fill_null(value=False)
    said = joined(segments, content & ~system, rows)
    if not segments["role"].is_in(SYSTEM_ROLES).any():
        return said
    everything = joined(segments, content, rows)
    return pl.select(pl.when(said.str.strip_chars() == "").then(everything).otherwise(said)).to_series()


def answer_texts(segments: pl.DataFrame, kind: Kind, rows: int) -> pl.Series:
    """What the model would learn to say (for preference: the chosen answer), one text a row."""
    return joined(segments, _ANSWERS[kind], rows)


def rejected_texts(segments: pl.DataFrame, rows: int) -> pl.Series:
    """The rejected answers of preference records, one text a row."""
    return joined(segments, _REJECTED, rows)


def bare_texts(texts: pl.Series) -> pl.Series:
    """The texts without blanks around them and at the ends of their lines: those make no difference to a reader."""
    stripped = texts.str.strip_chars()
    ragged = stripped.str.contains_any([" \n", "\t\n"]).arg_true()
    if ragged.is_empty():
        return stripped
    return stripped.scatter(ragged, stripped.gather(ragged).str.replace_all(r"[ \t]+\n", "\n"))


def content_hashes(frame: pl.DataFrame, segments: pl.DataFrame, kind: Kind, bare: pl.Series) -> NDArray[np.uint64]:
    """128 bits over each record's content without meta, shape (n, 2): equal where the content is equal.

    Blanks at the ends of lines and around a text are kept but make no difference. The bits are polars' hash with two
    seeds: they hold for one run on one machine, and are written nowhere else. `bare`: `bare_texts` of the whole texts,
    which is all the content of a text record.
    """
    content = bare
    if kind != "text":
        said = segments.filter(pl.col("field") != "meta")
        keyed = said.with_columns(bare_texts(said["text"]).alias("text")).with_columns(
            pl.concat_str("field", "turn", "slot", "text", separator="\x1f").alias("text")
        )
        content = joined(keyed, pl.lit(value=True), frame.height) + frame.select(_shape(kind)).to_series()
    return np.stack([content.hash(seed).to_numpy() for seed in (1, 2)], axis=1)


def _shape(kind: Kind) -> pl.Expr:
    """What is no text but makes records differ: roles, what is trained on, the label."""
    parts = []
    for name, dtype in CONTENT[kind].items():
        if dtype == MESSAGES:
            turn = pl.element().struct
            said_by = pl.concat_str(
                turn.field("role"), turn.field("train").cast(pl.String).fill_null("-"), separator=":"
            )
            parts.append(pl.col(name).list.eval(said_by).list.join(",").fill_null(""))
        elif dtype == pl.Boolean:
            parts.append(pl.col(name).cast(pl.String).fill_null("-"))
    return pl.concat_str(*parts, separator="\x1d") if parts else pl.lit("")


def written_hashes(frame: pl.DataFrame, kind: Kind, edited: pl.Series) -> pl.Series:
    """The hash of each record as written: its id where nothing was edited, 16 hex digits."""
    hashes = frame["id"].to_list()
    columns = [*CONTENT[kind], "meta"]
    places = edited.arg_true().to_list()
    for place, record in zip(places, frame[places].select(columns).iter_rows(named=True), strict=True):
        plain = orjson.dumps([kind, record], option=orjson.OPT_SORT_KEYS)
        hashes[place] = hashlib.blake2b(plain, digest_size=8).hexdigest()
    return pl.Series("written", hashes, dtype=pl.String)


def keeper_keys(frame: pl.DataFrame, bare: pl.Series) -> pl.DataFrame:
    """What decides which of two duplicates stays: verified (Boolean), length (UInt32, characters but end blanks), date.

    date is seconds since 1970 as Int64, null where `meta.date` is missing or no date. File times are never read.
    """
    verified = [False] * frame.height
    dates: list[int | None] = [None] * frame.height
    marked = frame["meta"].str.contains(r'"(?:verified|date)"').fill_null(value=False)
    for place in marked.arg_true().to_list():
        meta = orjson.loads(frame["meta"][place])
        if isinstance(meta, dict):
            verified[place] = meta.get("verified") in (True, 1, "true", "True", "yes", "是")
            dates[place] = _seconds(meta.get("date"))
    return pl.DataFrame(
        {"verified": verified, "length": bare.str.len_chars(), "date": dates},
        schema={"verified": pl.Boolean, "length": pl.UInt32, "date": pl.Int64},
    )


def _seconds(date: Any) -> int | None:
    """A date as seconds: ISO 8601, 2024/3/18, 2024年3月18日, or a Unix time; None where it is none of these."""
    if isinstance(date, (int, float)) and not isinstance(date, bool):
        return int(date)
    if not isinstance(date, str):
        return None
    text = date.strip()
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        pass
    parts = text.translate(str.maketrans("/.年月", "----", "日")).split("-")
    try:
        year, month, day = (int(part) for part in parts)
        return int(datetime(year, month, day).timestamp())
    except ValueError:
        return None
