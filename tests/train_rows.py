"""Versions, recipes and jobs that the tests of training share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mask_rows import plain_rows, version_of
from tiny_weights import tiny_weights

from datakit.gates import STAGES
from datakit.recipe.load import recipe_from
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version

OPEN: dict[str, Any] = {
    "entry": {"rows": 1, "pair_distance": 0, "previous_passed": False, "prompt_divergence": False},
    "exit": {"kl_token": False, "win_rate": False},
    "rollback": {"kl_token": False, "win_rate": False, "distinct_2_ratio": False},
}
# The guide's gates ask for thousands of rows; what gates do is tried in their own tests.
OPEN_GATES: dict[str, Any] = {
    "cpt": {"entry": {"text_gb": 0, "updates_a_year": False}, "rollback": {"general_drop": False}},
    "sft": {"entry": {"rows": 1}, "rollback": {"general_drop": False}},
    "reward": {"entry": {"rows": 1, "pair_distance": 0}, "exit": {"reward_accuracy": False}},
    "dpo": OPEN,
    "kto": {**OPEN, "entry": {name: value for name, value in OPEN["entry"].items() if name != "pair_distance"}},
    "orpo": OPEN,
    "simpo": OPEN,
}
LEARN = {"learning_rate": 1e-2, "epochs": 3, "batch": 4, "trl": {"lr_scheduler_type": "constant"}}


def texts(count: int) -> list[dict[str, Any]]:
    """Texts in Chinese and English, as files hold them."""
    return [
        {"text": f"第{n}条：标准版支持五百个用户同时在线。" if n % 2 else f"Note {n}: it supports five hundred users."}
        for n in range(count)
    ]


def pairs(count: int) -> list[dict[str, Any]]:
    """Pairs whose chosen answers are polite and whose rejected ones are not."""
    rows = []
    for n in range(count):
        asked, good, bad = (
            (f"第{n}号产品多少钱？", f"您好，一年{n}千元。", "不知道。") if n % 2 else
            (f"What does product {n} cost?", f"It is {n} thousand yuan a year.", "No idea.")
        )  # fmt: skip
        rows.append(
            {
                "prompt": [{"role": "user", "content": asked}],
                "chosen": [{"role": "assistant", "content": good}],
                "rejected": [{"role": "assistant", "content": bad}],
            }
        )
    return rows


def judged(count: int) -> list[dict[str, Any]]:
    """Single answers, each said to be good or bad."""
    return [
        {"prompt": row["prompt"], "completion": row["chosen" if n % 2 else "rejected"], "label": bool(n % 2)}
        for n, row in enumerate(row for row in pairs(count // 2) for _ in range(2))
    ]


def mixed_version(folder: Path, count: int = 24) -> Version:
    """A version of dialogues, texts, pairs and single answers."""
    return version_of([*plain_rows(count), *texts(count), *pairs(count), *judged(count)], folder)


def recipe_of(
    version: Version, folder: Path, *, base: Path | None = None, train: Mapping[str, Any] | None = None, **tables: Any
) -> Recipe:
    """A recipe that trains a version on a tiny model, its runs in a folder, its gates open."""
    stages = {stage: {**LEARN, **((train or {}).get(stage, {}))} for stage in STAGES}
    return recipe_from(
        {
            "data": {"output": str(version.path)},
            "model": {"base": str(base or tiny_weights())},
            "evaluate": {"samples": 4, "max_new_tokens": 8},
            "gates": OPEN_GATES,
            "train": {"runs": str(folder / "runs"), **stages},
            **tables,
        }
    )
