"""What became of each item: a verdict a question, or the reason (annotation.decisions.reasons) why there is none.

Where the second round has a verdict, it is the verdict: quorum and margin were the first round's to meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from annotation.decisions import reasons
from annotation.decisions.evidence import Evidence
from annotation.decisions.points import points_of
from annotation.decisions.tally import Decision, agreement_of, decide, likely_shares, weighted_shares
from annotation.decisions.verdicts import Verdict, verdict_on
from annotation.decisions.votes import TRUTH, accuracy_weights, discards_of, gold_votes, votes_of
from annotation.measures.quality import gold_hits
from datakit.errors import UsageFault
from datakit.recipe.resolve import ResolveSettings

_CHOICES: Final = 4  # of a preference: A, B, tie, both bad

Question = Mapping[str, Any]
_Why = tuple[str, float | None, float | None]  # reason, value, threshold


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    verdicts: by question, of those that were answered. reason, value, threshold: why it gives no row, as the ledger
    has it. votes: annotators who judged it in the first round. agreement: share of their pairs that say the same.
    counts: question to how often each value was said. adjudicated: whether the verdicts are the second round's.
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    reason: str | None = None
    value: float | None = None
    threshold: float | None = None
    votes: int = 0
    agreement: float | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)
    guidelines: tuple[str, ...] = ()
    adjudicated: bool = False

    @property
    def confidence(self) -> float | None:
        """That of the least sure verdict."""
        return min((verdict.confidence for verdict in self.verdicts.values()), default=None)


@dataclass(frozen=True)
class _Round:
    """One round's votes, tallied."""

    decisions: Mapping[tuple[str, str], Mapping[str, Decision]]
    agreement: Mapping[tuple[str, str], float]
    counts: Mapping[tuple[str, str], Any]
    annotators: Mapping[str, set[str]]
    guidelines: Mapping[str, set[str]]
    discards: Mapping[str, int]
    written: Mapping[tuple[str, str], Mapping[str, str]]


def outcomes(evidence: Evidence, settings: ResolveSettings) -> dict[str, Outcome]:
    """The outcome of every item that asks about a row.

    Raises:
        UsageFault: the method needs what the campaign does not have.
    """
    first = _tally(evidence, settings, settings.method)
    second, places = _second(evidence, settings)
    quorum = settings.quorum or evidence.campaign.overlap
    found = {}
    for item, source, line in evidence.items.select("item", "source", "line").iter_rows():
        place = places.get((source, line))
        if second is not None and place is not None and second.annotators.get(place):
            verdicts = _verdicts(evidence, second, place, settings)
            why = _undecided(verdicts, 0.0, settings.ties)
            guidelines = first.guidelines.get(item, set()) | second.guidelines.get(place, set())
            found[item] = _outcome(item, first, verdicts, why, guidelines, adjudicated=True)
        else:
            verdicts = _verdicts(evidence, first, item, settings)
            why = _no_votes(first, item, quorum) or _undecided(verdicts, settings.margin, settings.ties)
            found[item] = _outcome(item, first, verdicts, why, first.guidelines.get(item, set()), adjudicated=False)
    return found


def _outcome(
    item: str, first: _Round, verdicts: Mapping[str, Verdict], why: _Why | None, guidelines: set[str], adjudicated: bool
) -> Outcome:
    """An outcome with what the first round has to say of the item, whoever decided it."""
    reason, value, threshold = why or (None, None, None)
    shares = [first.agreement[item, name] for name in verdicts if (item, name) in first.agreement]
    return Outcome(
        verdicts,
        reason,
        value,
        threshold,
        votes=len(first.annotators.get(item, ())),
        agreement=round(sum(shares) / len(shares), 6) if shares else None,
        counts={name: first.counts[item, name] for name in verdicts if (item, name) in first.counts},
        guidelines=tuple(sorted(guidelines)),
        adjudicated=adjudicated,
    )


def _second(evidence: Evidence, settings: ResolveSettings) -> tuple[_Round | None, dict[tuple[str, int], str]]:
    """The second round's tally, and row key to its item."""
    if evidence.second is None:
        return None, {}
    rows = evidence.second.items.select("source", "line", "item").iter_rows()
    return _tally(evidence.second, settings, "majority"), {(source, line): item for source, line, item in rows}


