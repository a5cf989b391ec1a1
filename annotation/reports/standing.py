"""How a campaign stands: what is done and left, who does it how well and how fast, and when it will be through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from annotation.campaigns.campaign import Campaign
from annotation.judgements.responses import utc
from annotation.measures.agreement import Agreement, agreement
from annotation.measures.judged import COUNTS, judged, level_of
from annotation.measures.quality import Quality, annotator_quality
from annotation.reports.page_people import leans

WINDOW: Final = timedelta(days=7)
"""How far back pace looks: a week, so that nights and weekends are in it as they will be in what is left."""

_LEAST: Final = 2  # submitted answers from which there is a pace


@dataclass(frozen=True)
class Standing:
    """Where a campaign stands.

    items: gold items and repeats among them, for they take people's time too. done: items with as many submitted
    answers as the overlap wants; begun: with fewer, but some. by_answers: number of submitted answers to items, the
    overlap standing for all above it. left: submitted answers that are missing. statuses: of answers. pace: submitted
    answers an hour over the last seven days, or since the first answer, by the clock on the wall. end: when none is
    left at that pace, as UTC time; None where there is no pace. agreement: of submitted answers to what was asked for
    its own sake.
    """

    campaign: str
    version: str
    overlap: int
    items: int
    done: int
    begun: int
    by_answers: Mapping[int, int]
    left: int
    statuses: Mapping[str, int]
    quality: Mapping[str, Quality]
    last: Mapping[str, str]
    pace: float | None
    end: str | None
    agreement: Agreement

    @property
    def seconds(self) -> float | None:
        """The median over annotators of their median seconds an item."""
        known = pl.Series([one.seconds for one in self.quality.values() if one.seconds is not None], dtype=pl.Float64)
        return known.median() if known.len() else None  # type: ignore[return-value]

    def to_json(self, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """As plain values; with `names`, pseudonym to name, everybody's name beside the pseudonym."""
        return {
            "campaign": self.campaign,
            "version": self.version,
            "overlap": self.overlap,
            "items": {"total": self.items, "done": self.done, "begun": self.begun},
            "by_answers": {str(count): items for count, items in self.by_answers.items()},
            "answers": {"left": self.left, **self.statuses},
            "annotators": {
                one: {
                    **({"name": names.get(one)} if names is not None else {}),
                    **found.to_json(),
                    "leans": leans(found),
                    "last": self.last[one],
                }
                for one, found in self.quality.items()
            },
            "pace": {"answers_an_hour": self.pace, "seconds_an_item": self.seconds},
            "end": self.end,
            "agreement": {
                "compared": self.agreement.compared,
                "percent": self.agreement.percent,
                "level": self.agreement.level,
                "alpha": self.agreement.alpha,
            },
        }


def standing(campaign: Campaign, judgements: pl.DataFrame, version: str = "", now: datetime | None = None) -> Standing:
    """How a campaign stands by its judgements.

    Args:
        campaign: with its items.
        judgements: as they were pulled.
        version: their reference, to be shown.
        now: the time that pace is measured to; the clock's if None.
    """
    items, overlap = campaign.items(), campaign.overlap
    submitted = judgements.filter(pl.col("status") == COUNTS)
    people = submitted.group_by("item").agg(pl.col("annotator").n_unique().alias("people"))
    counts = items.select("item").join(people, on="item", how="left")["people"].fill_null(0)
    capped = Counter(min(count, overlap) for count in counts)
    left = sum((overlap - count) * number for count, number in capped.items())
    moment = now or datetime.now(UTC)
    pace = _pace(submitted, moment)
    answers = judgements.unique(
        ["item", "annotator"]
    )  # where a campaign asks several questions, an answer has them all
    return Standing(
        campaign=campaign.name,
        version=version,
        overlap=overlap,
        items=items.height,
        done=capped[overlap],
        begun=sum(number for count, number in capped.items() if 0 < count < overlap),
        by_answers={count: capped[count] for count in range(overlap + 1)},
        left=left,
        statuses=dict(sorted(Counter(answers["status"]).items())),
        quality=annotator_quality(judgements, items),
        last=dict(judgements.group_by("annotator").agg(pl.col("answered_at").max()).iter_rows()),
        pace=pace,
        end=_end(left, pace, moment),
        agreement=agreement(judged(judgements, as_shown=True), level_of(judgements), resamples=0),
    )


def _pace(submitted: pl.DataFrame, now: datetime) -> float | None:
    """Submitted answers an hour since the first one of the window; None where there are too few to tell."""
    since = utc((now - WINDOW).isoformat())
    recent = submitted.unique(["item", "annotator"]).filter(pl.col("answered_at") >= since)["answered_at"]
    if recent.len() < _LEAST:
        return None
    first = since if submitted["answered_at"].min() < since else str(recent.min())  # type: ignore[operator]
    hours = (now - datetime.fromisoformat(first)) / timedelta(hours=1)
    return recent.len() / hours if hours > 0 else None


def _end(left: int, pace: float | None, now: datetime) -> str | None:
    if pace is None or not left:
        return None
    try:
        return utc((now + timedelta(hours=left / pace)).isoformat())
    except OverflowError:  # beyond the year 9999: nobody waits for that
        return None
