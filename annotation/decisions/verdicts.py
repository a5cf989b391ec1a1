"""The verdict on an answer: the decided points of one question put together again.

preference, one label   the winning value
labels, spans           those that win a yes; as sure as the least sure of all that anybody named
ranking                 every two answers that are decided, the better one first
rating                  the mean of the values by their shares
rewriting               the text of most weight; of equal ones the one that was written first
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from annotation.decisions import reasons
from annotation.decisions.points import YES, member_of
from annotation.decisions.tally import Decision


@dataclass(frozen=True)
class Pair:
    """Two answers of a ranking, by their numbers in the row; margin: the better one's share less the worse one's."""

    better: int
    worse: int
    margin: float


@dataclass(frozen=True)
class Verdict:
    """What a question was answered with.

    value: a word, a list of labels or spans, a number, a text, or the `Pair`s of a ranking.
    confidence, lead: 0 to 1; lead is None where answers do not compete, as texts do not. refused: the reason why it
    makes no row, clear as it may be: both answers are equal or bad, or there is nothing in a text.
    """

    value: Any
    confidence: float
    lead: float | None
    refused: str | None = None


_REFUSED: Final = {"tie": reasons.TIE, "both_bad": reasons.BOTH_BAD}


def verdict_on(
    kind: str,
    points: Mapping[str, Decision],
    *,
    scale: tuple[float, float] = (1, 5),
    margin: float = 0.0,
    written: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict of decided points.

    Args:
        kind: of the question.
        points: point to decision; of labels and spans none where nobody named any.
        scale: the lowest and the highest value of a rating.
        margin: the least lead of a pair of a ranking.
        written: text to the time it was written first, for rewriting.
    """
    if kind == "rating":
        return _score(points[""], scale)
    if kind == "ranking":
        return _pairs(points, margin)
    if kind == "rewriting":
        return _text(points[""], written or {})
    if "" in points:
        decision = points[""]
        refused = _REFUSED.get(decision.value) if kind == "preference" else None
        return Verdict(decision.value, decision.confidence, decision.lead, refused)
    named = [member_of(point) for point, decision in points.items() if decision.value == YES and decision.lead > 0]
    return Verdict(
        named,
        min((decision.confidence for decision in points.values()), default=1.0),
        min((decision.lead for decision in points.values()), default=1.0),
    )


def _score(decision: Decision, scale: tuple[float, float]) -> Verdict:
    """The mean; 1 less the mean distance from it, 0 where half of the votes stand at either end of the scale."""
    shares = {float(value): share for value, share in decision.shares.items()}
    mean = sum(value * share for value, share in shares.items())
    spread = sum(abs(value - mean) * share for value, share in shares.items())
    low, high = scale
    sure = max(0.0, 1 - 2 * spread / (high - low)) if high > low else 1.0
    return Verdict(round(mean, 6), round(sure, 6), round(sure, 6))


def _pairs(points: Mapping[str, Decision], margin: float) -> Verdict:
    """The pairs in which one answer is better, widest margin first; of equal margins those furthest apart."""
    wins: dict[int, float] = {}
    pairs = []
    for point, decision in points.items():
        one, other = map(int, point.split(","))
        net = decision.shares.get("first", 0.0) - decision.shares.get("second", 0.0)
        wins[one], wins[other] = wins.get(one, 0.0) + net, wins.get(other, 0.0) - net
        if decision.value != "tie" and decision.lead > 0 and decision.lead >= margin:
            pairs.append(Pair(one, other, round(net, 6)) if net > 0 else Pair(other, one, round(-net, 6)))
    pairs.sort(key=lambda pair: (-pair.margin, wins[pair.worse] - wins[pair.better], pair.better, pair.worse))
    return Verdict(
        tuple(pairs),
        max((decision.confidence for decision in points.values()), default=0.0),
        max((decision.lead for decision in points.values()), default=0.0),
        None if pairs else reasons.TIE,
    )


def _text(decision: Decision, written: Mapping[str, str]) -> Verdict:
    best = [value for value, share in decision.shares.items() if share == decision.confidence]
    text = min(best, key=lambda text: (written.get(text, ""), text))
    empty = not any(letter.isalnum() for letter in text)
    return Verdict(text, decision.confidence, None, reasons.EMPTY if empty else None)
