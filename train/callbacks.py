"""What happens beside the training steps: logging, the live view, the rollback gate, seals of checkpoints, Ctrl-C."""

from __future__ import annotations

import errno
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import numpy
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from datakit.files import disk_faults
from datakit.gates import Criterion, Verdict, judge, stops
from datakit.progress import Progress
from train.checkpoints import seal, set_verdicts
from train.runs import Run
from train.signs import SIGNS, is_broken, read_signs


class Measured(Protocol):
    """What was measured of a saved model: values by metric, and the number of samples that each rests on."""

    @property
    def metrics(self) -> Mapping[str, float | None]: ...  # noqa: D102
    @property
    def samples(self) -> Mapping[str, int]: ...  # noqa: D102


Measure = Callable[[Path], Measured]
"""From a checkpoint's folder to what is measured of the model that is loaded from it."""

_LIVE: Final = ("loss", "eval_loss", "rewards/margins", "rewards/accuracies")  # shown beside the bar
# What torch and safetensors say, as errors of their own, when the disk is full.
_DISK_WORDS: Final = ("no space left", "disk quota", "file write failed", "inline_container")


def watch(run: Run, progress: Progress, rollback: Sequence[Criterion], measure: Measure | None = None) -> Watcher:
    """The callback that a trainer of ours is given.

    Args:
        run: where steps are logged and verdicts recorded.
        progress: hears of every step, and of what goes wrong.
        rollback: what must hold while training; what stops ends the run.
        measure: called on every checkpoint; gives the metrics that need a saved model. It may draw random numbers.
    """
    return Watcher(run, progress, rollback, measure)


class Watcher(TrainerCallback):  # type: ignore[misc]  # mypy does not follow transformers
    """Logs, shows, judges and seals; see `watch`.

    Attributes:
        stopped: the verdicts that ended the training; empty where none did.
    """

    def __init__(self, run: Run, progress: Progress, rollback: Sequence[Criterion], measure: Measure | None) -> None:
        self.stopped: list[Verdict] = []
        self._run, self._progress, self._rollback, self._measure = run, progress, tuple(rollback), measure
        self._history = run.history()
        self._measured: dict[str, float | None] = {}
        self._samples: dict[str, int] = {}
        self._broken_weights = 0
        self._told: set[str] = set()
        self._asked_to_stop = False

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Around `trainer.train()`: Ctrl-C and SIGTERM end the step, save a checkpoint and leave.

        Raises:
            KeyboardInterrupt: after the checkpoint, where somebody asked to stop; at once, when asked a second time.
            Surroundings: the disk failed while a checkpoint was written.
        """
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        catching = threading.current_thread() is threading.main_thread()
        if catching:
            for number in before:
                signal.signal(number, self._ask)
        try:
            with disk_faults(self._run.checkpoints):
                yield
        except Exception as error:
            if any(word in str(error).lower() for word in _DISK_WORDS):
                words = f"the disk is full or fails ({str(error).splitlines()[0]})"
                with disk_faults(self._run.checkpoints):
                    raise OSError(errno.ENOSPC, words) from error
            raise
        finally:
            if catching:
                for number, handler in before.items():
                    signal.signal(number, handler)
        if self._asked_to_stop and not self.stopped:  # where the gate stopped too, there is nothing to go on with
            self._progress.notice("a checkpoint is saved: the same command goes on from it")
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True
        self._progress.notice("stopping after this step and a checkpoint; once more stops at once, without")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the filter off that shows a loss of nan as 0.0 (huggingface/trl issue 6702)."""
        args.logging_nan_inf_filter = False
        self._run.record(steps=state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar; where somebody asked to stop, save and leave."""
        self._progress.advance("train", state.global_step, state.max_steps, "steps")
        if self._asked_to_stop:
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the logged step down, then judge."""
        numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        row = {"step": float(state.global_step), **numbers}
        self._history.append(row)
        self._run.log(row)
        self._progress.figures("train", {name: numbers[name] for name in _LIVE if name in numbers})
        if is_broken(row):
            self._tell("nan", f"step {state.global_step}: {SIGNS['nan'].title}. See `datakit explain nan`")
        self._judge(control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint, measure the model in it, and record whether it passes."""
        checkpoint = self._run.checkpoints / f"checkpoint-{state.global_step}"
        self._broken_weights += not _is_finite(kwargs["model"])
        seal(checkpoint)
        self._take_measure(checkpoint)
        set_verdicts(checkpoint, self._judge(control))

    def _take_measure(self, checkpoint: Path) -> None:
        """Measure a checkpoint; the random states stay as they were saved in it, so that a resumed run is the same."""
        if self._measure is None:
            return
        words, numbers = random.getstate(), numpy.random.get_state()
        with torch.random.fork_rng():
            found = self._measure(checkpoint)
        random.setstate(words)
        numpy.random.set_state(numbers)
        self._measured, self._samples = dict(found.metrics), dict(found.samples)

    def _judge(self, control: TrainerControl) -> list[Verdict]:
        """The verdicts on what is known now; one that stops ends the training, without one more checkpoint."""
        values = read_signs(self._history) | self._measured
        values["nan"] = (values["nan"] or 0) + self._broken_weights
        verdicts = judge(self._rollback, values, samples=self._samples)
        for verdict in verdicts:
            if verdict.status == "failed":
                sign = SIGNS.get(verdict.criterion.metric)
                cure = f": {sign.title}. See `datakit explain {sign.metric}`" if sign else ""
                self._tell(f"failed {verdict.criterion.metric}", f"{verdict}{cure}")
        if stops(verdicts):
            if not self.stopped:
                self.stopped = [verdict for verdict in verdicts if verdict.stops]
                self._run.record(rollback=[verdict.to_json() for verdict in verdicts])
            control.should_training_stop, control.should_save = True, False
        return verdicts

    def _tell(self, topic: str, words: str) -> None:
        """Say a thing once a run, not at every step."""
        if topic not in self._told:
            self._told.add(topic)
            self._progress.notice(words)


def _is_finite(model: torch.nn.Module) -> bool:
    """Whether all trained weights are numbers."""
    return all(bool(torch.isfinite(weight).all()) for weight in model.parameters() if weight.requires_grad)
