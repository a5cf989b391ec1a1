"""A judged row as a record: what an outcome makes of the row that was judged.

    preference   the pair, its sides exchanged where people chose the second; margin: how far the better one leads
    ranking      the two of its answers that lie furthest apart, the better one chosen; margin likewise
    rating       the row as it was; meta.score, the mean over aspects, and meta.label, good or bad
    labels       the row as it was; meta.label
    spans        the row as it was; meta.spans
    rewriting    the row with the new answer, as a dialogue; a text as a text

Every record keeps the key and the id of the row, and says in meta.annotation how it came about. A message is kept
whole, its tool calls with it; only a rewriting replaces what an answer says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from annotation.campaigns.answers import answers_of, context_of
from annotation.decisions.outcome import Outcome
from annotation.decisions.verdicts import Pair
from datakit.formats.prompt import conversation
from datakit.formats.row import to_json
from datakit.recipe.resolve import ResolveSettings
from datakit.records import CONTENT, KEY, Kind

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """The record of one row. edit: what was done to it; None where only `meta` has grown."""

    kind: Kind
    record: dict[str, Any]
    edit: Literal["sides_exchanged", "ranked", "rewritten"] | None = None


def resolved(row: Row, kind: Kind, campaign: str, task: str, outcome: Outcome, settings: ResolveSettings) -> Resolved:
    """The record of a row whose item was decided.

    Args:
        row: of the source version, with the columns of its kind.
        kind: of the row.
        campaign: its name.
        task: what people did: preference, rating, ranking, labels, spans or rewriting.
        outcome: with verdicts.
        settings: the method, and from which score on a row is good.

    Raises:
        BadRow: an answer in meta is no message.
    """
    told = _told(campaign, task, outcome, settings)
    if task == "preference":
        return _preference(row, outcome, told)
    if task == "ranking":
        return _ranking(row, kind, outcome, told)
    if task == "rewriting":
        return _rewritten(row, kind, outcome, told)
    marks = {"rating": _score, "labels": _label, "spans": _spans}[task](outcome, settings)
    return Resolved(kind, {**_plain(row, kind), "meta": _meta(row, told, marks)})


def _told(campaign: str, task: str, outcome: Outcome, settings: ResolveSettings) -> dict[str, Any]:
    """meta.annotation: how the verdict came about; nobody's name, only how many they were."""
    told: dict[str, Any] = {
        "campaign": campaign,
        "method": "adjudicated" if outcome.adjudicated else settings.method,
        "annotators": outcome.votes,
        "votes": outcome.counts,
        "confidence": outcome.confidence,
        "agreement": outcome.agreement,
        "guidelines": list(outcome.guidelines),
    }
    if task != "rewriting":  # the text itself is the row's own by now
        told["verdicts"] = {name: _told_value(verdict.value) for name, verdict in outcome.verdicts.items()}
    return told


def _told_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [[pair.better, pair.worse, pair.margin] for pair in value]
    return value


def _plain(row: Row, kind: Kind) -> dict[str, Any]:
    return {name: row[name] for name in (*KEY, *CONTENT[kind])}


def _meta(row: Row, told: Mapping[str, Any], marks: Mapping[str, Any] | None = None) -> str:
    """The row's own meta with ours; what of it ours replaces stays as meta.annotation.before."""
    own: dict[str, Any] = orjson.loads(row["meta"]) if row["meta"] else {}
    before = {name: own[name] for name in ("annotation", *(marks or {})) if name in own}
    return to_json({**own, **(marks or {}), "annotation": {**told, **({"before": before} if before else {})}})


def _preference(row: Row, outcome: Outcome, told: Mapping[str, Any]) -> Resolved:
    verdict = next(iter(outcome.verdicts.values()))
    margin = 0.0 if verdict.value == "tie" else verdict.lead
    chosen, rejected = answers_of(row, "preference")
    if verdict.value == "second":
        chosen, rejected = rejected, chosen
    record = _pair(row, row["prompt"], chosen, rejected, margin, _meta(row, told))
    return Resolved("preference", record, "sides_exchanged" if verdict.value == "second" else None)


def _ranking(row: Row, kind: Kind, outcome: Outcome, told: Mapping[str, Any]) -> Resolved:
    """The pair that leads most: one a row, for a row is known by its key. The others stay in meta, with margins."""
    pair: Pair = next(iter(outcome.verdicts.values())).value[0]
    answers = answers_of(row, kind)
    if kind != "preference":  # they come from meta, as somebody wrote them
        answers = [
            conversation(list(answer), f"meta.answers[{n}]", "assistant", {}) for n, answer in enumerate(answers)
        ]
    record = _pair(row, context_of(row, kind), answers[pair.better], answers[pair.worse], pair.margin, _meta(row, told))
    return Resolved("preference", record, None if kind == "preference" and pair.better == 0 else "ranked")


def _pair(row: Row, prompt: Any, chosen: Any, rejected: Any, margin: float | None, meta: str) -> dict[str, Any]:
    key = {name: row[name] for name in KEY}
    return {**key, "prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": margin, "meta": meta}


def _score(outcome: Outcome, settings: ResolveSettings) -> dict[str, Any]:
    scores = [verdict.value for verdict in outcome.verdicts.values()]
    mean = round(sum(scores) / len(scores), 6)
    return {"score": mean, "label": "good" if mean > settings.good else "bad"}


def _label(outcome: Outcome, settings: ResolveSettings) -> dict[str, Any]:
    return {"label": next(iter(outcome.verdicts.values())).value}


def _spans(outcome: Outcome, settings: ResolveSettings) -> dict[str, Any]:
    return {"spans": sorted(next(iter(outcome.verdicts.values())).value, key=lambda span: (span["start"], span["end"]))}


def _rewritten(row: Row, kind: Kind, outcome: Outcome, told: Mapping[str, Any]) -> Resolved:
    text = next(iter(outcome.verdicts.values())).value
    if kind == "text":
        edit: Literal["rewritten"] | None = "rewritten" if text != row["text"] else None
        return Resolved("text", {**_plain(row, kind), "text": text, "meta": _meta(row, told)}, edit)
    turns = [*context_of(row, kind), _answer(answers_of(row, kind), text)]
    record = {
        **{name: row[name] for name in KEY},
        "messages": turns,
        "tools": row.get("tools"),
        "meta": _meta(row, told),
    }
    return Resolved("messages", record, None if kind == "messages" and turns == row["messages"] else "rewritten")


def _answer(answers: Sequence[Sequence[Mapping[str, Any]]], text: str) -> Mapping[str, Any]:
    """The message that says `text`: what was thought and called on the way to the old answer is not the new one's."""
    old = answers[0][-1] if answers and answers[0] else {}
    if old.get("content") == text:
        return old
    return {"role": "assistant", "content": text, "name": old.get("name"), "train": old.get("train")}
