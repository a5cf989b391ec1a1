"""The metrics of a run's model, or of any other, without training anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from datakit.errors import UnknownVersion
from datakit.gates import Stage
from datakit.progress import Progress, Silent
from datakit.recipe.recipe import Recipe
from datakit.template.model import load_model
from datakit.versions.store import Version, open_version
from train import data
from train.chain import runs_folder
from train.holdout import held_out
from train.measures.evaluation import Evaluation
from train.measures.evaluator import Evaluator
from train.model import check_model
from train.quiet import quiet
from train.runs import Run, find_run
from train.stages import STAGES


@dataclass(frozen=True)
class Measured:
    """What was measured of which model, beside which (None: nothing to compare with)."""

    model: Path
    stage: Stage
    against: Path | None
    found: Evaluation

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        against = str(self.against) if self.against is not None else None
        return {"model": str(self.model), "stage": self.stage, "against": against, **self.found.to_json()}


def evaluate(
    target: str,
    recipe: Recipe,
    *,
    stage: Stage | None = None,
    against: Path | None = None,
    progress: Progress | None = None,
    allow_unproved: bool = False,
) -> Measured:
    """The metrics of a model on what the recipe names, and on the held-out rows of its dataset.

    Args:
        target: a run (its folder, or a part of its name), or a folder with a model.
        recipe: [evaluate], [model], [masks] and [train.STAGE] count.
        stage: whose metrics; else the run's, and sft for a model that no run made.
        against: the model before; else the one that the run started from, or `model.base`.
        progress: hears how far it is.
        allow_unproved: ask the rows that a proof leaves in although it leaves out too many; of a run that was trained
            on such rows this holds by itself.

    Raises:
        MissingInput: there is no such run, model or evaluation file.
        InputError: the folder is no model, or a file cannot be read.
        UnknownVersion: the recipe's dataset is not there.
        DataVerdict: the version is damaged, or its proof does not pass.
        MissingExtra: torch or transformers is not installed.
    """
    listener = progress or Silent()
    folder, run = _find(target, recipe)
    chosen: Stage = stage or (run.fields["stage"] if run is not None else "sft")
    before = against or _before(recipe, run)
    for model in (folder, before):
        if model is not None:
            check_model(model)
    with quiet():
        version = _version(chosen, recipe, run)
        holdout = _holdout(chosen, recipe, run)
        lax = allow_unproved or (run is not None and bool(run.fields["facts"].get("unproved")))
        held = _held_out(chosen, recipe, version, folder, holdout, lax, listener) if version is not None else None
        evaluator = Evaluator(chosen, recipe, version, held, before, holdout=holdout, progress=listener)
        return Measured(folder, chosen, before, evaluator.measure(folder))


def _find(target: str, recipe: Recipe) -> tuple[Path, Run | None]:
    """The folder of the model, and the run that made it, where one did."""
    folder = Path(target)
    if any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        return folder, Run.of_model(folder)
    run = find_run(target, runs_folder(recipe))
    return run.model, run


def _before(recipe: Recipe, run: Run | None) -> Path | None:
    if run is not None and (base := run.place("base")) is not None and base.is_dir():
        return base
    return Path(recipe.model.base) if recipe.model.base is not None else None


def _version(stage: Stage, recipe: Recipe, run: Run | None) -> Version | None:
    """The version that the run was trained on, so that what was held out then is asked now; else the recipe's."""
    if run is not None and (place := run.place("dataset")) is not None and place.is_dir():
        return open_version(place)
    reference = recipe.train.of(stage).dataset or recipe.data.output
    if reference is None:
        return None
    try:
        return open_version(reference)
    except UnknownVersion:
        if recipe.evaluate.prompts or recipe.evaluate.choice or recipe.evaluate.cloze:
            return None  # the files that the recipe names can be asked without a dataset
        raise


def _holdout(stage: Stage, recipe: Recipe, run: Run | None) -> float:
    """The share that the run kept back, whatever the recipe says by now."""
    kept: float | None = run.fields["facts"].get("recipe", {}).get("holdout") if run is not None else None
    return recipe.train.of(stage).holdout if kept is None else kept


def _held_out(
    stage: Stage, recipe: Recipe, version: Version, folder: Path, share: float, lax: bool, progress: Progress
) -> pl.DataFrame | None:
    """The proof's held-out rows; None where the version has no rows of the stage's kind."""
    row = STAGES[stage]
    if not version.data_files(row.kind):
        return None
    model = load_model(folder, Path(recipe.model.template) if recipe.model.template else None)
    proof = data.proof_of(version, model, recipe, row, progress, allow_unproved=lax)
    return proof.frame(row.kind).filter(held_out(share))
