"""What happens beside the steps, on a real trainer: nothing is hidden, gates stop, Ctrl-C saves."""

from __future__ import annotations

import errno
import math
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest

from datakit.errors import Surroundings
from datakit.gates import Criterion
from datakit.progress import Silent
from train.checkpoints import checkpoints_of, faults_of, last_passing, last_whole, restore, take_up
from train.runs import Run

# peft 0.x asks a transformers 5 model by the old name of a property.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NO_NAN = Criterion("nan", "<=", 0)


class Heard(Silent):
    def __init__(self) -> None:
        self.words: list[str] = []
        self.steps: list[float] = []
        self.shown: list[dict[str, float]] = []

    def advance(self, stage: str, done: float, total: float, unit: str) -> None:
        self.steps.append(done)

    def figures(self, stage: str, values: Any) -> None:
        self.shown.append(dict(values))

    def notice(self, text: str) -> None:
        self.words.append(text)


def at_step(step: int, act: Callable[[Any], None]) -> Any:
    """A callback that acts once, behind a step, on the model."""
    from transformers import TrainerCallback

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step:
            act(kwargs["model"])

    return type("Acting", (TrainerCallback,), {"on_step_end": on_step_end})()


def trained(
    runs: Path, rollback: tuple[Criterion, ...] = (), more: tuple[Any, ...] = (), measure: Any = None, **settings: Any
) -> tuple[Run, Any, Heard]:
    from training_runs import FACTS, tiny_trainer

    from train.callbacks import watch

    heard = Heard()
    taken = take_up(runs, "sft", "tiny", FACTS)
    with taken.run.held():
        watcher = watch(taken.run, heard, rollback, measure)
        trainer = tiny_trainer(taken.run.checkpoints, [*more, watcher], **settings)
        with watcher.guarding():
            trainer.train(resume_from_checkpoint=str(taken.checkpoint) if taken.how == "resumed" else None)
        taken.run.finish("stopped" if watcher.stopped else "done")
    return taken.run, watcher, heard


def spoil(model: Any) -> None:
    import torch

    weight = next(weight for weight in model.parameters() if weight.requires_grad)
    with torch.no_grad():
        weight.fill_(math.nan)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Any, Heard]:
    return trained(tmp_path_factory.mktemp("sound"), (NO_NAN, Criterion("loss_ratio", "<=", 1.5)))


