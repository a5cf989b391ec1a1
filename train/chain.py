"""What a stage starts from. Stages hand saved folders to each other: a model that is named, or one that a run made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datakit.errors import UsageFault
from datakit.gates import Stage
from datakit.recipe.recipe import Recipe
from train.runs import RECORD, Run, list_runs
from train.stages import STAGES


@dataclass(frozen=True)
class Start:
    """The folder of the model that training starts from, and the run that made it, where one did."""

    folder: Path
    run: Run | None = None

    @property
    def passed(self) -> float | None:
        """1 where the run that made it passed its exit gate, 0 where it did not; None where no run made it."""
        if self.run is None:
            return None
        verdicts = self.run.fields.get("gates", {}).get("exit", [])
        return float(self.run.fields["status"] == "done" and not any(verdict["stops"] for verdict in verdicts))


def runs_folder(recipe: Recipe) -> Path:
    """Where runs are kept."""
    return Path(recipe.train.runs).resolve() if recipe.train.runs is not None else Path("runs")


def find_start(stage: Stage, recipe: Recipe, recipe_name: str) -> Start:
    """The model that a stage starts from: the recipe's, or what the stage before made last, or the base.

    Raises:
        UsageFault: neither names one, and no stage before has run.
    """
    named = recipe.train.of(stage).model
    if named is not None:
        return _of(Path(named))
    done = {run.fields["stage"]: run for run in list_runs(runs_folder(recipe))[0] if _is_usable(run, recipe_name)}
    before = STAGES[stage].after
    while before is not None:
        if before in done:
            return Start(done[before].model, done[before])
        before = STAGES[before].after
    if recipe.model.base is None:
        raise UsageFault(
            f"datakit train {stage}", "no model", "a folder as model.base", "For example --set model.base=Qwen2.5-7B"
        )
    return _of(Path(recipe.model.base))


def _is_usable(run: Run, recipe_name: str) -> bool:
    return run.fields["recipe"] == recipe_name and run.fields["status"] == "done" and run.model.is_dir()


def _of(folder: Path) -> Start:
    """A folder as a start: a run's folder stands for the model in it."""
    for place in (folder, folder.parent):
        if (place / RECORD).is_file():
            run = Run.open(place)
            return Start(run.model, run)
    return Start(folder)
