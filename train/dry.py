"""The plan of a stage without anything being trained, proved or loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datakit.errors import DatakitError
from datakit.gates import Stage
from datakit.masks.proofs import FOLDER, Proof, read
from datakit.recipe.recipe import Recipe
from datakit.versions.manifest import FILE
from datakit.versions.store import Version, open_version
from train.chain import find_start
from train.data import check_kind, reference_of, settings_of
from train.measures.entry import entry_values
from train.plan import Plan, make_plan
from train.stages import STAGES


def plan_only(stage: Stage, recipe: Recipe, *, recipe_path: Path, overrides: Sequence[str] = ()) -> Plan:
    """What `datakit train STAGE` would do, from the manifests alone.

    Args:
        stage: which.
        recipe: what is trained on what.
        recipe_path: its file; runs are named after it.
        overrides: what `--set` laid over it.

    Raises:
        UsageFault: there is no dataset, or no such version, or it has no row of the stage's kind.
    """
    if recipe.train.of(stage).trl:
        from train.config import check_keys

        check_keys(stage, recipe.train.of(stage).trl)
    version = open_version(reference_of(stage, recipe))
    check_kind(version, STAGES[stage])
    start = find_start(stage, recipe, recipe_path.stem)
    values = {"previous_passed": start.passed, **entry_values(stage, recipe, version).metrics}
    proof = _committed(version, recipe, stage)
    return make_plan(stage, recipe, version, proof, start=start.folder, overrides=overrides, values=values)


def _committed(version: Version, recipe: Recipe, stage: Stage) -> Proof | None:
    """The newest proof of the version by the stage's settings, whatever its model: which one is asked when training."""
    settings = settings_of(recipe, STAGES[stage]).values()
    found: list[tuple[float, Proof]] = []
    for path in (version.path / FOLDER).glob(f"[0-9a-f]*/{FILE}"):
        try:
            proof = read(path.parent)
        except DatakitError:
            continue  # a damaged proof is made anew when training
        if proof.manifest.settings == settings:
            found.append((path.stat().st_mtime, proof))
    return max(found, key=lambda pair: pair[0])[1] if found else None
