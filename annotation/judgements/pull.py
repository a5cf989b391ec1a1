"""Pull: what people have answered becomes a version of judgements in the campaign's folder.

Pulled twice without a new answer, it is the same version. What was pulled once is never lost: judgements whose record,
annotator or response is no longer on the server are carried over and say so. Nothing is counted twice: an item,
question and annotator have one judgement. The fingerprint is over what was said, by whom (a pseudonym) and under which
guideline, never over times and the server's ids; so one late pull gives what a hundred early ones give.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as library_version
from typing import Any, Final

import orjson
import polars as pl

from annotation.campaigns.campaign import Campaign
from annotation.client import Server
from annotation.judgements.annotators import FILE, Annotators, meet, read_annotators, write_annotators
from annotation.judgements.judgements import (
    DUPLICATE,
    KIND,
    LEDGER,
    SCHEMA,
    SUBMITTED,
    WITHDRAWN,
    Row,
    account,
)
from annotation.judgements.responses import Pulse, Read, Reading, RemoteDataset
from datakit.errors import DataVerdict
from datakit.files import disk_faults, write_whole
from datakit.progress import Progress, Silent
from datakit.release import VERSION
from datakit.versions.card import version_card
from datakit.versions.ledger import most_first
from datakit.versions.manifest import FORMAT, Counts, Manifest, describe_parts
from datakit.versions.store import Version, commit, is_complete, is_dataset, open_version, prepare_output

CURSOR: Final = "pull.json"
"""What the server looked like when it was last pulled: a digest, and the version that came of it."""

_KEPT, _DROPPED, _REJECTED = "kept", "dropped", "rejected"
_SAID: Final = ("item", "question", "annotator", "status", "value", "guideline", "gone")
_ONE: Final = ("item", "question", "annotator")


@dataclass(frozen=True)
class PullResult:
    """What a pull came to.

    answers: in = kept + dropped + rejected, an answer being a response to one question. statuses: of the kept ones.
    changed: judgements that the version before did not have as they are now. gone: kept ones that the server no longer
    has, by what is gone. read: how much of the server was looked at.
    """

    campaign: str
    version: Version
    unchanged: bool
    answers: Mapping[str, int]
    reasons: Mapping[str, int]
    statuses: Mapping[str, int]
    gone: Mapping[str, int]
    changed: int
    annotators: int
    read: Read

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        plain = {name: dict(getattr(self, name)) for name in ("answers", "reasons", "statuses", "gone")}
        return {
            "campaign": self.campaign,
            "version": self.version.reference,
            "path": str(self.version.path),
            "unchanged": self.unchanged,
            **plain,
            "changed": self.changed,
            "annotators": self.annotators,
            "read": self.read,
        }


@dataclass(frozen=True)
class _Account:
    """Judgements, the ledger of all answers, and who is who."""

    judgements: pl.DataFrame
    ledger: pl.DataFrame
    annotators: Annotators


def pull(
    campaign: Campaign,
    server: Server,
    progress: Progress | None = None,
    *,
    full: bool = False,
    command: Sequence[str] = (),
) -> PullResult:
    """Fetch what was answered since the last pull.

    Args:
        campaign: that was pushed.
        server: where it is.
        progress: hears of records read, and of judgements that the server no longer has.
        full: read everything, even where the server says that nothing has changed.
        command: for the dataset's log.

    Raises:
        UsageFault: the server does not have the campaign, or the key may not read it.
        DataVerdict: earlier judgements or annotators.json are damaged.
        Surroundings: the server does not answer; what was pulled before is untouched.
    """
    progress = progress or Silent()
    remote = RemoteDataset.of(campaign, server)
    before = open_version(campaign.judgements_path) if is_dataset(campaign.judgements_path) else None
    pulse = remote.pulse()
    seen = _digest([pulse.digest, campaign.manifest.items, [dict(g) for g in campaign.manifest.guidelines]])
    if before is not None and not full and _is_current(campaign, before, seen):
        return _result(campaign, before, before, "nothing")
    accounted, read = _fetch(campaign, remote, pulse, before, progress, full)
    write_annotators(campaign.path, accounted.annotators)  # first: a pseudonym in a version must have its name
    version = _commit(campaign, accounted, before, command)
    write_whole(campaign.path / CURSOR, orjson.dumps({"seen": seen, "version": version.name}).decode() + "\n")
    result = _result(campaign, version, before, read)
    _tell(result, progress)
    return result


def _is_current(campaign: Campaign, before: Version, seen: str) -> bool:
    """Whether the last pull ended, saw the server as it is now, and nothing has happened to its version since."""
    try:
        cursor = orjson.loads((campaign.path / CURSOR).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return bool(cursor == {"seen": seen, "version": before.name}) and is_complete(before)


def _fetch(
    campaign: Campaign, remote: RemoteDataset, pulse: Pulse, before: Version | None, progress: Progress, full: bool
) -> tuple[_Account, Read]:
    earlier, lines = _earlier(before)
    living = earlier.filter(pl.col("gone").is_null())["response"].unique()
    reading = remote.read(pulse, living, progress, full=full)
    names = remote.names()
    known = read_annotators(campaign.path)
    if not earlier.is_empty() and not known:
        found = "missing, and with it who is behind the pseudonyms of earlier judgements"
        cure = "Restore it from a copy, or move judgements/ elsewhere and pull everything again"
        raise DataVerdict(str(campaign.path / FILE), found, cure=cure)
    annotators = meet(known, ((answer.first, answer.user) for answer in reading.responses), names)
    rows, ledger = _account_all(campaign, reading, annotators)
    carried = _carried(earlier, lines, reading, annotators, names)
    judgements = pl.concat([pl.DataFrame(rows, schema=SCHEMA), carried])
    accounts = pl.concat([pl.DataFrame(ledger, schema=LEDGER), _lines_of(carried, lines, reading)])
    return _Account(*_once(judgements, accounts), annotators), reading.read


def _earlier(before: Version | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    if before is None:
        return pl.DataFrame(schema=SCHEMA), pl.DataFrame(schema=LEDGER)
    return before.frame(KIND), before.ledger()


def _account_all(campaign: Campaign, reading: Reading, annotators: Annotators) -> tuple[list[Row], list[Row]]:
    items = {item["item"]: item for item in campaign.items().iter_rows(named=True)}
    rows: list[Row] = []
    ledger: list[Row] = []
    for answer in reading.responses:
        item = items.get(answer.item) if answer.item is not None else None
        kept, lines = account(answer, item, campaign, annotators[answer.user].pseudonym)
        rows += kept
        ledger += lines
    return rows, ledger


def _carried(
    earlier: pl.DataFrame, lines: pl.DataFrame, reading: Reading, annotators: Annotators, names: Mapping[str, str]
) -> pl.DataFrame:
    """Earlier judgements that the server no longer has, marked by what is gone.

    An answer that is gone while its record and its annotator are there was taken back: it no longer counts.
    """
    lost = earlier.filter(~pl.col("response").is_in([answer.id for answer in reading.responses]))
    if lost.is_empty():
        return lost
    left = {who.pseudonym for user, who in annotators.items() if user not in names}
    record = pl.col("response").replace_strict(dict(lines.select("response", "record").iter_rows()))
    now = (
        pl.when(pl.col("annotator").is_in(list(left)))
        .then(pl.lit("annotator"))
        .when(~record.is_in(list(reading.records or ())))
        .then(pl.lit("record"))
        .otherwise(pl.lit("response"))
    )
    marked = lost.with_columns(gone=pl.coalesce("gone", now))
    taken_back = (pl.col("gone") == "response") & (pl.col("status") == SUBMITTED)
    return marked.with_columns(status=pl.when(taken_back).then(pl.lit(WITHDRAWN)).otherwise("status"))


def _lines_of(carried: pl.DataFrame, lines: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """The ledger's lines of judgements that were carried over, and of those that others took the place of."""
    gone = lines.filter(~pl.col("response").is_in([answer.id for answer in reading.responses]))
    kept = gone.filter(pl.col("decision") == _KEPT).join(carried, on=["response", "question"], how="semi")
    return pl.concat([kept, gone.filter(pl.col("decision") == _DROPPED)])


