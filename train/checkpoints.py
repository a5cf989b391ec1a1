"""Checkpoints that can be told whole from torn, and the question whether a run may go on from one.

A trainer writes a checkpoint file by file; killed in between, it leaves a folder that looks like one (TRL 1.16 ends in
an error over each of: cut optimiser, cut weights, no trainer_state.json, empty folder). So a checkpoint is sealed
when all of it is written: manifest.json with size and checksum of every file. One without a seal, or that does not
match it, is torn and passed over.

    checkpoints/checkpoint-20/
      model.safetensors  optimizer.pt  scheduler.pt  rng_state.pth  trainer_state.json …
      manifest.json      the seal
      verdicts.json      what the rollback gate said of it, where it was judged
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from datakit.errors import DataVerdict, UsageFault
from datakit.files import disk_faults, write_whole
from datakit.gates import Verdict, stops
from datakit.progress import Progress, Silent
from datakit.versions.manifest import FILE, Part, changed_parts, describe_parts
from train.runs import UNFINISHED, Run, differences, list_runs

VERDICTS: Final = "verdicts.json"
_NAME = re.compile(r"checkpoint-(\d+)")

# What a checkpoint holds for the trainer alone; a model saved from it is the rest.
_TRAINERS: Final = re.compile(
    r"(optimizer|scheduler|scaler|training_args)\.(pt|bin)|rng_state.*\.pth|trainer_state\.json|manifest\.json|verdicts\.json"
)
_SHOWN: Final = 5  # differences that an error names


class Seal(BaseModel):
    """The manifest of a checkpoint: its step, and size and checksum of every file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    step: int
    parts: dict[str, Part]


@dataclass(frozen=True)
class Taken:
    """The run to train, and where it begins.

    Attributes:
        run: a new one, or one that goes on.
        checkpoint: resumed: the checkpoint of this run to go on from; forked: that of the parent whose weights to
            begin with; None: begin with the base.
        how: in which of the three ways.
    """

    run: Run
    checkpoint: Path | None
    how: Literal["new", "resumed", "forked"]


def seal(checkpoint: Path) -> None:
    """Declare a checkpoint whole; called when its last file is written."""
    with disk_faults(checkpoint):
        manifest = Seal(format=1, step=step_of(checkpoint), parts=describe_parts(checkpoint))
    write_whole(checkpoint / FILE, manifest.model_dump_json(indent=2) + "\n")


def faults_of(checkpoint: Path) -> list[DataVerdict]:
    """What is wrong with a checkpoint; empty when it is whole. Every byte is read."""
    cure = "It is passed over"
    try:
        manifest = Seal.model_validate_json((checkpoint / FILE).read_bytes())
    except FileNotFoundError:
        return [DataVerdict(str(checkpoint), "torn: the run was killed while it was written", cure=cure)]
    except ValidationError as error:
        return [DataVerdict(str(checkpoint / FILE), f"not a seal ({str(error).splitlines()[0]})", cure=cure)]
    return changed_parts(checkpoint, manifest.parts, cure)


