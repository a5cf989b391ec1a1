"""What a model is asked: prompts of files, or the held-out rows of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from datakit.template.messages import for_template, tools_for_template
from datakit.versions.store import Version
from train.holdout import held_out
from train.measures.checks import Checks, read_checks
from train.measures.files import read_records

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Prompt:
    """A prompt, and what its answer is held to.

    Attributes:
        key: `source:line`.
        messages: as chat templates take them; the last one is not the assistant's.
        tools: declared tools, None where there are none.
        answer: a reference answer; None where there is none.
        checks: see `read_checks`.
    """

    key: str
    messages: list[dict[str, Any]]
    tools: list[Any] | None = None
    answer: str | None = None
    checks: Checks = field(default_factory=dict)


def read_prompts(paths: Sequence[str]) -> list[Prompt]:
    """The prompts of files.

    Raises:
        InputError: a row is no prompt, or its checks are none of ours.
    """
    return [_of_record(row) for row in read_records(paths, "prompt", "prompt")]


def held_out_prompts(version: Version, share: float, kind: str) -> list[Prompt]:
    """A prompt a held-out row of a version, by row id; its reference is the answer that the row gives there.

    Args:
        version: whose rows are asked.
        share: that training keeps back, 0 to 1.
        kind: messages: what stands before the last answer, and that answer; preference: prompt and chosen answer;
            unpaired: prompt and answer, where that is a good one.
    """
    rows = held_out_rows(version, share, kind)
    if kind == "preference":
        return [_asked(row, row["prompt"], row["chosen"], None) for row in rows]
    if kind == "unpaired":
        return [_asked(row, row["prompt"], row["completion"] if row["label"] else (), None) for row in rows]
    found = []
    for row in rows:
        said = row["messages"]
        last = max((place for place, turn in enumerate(said) if turn["role"] == "assistant"), default=0)
        if last:
            found.append(_asked(row, said[:last], said[last:], row["tools"]))
    return found


def held_out_rows(version: Version, share: float, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind that training keeps back, by row id; none where the version holds none of that kind."""
    files = version.data_files(kind)
    return pl.read_parquet(files).filter(held_out(share)).sort("id").to_dicts() if files else []


def _of_record(row: Mapping[str, Any]) -> Prompt:
    where = f"{row['source']}:{row['line']}"
    checks = read_checks(row["checks"], where)
    return Prompt(where, for_template(row["prompt"]), None, row["answer"], checks)


def _asked(row: Mapping[str, Any], before: Messages, answer: Messages, tools: str | None) -> Prompt:
    said = next((turn["content"] for turn in answer if turn["role"] == "assistant"), None)
    return Prompt(f"{row['source']}:{row['line']}", for_template(before), tools_for_template(tools), said)
