"""A run from recipe to saved model.

version -> proof -> plan -> entry gate -> probe of the longest batch -> training, watched -> model -> exit gate
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.errors import DatakitError, DataVerdict, RecipeError
from datakit.files import disk_faults
from datakit.gates import Stage, Verdict, judge, stops
from datakit.progress import Progress, Silent
from datakit.recipe.recipe import Recipe
from datakit.template.model import training_extra
from train import data
from train.buffers import keep_buffers
from train.chain import runs_folder
from train.checkpoints import Taken, restore, take_up
from train.config import make_config
from train.job import Job, facts_of, places_of, prepare
from train.model import finish_model, merge_into
from train.quiet import quiet
from train.resume import go_on
from train.runs import Run
from train.signs import SIGNS
from train.start import Ingredients

if TYPE_CHECKING:
    from transformers import Trainer

    from train.callbacks import Watcher
    from train.measures.evaluator import Evaluator


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        stage: what was trained.
        run: its folder; None where the entry gate let nothing begin.
        rows: in, trained, and left out by reason.
        metrics: losses, and what the exit gate measured.
        entry, exit: verdicts.
        rollback: the verdicts that stopped training; empty where none did.
        model: folder of the saved model; None where there is none that passes.
    """

    stage: Stage
    run: Path | None
    rows: data.Accounts
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    entry: Sequence[Verdict] = ()
    exit: Sequence[Verdict] = ()
    rollback: Sequence[Verdict] = ()
    model: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether no gate stands in the way."""
        return not (stops(self.entry) or self.rollback or stops(self.exit))

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        gates = {"entry": self.entry, "exit": self.exit, "rollback": self.rollback}
        return {
            "run": str(self.run) if self.run is not None else None,
            "stage": self.stage,
            "rows": self.rows.to_json(),
            "metrics": {name: _plain(value) for name, value in self.metrics.items()},
            "gates": {name: [verdict.to_json() for verdict in verdicts] for name, verdicts in gates.items()},
            "model": str(self.model) if self.model is not None else None,
        }


def _plain(value: float | None) -> float | str | None:
    """A number for JSON; one that is not finite as a text, which JSON would turn into null."""
    return value if value is None or math.isfinite(value) else str(value)


def train(
    stage: Stage,
    recipe: Recipe,
    *,
    recipe_path: Path,
    progress: Progress | None = None,
    resume: bool = True,
    fork: bool = False,
    allow_unproved: bool = False,
    overrides: Sequence[str] = (),
) -> TrainResult:
    """Train one stage of a recipe, from its version to a saved model.

    Args:
        stage: one of `datakit.gates.STAGES`.
        recipe: what is trained on what, and how.
        recipe_path: its file; runs are named after it.
        progress: hears of progress.
        resume: go on with a run that was interrupted.
        fork: start a child run from the weights of the last one, whatever has changed since.
        allow_unproved: train even if too many rows fail the proof; the run says so.
        overrides: what `--set` laid over the recipe; the plan tells these values from the recipe's.

    Raises:
        UsageFault: recipe, dataset, model or an unfinished run do not allow it.
        DataVerdict: the version is damaged, or its proof does not pass.
        Surroundings: disk or memory does not suffice.
        MissingExtra: TRL is not installed.
    """
    job = prepare(stage, recipe, recipe_path, progress or Silent(), allow_unproved, overrides)
    if stops(job.plan.entry):
        return TrainResult(stage, None, job.rows.accounts, entry=job.plan.entry)
    taken = take_up(
        runs_folder(recipe),
        stage,
        recipe_path.stem,
        facts_of(job),
        places_of(job),
        resume=resume,
        fork=fork,
        progress=job.progress,
    )
    keep_buffers()
    with taken.run.held(), quiet():
        return _train(job, taken)


def _train(job: Job, taken: Taken) -> TrainResult:
    """The steps, between a start that is settled and a model that is saved."""
    with training_extra("training"):
        from train.callbacks import watch
        from train.probe import probe
    run = taken.run
    run.record(
        rows=job.rows.accounts.to_json(),
        gates={"entry": [verdict.to_json() for verdict in job.plan.entry]},
        plan={setting.name: [setting.value, setting.source] for setting in job.plan.settings},
    )
    start = _start_of(job, taken)
    measured = {criterion.metric for criterion in job.gate.rollback} - SIGNS.keys()
    watcher = watch(
        run, job.progress, job.gate.rollback, _evaluator(job, start, measured).measure if measured else None
    )
    with _trl_refusals(job.stage):
        trainer = _trainer(job, run, start, watcher)
        probe(trainer, even=job.row.reference)
    if taken.how == "resumed":
        go_on(trainer, run)
    with watcher.guarding():
        trainer.train(resume_from_checkpoint=str(taken.checkpoint) if taken.how == "resumed" else None)
    if watcher.stopped:
        return _stopped(job, run, start, watcher)
    _save(trainer, job, run, start)
    return _finished(job, run, start)


def _start_of(job: Job, taken: Taken) -> Path:
    """The whole weights that training starts from: of a forked run the parent's, however often it is gone on with."""
    run = taken.run
    if (run.path / "start").is_dir():
        return run.path / "start"
    parent = run.fields.get("parent")
    if not parent:
        return merge_into(job.start.folder, run.path / "start", job.row.task)
    forked = run.path.parent / parent["run"] / "checkpoints" / parent["checkpoint"]
    # A copy: the parent's checkpoints may go, and its tokenizer's files are those of the proof.
    return merge_into(forked, run.path / "start", job.row.task, tokenizer=job.start.folder)


