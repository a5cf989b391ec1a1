"""What a proof finds: of one row, and gathered over all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from datakit.masks.codes import CODES, SEVERITIES, Reach, Severity

NAMED: Final = 20
"""Rows that a finding names; the count says how many there are, and left_out.parquet names all that are left out."""


@dataclass(frozen=True)
class RowFinding:
    """One fault of one row.

    Attributes:
        code: M1 to M33.
        detail: what was found, with its place in the row.
        severity: where this case is graver or lighter than its code; else the code's own.
    """

    code: str
    detail: str
    severity: Severity | None = None

    @property
    def weight(self) -> Severity:
        """error, warning or note."""
        return self.severity or CODES[self.code].severity

    @property
    def reach(self) -> Reach:
        """Whether it speaks of its row alone, or shows in its row what the template does to all."""
        return CODES[self.code].reach


@dataclass
class _Gathered:
    count: int
    rows: list[str]
    detail: str


class Findings:
    """Findings by code, reach and severity, with their number and the first rows of each."""

    def __init__(self) -> None:
        self._gathered: dict[tuple[str, Reach, Severity], _Gathered] = {}

    def add(
        self, code: str, key: str, detail: str, *, severity: Severity | None = None, reach: Reach | None = None
    ) -> None:
        """A fault in the row `key` (`source:line`); severity and reach are the code's own where not given."""
        self._take(code, reach or CODES[code].reach, severity or CODES[code].severity, 1, [key], detail)

    def add_template(self, code: str, detail: str, *, severity: Severity | None = None) -> None:
        """A fault that holds for all rows."""
        self._take(code, "template", severity or CODES[code].severity, 1, [], detail)

    def merge(self, other: Findings) -> None:
        """Take in the findings of a later batch."""
        for (code, reach, severity), found in other._gathered.items():
            self._take(code, reach, severity, found.count, found.rows, found.detail)

    def _take(self, code: str, reach: Reach, severity: Severity, count: int, rows: Iterable[str], detail: str) -> None:
        found = self._gathered.setdefault((code, reach, severity), _Gathered(0, [], detail))
        found.count += count
        found.rows += list(rows)[: NAMED - len(found.rows)]

    def count(self, code: str) -> int:
        """Rows in which a code was found."""
        return sum(found.count for (known, _, _), found in self._gathered.items() if known == code)

    def fails(self, fail_on: Severity) -> bool:
        """Whether a finding that holds for all rows is at least as grave as `fail_on`."""
        return any(reach == "template" and at_least(severity, fail_on) for _, reach, severity in self._gathered)

    def to_json(self) -> list[dict[str, Any]]:
        """The gravest first: {"code", "reach", "severity", "count", "rows"} each, rows as `source:line`."""
        return [{name: value for name, value in row.items() if name != "detail"} for row in self.to_rows()]

    def to_rows(self) -> list[dict[str, Any]]:
        """As `to_json`, with the detail of the first case of each."""
        order = sorted(self._gathered, key=lambda key: (SEVERITIES.index(key[2]), int(key[0][1:]), key[1]))
        return [
            {
                "code": code,
                "reach": reach,
                "severity": severity,
                "count": found.count,
                "rows": list(found.rows),
                "detail": found.detail,
            }
            for code, reach, severity in order
            for found in [self._gathered[code, reach, severity]]
        ]

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Findings:
        """The findings that `to_rows` gave."""
        findings = cls()
        for row in rows:
            findings._take(row["code"], row["reach"], row["severity"], row["count"], row["rows"], row["detail"])
        return findings


def at_least(severity: Severity, fail_on: Severity) -> bool:
    """Whether a severity is `fail_on` or graver."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(fail_on)
