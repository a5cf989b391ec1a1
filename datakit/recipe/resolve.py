"""[annotate.resolve]: how the judgements of one item become one, and which go to a second round.

```toml
[annotate.resolve]
method = "dawid_skene"            # majority where not set
quorum = 2                        # the campaign's overlap where not set
margin = 0.5                      # of three votes 2 to 1 leads by a third: too little

[annotate.resolve.adjudicate]
annotators = ["dora"]             # who judges what the others disagree on
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from datakit.recipe.base import Table

Method = Literal["majority", "weighted", "dawid_skene"]


class AdjudicateSettings(Table):
    """The [annotate.resolve.adjudicate] table: the second, blind round."""

    annotators: tuple[str, ...] = Field(
        default=(),
        description="user names of the adjudicators; none: only the server's owners and admins see the round",
    )
    workspace: str | None = Field(
        default=None, description="the adjudicators' workspace; the campaign's with -adjudication behind it if not set"
    )
    overlap: int = Field(default=1, ge=1, description="adjudicators that judge an item")
    below: float = Field(
        default=0.5,  # of three votes 2 to 1 agree in one pair of three; of five 4 to 1 in six of ten
        ge=0,
        le=1,
        description="items go to the second round if fewer of their pairs of votes agree; 0: only what is undecided",
    )


class ResolveSettings(Table):
    """The [annotate.resolve] table."""

    method: Method = Field(
        default="majority",
        description="majority: every vote counts the same; weighted: by gold accuracy or weights; dawid_skene: by EM",
    )
    weights: Mapping[str, float] = Field(
        default={}, description="annotator (pseudonym) to weight, for weighted; by accuracy on gold items if empty"
    )
    quorum: int | None = Field(
        default=None, ge=1, description="fewest submitted votes an item needs; the campaign's overlap if not set"
    )
    margin: float = Field(
        default=0.0, ge=0, le=1, description="the least lead of the winning answer over the next, in shares of 0 to 1"
    )
    ties: Literal["drop", "keep"] = Field(
        default="drop", description="keep: a pair judged equal stays as it is, with margin 0"
    )
    both_bad: Literal["drop", "tie"] = Field(default="drop", description="tie: a vote for neither counts as a tie")
    good: float = Field(
        default=3.5,  # the guide's threshold for people's scores
        description="of ratings: a row whose score is above this is labelled good, else bad",
    )
    adjudicate: AdjudicateSettings = Field(default=AdjudicateSettings(), description="the second round")

    @field_validator("weights")
    @classmethod
    def _weigh_something(cls, weights: Mapping[str, float]) -> Mapping[str, float]:
        wrong = [name for name, weight in weights.items() if not (math.isfinite(weight) and weight >= 0)]
        if wrong:
            raise ValueError(f"the weight of '{wrong[0]}' is no number of 0 or more")
        if weights and not any(weights.values()):
            raise ValueError("every weight is 0: nobody's vote would count")
        return dict(weights)