def test_every_logged_step_is_written_and_shown(sound: tuple[Run, Any, Heard]) -> None:
    run, watcher, heard = sound
    steps = [row for row in run.history() if "loss" in row]
    assert [row["step"] for row in steps] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert all(math.isfinite(row["loss"]) and "grad_norm" in row for row in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert heard.steps == list(range(1, 17))
    assert {"loss": steps[-1]["loss"]} in heard.shown
    assert heard.words == [] and watcher.stopped == [] and run.fields["steps"] == 16


def test_every_checkpoint_is_sealed_and_judged(sound: tuple[Run, Any, Heard]) -> None:
    run = sound[0]
    folders = checkpoints_of(run)
    assert len(folders) == 3  # save_total_limit
    assert all(faults_of(folder) == [] for folder in folders)
    assert last_passing(run) == last_whole(run) == run.checkpoints / "checkpoint-16"


def test_nan_is_seen_stops_and_the_last_good_weights_are_restored(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run, watcher, heard = trained(tmp_path, (NO_NAN,), (at_step(5, spoil),), logging_steps=7, save_steps=2)
    # The broken checkpoint is found by its weights, before any loss was logged; TRL alone would log a loss of 0.0.
    assert [verdict.criterion.metric for verdict in watcher.stopped] == ["nan"]
    assert run.status == "stopped" and run.fields["rollback"][0]["status"] == "failed"
    assert last_whole(run) == run.checkpoints / "checkpoint-6"
    assert last_passing(run) == run.checkpoints / "checkpoint-4"
    assert any("explain nan" in words for words in heard.words)
    restore(run, run.model)
    weights = load_file(run.model / "adapter_model.safetensors")
    assert weights and all(bool(weight.isfinite().all()) for weight in weights.values())


def test_a_loss_of_nan_is_logged_as_nan(tmp_path: Path) -> None:
    run, watcher, heard = trained(tmp_path, (), (at_step(5, spoil),), save_strategy="no", max_steps=8)
    logged = {row["step"]: row["loss"] for row in run.history() if "loss" in row}
    assert math.isfinite(logged[4]) and math.isnan(logged[6]) and math.isnan(logged[8])
    assert len(heard.words) == 1 and heard.words[0].startswith("step 6")  # said without a criterion too, and once
    assert watcher.stopped == []


class Found(NamedTuple):
    metrics: dict[str, float | None]
    samples: dict[str, int]


def test_a_measure_of_the_saved_model_stops_too(tmp_path: Path, sound: tuple[Run, Any, Heard]) -> None:
    import torch

    seen: list[str] = []

    def measure(checkpoint: Path) -> Found:
        assert faults_of(checkpoint) == []
        seen.append(checkpoint.name)
        # Measuring draws random numbers; the steps behind it must not feel that.
        torch.manual_seed(len(seen)), random.seed(1), numpy.random.seed(1)
        return Found({"kl_token": 0.2 * len(seen), "win_rate": 0.1}, {"win_rate": 5})

    gate = (Criterion("kl_token", "<=", 0.5), Criterion("win_rate", ">=", 0.5, samples=100))
    run, watcher, _ = trained(tmp_path, gate, measure=measure)
    assert seen == ["checkpoint-4", "checkpoint-8", "checkpoint-12"]
    assert [verdict.criterion.metric for verdict in watcher.stopped] == ["kl_token"]
    assert last_passing(run) == run.checkpoints / "checkpoint-8"
    assert [verdict["status"] for verdict in run.fields["rollback"]] == ["failed", "unknown"]  # 5 samples say nothing
    name = "checkpoint-12/adapter_model.safetensors"
    assert (run.checkpoints / name).read_bytes() == (sound[0].checkpoints / name).read_bytes()


def test_what_only_warns_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    run, watcher, heard = trained(tmp_path, (Criterion("loss_ratio", "<=", 0.01, on_fail="warn"),))
    assert watcher.stopped == [] and run.status == "done" and last_passing(run) is not None
    assert len(heard.words) == 1 and "divergence" in heard.words[0]


def test_ctrl_c_saves_a_checkpoint_and_the_run_goes_on_from_it(tmp_path: Path, sound: tuple[Run, Any, Heard]) -> None:
    before = signal.getsignal(signal.SIGINT)
    press = at_step(5, lambda model: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, (), (press,))
    assert signal.getsignal(signal.SIGINT) is before
    [record] = tmp_path.glob("*/record.json")
    left = Run.open(record.parent)
    assert left.status == "interrupted"
    # The signal is seen at the end of the step in which it came, or of the next one.
    assert (found := last_whole(left)) is not None and found.name in ("checkpoint-5", "checkpoint-6")
    run, *_ = trained(tmp_path)
    assert run.path == left.path and run.status == "done"
    name = "checkpoint-16/adapter_model.safetensors"
    assert (run.checkpoints / name).read_bytes() == (sound[0].checkpoints / name).read_bytes()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed: file write failed"),
    ],
)
def test_a_full_disk_at_a_checkpoint_is_said_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import torch

    whole = torch.save

    def full(value: Any, path: Any, *rest: Any, **named: Any) -> None:
        if "checkpoint-8" in str(path):
            raise error
        whole(value, path, *rest, **named)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(Surroundings, match="Make room"):
        trained(tmp_path)
    [record] = tmp_path.glob("*/record.json")
    left = Run.open(record.parent)
    assert left.status == "failed" and "Surroundings" in left.fields["error"]
    assert last_whole(left) == left.checkpoints / "checkpoint-4"


def test_any_other_error_stays_what_it_is(tmp_path: Path) -> None:
    def trip(model: Any) -> None:
        raise RuntimeError("a bug of ours")

    with pytest.raises(RuntimeError, match="a bug of ours"):
        trained(tmp_path, (), (at_step(2, trip),))


def test_the_bar_shows_figures() -> None:
    from datakit.cli.progress import Bar

    with Bar(quiet=True) as bar:
        bar.figures("train", {"loss": 9.0})  # before the first step there is no bar to show them at
        bar.advance("train", 1, 16, "steps")
        bar.figures("train", {"loss": 2.34567, "rewards/margins": math.nan})
        assert bar._progress.tasks[0].fields["figures"] == "loss 2.346  rewards/margins nan"
