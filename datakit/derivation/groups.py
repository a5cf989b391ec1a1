"""Rows that belong together: similar ones, turns of one dialogue, rows of one customer. Their group never straddles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning.components import components
from datakit.derivation.rows import Rows
from datakit.errors import UsageFault
from datakit.records import Kind
from datakit.segments import SYSTEM_ROLES

_KEY: Final = ["source", "line"]
_NAMED: Final = 5  # meta keys that an error names


def groups_of(rows: Rows, keys: Sequence[str], similarity: float) -> NDArray[np.int64]:
    """The group of each row, named by its first row; int64, one a row.

    Together are rows of a pair that pairs.parquet records from `similarity` on, dialogues that begin with the same
    exchange (one may be the start of the other), pairs and prompts with the same prompt, and rows with the same value
    of one of `keys`.

    Args:
        rows: of a version.
        keys: of meta, or `source`.
        similarity: Jaccard, 0 to 1.

    Raises:
        UsageFault: no row has one of the keys.
    """
    edges = [_similar(rows, similarity), _linked(_openings(rows))]
    edges += [_linked(labels_of(rows, key)) for key in keys]
    return components(np.concatenate(edges), rows.index.height)


def labels_of(rows: Rows, key: str) -> pl.Series:
    """The value of a key of meta for each row, as a string; `source`, `kind` and `language` are known by themselves.

    Raises:
        UsageFault: no row has it.
    """
    if key in ("source", "kind"):
        return rows.index[key]
    path = rows.version.path / "scores.parquet"
    if key == "language" and path.is_file():
        scores = pl.read_parquet(path, columns=[*_KEY, "language"])
        return rows.index.join(scores, on=_KEY, how="left", maintain_order="left")["language"]
    found: list[str | None] = []
    known: dict[str, None] = {}
    for _, frame, _ in rows.frames():
        for text in frame["meta"].to_list():
            meta = orjson.loads(text) if text else {}
            known.update(dict.fromkeys(meta))
            value = meta.get(key)
            found.append(value if value is None or isinstance(value, str) else orjson.dumps(value).decode())
    if all(value is None for value in found):
        names = ", ".join(list(known)[:_NAMED]) or "nothing"
        raise UsageFault(f"key '{key}'", f"no row has it in its meta (there: {names})", "a key of meta, or source")
    return pl.Series(key, found, dtype=pl.String)


def _similar(rows: Rows, similarity: float) -> NDArray[np.int64]:
    path = rows.version.path / "pairs.parquet"
    if not path.is_file():
        return np.zeros((0, 2), dtype=np.int64)
    pairs = pl.read_parquet(path).filter(pl.col("similarity") >= similarity)
    numbered = rows.index.select(*_KEY).with_row_index("row")
    for end in "ab":
        named = numbered.rename({"row": end, **{name: f"{end}_{name}" for name in _KEY}})
        pairs = pairs.join(named, on=[f"{end}_{name}" for name in _KEY], how="inner")
    return pairs.select(pl.col("a", "b").cast(pl.Int64)).to_numpy()


def _openings(rows: Rows) -> pl.Series:
    """How each record begins: a dialogue by its first two turns, pairs by their prompt; null of plain texts."""
    parts = [_opening(frame, kind) for kind, frame, _ in rows.frames()]
    return pl.concat([pl.Series("opening", [], dtype=pl.String), *parts])


def _opening(frame: pl.DataFrame, kind: Kind) -> pl.Series:
    if kind == "text":
        return pl.Series("opening", [None] * frame.height, dtype=pl.String)
    turn = pl.element().struct
    said = pl.concat_str(
        turn.field("role"),
        turn.field("content").fill_null(""),
        turn.field("tool_calls").fill_null(""),
        separator="\x1f",
    )
    spoken = pl.element().filter(~turn.field("role").is_in(SYSTEM_ROLES))
    column = pl.col("messages" if kind == "messages" else "prompt").list.eval(spoken).list.eval(said)
    begun = column.list.head(2) if kind == "messages" else column
    # One turn alone, 你好, begins dialogues that have nothing else in common.
    least = 2 if kind == "messages" else 1
    return frame.select(opening=pl.when(begun.list.len() >= least).then(begun.list.join("\x1e"))).to_series()


def _linked(labels: pl.Series) -> NDArray[np.int64]:
    """Each row with the first row of its label, int64, shape (m, 2); null stands for no label."""
    rows = pl.DataFrame({"label": labels}).with_row_index("row").filter(pl.col("label").is_not_null())
    first = rows.with_columns(first=pl.col("row").first().over("label")).filter(pl.col("first") != pl.col("row"))
    return first.select(pl.col("first", "row").cast(pl.Int64)).to_numpy()
