"""`resolve`: a campaign's judgements in, a version of what people decided out, every item accounted for.

The ledger has one row an item that asks about a row, by that row's key, and one a chosen row that could not be shown:
in = kept (as it was) + edited (sides exchanged, rewritten) + dropped (with one of the reasons beside) + rejected.
Gold items and repeats are instruments, not rows: they never become any.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final, cast

import orjson
import polars as pl

from annotation.campaigns.campaign import Campaign
from annotation.decisions.evidence import Evidence, read_evidence
from annotation.decisions.outcome import Outcome, outcomes
from annotation.decisions.reasons import ROW_MISSING
from annotation.decisions.resolved import resolved
from datakit.errors import DataVerdict
from datakit.files import disk_faults
from datakit.formats.row import BadRow
from datakit.progress import Progress, Silent
from datakit.recipe.resolve import ResolveSettings
from datakit.records import KINDS, SCHEMAS, Kind
from datakit.release import VERSION
from datakit.report.page import report_page
from datakit.versions.card import version_card
from datakit.versions.ledger import LEDGER as HOUSE
from datakit.versions.ledger import most_first
from datakit.versions.manifest import FORMAT, Counts, Manifest, describe_parts
from datakit.versions.store import Version, commit, is_version, prepare_output

LEDGER: Final = pl.Schema(
    {**HOUSE, "item": pl.String(), "votes": pl.Int64(), "confidence": pl.Float64(), "agreement": pl.Float64()}
)
"""The ledger's columns as `datakit clean` has them, and the item with how it was judged."""

DATASET: Final = "resolved"
"""The dataset in a campaign's folder that versions go to unless another is named."""

_STAGE: Final = "annotation"
_FEW: Final = 3  # annotators that Dawid-Skene cannot tell apart by themselves; dawid_skene.py has figures
_LIBRARIES: Final = ("polars", "numpy", "orjson")
_TOLD: Final = ("seed", "overlap", "repeats", "gold_share")  # of the campaign's settings: no names, no paths


@dataclass(frozen=True)
class ResolveResult:
    """What `resolve` made.

    version: with its manifest. unchanged: whether it was there before. method: how votes became one. quorum: fewest
    votes. agreement, confidence: means over the items that have them. adjudicated: items decided in the second round.
    """

    version: Version
    unchanged: bool
    method: str
    quorum: int
    agreement: float | None
    confidence: float | None
    adjudicated: int

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        counts = self.version.manifest.counts
        return {
            "version": self.version.name,
            "path": str(self.version.path),
            "unchanged": self.unchanged,
            "rows": counts.rows,
            "reasons": counts.reasons,
            "kinds": counts.kinds,
            "method": self.method,
            "quorum": self.quorum,
            "agreement": self.agreement,
            "confidence": self.confidence,
            "adjudicated": self.adjudicated,
        }


