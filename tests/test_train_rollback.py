"""Each sign of the guide that a model goes wrong ends the training, and the last checkpoint that passed is the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from train_rows import OPEN_GATES, mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

from typer.testing import CliRunner

from datakit.cli.app import app
from datakit.gates import STAGES
from datakit.recipe.guide import GUIDE
from datakit.versions.store import Version
from train.checkpoints import checkpoints_of, step_of
from train.measures.evaluation import Evaluation, Value
from train.measures.evaluator import Evaluator
from train.run import TrainResult, train
from train.runs import Run
from train.signs import SIGNS

SOUND = {"general_drop": 0.0, "kl_token": 0.1, "distinct_2_ratio": 1.0, "win_rate": 0.7}
"""What is measured of a checkpoint that the guide lets pass."""


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


def trained(stage: Any, version: Version, folder: Path, **trl: Any) -> TrainResult:
    """Twelve steps, a checkpoint every third, under the guide's own rollback gate."""
    gates = {
        name: {**OPEN_GATES[stage], "rollback": {}} if name == stage else gate for name, gate in OPEN_GATES.items()
    }
    table = {"adaptation": "full", "trl": {"max_steps": 12, "save_steps": 3, "eval_steps": 3, **trl}}
    recipe = recipe_of(version, folder, train={stage: table}, gates=gates)
    return train(stage, recipe, recipe_path=folder / "tiny.toml")


def measuring(monkeypatch: pytest.MonkeyPatch, values: Callable[[int], Mapping[str, float]]) -> None:
    """Let checkpoints measure as told: what a model measures as is tried in tests/test_measures_models.py."""
    whole = Evaluator.measure

    def measure(self: Evaluator, folder: Path) -> Evaluation:
        if folder.parent.name != "checkpoints":
            return whole(self, folder)
        return Evaluation({name: Value(value, 500) for name, value in values(step_of(folder)).items()})

    monkeypatch.setattr(Evaluator, "measure", measure)


def check(result: TrainResult, metric: str, last: int, *, stopped_at: int | None = None) -> None:
    """The run ended by one metric, its verdict says so everywhere, and the model is that of the last sound checkpoint."""
    assert result.run is not None and not result.passed
    run = Run.open(result.run)
    assert run.status == "stopped"
    # A loss that is no number is also no ratio that holds.
    assert [verdict.criterion.metric for verdict in result.rollback][:1] == [metric]
    assert len(result.rollback) == 1 or metric == "nan"
    said = next(verdict for verdict in run.fields["rollback"] if verdict["stops"])
    assert (said["metric"], said["status"]) == (metric, "failed") and said["value"] is not None and said["unit"]
    assert result.to_json()["gates"]["rollback"][0]["metric"] == metric
    assert "Gate: rollback" in (result.run / "report.html").read_text(encoding="utf-8")
    passing = [
        step_of(path) for path in checkpoints_of(run) if orjson.loads((path / "verdicts.json").read_bytes())["passed"]
    ]
    assert max(passing) == last
    assert result.model is not None
    restored, kept = (folder / "model.safetensors" for folder in (result.model, run.checkpoints / f"checkpoint-{last}"))
    assert restored.read_bytes() == kept.read_bytes()
    assert (result.model / "tokenizer.json").is_file() and (result.model / "run.json").is_file()
    if stopped_at is not None:
        assert max(row["step"] for row in run.history()) == stopped_at


