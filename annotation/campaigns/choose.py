"""Which rows people judge: narrowed first, then drawn, at random or from strata.

A draw is an order of all candidates, of which a campaign takes as many as it needs: asking for more rows later goes on
in the same order. It depends on the seed and the rows' keys, never on the order of rows in files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl

from annotation.campaigns.disagreement import disputed
from annotation.campaigns.items import lot
from datakit.errors import UsageFault
from datakit.recipe.annotate import NearSettings, SelectSettings
from datakit.records import Kind
from datakit.versions.store import Version

Key = tuple[str, int]

_KEY = ("source", "line")
_META = "meta."


def draw(version: Version, kinds: Sequence[Kind], select: SelectSettings, seed: int) -> pl.DataFrame:
    """The rows of a version that may be judged, in the order in which they are to be taken.

    Args:
        version: whose rows.
        kinds: of records.
        select: how they are narrowed and drawn.
        seed: of the draw.

    Returns:
        Columns id, source, line, kind, stratum (null without strata).

    Raises:
        UsageFault: a column that `select` names is not there.
    """
    rows = _candidates(version, kinds, select)
    if select.near is not None:
        rows = _near(rows, select.near)
    if select.judges is not None:
        rows = disputed(rows, select.judges)
    strata = rows[_column(rows, select.stratify, "stratify")].cast(pl.String) if select.stratify else None
    rows = rows.select("id", *_KEY, "kind", stratum=strata if strata is not None else pl.lit(None, pl.String))
    places = _places(rows, select.balance, seed)
    return rows[sorted(range(rows.height), key=places.__getitem__)]


def _places(rows: pl.DataFrame, balance: str, seed: int) -> list[tuple[float, int, str, int]]:
    """What to sort rows by: the k-th of a stratum's m rows stands at (k + ½) / m, or at k where all weigh the same."""
    lots = [(lot(seed, "row", *key), *key) for key in rows.select(_KEY).iter_rows()]
    strata: dict[str | None, list[int]] = defaultdict(list)
    for number, stratum in enumerate(rows["stratum"]):
        strata[stratum].append(number)
    places: list[tuple[float, int, str, int]] = [(0.0, 0, "", 0)] * rows.height
    for members in strata.values():
        members.sort(key=lots.__getitem__)
        for rank, number in enumerate(members):
            place = (rank + 0.5) / len(members) if balance == "proportional" else float(rank)
            places[number] = (place if len(strata) > 1 else 0.0, *lots[number])
    return places


def _candidates(version: Version, kinds: Sequence[Kind], select: SelectSettings) -> pl.DataFrame:
    """The keys of a version's rows and every column that `select` needs."""
    judges = select.judges.columns if select.judges else ()
    named = {*judges, *([select.stratify] if select.stratify else []), *([select.near.score] if select.near else [])}
    metas = sorted(name for name in named if name.startswith(_META))
    frames = [_rows(version, kind, metas) for kind in kinds if version.data_files(kind)]
    if not frames:
        schema = {"id": pl.String(), "source": pl.String(), "line": pl.Int64(), "kind": pl.String()}
        return pl.DataFrame(schema={**schema, **dict.fromkeys(named, pl.String())})
    rows = pl.concat(frames)
    scores = sorted(named - set(metas) - set(rows.columns))
    if scores:
        measured = pl.scan_parquet(version.path / "scores.parquet")
        there = measured.collect_schema().names()
        wanted = [name for name in scores if name in there]
        rows = rows.join(measured.select(*_KEY, *wanted).collect(), on=_KEY, how="left", maintain_order="left")
    return rows


def _rows(version: Version, kind: Kind, metas: Sequence[str]) -> pl.DataFrame:
    columns = ["id", *_KEY, *(["meta"] if metas else [])]
    rows = pl.scan_parquet(version.data_files(kind)).select(columns).collect().with_columns(kind=pl.lit(kind))
    if not metas:
        return rows
    found = [orjson.loads(text) if text else {} for text in rows["meta"]]
    values = {name: [_text(_inside(meta, name.removeprefix(_META))) for meta in found] for name in metas}
    return rows.drop("meta").with_columns(pl.Series(name, column, pl.String) for name, column in values.items())


def _inside(meta: Any, path: str) -> Any:
    for part in path.split("."):
        meta = meta.get(part) if isinstance(meta, dict) else None
    return meta


def _text(value: Any) -> str | None:
    return (
        value if value is None or isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    )


def _near(rows: pl.DataFrame, near: NearSettings) -> pl.DataFrame:
    score = pl.col(_column(rows, near.score, "near.score")).cast(pl.Float64, strict=False)
    return rows.filter((score - near.threshold).abs() <= near.width)  # rows without the score are not near


def _column(rows: pl.DataFrame, name: str, setting: str) -> str:
    if name not in rows.columns:
        expected = '"source", "kind", "meta.KEY" or a column of scores.parquet'
        raise UsageFault(f"annotate.select.{setting}", f"no such column: {name}", expected)
    return name
