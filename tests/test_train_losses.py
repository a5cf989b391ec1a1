"""DPO with every loss of the installed TRL, alone and weighted together; what a loss cannot do is said by the recipe."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from train_rows import mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

from datakit.errors import RecipeError
from datakit.versions.store import Version
from train.run import train
from train.runs import Run

NEEDS: dict[str, dict[str, Any]] = {"exo_pair": {"label_smoothing": 1e-3}, "robust": {"label_smoothing": 0.1}}
"""What a loss needs besides its name."""


def losses_of_trl() -> list[str]:
    """The names in the documentation of the installed `DPOConfig`."""
    from trl import DPOConfig

    said = str(DPOConfig.__doc__).partition("loss_type (")[2].partition("loss_weights (")[0]
    return list(dict.fromkeys(re.findall(r"`'(\w+)'`", said)))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"), 8)


def aligned(version: Version, folder: Path, **fields: Any) -> list[dict[str, float]]:
    """What three steps of DPO log; nothing is measured at the end."""
    table = {"holdout": 0.0, "adaptation": "full", "trl": {"max_steps": 3, "save_strategy": "no", **fields}}
    recipe = recipe_of(version, folder, train={"dpo": table}, evaluate={"samples": 1, "max_new_tokens": 1})
    result = train("dpo", recipe, recipe_path=folder / "tiny.toml")
    assert result.run is not None and result.model is not None
    return [row for row in Run.open(result.run).history() if "loss" in row]


def test_the_losses_of_trl_are_those_of_the_facts() -> None:
    """facts/training.md, section 4: fifteen of them."""
    assert set(losses_of_trl()) == {
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
        "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
    }  # fmt: skip


@pytest.mark.parametrize("loss", losses_of_trl())
def test_every_loss_trains(loss: str, version: Version, tmp_path: Path) -> None:
    steps = aligned(version, tmp_path, loss_type=loss, **NEEDS.get(loss, {}))
    assert len(steps) == 3
    assert all(math.isfinite(step["loss"]) and math.isfinite(step["grad_norm"]) for step in steps)
    assert steps[0]["rewards/margins"] == pytest.approx(0, abs=1e-3), "the reference is what training starts from"
    assert steps[0]["grad_norm"] > 0 and steps[-1]["logps/chosen"] != steps[0]["logps/chosen"], "it moves the policy"


def test_losses_are_added_by_their_weights(version: Version, tmp_path: Path) -> None:
    """At the first step of the same rows, a weighted sum is the sum of the losses by themselves."""
    first = {
        name: aligned(version, tmp_path / name, loss_type=name)[0]["loss"] for name in ("sigmoid", "sft", "bco_pair")
    }
    both = aligned(version, tmp_path / "both", loss_type=["sigmoid", "sft"], loss_weights=[0.5, 2.0])[0]["loss"]
    assert both == pytest.approx(0.5 * first["sigmoid"] + 2.0 * first["sft"], rel=1e-5)
    three = aligned(version, tmp_path / "three", loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0])
    assert three[0]["loss"] == pytest.approx(0.8 * first["sigmoid"] + 0.2 * first["bco_pair"] + first["sft"], rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"loss_type": "exo_pair"}, "Label smoothing must be greater than 0.0"),
        ({"loss_type": "sigmiod"}, "Unknown loss type: sigmiod"),
        ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0]}, "same length"),
        (
            {"loss_type": "apo_zero", "f_divergence_type": "js_divergence"},
            "only supported for the following loss types",
        ),
        ({"loss_type": "aot", "use_weighting": True}, "not implemented for 'aot'"),
    ],
)
def test_what_a_loss_needs_is_said(fields: dict[str, Any], words: str, version: Version, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.dpo: TRL refuses it") as refused:
        aligned(version, tmp_path, **fields)
    assert words in str(refused.value) and refused.value.exit_code == 2
