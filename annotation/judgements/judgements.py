"""Judgements: what was said of each item, in terms of its answers and not of places on a page.

    preference   shown "A" | "B" | "tie" | "both_bad"     value "first" | "second" | "tie" | "both_bad"
    ranking      shown [1,2,1], ranks by place            value ranks by answer
    rating       4                                        the same, as are all that follow
    labels       "价格", or a sorted list                  spans   [{"end","label","start"}], sorted
    rewriting    the text

Values are canonical JSON, so that equal answers are equal strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from annotation.campaigns.campaign import Campaign, Guideline, open_campaign
from annotation.campaigns.gold import is_possible
from annotation.judgements.responses import Response
from datakit.errors import UsageFault
from datakit.versions.store import Version, is_dataset, open_version

KIND: Final = "judgements"
"""What the data files of a version are called."""

SUBMITTED: Final = "submitted"
WITHDRAWN: Final = "withdrawn"
"""The status of an answer that its annotator took back: it is gone from the server, record and annotator are not."""

SCHEMA: Final = pl.Schema(
    {
        "item": pl.String(),
        "id": pl.String(),
        "source": pl.String(),
        "line": pl.Int64(),
        "role": pl.String(),
        "of": pl.String(),
        "stratum": pl.String(),
        "question": pl.String(),
        "kind": pl.String(),
        "value": pl.String(),  # None where nothing usable was said, which only drafts and discards may do
        "shown": pl.String(),
        "order": pl.List(pl.Int64()),
        "annotator": pl.String(),
        "status": pl.String(),  # submitted, discarded, draft or withdrawn
        "guideline": pl.String(),
        "answered_at": pl.String(),
        "response": pl.String(),
        "gone": pl.String(),  # record, annotator or response: what is no longer on the server
    }
)
"""One row an item, question and annotator."""

LEDGER: Final = pl.Schema(
    {
        "source": pl.String(),
        "line": pl.Int64(),
        "id": pl.String(),
        "decision": pl.String(),
        "stage": pl.String(),
        "reason": pl.String(),
        "item": pl.String(),
        "question": pl.String(),
        "annotator": pl.String(),
        "response": pl.String(),
        "record": pl.String(),
    }
)
"""One row an answer: a response and question. in = kept + dropped + rejected."""

UNKNOWN_ITEM: Final = "unknown_item"
UNKNOWN_QUESTION: Final = "unknown_question"
BAD_VALUE: Final = "bad_value"
DUPLICATE: Final = "duplicate_response"

Row = dict[str, Any]

_OF_ITEM: Final = ("item", "id", "source", "line", "role", "of", "stratum", "order")


def pulled(campaign: Campaign) -> Version:
    """The version of a campaign's judgements that was pulled last.

    Raises:
        UsageFault: nothing was pulled yet.
        DataVerdict: its manifest is damaged.
    """
    if not is_dataset(campaign.judgements_path):
        raise UsageFault(
            str(campaign.judgements_path), "no judgements yet", "what people answered", "Get it: datakit annotate pull"
        )
    return open_version(campaign.judgements_path)


def read(where: Campaign | Path) -> pl.DataFrame:
    """The judgements of a campaign, or of one by its folder, as they were last pulled; raises as `pulled` does."""
    return pulled(where if isinstance(where, Campaign) else open_campaign(where)).frame(KIND)


def account(
    response: Response, item: Mapping[str, Any] | None, campaign: Campaign, annotator: str
) -> tuple[list[Row], list[Row]]:
    """The judgements of a response, and a line of the ledger for every answer in it.

    Args:
        response: as the server has it.
        item: the campaign's, which it is about; None if there is none.
        campaign: whose questions and guidelines.
        annotator: the pseudonym.
    """
    questions = {question["name"]: question for question in campaign.questions}
    silent = response.status != SUBMITTED and not response.values  # a discard need not say anything
    names: list[str | None] = list(questions) if silent else list(response.values) or [None]
    kept: list[Row] = []
    lines: list[Row] = []
    for name in names:
        reason, value, shown = _look(response, item, questions, name)
        about = {"item": response.item, "question": name, "annotator": annotator}
        row = {key: item[key] for key in ("source", "line", "id")} if item else {}
        fate = {"decision": "rejected" if reason else "kept", "stage": "pull", "reason": reason}
        lines.append({**row, **fate, **about, "response": response.id, "record": response.record})
        if reason is None and item is not None and name is not None:
            told = {"kind": questions[name]["kind"], "value": value, "shown": shown, "status": response.status}
            when = {"guideline": in_force(campaign.manifest.guidelines, response.last), "answered_at": response.last}
            kept.append({**{key: item[key] for key in _OF_ITEM}, **about, **told, **when, "response": response.id})
    return kept, lines


def _look(
    response: Response, item: Mapping[str, Any] | None, questions: Mapping[str, Any], name: str | None
) -> tuple[str | None, str | None, str | None]:
    """Why an answer is rejected, or None, its value and what was shown."""
    if item is None:
        return UNKNOWN_ITEM, None, None
    if name is not None and name not in questions:
        return UNKNOWN_QUESTION, None, None
    said = None if name is None else _said(response.values.get(name), item["order"], questions[name])
    if said is None and response.status == SUBMITTED:
        return BAD_VALUE, None, None
    return None, *(said or (None, None))


def _said(raw: Any, order: Sequence[int], question: Mapping[str, Any]) -> tuple[str, str] | None:
    """Value and what was shown, as canonical JSON; None where the value cannot be an answer to the question."""
    try:
        shown, value = _unblind(raw, order, question["kind"])
        if not is_possible(value, question):
            return None
        return canonical(value), canonical(shown)
    except (TypeError, KeyError, ValueError, IndexError):  # of another shape, or no text that can be written
        return None


def _unblind(raw: Any, order: Sequence[int], kind: str) -> tuple[Any, Any]:
    """What was shown and what it means."""
    if kind == "preference" and raw in ("A", "B"):
        return raw, ("first", "second")[order["AB".index(raw)]]
    if kind == "ranking":
        by_letter = {entry["value"]: entry["rank"] for entry in raw}
        shown = [by_letter[letter] for letter in sorted(by_letter)]
        return shown, [shown[order.index(answer)] for answer in range(len(order))]
    if kind == "labels" and isinstance(raw, list):
        return sorted(raw), sorted(raw)
    if kind == "spans":
        spans = [{key: span[key] for key in ("start", "end", "label")} for span in raw]
        spans.sort(key=lambda span: (span["start"], span["end"], span["label"]))
        return spans, spans
    return raw, raw


def canonical(value: Any) -> str:
    """JSON in one spelling."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def in_force(guidelines: Sequence[Guideline], time: str) -> str:
    """The hash of the guideline in force at a time; the first one's for times before it."""
    came = [guideline.hash for guideline in guidelines if guideline.since <= time]
    return came[-1] if came else guidelines[0].hash
