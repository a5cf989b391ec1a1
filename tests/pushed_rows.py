"""Versions and recipes of campaigns that are pushed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from datakit.recipe.load import recipe_from
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version

GUIDELINE = "# 指南\n\n选更好的回复。\n"


def pairs(count: int) -> list[dict[str, Any]]:
    """Pairs in Chinese and English from four channels, with the verdicts of two judges who disagree on every fifth."""
    rows = []
    for n in range(count):
        asked, good, bad = (
            (f"第{n}号产品多少钱？", f"您好，第{n}号一年{n}千元，来电<PHONE_{n}>。", f"不知道{n}号。") if n % 2 else
            (f"What does product {n} cost?", f"It is {n} thousand yuan a year.", f"No idea about {n}.")
        )  # fmt: skip
        judges = {"judge_a": "first", "judge_b": "second" if n % 5 == 0 else "first", "score_a": n / 10}
        prompt = [{"role": "user", "content": asked}]
        meta = {"channel": "phone" if n % 4 == 0 else "chat", **judges}
        rows.append({"prompt": prompt, "chosen": good, "rejected": bad, "meta": meta})
    return rows


def dialogues(count: int) -> list[dict[str, Any]]:
    """Dialogues in Chinese and English."""
    return [
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"第{n}个问题：怎么收费？" if n % 2 else f"Question {n}: what is the price?",
                },
                {"role": "assistant", "content": f"按席位收费，第{n}档。" if n % 2 else f"By seat, in tier {n}."},
            ]
        }
        for n in range(count)
    ]


def version_of(folder: Path, *files: Sequence[dict[str, Any]]) -> Version:
    """A version that holds rows as they are given, a file each: a.jsonl, b.jsonl, …"""
    from datakit.cleaning.clean import clean

    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, rows in zip("abcdef", files, strict=False):
        (raw / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return clean(raw, folder / "clean", {"clean": {"steps": ["rules"]}}).version  # rules measure the scores


def campaign_recipe(folder: Path, name: str = "运动 one", guideline: str = GUIDELINE, **settings: Any) -> Recipe:
    """A recipe of a campaign on `folder`/clean."""
    (folder / "guideline.md").write_text(guideline, encoding="utf-8")
    table = {
        "name": name,
        "folder": str(folder / "campaigns"),
        "dataset": str(folder / "clean"),
        "guideline": str(folder / "guideline.md"),
        "language": "zh",
        **settings,
    }
    return recipe_from({"annotate": table})


def write_gold(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """A file of gold items; its path."""
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)
