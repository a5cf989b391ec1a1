"""Rows on which judges disagree. Their verdicts choose rows; they never reach the server."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from datakit.errors import MissingInput, UsageFault
from datakit.recipe.annotate import JudgesSettings


def disputed(rows: pl.DataFrame, judges: JudgesSettings) -> pl.DataFrame:
    """The rows to which two judges or more gave different verdicts.

    Args:
        rows: id, source, line and the columns that `judges` names.
        judges: where verdicts are. Numbers differ where they lie further apart than `spread`, all else where it is
            not equal; a judge that said nothing of a row counts for nothing.

    Raises:
        UsageFault: a column is missing, or a line of the file is no verdict.
        MissingInput: there is no such file.
    """
    if judges.file is not None:
        verdicts = _from_file(Path(judges.file))
        by_key = [verdicts.get((source, line), {}) for source, line in rows.select("source", "line").iter_rows()]
        by_id = [verdicts.get(row, {}) for row in rows["id"]]
        found = [list({**first, **second}.values()) for first, second in zip(by_id, by_key, strict=True)]
    else:
        if missing := [name for name in judges.columns if name not in rows.columns]:
            raise UsageFault("annotate.select.judges.columns", f"no such column: {missing[0]}")
        found = [list(verdicts) for verdicts in rows.select(judges.columns).iter_rows()]
    return rows.filter(pl.Series([differ(verdicts, judges.spread) for verdicts in found], dtype=pl.Boolean))


def differ(verdicts: list[Any], spread: float) -> bool:
    """Whether verdicts differ: numbers by more than `spread`, all else at all; None is no verdict."""
    said = [verdict for verdict in verdicts if verdict is not None]
    numbers = [_number(verdict) for verdict in said]
    if said and all(number is not None for number in numbers):
        known = [number for number in numbers if number is not None]
        return max(known) - min(known) > spread
    return len({orjson.dumps(verdict, option=orjson.OPT_SORT_KEYS) for verdict in said}) > 1


def _number(verdict: Any) -> float | None:
    try:
        return None if isinstance(verdict, bool) else float(verdict)
    except (TypeError, ValueError):
        return None


def _from_file(path: Path) -> dict[Any, dict[str, Any]]:
    """Row, by its key or its id, to judge to verdict."""
    verdicts: dict[Any, dict[str, Any]] = defaultdict(dict)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise MissingInput(
            str(path), "no such file", "verdicts of judges", "Check annotate.select.judges.file"
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            key = (str(row["source"]), int(row["line"])) if "source" in row else str(row["id"])
            verdicts[key][str(row["judge"])] = row["verdict"]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            expected = '{"source", "line", "judge", "verdict"}, or "id" for source and line'
            raise UsageFault(f"{path}:{number}", f"no verdict ({error})", expected) from None
    return verdicts
