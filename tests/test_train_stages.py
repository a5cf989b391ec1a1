"""Every stage trains for real, all weights or an adapter, and what it learns is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny_weights import tiny_weights
from train_rows import mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

from datakit.progress import Silent
from datakit.recipe.recipe import Recipe
from datakit.template.model import load_model
from datakit.versions.store import Version
from train import data
from train.measures.evaluator import Evaluator
from train.model import is_adapter, load
from train.run import TrainResult, train
from train.runs import Run
from train.stages import STAGES


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


def trained(stage: Any, version: Version, folder: Path, **settings: Any) -> TrainResult:
    recipe = recipe_of(version, folder, train={stage: settings})
    return train(stage, recipe, recipe_path=folder / "tiny.toml")


def logged(result: TrainResult, name: str) -> list[float]:
    assert result.run is not None
    return [row[name] for row in Run.open(result.run).history() if name in row]


@pytest.mark.parametrize("adaptation", ["full", "lora"])
@pytest.mark.parametrize("stage", ["cpt", "sft"])
def test_a_model_of_language_learns_its_rows(stage: str, adaptation: str, version: Version, tmp_path: Path) -> None:
    result = trained(stage, version, tmp_path, adaptation=adaptation)
    losses = logged(result, "loss")
    assert losses[-1] < losses[0] - (0.5 if adaptation == "full" else 0.1)
    assert logged(result, "eval_loss")[-1] < losses[0], "rows that were held out are likelier too"
    assert result.model is not None and is_adapter(result.model) == (adaptation == "lora")
    assert result.metrics["ppl_drop"] is not None and result.metrics["ppl_drop"] > 0.05, "measured on the saved model"


@pytest.mark.parametrize("stage", ["cpt", "sft", "dpo"])
def test_a_run_shows_answers_before_and_after(stage: str, version: Version, tmp_path: Path) -> None:
    """Of a model of texts: how it goes on with the beginnings of held-out ones."""
    result = trained(stage, version, tmp_path, adaptation="full")
    assert result.run is not None
    samples = Run.open(result.run).fields["samples"]
    assert samples and all(sample.keys() == {"prompt", "before", "after"} for sample in samples)
    assert any(sample["before"] != sample["after"] for sample in samples) and all(s["prompt"] for s in samples)
    page = (result.run / "report.html").read_text(encoding="utf-8")
    assert page.count('<div class="pair">') == len(samples)


@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_a_reward_model_learns_which_answer_is_better(adaptation: str, version: Version, tmp_path: Path) -> None:
    result = trained("reward", version, tmp_path, adaptation=adaptation)
    assert logged(result, "accuracy")[-1] == 1 and logged(result, "margin")[-1] > logged(result, "margin")[0] + 0.5
    assert result.metrics["reward_accuracy"] is not None and result.metrics["reward_accuracy"] > 0.5


@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_dpo_raises_the_margin_from_nought(adaptation: str, version: Version, tmp_path: Path) -> None:
    result = trained("dpo", version, tmp_path, adaptation=adaptation)
    margins = logged(result, "rewards/margins")
    assert abs(margins[0]) < 1e-3, "before the first step policy and reference are one"
    assert margins[-1] > 0.3
    assert result.metrics["kl_token"] is not None and result.metrics["kl_token"] > 0, "both were loaded from disk"


@pytest.mark.parametrize("stage", ["sft", "reward", "dpo"])
def test_adapters_on_four_bits_learn(stage: Any, version: Version, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes, which 4-bit weights need, is not installed")
    base = tiny_weights(width=64)  # bitsandbytes packs blocks of 64 on a CPU
    recipe = recipe_of(version, tmp_path, base=base, train={stage: {"adaptation": "qlora"}})
    result = train(stage, recipe, recipe_path=tmp_path / "tiny.toml")
    losses = logged(result, "loss")
    assert losses[-1] < losses[0] - 0.1
    assert result.model is not None and is_adapter(result.model)


def test_stages_start_from_what_the_stage_before_has_saved(version: Version, tmp_path: Path) -> None:
    sft = trained("sft", version, tmp_path, adaptation="lora")
    assert sft.model is not None and sft.run is not None
    dpo = trained("dpo", version, tmp_path, adaptation="full")
    assert dpo.run is not None
    assert Run.open(dpo.run).place("base") == sft.model
    assert abs(logged(dpo, "rewards/margins")[0]) < 1e-3, "the reference is what sft made, not the base of its adapter"
    merged, kept = load(sft.model).state_dict(), load(dpo.run / "start").state_dict()
    assert all(bool((merged[name] == weight).all()) for name, weight in kept.items())


def test_the_saved_model_has_the_tokenizer_and_the_template_of_the_proof(version: Version, tmp_path: Path) -> None:
    result = trained("sft", version, tmp_path, adaptation="full", epochs=1)
    assert result.model is not None
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (result.model / name).read_bytes() == (tiny_weights() / name).read_bytes()
    assert not (result.model / "training_args.bin").exists()


def test_every_row_is_accounted_for(version: Version, tmp_path: Path) -> None:
    plain = trained("sft", version, tmp_path, epochs=1).to_json()
    rows = plain["rows"]
    assert rows["in"] == 24 == rows["trained"] + sum(rows["left_out"].values())
    assert rows["left_out"]["held_out"] > 0
    assert {"run", "stage", "rows", "metrics", "gates", "model"} <= plain.keys()
    assert {"entry", "exit"} <= plain["gates"].keys()


def test_a_rollback_leaves_the_last_model_that_passed(version: Version, tmp_path: Path) -> None:
    """Perplexity falls while training: a gate that forbids it lets the first checkpoints pass and stops at a later one."""
    gates = {"sft": {"entry": {"rows": 1}, "rollback": {"general_drop": False, "ppl": {"op": ">", "threshold": 300}}}}
    recipe = recipe_of(version, tmp_path, train={"sft": {"adaptation": "full", "learning_rate": 3e-3}}, gates=gates)
    result = train("sft", recipe, recipe_path=tmp_path / "tiny.toml")
    assert [verdict.criterion.metric for verdict in result.rollback] == ["ppl"] and not result.passed
    assert result.run is not None and result.model is not None and Run.open(result.run).status == "stopped"
    evaluator = Evaluator(
        "sft", recipe, version, rows_of(version, recipe), None, holdout=recipe.train.sft.holdout, wanted={"ppl"}
    )
    perplexity = evaluator.measure(result.model).metrics["ppl"]
    assert perplexity is not None and perplexity > 300
    assert result.to_json()["gates"]["rollback"][0]["status"] == "failed"


def test_a_rollback_without_a_passing_checkpoint_leaves_no_model(version: Version, tmp_path: Path) -> None:
    gates = {"sft": {"entry": {"rows": 1}, "rollback": {"general_drop": False, "ppl": {"op": "<", "threshold": 1}}}}
    recipe = recipe_of(version, tmp_path, gates=gates)
    result = train("sft", recipe, recipe_path=tmp_path / "tiny.toml")
    assert result.rollback and result.model is None and result.to_json()["model"] is None


def rows_of(version: Version, recipe: Recipe) -> pl.DataFrame:
    """The dialogues that were held out."""
    row = STAGES["sft"]
    assert recipe.model.base is not None
    proof = data.proof_of(version, load_model(Path(recipe.model.base)), recipe, row, Silent())
    return data.rows_of(version, proof, row, recipe.train.sft.holdout).held
