"""Judgements of simulated annotators whose quality is known, as `pull` keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from annotation.campaigns.items import SCHEMA

START = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Person:
    """right: how often they see which answer is better; left: how often they take the left one without a look."""

    name: str
    right: float
    left: float = 0.0
    seconds: float = 20.0


GOOD, CARELESS, LEFT = Person("a01", 0.95), Person("a02", 0.55, seconds=4.0), Person("a03", 0.9, left=0.6)


@dataclass(frozen=True)
class Judged:
    """items, judgements: as a campaign has them; truth: item to the better answer, first or second."""

    items: pl.DataFrame
    judgements: pl.DataFrame
    truth: dict[str, str]


def judge(
    people: Sequence[Person] = (GOOD, CARELESS, LEFT),
    *,
    asked: int = 300,
    gold: int = 60,
    repeats: int = 60,
    seed: int = 7,
) -> Judged:
    """A preference campaign in which everybody answers every item."""
    random = np.random.default_rng(seed)
    items: list[dict[str, Any]] = []
    truth: dict[str, str] = {}
    for number in range(asked + gold + repeats):
        role = "ask" if number < asked else "gold" if number < asked + gold else "repeat"
        of = items[number - asked - gold] if role == "repeat" else None
        name = f"{number:016x}"
        truth[name] = truth[of["item"]] if of else str(random.choice(["first", "second"]))
        items.append(
            {
                "item": name,
                "id": f"{number:016x}",
                "source": "pairs.jsonl",
                "line": of["line"] if of else number + 1,
                "role": role,
                "of": of["item"] if of else None,
                "stratum": ["价格", "技术"][number % 2],
                "batch": 0,
                "order": of["order"][::-1] if of else random.permutation(2).tolist(),
                "expected": json.dumps(truth[name]) if role == "gold" else None,
                "row_kind": "preference",
            }
        )
    rows = [row for person in people for row in _answers(person, items, truth, random)]
    return Judged(pl.DataFrame(items, schema=SCHEMA), pl.DataFrame(rows, infer_schema_length=None), truth)


def _answers(
    person: Person, items: Sequence[dict[str, Any]], truth: dict[str, str], random: np.random.Generator
) -> list[dict[str, Any]]:
    rows = []
    for number, item in enumerate(items):
        value = truth[item["item"]]
        if random.random() > person.right:
            value = {"first": "second", "second": "first"}[value]
        place = item["order"].index(["first", "second"].index(value))
        if random.random() < person.left:
            place = 0
        shown, value = "AB"[place], ["first", "second"][item["order"][place]]
        answered = START + timedelta(days=number // 60, seconds=(number % 60) * person.seconds)
        kept = {name: item[name] for name in ("item", "id", "source", "line", "role", "of", "stratum", "order")}
        rows.append(
            {
                **kept,
                "question": "preference",
                "kind": "preference",
                "value": json.dumps(value),
                "shown": json.dumps(shown),
                "annotator": person.name,
                "status": "submitted",
                "guideline": "0123456789ab",
                "answered_at": answered.isoformat().replace("+00:00", "Z"),
                "response": f"{person.name}{number:029x}",
                "gone": None,
            }
        )
    return rows
