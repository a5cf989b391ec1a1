"""[train]: one table a stage: its data, its start, and what departs from the defaults.

```toml
[train.sft]
adaptation = "lora"
learning_rate = 1e-4              # the few numbers that the guide has a default for

[train.sft.trl]
max_grad_norm = 0.5               # any field of TRL's own configuration
```

Our few names and TRL's may stand for one another, but not both at once. A value that is not set is the one of
`train/defaults.py`, for the stage and the adaptation; `--dry-run` shows each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from datakit.gates import STAGES, Stage
from datakit.recipe.base import Table

TRL_NAMES: Final[Mapping[str, str]] = {
    "learning_rate": "learning_rate",
    "epochs": "num_train_epochs",
    "warmup": "warmup_steps",  # a float below 1 is a share there
    "beta": "beta",
    "desirable_weight": "desirable_weight",
    "undesirable_weight": "undesirable_weight",
    "gamma": "simpo_gamma",
    "seed": "seed",
}
"""Our keys to the fields of TRL's configurations."""

LORA_NAMES: Final[Mapping[str, str]] = {
    "rank": "lora_r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "targets": "lora_target_modules",
}
"""Our keys to the names that a plan gives LoRA's settings."""

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class StageSettings(Table):
    """What the tables of all stages share."""

    dataset: str | None = Field(
        default=None, description="a dataset (its latest version), PATH@3f2a or a version's folder; else data.output"
    )
    model: str | None = Field(
        default=None,
        description="folder of the model to start from; else what the stage before made last, or model.base",
    )
    adaptation: Literal["full", "lora", "qlora"] = Field(
        default="lora", description="full: all weights; lora: an adapter; qlora: an adapter on 4-bit weights"
    )
    learning_rate: Positive | None = Field(default=None, description="the highest rate, after the warm-up")
    epochs: Positive | None = Field(default=None, description="times that every row is seen")
    batch: Count | None = Field(default=None, description="rows an optimiser step sees, over all processes")
    warmup: Share | None = Field(default=None, description="share of the steps over which the rate rises")
    rank: Count | None = Field(default=None, description="rank of LoRA's matrices")
    alpha: Positive | None = Field(default=None, description="LoRA's alpha; twice the rank if not set")
    dropout: Share | None = Field(default=None, description="LoRA's dropout")
    targets: str | tuple[str, ...] | None = Field(
        default=None, description='modules that get an adapter: "all-linear", or names'
    )
    seed: int = Field(default=42, ge=0, description="of everything random")
    holdout: Share = Field(default=0.1, description="share of the rows kept back for evaluation, chosen by row id")
    trl: Mapping[str, Any] = Field(default={}, description="fields of TRL's configuration of this stage")

    @model_validator(mode="after")
    def _says_it_once(self) -> StageSettings:
        twice = [
            f"{ours} and trl.{theirs}" for ours, theirs in TRL_NAMES.items() if theirs in self.trl and self._has(ours)
        ]
        if twice:
            raise ValueError(f"{', '.join(twice)} are one: set one of the two")
        return self

    def _has(self, name: str) -> bool:
        return name in self.model_fields_set and getattr(self, name) is not None

    @model_validator(mode="after")
    def _has_an_adapter(self) -> StageSettings:
        named = [name for name in LORA_NAMES if self._has(name)]
        if named and self.adaptation == "full":
            raise ValueError(f'{", ".join(named)} belong to an adapter; adaptation is "full"')
        return self

    def at(self, folder: Path) -> StageSettings:
        """The settings with paths that were relative to `folder`."""
        named = {name: getattr(self, name) for name in ("dataset", "model")}
        return self.model_copy(update={name: str(folder / path) for name, path in named.items() if path is not None})


class DpoSettings(StageSettings):
    """The [train.dpo] table; TRL's `loss_type` and `loss_weights` are set under [train.dpo.trl]."""

    beta: Positive | None = Field(default=None, description="how dearly the policy pays for leaving its reference")


class KtoSettings(DpoSettings):
    """The [train.kto] table."""

    desirable_weight: Positive | None = Field(default=None, description="what a good answer weighs in the loss")
    undesirable_weight: Positive | None = Field(default=None, description="what a bad answer weighs in the loss")


class OrpoSettings(StageSettings):
    """The [train.orpo] table."""

    beta: Positive | None = Field(
        default=None, description="what the odds ratio weighs beside the loss of chosen answers"
    )


class SimpoSettings(StageSettings):
    """The [train.simpo] table."""

    beta: Positive | None = Field(default=None, description="scale of the mean log-probability that is the reward")
    gamma: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="margin that chosen answers must have, in the reward's unit"
    )


class TrainSettings(Table):
    """The [train] table."""

    runs: str | None = Field(default=None, description="folder of the runs; else runs/ in the working directory")
    cpt: StageSettings = Field(default=StageSettings(), description="continued pre-training on texts")
    sft: StageSettings = Field(default=StageSettings(), description="supervised fine-tuning on dialogues")
    reward: StageSettings = Field(default=StageSettings(), description="a reward model from pairs")
    dpo: DpoSettings = Field(default=DpoSettings(), description="preference alignment on pairs")
    kto: KtoSettings = Field(default=KtoSettings(), description="alignment with answers judged one by one")
    orpo: OrpoSettings = Field(default=OrpoSettings(), description="alignment on pairs by odds, without a reference")
    simpo: SimpoSettings = Field(default=SimpoSettings(), description="alignment on pairs by length-normalised margins")

    def of(self, stage: Stage) -> StageSettings:
        """The table of a stage."""
        settings: StageSettings = getattr(self, stage)
        return settings

    def at(self, folder: Path) -> TrainSettings:
        """The settings with paths that were relative to `folder`."""
        update: dict[str, Any] = {stage: self.of(stage).at(folder) for stage in STAGES}
        if self.runs is not None:
            update["runs"] = str(folder / self.runs)
        return self.model_copy(update=update)