@dataclass
class _Gathered:
    """What comes out, while it is gathered."""

    ledger: list[dict[str, Any]] = field(default_factory=list)
    records: dict[Kind, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    dropped: dict[Kind, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    edits: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


def resolve(
    campaign: Campaign,
    settings: ResolveSettings,
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> ResolveResult:
    """Make a version of what a campaign's people decided, and their adjudicators.

    Args:
        campaign: whose judgements were pulled.
        settings: method, quorum, margin and what becomes of ties.
        out: the dataset's folder; `resolved` in the campaign's if None.
        progress: hears of progress.
        command: what log.jsonl records as the cause.

    Raises:
        UsageFault: nothing was pulled yet, the source version is gone, or the method lacks what it needs.
        DataVerdict: no item is decided, or a manifest is damaged.
    """
    listener = progress or Silent()
    evidence = read_evidence(campaign)
    dataset = out or campaign.path / DATASET
    _warn(evidence, settings, listener)
    found = outcomes(evidence, settings)
    source = campaign.source_version()
    gathered = _gather(evidence, found, source, settings, listener)
    if not any(gathered.records.values()):
        raise _nothing(campaign, gathered)
    work = prepare_output(dataset)
    try:
        with disk_faults(work):
            final = _write(gathered, work / "version")
            manifest = _manifest(evidence, settings, source, gathered)
            (final / "README.md").write_text(version_card(manifest), encoding="utf-8")
            (final / "report.html").write_text(report_page(manifest, final), encoding="utf-8")
            manifest = manifest.model_copy(update={"parts": describe_parts(final)})
            known = is_version(dataset / manifest.version)
            version = commit(final, dataset, manifest, command or ("datakit annotate resolve", campaign.name))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    decided = list(found.values())
    return ResolveResult(
        version,
        known,
        settings.method,
        settings.quorum or campaign.overlap,
        _mean([outcome.agreement for outcome in decided]),
        _mean([outcome.confidence for outcome in decided if outcome.reason is None]),
        sum(outcome.adjudicated for outcome in decided),
    )


def _warn(evidence: Evidence, settings: ResolveSettings, progress: Progress) -> None:
    people = evidence.judgements["annotator"].n_unique()
    gold = evidence.judgements.filter(pl.col("role") == "gold", pl.col("status") == "submitted").height
    if settings.method == "dawid_skene" and people <= _FEW and not gold:
        progress.notice(
            f"{people} annotators and no gold item answered: Dawid-Skene has little to tell them apart by, and may do "
            "worse than the majority; gold items (annotate.gold) hold it"
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None


def _nothing(campaign: Campaign, gathered: _Gathered) -> DataVerdict:
    reasons = Counter(row["reason"] for row in gathered.ledger)
    words = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return DataVerdict(
        campaign.name,
        f"no item is decided ({words or 'it has no items'})",
        "an item with votes enough and a winner",
        "Pull again when more is answered, lower annotate.resolve.quorum or margin, or adjudicate",
    )


def _gather(
    evidence: Evidence, found: dict[str, Outcome], source: Version, settings: ResolveSettings, progress: Progress
) -> _Gathered:
    gathered = _Gathered()
    items, key = evidence.items, ["source", "line"]
    for kind in KINDS:
        mine = items.filter(pl.col("row_kind") == kind)
        rows = _rows_of(source, kind, mine) if mine.height else {}
        for done, item in enumerate(mine.iter_rows(named=True), 1):
            _take(gathered, item, rows.get((item["source"], item["line"])), kind, evidence, found, settings)
            progress.advance(f"resolving {kind}", done, mine.height, "items")
    left_out = evidence.campaign.left_out().filter(pl.col("role") == "ask").unique(key, maintain_order=True)
    for row in left_out.join(items, on=key, how="anti", maintain_order="left").iter_rows(named=True):
        _account(gathered, row, "rejected", Outcome(reason=row["reason"]))
    return gathered


def _rows_of(source: Version, kind: Kind, items: pl.DataFrame) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows that were judged, by key."""
    keys = items.select("source", "line").unique()
    files = source.data_files(kind)
    if not files:
        return {}
    rows = pl.scan_parquet(files).join(keys.lazy(), on=["source", "line"], how="semi").collect()
    return {(row["source"], row["line"]): row for row in rows.iter_rows(named=True)}


def _take(
    gathered: _Gathered,
    item: dict[str, Any],
    row: dict[str, Any] | None,
    kind: Kind,
    evidence: Evidence,
    found: dict[str, Outcome],
    settings: ResolveSettings,
) -> None:
    """One item: its record or its dropped row, and its line of the ledger."""
    outcome, campaign = found[item["item"]], evidence.campaign
    if row is None:
        _account(gathered, item, "rejected", Outcome(reason=ROW_MISSING))
    elif outcome.reason is not None:
        gathered.dropped[kind].append(row)
        _account(gathered, item, "dropped", outcome)
    else:
        try:
            made = resolved(row, kind, campaign.name, campaign.kind, outcome, settings)
        except BadRow as bad:
            _account(gathered, item, "rejected", Outcome(reason=bad.reason))
            return
        gathered.records[made.kind].append(made.record)
        gathered.edits.update([made.edit] if made.edit else [])
        _account(gathered, item, "edited" if made.edit else "kept", outcome, made.record)


def _account(
    gathered: _Gathered, item: dict[str, Any], decision: str, outcome: Outcome, record: dict[str, Any] | None = None
) -> None:
    gathered.ledger.append(
        {
            **{name: item[name] for name in ("source", "line", "id")},
            "decision": decision,
            "stage": _STAGE if outcome.reason else None,
            "reason": outcome.reason,
            "value": outcome.value,
            "threshold": outcome.threshold,
            "item": item.get("item"),
            "votes": outcome.votes,
            "confidence": outcome.confidence,
            "agreement": outcome.agreement,
        }
    )
    written = hashlib.blake2b(orjson.dumps(record, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
    gathered.lines.append("\t".join((item["id"] or "", decision, outcome.reason or "", written)))


def _write(gathered: _Gathered, final: Path) -> Path:
    """Lay down the files of the version but its manifest and pages."""
    for name in ("data", "dropped"):
        (final / name).mkdir(parents=True)
    ledger = pl.DataFrame(gathered.ledger, schema=LEDGER).sort("source", "line")
    ledger.write_parquet(final / "ledger.parquet", compression="zstd")
    for kind in KINDS:
        for rows, path in (
            (gathered.records[kind], final / "data" / f"{kind}-00000-of-00001.parquet"),
            (gathered.dropped[kind], final / "dropped" / f"{kind}.parquet"),
        ):
            if rows:
                frame = pl.DataFrame(rows, schema=SCHEMAS[kind])
                frame.sort("source", "line", maintain_order=True).write_parquet(path, compression="zstd")
    return final


def _manifest(evidence: Evidence, settings: ResolveSettings, source: Version, gathered: _Gathered) -> Manifest:
    """The manifest of the parts, their checksums left to be filled in.

    Its inputs are the source version's, for the keys of its rows point into them.
    """
    campaign = evidence.campaign
    decisions = Counter(row["decision"] for row in gathered.ledger)
    rows = {name: decisions.get(name, 0) for name in ("kept", "edited", "dropped", "rejected")}
    reasons = Counter(row["reason"] for row in gathered.ledger if row["reason"])
    parents = (campaign.source, *evidence.references)
    values = {"resolve": settings.model_dump(mode="json", exclude={"adjudicate"}), "campaign": campaign.name}
    told = {name: value for name, value in campaign.manifest.settings.items() if name in _TOLD}
    digest = _digest({**values, "parents": [parent.rpartition("@")[2] for parent in parents]})
    kinds = {kind: len(records) for kind, records in gathered.records.items() if records}
    return Manifest(
        format=FORMAT,
        fingerprint=_fingerprint(gathered, digest),
        schemas={kind: {name: str(dtype) for name, dtype in SCHEMAS[kind].items()} for kind in kinds},
        counts=Counts(
            rows={"in": len(gathered.ledger), **rows},
            reasons=most_first(reasons),
            kinds=cast("dict[str, int]", kinds),
            edits=dict(sorted(gathered.edits.items())),
            near={},
        ),
        parts={},
        parents=parents,
        inputs=source.manifest.inputs,
        recipe={"annotate": {**values, "kind": campaign.kind, "settings": told}},
        settings=digest,
        libraries={
            "datakit": VERSION,
            "python": platform.python_version(),
            **{name: library_version(name) for name in _LIBRARIES},
        },
    )


def _digest(values: dict[str, Any]) -> str:
    return hashlib.blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _fingerprint(gathered: _Gathered, settings: str) -> str:
    """As `datakit clean` makes it: the sorted lines (id, decision, reason, hash as written), settings and format."""
    digest = hashlib.blake2b(f"datakit resolve {FORMAT} {settings}\n".encode(), digest_size=32)
    digest.update(b"".join(line.encode() + b"\n" for line in sorted(gathered.lines)))
    return digest.hexdigest()
