"""All that a campaign's people have said: its judgements, and those of the second round where there was one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from annotation.campaigns.campaign import Campaign, is_campaign, open_campaign
from annotation.judgements.judgements import KIND, pulled
from datakit.errors import UsageFault
from datakit.versions.store import is_dataset

SECOND: Final = "-adjudication"
"""What stands behind a campaign's name in that of its second round."""


@dataclass(frozen=True)
class Evidence:
    """A campaign with what was pulled of it.

    judgements: as `annotation.judgements` keeps them. reference: their version, as `sales/judgements@3f2a9c1b04d2`.
    second: of the second round; None where there is none, or nothing was pulled of it.
    """

    campaign: Campaign
    judgements: pl.DataFrame
    reference: str
    second: Evidence | None = None

    @property
    def items(self) -> pl.DataFrame:
        """The items that ask about a row: no gold, no repeats."""
        return self.campaign.items().filter(pl.col("role") == "ask")

    @property
    def references(self) -> tuple[str, ...]:
        """The judgements' versions."""
        return (self.reference, *(self.second.references if self.second is not None else ()))


def second_round(campaign: Campaign) -> Path:
    """Where the second round of a campaign is or will be."""
    return campaign.path.with_name(campaign.name + SECOND)


def read_evidence(campaign: Campaign) -> Evidence:
    """What was pulled of a campaign and of its second round.

    Raises:
        UsageFault: nothing was pulled yet, or the second round is about another version.
        DataVerdict: a manifest is damaged.
    """
    return replace(_pulled(campaign), second=_second(campaign))


def _second(campaign: Campaign) -> Evidence | None:
    folder = second_round(campaign)
    if not is_campaign(folder):
        return None
    second = open_campaign(folder)
    if second.source != campaign.source:
        raise UsageFault(str(folder), f"about {second.source}", campaign.source, "Move it elsewhere")
    return _pulled(second) if is_dataset(second.judgements_path) else None


def _pulled(campaign: Campaign) -> Evidence:
    version = pulled(campaign)
    return Evidence(campaign, version.frame(KIND), f"{campaign.name}/{version.reference}")
