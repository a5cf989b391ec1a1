"""What each step of cleaning measured of one row, and from where on it would have dropped it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from datakit.cleaning import rules
from datakit.recipe.clean import CleanSettings
from datakit.recipe.rules import LanguageRules
from datakit.versions.manifest import Manifest
from datakit.versions.rows import Row

Outcome = Literal["passed", "edited", "dropped", "rejected", "not reached"]

_CLOSE: Final = 0.5  # a rule is worth a word where half of the way to its threshold is gone
_NOTHING: Final = {
    "normalise": "nothing to change",
    "pii": "nothing found",
    "exact": "no better row says the same",
    "near": "no better row is as similar",
}


@dataclass(frozen=True)
class Measured:
    """A score, and where it drops.

    name: the rule. value: as measured. least, most: bounds, None where there is none. holds: whether the row is long
    enough for the rule. share: how much of the way to the bound is gone; above 1 it drops.
    """

    name: str
    value: float
    least: float | None
    most: float | None
    holds: bool
    share: float


@dataclass(frozen=True)
class Told:
    """One step: what came of it, and why in words. measured: what it looked at, the closest to its bound first."""

    step: str
    outcome: Outcome
    words: str
    measured: tuple[Measured, ...] = ()


def cleaning_of(manifest: Manifest) -> CleanSettings | None:
    """The settings that a version was cleaned by; None of a version that something else made."""
    if "clean" not in manifest.recipe:
        return None
    try:
        return CleanSettings.model_validate(manifest.recipe["clean"])
    except ValidationError:  # another datakit's settings: the ledger says what decided all the same
        return None


def tell_steps(
    fate: Row, kind: str | None, settings: CleanSettings | None, scores: Row, edits: Mapping[str, int], detail: str
) -> list[Told]:
    """The steps in their order, up to the one that decided.

    Args:
        fate: the row's line of the ledger.
        kind: of the record; None of a rejected row.
        settings: what the version was cleaned by.
        scores: the row's line of the scores; empty where there is none.
        edits: step to changes.
        detail: what stands with a rejected row.
    """
    stage, reason = fate["stage"], fate["reason"]
    if fate["decision"] == "rejected":
        return [Told(stage or "read", "rejected", f"{reason}: {detail}" if detail else str(reason))]
    told = [Told("read", "passed", f"{kind}, {_size(scores)}" if scores else str(kind))]
    decided = False
    for step in settings.steps if settings is not None else ():
        measured = _rules(kind or "text", settings, scores) if step == "rules" and settings is not None else ()
        if decided:
            told.append(Told(step, "not reached", "", measured))
        elif step == stage:
            told.append(Told(step, "dropped", _decisive(fate), measured))
            decided = True
        elif edits.get(step):
            told.append(
                Told(step, "edited", f"{edits[step]:,} {'change' if edits[step] == 1 else 'changes'}", measured)
            )
        else:
            told.append(Told(step, "passed", _passed(step, settings, scores, measured), measured))
    if reason and not decided:  # a stage that is no step of these settings: annotation, split, mix
        told.append(Told(stage or "", "dropped", _decisive(fate)))
    return told


def _decisive(fate: Row) -> str:
    """What the ledger says: the twin, or value and threshold and what was measured."""
    bound = f", threshold {fate['threshold']:g}" if fate["threshold"] is not None else ""
    if fate["twin_source"] is not None:
        exact = fate["similarity"] in (None, 1.0) and not bound
        like = "says the same as" if exact else f"{fate['similarity'] or 1:.3f} like"
        return f"{like} {fate['twin_source']}:{fate['twin_line']}{bound}"
    if fate["value"] is None:
        return str(fate["reason"])
    field = LanguageRules.model_fields.get(fate["reason"])
    meaning = f": {field.description}" if field is not None and field.description else ""
    return f"{fate['reason']} {fate['value']:.4g}{bound}{meaning}"


def _size(scores: Row) -> str:
    return f"{scores['characters']:,} characters judged" if scores.get("characters") is not None else "nothing to judge"


def _passed(step: str, settings: CleanSettings | None, scores: Row, measured: Sequence[Measured]) -> str:
    if step == "language" and scores.get("language") is not None:
        wanted = f"; wanted: {', '.join(settings.languages)}" if settings is not None and settings.languages else ""
        return f"{scores['language']}, confidence {scores['language_confidence']:.2f}{wanted}"
    if step == "rules":
        close = [score for score in measured if score.holds and score.share >= _CLOSE][:1]
        nearest = f"; closest: {bounds(close[0])}" if close else ""
        return f"{len(measured)} rules{nearest}"
    return _NOTHING.get(step, "")


def bounds(score: Measured) -> str:
    """A score with its bounds: `gopher_words 62 (at least 50)`."""
    words = [
        f"{word} {bound:g}" for word, bound in (("at least", score.least), ("at most", score.most)) if bound is not None
    ]
    return f"{score.name} {score.value:.4g} ({' and '.join(words)})"


def _rules(kind: str, settings: CleanSettings | None, scores: Row) -> tuple[Measured, ...]:
    if settings is None or scores.get("units") is None:
        return ()
    limits = rules.effective_rules(settings.rules, kind, _group(scores))
    by_name = {rule.name: rule.score for rule in rules.RULES}
    found = [_measured(name, scores[by_name[name]], bound, scores) for name, bound in limits.items()]
    return tuple(sorted(found, key=lambda score: (not score.holds, -score.share)))


def _measured(name: str, value: float, limits: Mapping[str, float], scores: Row) -> Measured:
    least, most = limits.get("min"), limits.get("max")
    shares = [value / most if most else float(value > 0)] if most is not None else []
    shares += [least / value if value else float(least > 0) * 2] if least is not None else []
    asked = (("units", "units"), ("characters", "non_space"), ("lines", "lines"))
    holds = all(scores[score] >= limits[limit] for limit, score in asked if limit in limits)
    return Measured(name, float(value), least, most, holds, max(shares, default=0.0))


def _group(scores: Row) -> rules.Language:
    """The language whose thresholds hold, as the rules choose it."""
    language: Any = scores["language"]
    if language == "en":
        return "en"
    chinese = scores["cjk_units"] * 2 > scores["units"] if language is None else language in rules.CHINESE
    return "zh" if chinese else "other"
