"""The silent traps of TRL 1.16 that were reproduced (facts/training.md), each made impossible or loud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_weights import quiet, tiny_weights
from train_rows import mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

from datakit.errors import DataVerdict, RecipeError, Surroundings, UsageFault
from datakit.progress import Silent
from datakit.versions.store import Version
from train import data
from train.config import DECIDED, check_keys, field_names, make_config
from train.job import prepare
from train.probe import probe
from train.run import train
from train.stages import STAGES
from train.start import Ingredients


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    with quiet():
        yield


def trainer_of(stage: Any, version: Version, folder: Path, adaptation: Any = "full") -> Any:
    """A trainer as a run builds it, before its first step."""
    from transformers import AutoTokenizer

    recipe = recipe_of(version, folder, train={stage: {"adaptation": adaptation}})
    job = prepare(stage, recipe, folder / "tiny.toml", Silent(), False, ())
    start = job.start.folder
    with quiet():
        parts = Ingredients(
            start, adaptation, job.settings, make_config(stage, job.settings, folder, evaluated=False),
            AutoTokenizer.from_pretrained(start), data.dataset(job.rows.rows, job.row), None, (), "float32",
        )  # fmt: skip
        return job.row.build(parts)


def test_a_reference_that_is_another_model_is_found_before_the_first_step(version: Version, tmp_path: Path) -> None:
    """4b: a reference that TRL reloads by name is another model than the one that is trained."""
    import torch

    trainer = trainer_of("dpo", version, tmp_path)
    probe(trainer, even=True)
    with torch.no_grad():
        for weight in trainer.ref_model.parameters():
            weight.add_(torch.randn_like(weight) * 0.5)
    with pytest.raises(DataVerdict, match="policy and reference differ by a margin"):
        probe(trainer, even=True)


def test_the_probe_leaves_nothing_behind(version: Version, tmp_path: Path) -> None:
    import torch

    trainer = trainer_of("sft", version, tmp_path, "lora")
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    state = torch.random.get_rng_state()
    probe(trainer, even=False)
    assert bool((torch.random.get_rng_state() == state).all())
    assert all(weight.grad is None for weight in trainer.model.parameters())
    assert all(bool((before[name] == weight).all()) for name, weight in trainer.model.named_parameters())
    assert not trainer._metrics["train"] and trainer._total_train_tokens == 0


def test_the_probe_takes_the_longest_rows(version: Version, tmp_path: Path) -> None:
    trainer = trainer_of("sft", version, tmp_path)
    seen: list[int] = []
    collate = trainer.data_collator

    def looked_at(rows: list[dict[str, Any]]) -> Any:
        seen.extend(len(row["input_ids"]) for row in rows)
        return collate(rows)

    trainer.data_collator = looked_at
    probe(trainer, even=False)
    lengths = sorted((len(row["input_ids"]) for row in trainer.train_dataset), reverse=True)
    assert seen == lengths[: trainer.args.per_device_train_batch_size]


def test_memory_that_does_not_suffice_comes_with_advice(version: Version, tmp_path: Path) -> None:
    import torch

    trainer = trainer_of("sft", version, tmp_path)

    def exhausted(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    trainer.compute_loss = exhausted
    with pytest.raises(Surroundings, match="per_device_train_batch_size below 4"):
        probe(trainer, even=False)


def test_a_loss_that_is_no_number_stops_at_once(version: Version, tmp_path: Path) -> None:
    """4c: transformers logs 0.0 for it."""
    import torch

    trainer = trainer_of("sft", version, tmp_path)
    assert trainer.args.logging_nan_inf_filter is False
    with torch.no_grad():
        next(iter(trainer.model.parameters())).fill_(float("nan"))
    with pytest.raises(DataVerdict, match="its loss is NaN"):
        probe(trainer, even=False)


def test_trl_loses_no_row(version: Version, tmp_path: Path) -> None:
    """4g: TRL filters rows whose answer is cut away, without a count."""
    from transformers import AutoTokenizer

    trainer = trainer_of("sft", version, tmp_path)
    start = tiny_weights()
    with quiet():
        config = make_config("sft", {"max_length": 8, "packing": "none"}, tmp_path, evaluated=False)
        parts = Ingredients(
            start, "full", {}, config, AutoTokenizer.from_pretrained(start), trainer.train_dataset, None, (), "float32"
        )
        with pytest.raises(AssertionError, match="proved tokens the trainer holds"):
            STAGES["sft"].build(parts)


def test_dpo_takes_the_ids_of_the_proof_verbatim(version: Version, tmp_path: Path) -> None:
    trainer = trainer_of("dpo", version, tmp_path)
    recipe = recipe_of(version, tmp_path)
    job = prepare("dpo", recipe, tmp_path / "tiny.toml", Silent(), False, ())
    assert trainer.train_dataset["prompt_ids"][:] == job.rows.rows["prompt_ids"].to_list()
    assert trainer.train_dataset["chosen_ids"][:] == job.rows.rows["chosen_ids"].to_list()


@pytest.mark.parametrize("stage", ["cpt", "sft", "reward", "dpo"])
def test_keys_that_trl_does_not_know_are_refused_together(stage: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        check_keys(stage, ["max_grad_nrom", "warmup_ratio", "weight_decay"])
    assert [fault.where for fault in caught.value.faults] == [
        f"train.{stage}.trl.max_grad_nrom",
        f"train.{stage}.trl.warmup_ratio",
    ]
    assert "Did you mean 'max_grad_norm'?" in str(caught.value)


@pytest.mark.parametrize("key", ["assistant_only_loss", "max_length", "logging_nan_inf_filter", "model_init_kwargs"])
def test_what_the_proof_decides_is_not_set_again(key: str) -> None:
    with pytest.raises(RecipeError, match="is not set here"):
        check_keys("sft", [key])


def test_everything_that_is_decided_is_a_field_of_trl() -> None:
    known = set().union(*(field_names(stage) for stage in STAGES))
    assert not DECIDED.keys() - known


@pytest.mark.parametrize("loss", ["sigmoid", "hinge", "ipo", "robust", "apo_zero", ["sigmoid", "sft"]])
def test_dpo_offers_the_losses_of_trl(loss: Any, version: Version, tmp_path: Path) -> None:
    more = {"loss_weights": [1.0, 0.5]} if isinstance(loss, list) else {}
    config = make_config("dpo", {"loss_type": loss, **more}, tmp_path, evaluated=False)
    assert config.loss_type == (loss if isinstance(loss, list) else [loss])


def test_reports_go_where_the_recipe_says(tmp_path: Path) -> None:
    assert make_config("sft", {}, tmp_path, evaluated=False).report_to == []
    assert make_config("sft", {"report_to": ["wandb"]}, tmp_path, evaluated=False).report_to == ["wandb"]
    check_keys("sft", ["report_to", "run_name"])


def test_a_value_that_trl_refuses_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="TRL refuses it"):
        make_config("sft", {"lr_scheduler_type": "sinus"}, tmp_path, evaluated=False)


def test_a_run_goes_on_only_as_it_was_begun(version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4d: TRL goes on with another learning rate or other data, and says nothing."""
    from train.callbacks import Watcher

    def killed(self: Watcher, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        saved(self, args, state, control, **kwargs)
        raise RuntimeError("the machine went away")

    saved = Watcher.on_save
    monkeypatch.setattr(Watcher, "on_save", killed)
    with pytest.raises(RuntimeError, match="went away"):
        train("sft", recipe_of(version, tmp_path), recipe_path=tmp_path / "tiny.toml")
    monkeypatch.setattr(Watcher, "on_save", saved)
    changed = recipe_of(version, tmp_path, train={"sft": {"learning_rate": 5e-3}})
    with pytest.raises(UsageFault, match=r"recipe.learning_rate was 0.01, is 0.005"):
        train("sft", changed, recipe_path=tmp_path / "tiny.toml")
    whole = train("sft", recipe_of(version, tmp_path / "other"), recipe_path=tmp_path / "tiny.toml")
    resumed = train("sft", recipe_of(version, tmp_path), recipe_path=tmp_path / "tiny.toml")
    assert resumed.run is not None and len(list(resumed.run.parent.iterdir())) == 1, "the same run has gone on"
    assert resumed.metrics["loss"] == whole.metrics["loss"] and resumed.metrics["ppl"] == whole.metrics["ppl"]
    forked = train("sft", changed, recipe_path=tmp_path / "tiny.toml", fork=True)
    assert forked.run is not None and forked.run != resumed.run