def step_of(checkpoint: Path) -> int:
    """Steps that were done when it was written."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None, checkpoint
    return int(found[1])


def checkpoints_of(run: Run) -> list[Path]:
    """All checkpoint folders of a run, newest first, torn ones included."""
    folders = [path for path in run.checkpoints.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(folders, key=step_of, reverse=True)


def last_whole(run: Run, progress: Progress | None = None) -> Path | None:
    """The newest whole checkpoint; those that are passed over are named to `progress`."""
    for checkpoint in checkpoints_of(run):
        faults = faults_of(checkpoint)
        if not faults:
            return checkpoint
        (progress or Silent()).notice(str(faults[0]))
    return None


def set_verdicts(checkpoint: Path, verdicts: Sequence[Verdict]) -> None:
    """Record what the rollback gate said of a checkpoint."""
    said = {"passed": not stops(verdicts), "verdicts": [verdict.to_json() for verdict in verdicts]}
    write_whole(checkpoint / VERDICTS, orjson.dumps(said, option=orjson.OPT_INDENT_2).decode() + "\n")


def last_passing(run: Run) -> Path | None:
    """The newest whole checkpoint that the rollback gate let pass."""
    for checkpoint in checkpoints_of(run):
        path = checkpoint / VERDICTS
        if path.is_file() and orjson.loads(path.read_bytes())["passed"] and not faults_of(checkpoint):
            return checkpoint
    return None


def restore(run: Run, target: Path) -> Path:
    """Put the model of the last passing checkpoint into `target`; the checkpoint comes back.

    Raises:
        DataVerdict: no checkpoint passed; then the model before this run is the last good one.
    """
    checkpoint = last_passing(run)
    if checkpoint is None:
        cure = "Go on with the model before this run; smaller save_steps keep more of the next one"
        raise DataVerdict(str(run.path), "no checkpoint passed the rollback gate", "at least one", cure)
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    with disk_faults(target):
        shutil.copytree(checkpoint, aside, ignore=lambda _, names: [n for n in names if _TRAINERS.fullmatch(n)])
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    return checkpoint


def take_up(
    folder: Path,
    stage: str,
    recipe_name: str,
    facts: Mapping[str, Any],
    places: Mapping[str, Path] | None = None,
    *,
    resume: bool = True,
    fork: bool = False,
    progress: Progress | None = None,
) -> Taken:
    """The run to train: the last one of this recipe and stage where it is unfinished, or else a new one.

    Args:
        folder: the folder of all runs.
        stage: as `Run.start` takes it, as are recipe_name, facts and places.
        recipe_name: the recipe's file stem.
        facts: what must be equal for the run to go on.
        places: where dataset, proof, base and recipe lie.
        resume: whether to go on with an unfinished run.
        fork: start a new run from the weights of the last one's checkpoint, whatever has changed since.
        progress: hears of checkpoints that are passed over.

    Raises:
        UsageFault: the unfinished run was started with other facts; or it is going on; or there is nothing to fork.
    """
    known = [run for run in list_runs(folder)[0] if (run.fields["stage"], run.fields["recipe"]) == (stage, recipe_name)]
    last = known[-1] if known else None
    start = partial(Run.start, folder, stage, recipe_name, facts, places)
    if fork:
        parent, weights = _parent(last, facts, progress)
        return Taken(start(parent=parent), weights, "forked")
    if not resume or last is None or last.fields["status"] not in UNFINISHED:
        return Taken(start(), None, "new")
    if last.status == "running":
        raise UsageFault(str(last.path), "this run is going on in another process", cure="Wait for it or stop it")
    checkpoint = last_whole(last, progress)
    changed = differences(last.fields["facts"], facts)
    if changed and checkpoint is not None:
        raise UsageFault(
            str(last.path),
            f"stopped at step {step_of(checkpoint)} and cannot go on: {_told(changed)}",
            "the same recipe, data, template, base and libraries",
            "Put back what was changed, start a child run from its weights with --fork, or begin anew with --no-resume",
        )
    if changed:
        return Taken(start(), None, "new")
    _remove_torn(last, checkpoint)
    last.forget_after(step_of(checkpoint) if checkpoint is not None else -1)
    return Taken(last, checkpoint, "resumed" if checkpoint is not None else "new")


def _parent(last: Run | None, facts: Mapping[str, Any], progress: Progress | None) -> tuple[dict[str, Any], Path]:
    """What a fork records of the run that it leaves, and the checkpoint whose weights it begins with."""
    stopped = last is not None and last.fields["status"] == "stopped"
    checkpoint = None if last is None else last_passing(last) if stopped else last_whole(last, progress)
    if last is None or checkpoint is None:
        raise UsageFault("--fork", "the last run of this recipe and stage has no checkpoint", cure="Leave --fork out")
    changed = [list(change) for change in differences(last.fields["facts"], facts)]
    return {"run": last.name, "checkpoint": checkpoint.name, "changed": changed}, checkpoint


def _told(changed: Sequence[tuple[str, Any, Any]]) -> str:
    """Differences in words: `recipe.learning_rate was 2e-05, is 1e-05`."""
    words = [f"{name} was {before}, is {after}" for name, before, after in changed[:_SHOWN]]
    return "; ".join(words) + (f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else "")


def _remove_torn(run: Run, whole: Path | None) -> None:
    """Remove what is newer than the checkpoint to go on from: it is torn, and its files would mix with new ones."""
    for checkpoint in checkpoints_of(run):
        if checkpoint == whole:
            return
        shutil.rmtree(checkpoint)
