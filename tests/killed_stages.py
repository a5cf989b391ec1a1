"""Runs of every stage that kill themselves: `python killed_stages.py JOBS.json`, one process a job.

Everything heavy is imported once and each job is a fork of that, before any thread was started: what is killed is a
process of its own, by SIGKILL, in the middle of `train.run.train`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from train_rows import recipe_of

from datakit.recipe.recipe import Recipe
from datakit.versions.store import open_version

Moment = Literal["step", "write", "seal", "judge", "publish", "exit"]
MOMENTS: tuple[Moment, ...] = ("step", "write", "seal", "judge", "publish", "exit")


@dataclass(frozen=True)
class Death:
    """Which run dies, and when.

    Attributes:
        stage, adaptation: what is trained.
        folder: of the recipe and its runs.
        version, base: folders of what it is trained on.
        step: behind which it dies; of a checkpoint, the first one from there on.
        moment: step: behind it; write: half of an optimiser is written; seal: all files are, their seal is not;
            judge: the seal is, the gate's verdict is not; publish: the model is being saved; exit: it is being measured.
        fork: whether the run is one that is forked from the last one.
        rate: the learning rate.
    """

    stage: str
    adaptation: str
    folder: str
    version: str
    base: str
    step: int
    moment: Moment
    fork: bool = False
    rate: float = 1e-2

    def recipe(self) -> Recipe:
        """The recipe of the run: a checkpoint every third step, of some fifteen."""
        version = open_version(Path(self.version))
        table = {"adaptation": self.adaptation, "learning_rate": self.rate}
        return recipe_of(version, Path(self.folder), base=Path(self.base), train={self.stage: table})

    def train(self) -> Any:
        """Train it, from its beginning or from where it stopped."""
        from train.run import train

        stage: Any = self.stage
        return train(stage, self.recipe(), recipe_path=Path(self.folder) / "tiny.toml", fork=self.fork)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(death: Death) -> None:
    """Put the death into this process's libraries."""
    {"step": _behind_a_step, "write": _half_written, "seal": _unsealed, "judge": _unjudged}.get(
        death.moment, _at_the_end
    )(death)


def _before(room: Any, name: str, when: Callable[..., bool]) -> None:
    """Die before a function is called, where the arguments say so."""
    whole = getattr(room, name)

    def mortal(*arguments: Any, **named: Any) -> Any:
        if when(*arguments, **named):
            die()
        return whole(*arguments, **named)

    setattr(room, name, mortal)


def _behind_a_step(death: Death) -> None:
    from train.callbacks import Watcher

    _before(Watcher, "on_step_end", lambda self, args, state, control, **_: state.global_step == death.step)


def _half_written(death: Death) -> None:
    import torch

    whole = torch.save

    def torn(value: Any, path: Any, *rest: Any, **named: Any) -> None:
        whole(value, path, *rest, **named)
        if Path(path).name == "optimizer.pt" and _reached(death, Path(path).parent):
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

    torch.save = torn


def _unsealed(death: Death) -> None:
    import train.callbacks

    _before(train.callbacks, "seal", lambda checkpoint: _reached(death, checkpoint))


def _unjudged(death: Death) -> None:
    import train.callbacks

    _before(train.callbacks, "set_verdicts", lambda checkpoint, verdicts: _reached(death, checkpoint))


def _at_the_end(death: Death) -> None:
    import train.run

    _before(train.run, {"publish": "_publish", "exit": "_finished"}[death.moment], lambda *_: True)


def _reached(death: Death, checkpoint: Path) -> bool:
    return int(checkpoint.name.rpartition("-")[2]) >= death.step


def main(path: Path) -> None:
    """Let every job die; print how each ended, one number a line."""
    import trl  # noqa: F401

    import train.callbacks
    import train.measures.evaluator
    import train.preference
    import train.reward
    import train.run
    import train.sft  # noqa: F401

    for job in orjson.loads(path.read_bytes()):
        if (child := os.fork()) == 0:
            import torch

            torch.set_num_threads(1)
            death = Death(**job)
            arm(death)
            death.train()
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
