"""What a push adds to a campaign: asks, hidden gold items and repeats, each with its order of answers and its place.

A plan is made before anything is sent, and follows from the recipe, the version and what the campaign has already: made
again, it is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import polars as pl

from annotation.campaigns.choose import Key, draw
from annotation.campaigns.fields import Presentation, Unfit
from annotation.campaigns.gold import Gold
from annotation.campaigns.items import SCHEMA, Role, item_id, lot
from annotation.campaigns.sides import arrange, orders, swapped
from datakit.records import Kind
from datakit.versions.store import Version

LEFT_OUT: Final = pl.Schema(
    {
        "source": pl.String(),
        "line": pl.Int64(),
        "id": pl.String(),
        "role": pl.String(),
        "reason": pl.String(),
        "detail": pl.String(),
    }
)
"""Rows that were chosen and cannot be shown, or that the server refused."""

REFUSED: Final = "refused"
"""The reason word of what the server would not take; its own words are the detail."""

AT_ONCE: Final = 4096
"""Rows whose records are read together."""


@dataclass(frozen=True)
class Plan:
    """The items of a campaign after a push, those that are new, and the rows that were left out."""

    items: pl.DataFrame
    left_out: pl.DataFrame
    added: int


Found = tuple[str, Kind, Mapping[str, Any]]
"""Id, kind and record of a row."""


class Records:
    """The records of items: rows of the source version, and gold items that bring their own."""

    def __init__(self, version: Version, gold: Iterable[Gold] = ()) -> None:
        self._version = version
        self._own = {gold.key: ("", gold.kind, gold.record) for gold in gold if gold.kind and gold.record is not None}

    def of(self, keys: Iterable[Key]) -> dict[Key, Found]:
        """Key to id, kind and record, of those that are there; the files are read once."""
        every = set(keys)
        found: dict[Key, Found] = {key: self._own[key] for key in every & self._own.keys()}
        others = pl.DataFrame(
            sorted(every - found.keys()), schema={"source": pl.String, "line": pl.Int64}, orient="row"
        )
        for kind in self._version.manifest.counts.kinds if others.height else ():
            rows = pl.scan_parquet(self._version.data_files(kind))
            for row in rows.join(others.lazy(), on=["source", "line"], how="semi").collect().iter_rows(named=True):
                found[row["source"], row["line"]] = (row["id"], cast(Kind, kind), row)
        return found


@dataclass
class Planner:
    """Adds what is missing to a campaign.

    Attributes:
        name: of the campaign.
        version: whose rows are shown.
        view: how.
        gold: items whose right value is known.
    """

    name: str
    version: Version
    view: Presentation
    gold: Sequence[Gold]

    def plan(self, items: pl.DataFrame, left_out: pl.DataFrame, given: Sequence[Key] | None = None) -> Plan:
        """The campaign with as many asks as the recipe says, or with the given rows and no others.

        Args:
            items: what it has (`items.SCHEMA`).
            left_out: what it could not show (`LEFT_OUT`).
            given: keys of rows that somebody chose; by default they are drawn.
        """
        records = Records(self.version, self.gold)
        self._lost = [tuple(row) for row in left_out.iter_rows()]
        asks = self._asks(items, given, records)
        gold = self._hidden(items, asks, records)
        batch = int(items["batch"].max() or 0) + 1 if items.height else 1  # type: ignore[arg-type]
        added = self._batch([row | {"batch": batch} for row in (*asks, *gold)])
        lost = pl.DataFrame(self._lost, schema=LEFT_OUT, orient="row")
        return Plan(pl.concat([items, pl.DataFrame(added, schema=SCHEMA)]), lost, len(added))

    def _asks(self, items: pl.DataFrame, given: Sequence[Key] | None, records: Records) -> list[dict[str, Any]]:
        """New asks, drawn in order until there are enough that can be shown."""
        settings = self.view.settings
        taken = set(items.select("source", "line").iter_rows()) | {(row[0], row[1]) for row in self._lost}
        taken |= {gold.key for gold in self.gold}
        drawn: list[tuple[str, int, str | None]]
        if given is not None:
            drawn = [(*key, None) for key in sorted(set(given), key=lambda key: (lot(settings.seed, "row", *key), key))]
            need = len(drawn)
        else:
            refused = sum(role == "ask" and reason == REFUSED for *_, role, reason, _ in self._lost)
            need = settings.rows - refused - items.filter(pl.col("role") == "ask").height
            chosen = draw(self.version, self.view.kinds, settings.select, settings.seed) if need > 0 else None
            drawn = list(chosen.select("source", "line", "stratum").iter_rows()) if chosen is not None else []
        left = [row for row in drawn if (row[0], row[1]) not in taken]
        asks: list[dict[str, Any]] = []
        for start in range(0, len(left), AT_ONCE):
            part = left[start : start + AT_ONCE]
            found = records.of((source, line) for source, line, _ in part)
            for source, line, stratum in part:
                if len(asks) >= need:
                    return asks
                if (row := self._fit("ask", (source, line), found)) is not None:
                    asks.append(row | {"stratum": stratum})
        return asks

    def _hidden(self, items: pl.DataFrame, asks: Sequence[Any], records: Records) -> list[dict[str, Any]]:
        """Gold items for the new asks: their share, as far as there are any that were not used before."""
        settings = self.view.settings
        used = set(items.filter(pl.col("role") == "gold").select("source", "line").iter_rows())
        used |= {(row[0], row[1]) for row in self._lost}
        need = math.ceil(settings.gold_share * len(asks))
        fresh = [gold for gold in self.gold if gold.key not in used] if need else []
        found = records.of(gold.key for gold in fresh)
        hidden: list[dict[str, Any]] = []
        for gold in sorted(fresh, key=lambda gold: lot(settings.seed, "gold", *gold.key)):
            if len(hidden) >= need:
                break
            if (row := self._fit("gold", gold.key, found)) is not None:
                hidden.append(row | {"expected": gold.expected})
        return hidden

    def _fit(self, role: Role, key: Key, found: Mapping[Key, Found]) -> dict[str, Any] | None:
        """The item of a row, without its place and order; None, and a line in `left_out`, where it cannot be shown."""
        identity, kind = "", None
        try:
            if key not in found:
                raise Unfit("unknown_row", f"no such row in {self.version.reference}")
            identity, kind, record = found[key]
            self.view.show(record, kind, range(self.view.places))
        except Unfit as unfit:
            self._lost.append((*key, identity, role, unfit.reason, unfit.detail))
            return None
        item = item_id(self.name, self.view.settings.seed, role, *key)
        row = dict.fromkeys(SCHEMA, None) | {"item": item, "id": identity, "role": role, "row_kind": kind}
        return row | {"source": key[0], "line": key[1]}

    def _batch(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Items with their orders, some of them repeated, in the order in which they are sent."""
        settings = self.view.settings
        by_role = {role: [row["item"] for row in rows if row["role"] == role] for role in ("ask", "gold")}
        by_item = {row["item"]: row for row in rows}
        for items in by_role.values():
            for item, order in zip(items, orders(items, self.view.places, settings.seed), strict=True):
                by_item[item]["order"] = order
        again = sorted(by_role["ask"], key=lambda item: lot(settings.seed, "again", item))
        pairs = []
        for ask in again[: round(settings.repeats * len(again))]:
            row = by_item[ask]
            item = item_id(self.name, settings.seed, "repeat", row["source"], row["line"])
            by_item[item] = row | {"item": item, "role": "repeat", "of": ask, "order": swapped(row["order"])}
            pairs.append((item, ask))
        return [by_item[item] for item in arrange(by_role["ask"], by_role["gold"], pairs, settings.seed)]
