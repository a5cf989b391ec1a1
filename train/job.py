"""What a run is made of, looked at before any weight is loaded: version, start, proof, rows, plan."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final

from datakit.errors import DataVerdict, UsageFault
from datakit.gates import Gate, Stage
from datakit.masks.proofs import Proof
from datakit.progress import Progress
from datakit.recipe.recipe import Recipe
from datakit.release import VERSION
from datakit.template.model import Model, load_model
from datakit.versions.store import Version
from train import data
from train.chain import Start, find_start
from train.config import check_keys
from train.model import check_model, context_length, fingerprint
from train.plan import Plan, make_plan
from train.stages import STAGES, StageRow

_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


@dataclass(frozen=True)
class Job:
    """Everything that is known before the first step."""

    stage: Stage
    row: StageRow
    recipe: Recipe
    recipe_path: Path
    version: Version
    start: Start
    model: Model
    proof: Proof
    rows: data.Data
    plan: Plan
    unproved: bool
    progress: Progress

    @property
    def settings(self) -> dict[str, Any]:
        """The plan's values by name."""
        return self.plan.values

    @property
    def gate(self) -> Gate:
        """The stage's gate."""
        return self.plan.gate


def prepare(
    stage: Stage,
    recipe: Recipe,
    recipe_path: Path,
    progress: Progress,
    allow_unproved: bool,
    overrides: Sequence[str],
) -> Job:
    """Look at everything that can be looked at before weights are loaded."""
    from train.measures.entry import entry_values

    row, settings = STAGES[stage], recipe.train.of(stage)
    if recipe.launch.processes != 1:
        raise UsageFault(
            "launch.processes", str(recipe.launch.processes), "1", "Several processes come with a later release"
        )
    check_keys(stage, settings.trl)
    version = data.open_whole(data.reference_of(stage, recipe), row)
    start = find_start(stage, recipe, recipe_path.stem)
    check_model(start.folder)
    model = load_model(start.folder, Path(recipe.model.template) if recipe.model.template else None)
    proof = data.proof_of(version, model, recipe, row, progress, allow_unproved=allow_unproved)
    unproved = proof.manifest.settings != data.settings_of(recipe, row).values()
    progress.notice(_summary(proof))
    rows = data.rows_of(version, proof, row, settings.holdout)
    _check_context(start.folder, rows, proof, row)
    values = {"previous_passed": start.passed, **entry_values(stage, recipe, version).metrics}
    if unproved:
        values["proof_passed"] = 0.0
    plan = make_plan(stage, recipe, version, proof, start=start.folder, overrides=overrides, values=values)
    if unproved:  # it stays failed in the record, and is not in the way: that was asked for
        allowed = [replace(v, stops=v.stops and v.criterion.metric != "proof_passed") for v in plan.entry]
        plan = replace(plan, entry=tuple(allowed))
    return Job(stage, row, recipe, recipe_path, version, start, model, proof, rows, plan, unproved, progress)


def _summary(proof: Proof) -> str:
    manifest = proof.manifest
    share = manifest.trained / manifest.total if manifest.total else 0
    return (
        f"proof {manifest.proof}: {manifest.rows:,} rows, {manifest.left_out:,} left out; "
        f"{manifest.trained:,} of {manifest.total:,} tokens trained ({share:.0%})"
    )


def _check_context(folder: Path, rows: data.Data, proof: Proof, row: StageRow) -> None:
    """Make sure that the longest sequence fits the model: positions behind its last one were never trained."""
    limit = context_length(folder)
    longest = max((packs.length for packs in proof.manifest.packs.values()), default=rows.longest(row))
    if limit is not None and longest > limit:
        raise DataVerdict(
            str(folder), f"a sequence has {longest:,} tokens, and the model has {limit:,} positions",
            f"at most {limit:,} tokens", f"Set masks.max_length = {limit}",
        )  # fmt: skip


def facts_of(job: Job) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    libraries = {name: library_version(name) for name in _LIBRARIES}
    return {
        "recipe": {
            "adaptation": job.recipe.train.of(job.stage).adaptation,
            "holdout": job.recipe.train.of(job.stage).holdout,
            **job.settings,
        },
        "dataset": job.version.manifest.fingerprint,
        "proof": job.proof.manifest.proof,
        "unproved": job.unproved,
        "template": job.model.fingerprint,
        "base": fingerprint(job.start.folder),
        "seed": job.settings.get("seed"),
        "libraries": {"datakit": VERSION, "python": platform.python_version(), **libraries},
    }


def places_of(job: Job) -> dict[str, Path]:
    """Where these lie."""
    places = {"dataset": job.version.path, "base": job.start.folder, "recipe": job.recipe_path}
    return places | ({"proof": job.proof.path} if job.proof.path is not None else {})