@pytest.mark.parametrize(
    ("stage", "metric", "sound", "bad"),
    [
        ("cpt", "general_drop", 0.10, 0.11),  # 通用能力下降 > 10%
        ("sft", "general_drop", 0.10, 0.11),  # 灾难性遗忘
        ("dpo", "kl_token", 1.0, 1.01),  # KL divergence > 1.0
        ("dpo", "distinct_2_ratio", 0.7, 0.69),  # 多样性显著下降
        ("dpo", "win_rate", 0.5, 0.49),  # Win rate反而下降
        ("dpo", "kl_token", 0.9, math.nan),
    ],
)
def test_a_checkpoint_that_measures_badly_ends_it(
    stage: str, metric: str, sound: float, bad: float, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third checkpoint is over the guide's bound, the first two are on it."""
    measuring(monkeypatch, lambda step: {**SOUND, metric: sound if step < 9 else bad})
    check(trained(stage, version, tmp_path), metric, 6, stopped_at=9)


@pytest.mark.parametrize("stage", STAGES)
def test_a_loss_that_is_no_number_ends_it(
    stage: Any, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, at=7)
    measuring(monkeypatch, lambda step: SOUND)
    check(trained(stage, version, tmp_path), "nan", 6, stopped_at=8)


@pytest.mark.parametrize("stage", STAGES)
def test_divergence_ends_it(stage: Any, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss不收敛或发散: the mean of the last steps is more than half again as high as that of the first."""
    logging(monkeypatch, loss=lambda step: 2.0 if step <= 6 else 6.0)
    measuring(monkeypatch, lambda step: SOUND)
    check(trained(stage, version, tmp_path), "loss_ratio", 6, stopped_at=7)  # 2 2 2 against 2 2 6


@pytest.mark.parametrize("stage", STAGES)
def test_a_trend_of_over_fitting_ends_it(
    stage: Any, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """train loss falls, eval loss rises, three evaluations in a row."""
    logging(monkeypatch, loss=lambda step: 2.0 - step / 100, eval_loss=lambda step: 2.0 + step / 100)
    measuring(monkeypatch, lambda step: SOUND)
    check(trained(stage, version, tmp_path), "eval_loss_rises", 9, stopped_at=12)


def test_falling_chosen_answers_are_named_and_stop_nothing(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging(monkeypatch, **{"logps/chosen": lambda step: -10.0 - 5 * step})
    measuring(monkeypatch, lambda step: SOUND)
    from datakit.progress import Silent

    class Heard(Silent):
        words: list[str] = []  # noqa: RUF012

        def notice(self, text: str) -> None:
            self.words.append(text)

    gates = {**OPEN_GATES, "dpo": {**OPEN_GATES["dpo"], "rollback": {}}}
    table = {"adaptation": "full", "trl": {"max_steps": 8}}
    recipe = recipe_of(version, tmp_path, train={"dpo": table}, gates=gates)
    result = train("dpo", recipe, recipe_path=tmp_path / "tiny.toml", progress=Heard())
    assert not result.rollback and result.model is not None
    (said,) = [words for words in Heard.words if "chosen_logp_ratio" in words]
    assert "chosen answers become less probable" in said and "datakit explain chosen_logp_ratio" in said


@pytest.mark.parametrize("name", ["nan", "loss_ratio", "eval_loss_rises", "chosen_logp_ratio"])
def test_every_sign_has_cause_and_cure(name: str) -> None:
    sign = SIGNS[name]
    assert sign.title and sign.cause and sign.fix
    said = CliRunner().invoke(app, ["explain", name], catch_exceptions=False)
    assert said.exit_code == 0
    told = " ".join(said.stdout.split())
    assert " ".join(sign.cause.split())[:40] in told and " ".join(sign.fix.split())[:40] in told


def test_every_rollback_criterion_of_the_guide_is_tried_here() -> None:
    tried = {"nan", "loss_ratio", "eval_loss_rises", "general_drop", "kl_token", "distinct_2_ratio", "win_rate"}
    asked = {criterion.metric for gate in GUIDE.values() for criterion in gate.rollback if criterion.on_fail == "stop"}
    assert asked == tried


def logging(monkeypatch: pytest.MonkeyPatch, **values: Callable[[int], float]) -> None:
    """Let a trainer log other numbers than it has, by its step."""
    from transformers import Trainer

    whole = Trainer.log

    def log(self: Any, logs: dict[str, float], *rest: Any, **named: Any) -> None:
        logs |= {name: value(self.state.global_step) for name, value in values.items() if name in logs}
        whole(self, logs, *rest, **named)

    monkeypatch.setattr(Trainer, "log", log)


def spoilt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let a weight be no number once a step is made, as an overflow would."""
    import torch
    from transformers import Trainer

    whole = Trainer.training_step

    def step(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.state.global_step == at:
            with torch.no_grad():
                next(iter(self.model.parameters())).fill_(math.nan)
        return whole(self, *arguments, **named)

    monkeypatch.setattr(Trainer, "training_step", step)
