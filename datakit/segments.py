"""A record's texts laid out flat, and put back: what steps that edit text work on.

A segment is one text of one record: the `text` of a text record, one message's `content`, a tool call's
arguments, `meta`. Steps see a plain column of texts and need not know the kinds.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from datakit.records import CONTENT, JSON_COLUMNS, MESSAGES, Kind

SLOTS: Final = ("content", "reasoning_content", "tool_calls")
"""The fields of a message that hold text."""

SYSTEM_ROLES: Final = ("system", "developer")
ANSWER_ROLES: Final = ("assistant",)

_SCHEMA: Final = pl.Schema(
    {
        "row": pl.UInt32(),
        "field": pl.String(),
        "turn": pl.UInt32(),
        "slot": pl.String(),
        "role": pl.String(),
        "json": pl.Boolean(),
        "text": pl.String(),
    }
)


def to_segments(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """All texts of the records, in the order of rows, columns and turns.

    Returns columns row (UInt32, position in `frame`), field (the column), turn (UInt32, 0 for plain columns),
    slot (the message field, "" for plain columns), role (null for plain columns), json (whether the text is
    JSON in a string) and text (never null).
    """
    parts = []
    rows = frame.with_row_index("row")
    columns: dict[str, pl.DataType] = {**CONTENT[kind], "meta": pl.String()}
    for order, (field, dtype) in enumerate(columns.items()):
        if dtype == MESSAGES:
            turns = _turns(rows, field)
            parts += [_part(turns, field, order, slot) for slot in SLOTS]
        elif dtype == pl.String:
            plain = rows.select("row", pl.lit(0, pl.UInt32).alias("turn"), pl.lit(None, pl.String).alias("role"), field)
            parts.append(_part(plain, field, order, field))
    segments = pl.concat(parts).sort("row", "_order", "turn", maintain_order=True)
    return segments.select(*_SCHEMA)


def with_texts(frame: pl.DataFrame, kind: Kind, edited: pl.DataFrame) -> pl.DataFrame:
    """The records with the texts of `edited` (segments, any subset) in place of their own."""
    if edited.is_empty():
        return frame
    rows = frame.with_row_index("row")
    touched = rows.join(edited.select("row").unique(), on="row", how="semi")
    for field in edited["field"].unique().to_list():
        texts = edited.filter(pl.col("field") == field)
        dtype = CONTENT[kind].get(field, pl.String())
        column = (
            _edited_messages(touched, field, texts)
            if dtype == MESSAGES
            else texts.select("row", pl.col("text").alias(field))
        )
        # A row keeps its own value where this field of it was not edited.
        touched = (
            touched.join(column.rename({field: "_new"}), on="row", how="left")
            .with_columns(pl.when(pl.col("_new").is_not_null()).then("_new").otherwise(field).alias(field))
            .drop("_new")
        )
    untouched = rows.join(touched.select("row"), on="row", how="anti")
    return pl.concat([untouched, touched.select(untouched.columns)]).sort("row").drop("row")


def joined(segments: pl.DataFrame, where: pl.Expr, rows: int) -> pl.Series:
    """The texts of the segments that `where` selects, joined by newlines, one text a row ("" where none)."""
    texts = segments.filter(where).group_by("row", maintain_order=True).agg(pl.col("text").str.join("\n"))
    index = pl.DataFrame({"row": pl.int_range(rows, dtype=pl.UInt32, eager=True)})
    return index.join(texts, on="row", how="left", maintain_order="left")["text"].fill_null("")


def _turns(rows: pl.DataFrame, field: str) -> pl.DataFrame:
    """One row a message: row, turn, and the message's fields."""
    return (
        rows.select("row", field)
        .filter(pl.col(field).list.len() > 0)
        .with_columns(pl.int_ranges(pl.col(field).list.len().cast(pl.Int64), dtype=pl.UInt32).alias("turn"))
        .explode(field, "turn")
        .unnest(field)
    )


def _part(texts: pl.DataFrame, field: str, order: int, slot: str) -> pl.DataFrame:
    return (
        texts.filter(pl.col(slot).is_not_null())
        .select(
            "row",
            pl.lit(field).alias("field"),
            "turn",
            pl.lit(slot if slot != field else "").alias("slot"),
            "role",
            pl.lit(slot in JSON_COLUMNS).alias("json"),
            pl.col(slot).alias("text"),
        )
        .with_columns(pl.lit(order, pl.UInt8).alias("_order"))
    )


def _edited_messages(touched: pl.DataFrame, field: str, texts: pl.DataFrame) -> pl.DataFrame:
    """The message lists of `touched` with the edited texts: columns row and `field`."""
    turns = _turns(touched, field)
    fields = [name for name in turns.columns if name not in ("row", "turn")]
    for slot in SLOTS:
        new = texts.filter(pl.col("slot") == slot).select("row", "turn", pl.col("text").alias("_new"))
        if not new.is_empty():
            turns = turns.join(new, on=["row", "turn"], how="left", maintain_order="left")
            turns = turns.with_columns(pl.coalesce("_new", slot).alias(slot)).drop("_new")
    return turns.group_by("row", maintain_order=True).agg(pl.struct(fields).alias(field))