def _once(judgements: pl.DataFrame, ledger: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One judgement an item, question and annotator: the newest, what is on the server before what is gone."""
    order = ["gone", "answered_at", "response"]
    ranked = judgements.sort(
        *_ONE, *order, descending=[False] * 3 + [True] * 3, nulls_last=[False] * 3 + [False, True, True]
    )
    single = ranked.unique(_ONE, keep="first", maintain_order=True)
    spare = ranked.join(single, on=["response", "question"], how="anti").select("response", "question", spare=True)
    marked = ledger.join(spare, on=["response", "question"], how="left")
    twice = (pl.col("decision") == _KEPT) & pl.col("spare").fill_null(value=False)
    accounted = marked.with_columns(
        decision=pl.when(twice).then(pl.lit(_DROPPED)).otherwise("decision"),
        reason=pl.when(twice).then(pl.lit(DUPLICATE)).otherwise("reason"),
    )
    return single, accounted.select(*LEDGER).sort("item", "question", "annotator", "response", nulls_last=True)


def _commit(campaign: Campaign, accounted: _Account, before: Version | None, command: Sequence[str]) -> Version:
    """The version of what was accounted for; the one before, where it says the same and is whole."""
    manifest = _manifest(campaign, accounted)
    if before is not None and before.manifest.fingerprint == manifest.fingerprint and is_complete(before):
        return before
    work = prepare_output(campaign.judgements_path)
    try:
        with disk_faults(campaign.judgements_path):
            (work / "data").mkdir()
            accounted.judgements.write_parquet(work / "data" / f"{KIND}-00000-of-00001.parquet")
            accounted.ledger.write_parquet(work / "ledger.parquet")
            (work / "README.md").write_text(version_card(manifest), encoding="utf-8")
        whole = manifest.model_copy(update={"parts": describe_parts(work)})
        return commit(work, campaign.judgements_path, whole, command or ("datakit", "annotate", "pull"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _manifest(campaign: Campaign, accounted: _Account) -> Manifest:
    told = campaign.manifest
    settings = {"campaign": told.name, "kind": told.kind, "questions": list(told.questions), "source": told.source}
    digest = _digest(settings)
    decisions = Counter(accounted.ledger["decision"])
    rows = {name: decisions.get(name, 0) for name in (_KEPT, "edited", _DROPPED, _REJECTED)}
    if rows[_KEPT] != accounted.judgements.height or sum(rows.values()) != accounted.ledger.height:
        raise AssertionError(f"{accounted.judgements.height} judgements, and the ledger says {rows}")
    reasons = Counter(accounted.ledger["reason"].drop_nulls())
    return Manifest(
        format=FORMAT,
        fingerprint=_fingerprint(accounted, digest),
        schemas={KIND: {name: str(dtype) for name, dtype in SCHEMA.items()}},
        counts=Counts(
            rows={"in": accounted.ledger.height, **rows},
            reasons=most_first(reasons),
            kinds={KIND: rows[_KEPT]},
            edits={},
            near={},
        ),
        parts={},
        parents=(told.source,),
        inputs=(),
        recipe={"annotate": {**settings, "settings": told.settings}},
        settings=digest,
        libraries={
            "datakit": VERSION,
            "python": platform.python_version(),
            "polars": library_version("polars"),
        },
    )


def _fingerprint(accounted: _Account, settings: str) -> str:
    """blake2b over the sorted lines of what was said and of what was not kept, and the campaign's settings."""
    out = accounted.ledger.filter(pl.col("decision") != _KEPT).select(*_ONE, "reason")
    lines = [*_lines(accounted.judgements.select(*_SAID)), *_lines(out)]
    digest = hashlib.blake2b(f"judgements {FORMAT} {settings}\n".encode(), digest_size=32)
    for line in sorted(lines):
        digest.update(line + b"\n")
    return digest.hexdigest()


def _lines(rows: pl.DataFrame) -> Iterable[bytes]:
    return (orjson.dumps(row) for row in rows.iter_rows())


def _digest(value: Any) -> str:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _result(campaign: Campaign, version: Version, before: Version | None, read: Read) -> PullResult:
    now = version.frame(KIND)
    unchanged = before is not None and before.name == version.name
    changed = (
        0 if unchanged else now.select(*_SAID).join(_earlier(before)[0], on=_SAID, how="anti", nulls_equal=True).height
    )
    rows = version.manifest.counts.rows
    return PullResult(
        campaign=campaign.name,
        version=version,
        unchanged=unchanged,
        answers={name: rows[name] for name in ("in", _KEPT, _DROPPED, _REJECTED)},
        reasons=version.manifest.counts.reasons,
        statuses=dict(sorted(Counter(now["status"]).items())),
        gone=dict(sorted(Counter(now["gone"].drop_nulls()).items())),
        changed=changed,
        annotators=now["annotator"].n_unique(),
        read=read,
    )


def _tell(result: PullResult, progress: Progress) -> None:
    words = {
        "record": "their records were deleted on the server; they are kept",
        "annotator": "their annotators left the server; they are kept",
        "response": "their annotators took them back; they are kept, and no longer count",
    }
    for what, count in result.gone.items():
        progress.notice(f"{count:,} judgements are no longer on the server: {words[what]}")
