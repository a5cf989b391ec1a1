"""KTO, ORPO and SimPO: trained for real, on the proof's ids, with the losses of their papers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from train_rows import judged, mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

import torch

from datakit.progress import Silent
from datakit.versions.store import Version
from train import data
from train.config import make_config
from train.job import Job, prepare
from train.measures.entry import entry_values
from train.model import is_adapter, load
from train.quiet import quiet
from train.run import TrainResult, train
from train.runs import Run
from train.start import Ingredients


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


def trained(stage: Any, version: Version, folder: Path, **settings: Any) -> TrainResult:
    recipe = recipe_of(version, folder, train={stage: settings})
    return train(stage, recipe, recipe_path=folder / "tiny.toml")


def logged(result: TrainResult, name: str) -> list[float]:
    assert result.run is not None
    return [row[name] for row in Run.open(result.run).history() if name in row]


# ORPO's rewards are a tenth of a mean log-probability, SimPO's twice one, KTO's a tenth of a sum.
RISE = {"kto": 0.03, "orpo": 0.01, "simpo": 0.2}


@pytest.mark.parametrize("adaptation", ["full", "lora"])
@pytest.mark.parametrize("stage", ["kto", "orpo", "simpo"])
def test_good_answers_become_likelier_than_bad_ones(
    stage: str, adaptation: str, version: Version, tmp_path: Path
) -> None:
    result = trained(stage, version, tmp_path, adaptation=adaptation)
    margins = logged(result, "rewards/margins")
    assert margins[-1] > margins[0] + RISE[stage]
    assert result.model is not None and is_adapter(result.model) == (adaptation == "lora")
    rows = result.to_json()["rows"]
    assert rows["in"] == 24 == rows["trained"] + sum(rows["left_out"].values())
    assert result.metrics["kl_token"] is not None and result.metrics["kl_token"] > 0, "measured between folders"


@pytest.mark.parametrize("stage", ["kto", "orpo", "simpo"])
def test_adapters_on_four_bits_learn(stage: Any, version: Version, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes, which 4-bit weights need, is not installed")
    from tiny_weights import tiny_weights

    recipe = recipe_of(version, tmp_path, base=tiny_weights(width=64), train={stage: {"adaptation": "qlora"}})
    result = train(stage, recipe, recipe_path=tmp_path / "tiny.toml")
    margins = logged(result, "rewards/margins")
    assert margins[-1] > margins[0]
    assert result.model is not None and is_adapter(result.model)


# The losses, computed once more by the formulas of the papers from a model's logits alone.


def job_of(stage: Any, version: Version, folder: Path, **settings: Any) -> Job:
    recipe = recipe_of(version, folder, train={stage: {"adaptation": "full", **settings}})
    return prepare(stage, recipe, folder / "tiny.toml", Silent(), False, ())


def trainer_of(job: Job, folder: Path) -> Any:
    from transformers import AutoTokenizer

    start = job.start.folder
    return job.row.build(
        Ingredients(
            start=start,
            adaptation="full",
            settings=job.settings,
            config=make_config(job.stage, job.settings, folder / "out", evaluated=False),
            tokenizer=AutoTokenizer.from_pretrained(start),
            rows=data.dataset(job.rows.rows, job.row),
            held=None,
            callbacks=(),
            dtype="float32",
        )
    )


def loss_of(trainer: Any, rows: list[Mapping[str, Any]]) -> float:
    trainer.model.eval()
    with quiet(), torch.no_grad():  # TRL asks for what transformers calls by another name now
        return float(trainer.compute_loss(trainer.model, trainer._prepare_inputs(trainer.data_collator(rows))))


def logps(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probability of each token of an answer, given the prompt."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        found = model(ids).logits[0].log_softmax(-1)
    return found[len(prompt) - 1 : -1].gather(-1, torch.tensor(answer)[:, None]).squeeze(-1)


def sides(model: Any, row: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return logps(model, row["prompt_ids"], row["chosen_ids"]), logps(model, row["prompt_ids"], row["rejected_ids"])


def test_orpo_has_the_loss_of_its_paper_on_answers_alone(version: Version, tmp_path: Path) -> None:
    """arXiv 2403.07691, equations 2 to 6; TRL's own takes the prompt's tokens for its first part."""
    job = job_of("orpo", version, tmp_path, beta=0.3)
    trainer, model = trainer_of(job, tmp_path), load(job.start.folder)
    rows = [trainer.train_dataset[place] for place in range(4)]
    assert len({len(row["chosen_ids"]) for row in rows}) > 1, "padding must make no difference"
    likely, odds = [], []
    for row in rows:
        chosen, rejected = sides(model, row)
        likely.append(chosen)
        one, other = chosen.mean(), rejected.mean()
        odds.append((one - torch.log1p(-one.exp())) - (other - torch.log1p(-other.exp())))
    expected = -torch.cat(likely).mean() - 0.3 * torch.nn.functional.logsigmoid(torch.stack(odds)).mean()
    assert loss_of(trainer, rows) == pytest.approx(float(expected), abs=1e-5)


def test_simpo_has_the_loss_of_its_paper(version: Version, tmp_path: Path) -> None:
    """arXiv 2405.14734, equation 6."""
    job = job_of("simpo", version, tmp_path, beta=2.5, gamma=1.0)
    trainer, model = trainer_of(job, tmp_path), load(job.start.folder)
    rows = [trainer.train_dataset[place] for place in range(4)]
    margins = [2.5 * (chosen.mean() - rejected.mean()) for chosen, rejected in (sides(model, row) for row in rows)]
    expected = -torch.nn.functional.logsigmoid(torch.stack(margins) - 1.0).mean()
    assert loss_of(trainer, rows) == pytest.approx(float(expected), abs=1e-5)


def test_kto_has_the_loss_of_its_paper(version: Version, tmp_path: Path) -> None:
    """arXiv 2402.01306, equation 8; the policy is moved first, for else every reward is nought."""
    job = job_of("kto", version, tmp_path, beta=0.5, desirable_weight=2.0)
    trainer, reference = trainer_of(job, tmp_path), load(job.start.folder)
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(1.5)
    rows = [trainer.train_dataset[place] for place in range(4)]
    assert {row["label"] for row in rows} == {True, False}
    policy = load(job.start.folder)
    policy.load_state_dict(trainer.model.state_dict())

    def reward(prompt: list[int], answer: list[int]) -> torch.Tensor:
        return logps(policy, prompt, answer).sum() - logps(reference, prompt, answer).sum()

    strangers = [reward(row["prompt_ids"], rows[place - 1]["completion_ids"]) for place, row in enumerate(rows)]
    moved = torch.stack(strangers).mean().clamp(min=0)
    losses = []
    for row in rows:
        own = reward(row["prompt_ids"], row["completion_ids"])
        good = 2.0 * (1 - torch.sigmoid(0.5 * (own - moved)))
        losses.append(good if row["label"] else 1 - torch.sigmoid(0.5 * (moved - own)))
    assert loss_of(trainer, rows) == pytest.approx(float(torch.stack(losses).mean()), abs=1e-5)


def test_kto_shuffles_rows_and_pairs_each_with_a_stranger_of_its_batch(version: Version, tmp_path: Path) -> None:
    job = job_of("kto", version, tmp_path)
    rows = list(trainer_of(job, tmp_path).train_dataset)
    size = job.settings["per_device_train_batch_size"]
    as_given = job.rows.rows["completion_ids"].to_list()
    assert [row["completion_ids"] for row in rows] != as_given
    assert sorted(row["completion_ids"] for row in rows) == sorted(as_given)
    for first in range(0, len(rows), size):
        batch = rows[first : first + size]
        assert [row["KL_completion_ids"] for row in batch] == [
            batch[place - 1]["completion_ids"] for place in range(len(batch))
        ]


def test_the_imbalance_of_good_and_bad_answers_is_weighed(tmp_path: Path) -> None:
    from mask_rows import version_of

    rows = [row for row in judged(48) if row["label"]][:20] + [row for row in judged(48) if not row["label"]][:5]
    version = version_of(rows, tmp_path)

    def imbalance(**settings: float) -> float | None:
        return entry_values("kto", recipe_of(version, tmp_path, train={"kto": settings}), version).metrics["imbalance"]

    assert imbalance() == pytest.approx(20 / 5 * 3 / 4), "four to one, where four to three is allowed"
    assert imbalance(undesirable_weight=4.0) == pytest.approx(1), "evened out: at the edge"
    assert imbalance(undesirable_weight=8.0) == pytest.approx(2), "too much the other way"
