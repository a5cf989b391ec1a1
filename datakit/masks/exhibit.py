"""Rows of a version, found by their key or id and proved for eyes; and the page of a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from datakit.errors import UsageFault
from datakit.masks.page import rows_page
from datakit.masks.plan import ProofSettings
from datakit.masks.prover import Prover
from datakit.masks.replay import Replayer, Stage, cut
from datakit.masks.show import Shown
from datakit.records import Kind
from datakit.versions.store import Version

FIRST: Final = 3
"""Rows at the head of a page, of each kind."""

_SHORTEST: Final = 4  # digits of an id that name a row
_NAMED: Final = 3  # rows that an error names

Row = dict[str, Any]


class Exhibit:
    """The rows of a version, one at a time, proved for eyes.

    Args:
        version: whose rows.
        prover: what proves them.
        settings: of the proof; name the kinds that are looked at.
    """

    def __init__(self, version: Version, prover: Prover, settings: ProofSettings) -> None:
        self._version, self._prover, self._settings = version, prover, settings
        self._replayers: dict[Stage, Replayer] = {}

    def find(self, name: str) -> tuple[Kind, Row]:
        """The row that a name stands for, with its kind.

        Args:
            name: `source:line`, of the source its last part will do; or the first digits of an id, at least four.

        Raises:
            UsageFault: no row has that name, or different rows have it.
        """
        source, _, line = name.rpartition(":")
        if source and line.isdecimal():
            named = (pl.col("source") == source) | pl.col("source").str.ends_with(f"/{source}")
            found = self._rows(named & (pl.col("line") == int(line)), _NAMED)
        elif len(name) >= _SHORTEST:
            found = self._rows(pl.col("id").str.starts_with(name.lower()), _NAMED)
        else:
            found = []
        if not found:
            raise self._unknown(name)
        if len({row["id"] for _, row in found}) > 1:
            keys = ", ".join(dict.fromkeys(f"{row['source']}:{row['line']}" for _, row in found))
            raise UsageFault(f"row {name}", f"more than one has that name: {keys}", cure="Name one of them")
        return found[0]

    def shown(self, kind: Kind, row: Row) -> list[Shown]:
        """A row proved for eyes: one render, or both sides of a pair."""
        stage = self._settings.stage_of(kind)
        if stage == "cpt" or stage == "sft":
            return [Shown.of_proved(self._prover.show(row))]
        if stage not in self._replayers:
            prover = self._prover
            self._replayers[stage] = Replayer(prover.model, prover.renderer, stage, prover.habits)
        found = self._replayers[stage].replay([row])[0]
        masks = self._settings.masks
        if isinstance(masks.max_length, int):
            found = cut(found, masks.max_length, masks.max_completion)
        return Shown.of_replayed(found, self._prover.habits.stops)

    def page(self, findings: Sequence[Mapping[str, Any]]) -> str:
        """The HTML page of a proof: the first rows of each kind, and a row for each finding that names one.

        Args:
            findings: as `Findings.to_rows` gives them.
        """
        examples = {found["code"]: self.shown(*self.find(found["rows"][0])) for found in findings if found["rows"]}
        rows = [shown for kind, row in self._rows(pl.lit(True), FIRST) for shown in self.shown(kind, row)]
        return rows_page(self.title, rows, findings, examples)

    @property
    def title(self) -> str:
        """What is exhibited."""
        return f"{self._version.reference} for {self._prover.model.name}"

    def _rows(self, wanted: pl.Expr, most: int) -> list[tuple[Kind, Row]]:
        """The first rows of each kind that meet a condition; the files are not read whole."""
        return [
            (kind, row)
            for kind in self._settings.kinds()
            if (files := self._version.data_files(kind))
            for row in pl.scan_parquet(files).filter(wanted).head(most).collect(engine="streaming").to_dicts()
        ]

    def _unknown(self, name: str) -> UsageFault:
        some = next((f"{row['source']}:{row['line']}" for _, row in self._rows(pl.lit(True), 1)), "")
        return UsageFault(
            f"row {name}",
            f"{self._version.reference} has no such row for this stage",
            f"source:line, or {_SHORTEST} and more digits of an id",
            f"For example: --show {some}" if some else "",
        )
