"""Rows, models and provers that the tests of masks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from tiny_models import FAMILIES, TEMPLATES, tiny_model

from datakit.masks.prover import Proved, ProvedRow, Prover
from datakit.recipe.masks import MaskSettings
from datakit.template.model import Model, load_model
from datakit.versions.store import Version

FIELDS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", "train")


def turn(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    """A message with every field of a record."""
    if isinstance(more.get("tool_calls"), list):
        more["tool_calls"] = orjson.dumps(more["tool_calls"]).decode()
    return {**dict.fromkeys(FIELDS), "role": role, "content": content, **more}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": orjson.dumps(arguments).decode()}}


def dialogue(*turns: dict[str, Any], tools: list[Any] | None = None, line: int = 1) -> dict[str, Any]:
    """A record of kind messages."""
    declared = orjson.dumps(tools).decode() if tools else None
    return {"id": f"{line:016x}", "source": "x.jsonl", "line": line, "messages": list(turns), "tools": declared}


def said(*contents: str) -> dict[str, Any]:
    """A dialogue of user and assistant by turns."""
    return dialogue(*(turn("assistant" if n % 2 else "user", text) for n, text in enumerate(contents)))


@cache
def model(template: str = "chatml", family: str = "") -> Model:
    """A tiny model by the name of its template."""
    return load_model(tiny_model(family or (template if template in FAMILIES else "chatml"), template))


def with_template(source: str, **changes: Any) -> Model:
    """ChatML's tiny tokenizer under a template written in a test."""
    return replace(model(), template=source, fingerprint=f"{hash((source, str(changes))):x}", **changes)


def prover(subject: Model | str = "chatml", **settings: Any) -> Prover:
    return Prover(model(subject) if isinstance(subject, str) else subject, MaskSettings(**settings))


def prove_one(row: dict[str, Any], subject: Model | str = "chatml", **settings: Any) -> Proved:
    (proved,) = prover(subject, **settings).prove_messages([row])
    return proved


def shown(row: dict[str, Any], subject: Model | str = "chatml", **settings: Any) -> ProvedRow:
    return prover(subject, **settings).show(row)


def trained_text(row: dict[str, Any], subject: Model | str = "chatml", **settings: Any) -> list[str]:
    """The stretches of text that are trained, as their tokens decode."""
    found = prover(subject, **settings)
    (proved,) = found.prove_messages([row])
    stretches: list[list[int]] = []
    before = -1
    for place in [place for place, label in enumerate(proved.labels.tolist()) if label != -100]:
        if place != before + 1 or not stretches:
            stretches.append([])
        stretches[-1].append(int(proved.ids[place]))
        before = place
    return [found.model.tokenizer.decode(ids, skip_special_tokens=False) for ids in stretches]


def codes(row: dict[str, Any], subject: Model | str = "chatml", **settings: Any) -> dict[str, str]:
    """Code to severity of what is wrong with a row."""
    return {finding.code: finding.weight for finding in prove_one(row, subject, **settings).findings}


def version_of(rows: Sequence[dict[str, Any]], folder: Path) -> Version:
    """A version that holds rows as they are given."""
    from datakit.cleaning.clean import clean

    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "rows.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return clean(raw, folder / "clean", {"clean": {"steps": []}}).version


def plain_rows(count: int) -> list[dict[str, Any]]:
    """Dialogues in Chinese and English, as files hold them, no two of them equal."""
    rows = []
    for number in range(count):
        zh = number % 2
        asked = f"第{number}号产品多少钱？" if zh else f"What does product {number} cost?"
        answered = f"{number * 7}元，含税。" if zh else f"It is {number * 7} yuan, tax included."
        rows.append({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]})
    return rows


CHATML = TEMPLATES["chatml"]
