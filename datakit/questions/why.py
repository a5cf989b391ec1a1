"""`why`: the whole story of one row of a version, from what the version holds: ledger, scores, edits, pairs, records.

Nothing is read from the raw files and nothing is measured again; personal data is masked in all that is told, as it is
in the version.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from datakit.cleaning.views import bare_texts, keeper_keys, whole_texts
from datakit.questions.differences import Compared, compare_turns
from datakit.questions.steps import Told, cleaning_of, tell_steps
from datakit.questions.turns import Turn, turns_of
from datakit.records import Kind
from datakit.segments import to_segments
from datakit.versions.rows import Key, Row, beside, find_row, ledger_lines, records
from datakit.versions.store import Version

MOST: Final = 10
"""Rows of one sort that are told: what was dropped for a row, and what it was compared with."""


@dataclass(frozen=True)
class Other:
    """Another row in the story: its line of the ledger, and how similar it is; None where that was not measured."""

    fate: Row
    similarity: float | None


@dataclass(frozen=True)
class Twin:
    """The row that stays for a dropped one. turns: both compared, the dropped row left; stays: why it is that one."""

    fate: Row | None
    turns: list[Compared]
    stays: str

    @property
    def differs(self) -> bool:
        """Whether the two rows differ in a word."""
        return any(not turn.same for turn in self.turns)


@dataclass(frozen=True)
class Story:
    """What there is to tell of a row.

    fate: its line of the ledger; kind: None of a rejected row; turns: what it says, as far as it is kept; twin: of a
    duplicate; dropped_for: rows that were dropped as duplicates of this one, and how many; compared: other rows whose
    similarity was measured, the most similar first; where: where it lies now; raw: bytes of a rejected row in its file.
    """

    version: Version
    fate: Row
    kind: Kind | None
    turns: list[Turn]
    steps: list[Told]
    twin: Twin | None
    dropped_for: list[Other]
    dropped_for_count: int
    compared: list[Other]
    where: str
    raw: Row | None

    @property
    def key(self) -> Key:
        """Source and line."""
        return self.fate["source"], self.fate["line"]

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        twin = self.twin
        return {
            "version": self.version.reference,
            "path": str(self.version.path),
            "row": self.fate,
            "kind": self.kind,
            "where": self.where,
            "turns": [turn._asdict() for turn in self.turns],
            "steps": [asdict(step) for step in self.steps],
            "twin": None
            if twin is None
            else {"row": twin.fate, "stays": twin.stays, "turns": [turn.plain() for turn in twin.turns]},
            "dropped_for": [{"row": other.fate, "similarity": other.similarity} for other in self.dropped_for],
            "dropped_for_count": self.dropped_for_count,
            "compared": [{"row": other.fate, "similarity": other.similarity} for other in self.compared],
            "raw": self.raw,
        }


def tell_why(version: Version, name: str) -> Story:
    """The story of the row that a name stands for: `source:line`, or the first digits of its id.

    Raises:
        UsageFault: no row has that name, or several have.
    """
    fate = find_row(version, name)
    key: Key = (fate["source"], fate["line"])
    twin_key = (fate["twin_source"], fate["twin_line"]) if fate["twin_source"] is not None else None
    found = records(version, [key, twin_key] if twin_key else [key])
    kind, record = found.get(key, (None, None))
    turns = turns_of(record, kind) if record is not None and kind is not None else []
    rejected = next(iter(beside(version, "dropped/rejected", key)), None) if fate["decision"] == "rejected" else None
    scores = next(iter(beside(version, "scores", key)), {})
    edits = {row["step"]: row["count"] for row in beside(version, "edits", key)}
    detail = rejected["detail"] if rejected is not None else ""
    others, count = _dropped_for(version, key)
    return Story(
        version=version,
        fate=fate,
        kind=kind,
        turns=turns,
        steps=tell_steps(fate, kind, cleaning_of(version.manifest), scores, edits, detail),
        twin=_twin(version, twin_key, found, key) if twin_key else None,
        dropped_for=others,
        dropped_for_count=count,
        compared=_compared(version, key, {twin_key, *((other.fate["source"], other.fate["line"]) for other in others)}),
        where=_where(fate, kind),
        raw=rejected,
    )


def _where(fate: Row, kind: Kind | None) -> str:
    if fate["decision"] == "rejected" or kind is None:
        return "dropped/rejected.parquet" if fate["decision"] == "rejected" else ""
    return f"dropped/{kind}.parquet" if fate["decision"] == "dropped" else f"data/{kind}-*.parquet"


def _twin(version: Version, twin: Key, found: dict[Key, tuple[Kind, pl.DataFrame]], key: Key) -> Twin:
    fate = ledger_lines(version, [twin]).get(twin)
    if twin not in found or key not in found:
        return Twin(fate, [], "")  # it lies in another version
    (kind, record), (twin_kind, twin_record) = found[key], found[twin]
    turns = compare_turns(turns_of(record, kind), turns_of(twin_record, twin_kind))
    return Twin(fate, turns, _why_it_stays(_keeper(record, kind), _keeper(twin_record, twin_kind)))


def _keeper(record: pl.DataFrame, kind: Kind) -> Row:
    whole = record["text"] if kind == "text" else whole_texts(to_segments(record, kind), 1)
    return keeper_keys(record, bare_texts(whole)).row(0, named=True)


def _why_it_stays(row: Row, twin: Row) -> str:
    """What decided between two duplicates; see `datakit.cleaning.exact.KEEPER`."""
    if row["verified"] != twin["verified"]:
        return "it is marked as verified" if twin["verified"] else ""
    if row["length"] != twin["length"]:
        more = twin["length"] - row["length"]
        return f"it is {more:,} {'character' if more == 1 else 'characters'} longer" if more > 0 else ""
    if None not in (row["date"], twin["date"]) and row["date"] != twin["date"]:
        return "it has the later date" if twin["date"] > row["date"] else ""
    return "it comes first, by source and line"


def _dropped_for(version: Version, key: Key) -> tuple[list[Other], int]:
    ledger = pl.scan_parquet(version.path / "ledger.parquet")
    mine = ledger.filter(pl.col("twin_source") == key[0], pl.col("twin_line") == key[1]).collect(engine="streaming")
    ordered = mine.sort("similarity", descending=True, nulls_last=True, maintain_order=True).head(MOST)
    return [Other(row, row["similarity"]) for row in ordered.iter_rows(named=True)], mine.height


def _compared(version: Version, key: Key, told: set[Key | None]) -> list[Other]:
    """Rows that this one was compared with, of those that pairs.parquet records, the most similar first."""
    path = version.path / "pairs.parquet"
    if not path.is_file():
        return []
    similar: dict[Key, float] = {}
    for mine, other in (("a", "b"), ("b", "a")):
        pairs = pl.scan_parquet(path).filter(pl.col(f"{mine}_source") == key[0], pl.col(f"{mine}_line") == key[1])
        columns = pairs.select(f"{other}_source", f"{other}_line", "similarity").collect(engine="streaming")
        similar |= {(source, line): value for source, line, value in columns.iter_rows() if (source, line) not in told}
    nearest = sorted(similar, key=lambda other: (-similar[other], other))[:MOST]
    lines = ledger_lines(version, nearest)
    return [Other(lines[other], similar[other]) for other in nearest if other in lines]