def _tally(evidence: Evidence, settings: ResolveSettings, method: str) -> _Round:
    votes = votes_of(evidence.judgements, both_bad_ties=settings.both_bad == "tie")
    decisions: dict[tuple[str, str], Mapping[str, Decision]] = {}
    agreement: dict[tuple[str, str], float] = {}
    counts: dict[tuple[str, str], Any] = {}
    for question in evidence.campaign.questions:
        mine = votes.filter(pl.col("question") == question["name"])
        points = points_of(mine, question["kind"], multiple=bool(question.get("multiple")))
        if points.height:
            decisions |= decide(_shares(points, question, evidence, settings, method))
            agreement |= agreement_of(points)
            counts |= _counted(points) if question["kind"] != "rewriting" else {}
        # Nobody named a label: an answer all the same, without a point to decide.
        for item in mine["item"].unique().to_list() if question["kind"] in ("labels", "spans") else ():
            decisions.setdefault((item, question["name"]), {})
    return _Round(
        decisions,
        agreement,
        counts,
        _sets(votes, "annotator"),
        _sets(votes, "guideline"),
        discards_of(evidence.judgements),
        _written(votes) if evidence.campaign.kind == "rewriting" else {},
    )


def _shares(
    points: pl.DataFrame, question: Question, evidence: Evidence, settings: ResolveSettings, method: str
) -> pl.DataFrame:
    if method == "majority":
        return weighted_shares(points)
    if method == "weighted":
        return weighted_shares(points, _weights(points, question, evidence, settings))
    if question["kind"] == "rewriting":
        raise UsageFault(
            "annotate.resolve.method = dawid_skene",
            "the campaign asks for texts",
            "answers that can be equal",
            "Choose majority or weighted",
        )
    votes = gold_votes(evidence.judgements, evidence.campaign.items(), both_bad_ties=settings.both_bad == "tie")
    mine = votes.filter(pl.col("question") == question["name"])
    gold = points_of(mine, question["kind"], multiple=bool(question.get("multiple")))
    answered, truth = gold.filter(pl.col("annotator") != TRUTH), gold.filter(pl.col("annotator") == TRUTH)
    return likely_shares(pl.concat([points, answered]), truth)


def _weights(
    points: pl.DataFrame, question: Question, evidence: Evidence, settings: ResolveSettings
) -> Mapping[str, float]:
    """Annotator to weight: as set, or by their accuracy on gold items."""
    people = sorted(points["annotator"].unique())
    if not settings.weights:
        classes = len(question.get("values") or ()) or _CHOICES
        return accuracy_weights(gold_hits(evidence.judgements, evidence.campaign.items()), people, max(2, classes))
    if missing := [name for name in people if name not in settings.weights]:
        raise UsageFault(
            "annotate.resolve.weights",
            f"no weight for {', '.join(missing)}",
            "one for every annotator; 0 lets them not count",
            "Add them",
        )
    return settings.weights


def _counted(points: pl.DataFrame) -> dict[tuple[str, str], Any]:
    """(item, question) to value to votes; by point first where there is more than one."""
    keys = ("item", "question", "point", "value")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item, question, point, value, votes in points.group_by(keys).len().sort(keys).iter_rows():
        counts = found.setdefault((item, question), {})
        (counts if point == "" else counts.setdefault(point, {}))[value] = votes
    return dict(found)


def _sets(votes: pl.DataFrame, column: str) -> dict[str, set[str]]:
    said = votes.filter(pl.col(column).is_not_null()).group_by("item").agg(pl.col(column).unique())
    return {item: set(values) for item, values in said.iter_rows()}


def _written(votes: pl.DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """(item, question) to text to the time it was written first."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for vote in votes.sort("answered_at", "annotator").iter_rows(named=True):
        texts = found.setdefault((vote["item"], vote["question"]), {})
        texts.setdefault(orjson.loads(vote["value"]), vote["answered_at"] or "")
    return found


def _verdicts(evidence: Evidence, tally: _Round, item: str, settings: ResolveSettings) -> dict[str, Verdict]:
    """The verdict on every question of an item that anybody answered."""
    found = {}
    for question in evidence.campaign.questions:
        name, kind = question["name"], question["kind"]
        if (item, name) in tally.decisions:
            scale = [float(value) for value in question["values"]] if kind == "rating" else [0.0]
            found[name] = verdict_on(
                kind,
                tally.decisions[item, name],
                scale=(min(scale), max(scale)),
                margin=settings.margin,
                written=tally.written.get((item, name)),
            )
    return found


def _no_votes(tally: _Round, item: str, quorum: int) -> _Why | None:
    votes, discards = len(tally.annotators.get(item, ())), tally.discards.get(item, 0)
    if discards > votes:
        return reasons.DISCARDED, float(discards), float(votes)
    if votes < quorum:
        return reasons.NO_QUORUM, float(votes), float(quorum)
    return None


def _undecided(verdicts: Mapping[str, Verdict], margin: float, ties: str) -> _Why | None:
    """Why an item with votes enough gives no row all the same."""
    for verdict in verdicts.values():
        if verdict.lead == 0:
            return reasons.SPLIT, 0.0, margin
        if verdict.lead is not None and verdict.lead < margin:
            return reasons.LOW_MARGIN, verdict.lead, margin
        if verdict.refused is not None and not (ties == "keep" and verdict.value == "tie"):
            return verdict.refused, None, None
    return None