@contextmanager
def _trl_refusals(stage: Stage) -> Iterator[None]:
    """What TRL refuses as a trainer is built, or at the first loss, is a fault of the recipe: an unknown loss, say."""
    try:
        yield
    except DatakitError:
        raise
    except (ValueError, NotImplementedError) as error:
        words = " ".join(str(error).split())
        cure = f"Change what is named under [train.{stage}.trl]"
        raise RecipeError(f"train.{stage}", f"TRL refuses it: {words}", cure=cure) from error


def _trainer(job: Job, run: Run, start: Path, watcher: Watcher) -> Trainer:
    from transformers import AutoTokenizer, PrinterCallback

    adaptation, held = job.recipe.train.of(job.stage).adaptation, job.rows.held
    config = make_config(job.stage, job.settings, run.checkpoints, evaluated=bool(len(held)))
    tokenizer = AutoTokenizer.from_pretrained(start)
    tokenizer.chat_template = job.model.template or None
    trainer = job.row.build(
        Ingredients(
            start=start,
            adaptation=adaptation,
            settings=job.settings,
            config=config,
            tokenizer=tokenizer,
            rows=data.dataset(job.rows.rows, job.row),
            held=data.dataset(held, job.row) if len(held) else None,
            callbacks=(watcher,),
            dtype="bfloat16" if config.bf16 and adaptation != "full" else "float32",
            attention=data.settings_of(job.recipe, job.row).masks.attention or None,
        )
    )
    trainer.remove_callback(PrinterCallback)  # it prints every logged step to the standard output
    return trainer


def _evaluator(job: Job, reference: Path, wanted: set[str] | None = None) -> Evaluator:
    from train.measures.evaluator import Evaluator

    return Evaluator(
        job.stage,
        job.recipe,
        job.version,
        job.rows.held,
        reference,
        holdout=job.recipe.train.of(job.stage).holdout,
        wanted=wanted,
        progress=job.progress,
    )


def _save(trainer: Trainer, job: Job, run: Run, start: Path) -> None:
    """Save the model beside its place, make it whole, and rename it there."""
    aside = run.path / ".model.part"
    shutil.rmtree(aside, ignore_errors=True)
    with disk_faults(aside):
        trainer.save_model(str(aside))
        (aside / "training_args.bin").unlink(missing_ok=True)  # a pickle; the record says the same in words
    _publish(aside, job, run, start)


def _publish(aside: Path, job: Job, run: Run, start: Path) -> None:
    finish_model(aside, start, job.model.template)
    shutil.rmtree(run.model, ignore_errors=True)
    aside.rename(run.model)
    run.sign(run.model)


def _losses(run: Run) -> dict[str, float | None]:
    """The last losses that were logged."""
    return {name: row[name] for row in run.history() for name in ("loss", "eval_loss") if name in row}


def _stopped(job: Job, run: Run, start: Path, watcher: Watcher) -> TrainResult:
    """What is left of a run that the rollback gate ended: the model of its last passing checkpoint, if there is one."""
    aside = run.path / ".model.part"
    try:
        restore(run, aside)
        _publish(aside, job, run, start)
    except DataVerdict as none:
        job.progress.notice(str(none))
    model = run.model if run.model.is_dir() else None
    result = TrainResult(
        job.stage, run.path, job.rows.accounts, _losses(run), job.plan.entry, rollback=watcher.stopped, model=model
    )
    return _recorded(run, "stopped", result)


def _finished(job: Job, run: Run, start: Path) -> TrainResult:
    """A run that came to its end: measured as it lies on disk, and judged."""
    found = _evaluator(job, start).measure(run.model)
    verdicts = judge(job.gate.exit, found.metrics, job.recipe.gates.strict, found.samples)
    run.record(samples=found.answers)
    metrics = {**_losses(run), **found.metrics}
    result = TrainResult(
        job.stage, run.path, job.rows.accounts, metrics, job.plan.entry, exit=verdicts, model=run.model
    )
    return _recorded(run, "done", result)


def _recorded(run: Run, status: str, result: TrainResult) -> TrainResult:
    from train.report import write_report

    plain = result.to_json()
    run.record(metrics=plain["metrics"], gates=plain["gates"], model=run.model.name if result.model else None)
    run.finish(status)
    write_report(run)
    return result
