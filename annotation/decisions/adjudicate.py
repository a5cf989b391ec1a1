"""`adjudicate`: a second, blind round of what the first one disagreed on.

It is a campaign of its own, named after the first with `-adjudication` behind it: other people, other sides drawn by
another seed, and nothing of what anybody said before. `resolve` takes its verdict wherever there is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

import polars as pl

from annotation.campaigns.campaign import Campaign, is_campaign, open_campaign
from annotation.decisions import reasons
from annotation.decisions.evidence import SECOND, Evidence, read_evidence, second_round
from annotation.decisions.outcome import Outcome, outcomes
from datakit.recipe.annotate import AnnotateSettings, SelectSettings
from datakit.recipe.recipe import Recipe
from datakit.recipe.resolve import ResolveSettings

_UNDECIDED: Final = (reasons.NO_QUORUM, reasons.SPLIT, reasons.LOW_MARGIN)
_DISAGREE: Final = "annotation_disagreement"
_ASKED: Final = ("kind", "judged", "language", "aspects", "scale", "answers", "labels", "multiple", "max_characters")

Key = tuple[str, int]


class Push(Protocol):
    """How chosen rows become a campaign: `annotation.campaigns.push.push` with a server bound to it."""

    def __call__(self, recipe: Recipe, *, rows: Sequence[Key]) -> Any:
        """Push exactly these rows as the campaign of the recipe's [annotate]; what was pushed before stays as it is."""


class Disagreement(NamedTuple):
    """An item that goes to the second round, and why: the reason that `resolve` would drop it for, or disagreement."""

    source: str
    line: int
    reason: str


@dataclass(frozen=True)
class AdjudicateResult:
    """What went to the second round.

    campaign: its name. items: rows it asks about, those of an earlier `adjudicate` included. reasons: why, for what the
    first round disagrees on now. pushed: what the push says; None of a dry run.
    """

    campaign: str
    items: int
    reasons: Mapping[str, int]
    pushed: Any = None

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        pushed = self.pushed.to_json() if self.pushed is not None else None
        return {"campaign": self.campaign, "items": self.items, "reasons": dict(self.reasons), "pushed": pushed}


def adjudicate(campaign: Campaign, recipe: Recipe, push: Push | None) -> AdjudicateResult:
    """Push what a campaign's people disagree on as its second round; again, and only what is new is added.

    Args:
        campaign: the first round; its judgements were pulled.
        recipe: [annotate], with `resolve` and `resolve.adjudicate`.
        push: None: a dry run.

    Raises:
        UsageFault: nothing was pulled yet.
        Surroundings: the server does not answer; run again to go on.
    """
    found = disagreements(read_evidence(campaign), recipe.annotate.resolve)
    before = _asked(campaign)
    rows = list(dict.fromkeys([*before, *((one.source, one.line) for one in found)]))
    pushed = push(second_recipe(campaign, recipe, len(rows)), rows=rows) if push is not None and rows else None
    return AdjudicateResult(
        campaign.name + SECOND, len(rows), dict(Counter(one.reason for one in found).most_common()), pushed
    )


def disagreements(evidence: Evidence, settings: ResolveSettings) -> list[Disagreement]:
    """The items with votes on which the first round does not agree, in the order in which they were sent.

    That is: votes below the quorum, divided equally or under the margin, or fewer of their pairs agree than
    `adjudicate.below`. What everybody called a tie or bad is agreed on; what nobody judged is not disagreed on.
    """
    found = outcomes(replace(evidence, second=None), settings)
    rows = evidence.items.select("item", "source", "line").iter_rows()
    below = settings.adjudicate.below
    return [
        Disagreement(source, line, reason)
        for item, source, line in rows
        for reason in (_reason(found[item], below),)
        if reason is not None
    ]


def _reason(outcome: Outcome, below: float) -> str | None:
    if not outcome.votes:
        return None
    if outcome.reason in _UNDECIDED:
        return outcome.reason
    agree = outcome.agreement
    return _DISAGREE if agree is not None and agree < below and outcome.reason != reasons.DISCARDED else None


def _asked(campaign: Campaign) -> list[Key]:
    """The rows that the second round asks about already."""
    folder = second_round(campaign)
    if not is_campaign(folder):
        return []
    items = open_campaign(folder).items().filter(pl.col("role") == "ask")
    return list(items.select("source", "line").iter_rows())


def second_recipe(campaign: Campaign, recipe: Recipe, rows: int) -> Recipe:
    """The recipe of the second round: the same questions about the same version, asked of others, drawn anew."""
    first, second, was = recipe.annotate, recipe.annotate.resolve.adjudicate, campaign.manifest.settings
    asked = {key: was[key] for key in _ASKED if key in was}  # as it was asked, whatever the recipe says by now
    update: dict[str, Any] = {
        "name": campaign.name + SECOND,
        "dataset": str(campaign.source_path),
        "workspace": second.workspace or campaign.manifest.workspace + SECOND,
        "annotators": second.annotators,
        "overlap": second.overlap,
        "rows": max(rows, 1),
        "seed": int(was["seed"]) + 1,
        "gold": None,
        "gold_share": 0.0,
        "repeats": 0.0,
        "select": SelectSettings(),
    }
    settings = AnnotateSettings.model_validate({**first.model_dump(), **asked, **update})
    return recipe.model_copy(update={"annotate": settings})
