"""Two versions compared: which rows came, went or changed, and for which reason.

Rows are the same when their id is (the record as it was read), wherever they stand. What is left over is compared by
its key, so that an edited line of a file is one row and not two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from datakit.records import CONTENT, KINDS
from datakit.versions.store import Version

CHANGES: Final = ("came", "went", "changed", "reason")
"""came, went: into and out of the rows that are kept. changed: kept in both, written otherwise. reason: in neither, and
for another reason."""

ABSENT: Final = "absent"
"""The reason of a row that the other version never saw."""

_COLUMNS: Final = ("source", "line", "id", "decision", "reason")
_KEY: Final = ["source", "line"]
_IN: Final = ("kept", "edited")

# What makes two lines of a ledger the same row, the surest first; of several, the first is compared with the first.
# A rejected row has no id: where lines have shifted, it is the next of its file that was rejected for the same reason.
_ROUNDS: Final = (["source", "line", "id", "missing"], ["id", "missing"], ["source", "line"])


@dataclass(frozen=True)
class Difference:
    """What two versions differ in.

    settings: key of the recipe to its value in each, where they differ. stay: rows that both keep, written alike.
    rows: one row a difference: change, before, after (a reason word, `kept`, `edited` or `absent`) and the row's key in
    both versions (source, line; source_after, line_after), null where it is absent.
    """

    before: Version
    after: Version
    settings: dict[str, tuple[Any, Any]]
    stay: int
    rows: pl.DataFrame

    def counts(self) -> pl.DataFrame:
        """change, before, after, rows: the most frequent first inside each change."""
        counted = self.rows.group_by("change", "before", "after").agg(pl.len().alias("rows"))
        order = pl.col("change").replace_strict({name: place for place, name in enumerate(CHANGES)})
        return counted.sort(order, -pl.col("rows").cast(pl.Int64), "before", "after")

    def examples(self, change: str, before: str, after: str, most: int) -> list[str]:
        """Names of the first rows of one sort, as `source:line`."""
        mine = self.rows.filter(pl.col("change") == change, pl.col("before") == before, pl.col("after") == after)
        # Of a row that went, the key it had; of any other, the one that it has.
        keys = mine.select(pl.coalesce("source_after", "source"), pl.coalesce("line_after", "line")).head(most)
        return [f"{source}:{line}" for source, line in keys.iter_rows()]


def diff(before: Version, after: Version) -> Difference:
    """The rows in which two versions differ, in the order of the later one."""
    old, new = _ledger(before), _ledger(after)
    matched = _matched(old, new)
    told = matched.with_columns(
        before=_told("decision", "reason", "place"), after=_told("decision_after", "reason_after", "place_after")
    )
    was, now = pl.col("before").is_in(_IN), pl.col("after").is_in(_IN)
    change = (
        pl.when(~was & now)
        .then(pl.lit("came"))
        .when(was & ~now)
        .then(pl.lit("went"))
        .when(was & now & _rewritten(before, after, told))
        .then(pl.lit("changed"))
        .when(~was & ~now & (pl.col("before") != pl.col("after")))
        .then(pl.lit("reason"))
    )
    found = told.with_columns(change=change)
    stay = found.filter(was & now & pl.col("change").is_null()).height
    rows = found.filter(pl.col("change").is_not_null()).sort("place_after", "place", nulls_last=True)
    columns = ("change", "before", "after", *_KEY, "source_after", "line_after")
    return Difference(before, after, _settings(before, after), stay, rows.select(columns))


def _ledger(version: Version) -> pl.DataFrame:
    """The ledger's lines with their place; `missing` stands for the id of rows that have none."""
    lines = pl.scan_parquet(version.path / "ledger.parquet").select(_COLUMNS).with_row_index("place").collect()
    return lines.with_columns(missing=pl.when(pl.col("id").is_null()).then(pl.concat_str("source", "reason")))


def _matched(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The rows of both side by side; nulls where one has no such row."""
    new = new.rename({name: f"{name}_after" for name in new.columns})
    found = []
    for columns in _ROUNDS:
        keys = [f"{name}_after" for name in columns]
        numbered = old.with_columns(nth=pl.int_range(pl.len()).over(columns))
        numbered_after = new.with_columns(nth_after=pl.int_range(pl.len()).over(keys))
        pairs = numbered.join(
            numbered_after, left_on=[*columns, "nth"], right_on=[*keys, "nth_after"], nulls_equal=True, coalesce=False
        ).drop("nth", "nth_after")
        found.append(pairs)
        old = old.join(pairs, on="place", how="anti")
        new = new.join(pairs, on="place_after", how="anti")
    return pl.concat([*found, old, new], how="diagonal")


def _told(decision: str, reason: str, place: str) -> pl.Expr:
    """What became of a row in one word."""
    return pl.when(pl.col(place).is_null()).then(pl.lit(ABSENT)).otherwise(pl.coalesce(reason, decision))


def _rewritten(before: Version, after: Version, told: pl.DataFrame) -> pl.Series:
    """Whether the records that both keep are written otherwise; only those that may be are read."""
    both = told.with_row_index("_row").filter(pl.col("before").is_in(_IN), pl.col("after").is_in(_IN))
    suspects = both.filter(
        (pl.col("before") != "kept") | (pl.col("after") != "kept") | (pl.col("id").ne_missing(pl.col("id_after")))
    )
    old = _written(before, suspects.select("source", "line"))
    new = _written(after, suspects.select(source="source_after", line="line_after"))
    compared = (
        suspects.join(old, on=_KEY, how="left")
        .join(new, left_on=["source_after", "line_after"], right_on=_KEY, how="left", suffix="_after")
        .filter(pl.col("text").ne_missing(pl.col("text_after")))
    )
    return pl.Series(told.with_row_index("_row")["_row"].is_in(compared["_row"].implode()))


def _written(version: Version, keys: pl.DataFrame) -> pl.DataFrame:
    """source, line, and a hash of each record with one of these keys."""
    found = [pl.DataFrame(schema={"source": pl.String, "line": pl.Int64, "text": pl.UInt64})]
    for kind in KINDS if keys.height else ():
        if files := version.data_files(kind):
            content = pl.struct(pl.lit(kind).alias("kind"), *CONTENT[kind], "meta").struct.json_encode()
            mine = pl.scan_parquet(files).join(keys.unique().lazy(), on=_KEY, how="semi")
            found.append(mine.select("source", "line", content.hash(7).alias("text")).collect(engine="streaming"))
    return pl.concat(found).unique(_KEY, keep="first")


def _settings(before: Version, after: Version) -> dict[str, tuple[Any, Any]]:
    old, new = _flat(before.manifest.recipe), _flat(after.manifest.recipe)
    return {
        name: (old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }  # fmt: skip


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat
