"""A recipe: everything a run depends on, as one frozen value."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from datakit.recipe.annotate import AnnotateSettings
from datakit.recipe.base import Table
from datakit.recipe.brief import Brief
from datakit.recipe.clean import CleanSettings
from datakit.recipe.data import DataSettings
from datakit.recipe.evaluate import EvaluateSettings
from datakit.recipe.gates import GatesSettings, check_metrics
from datakit.recipe.launch import LaunchSettings
from datakit.recipe.masks import MaskSettings
from datakit.recipe.model import ModelSettings
from datakit.recipe.train import TrainSettings


class Recipe(Table):
    """The tables of a recipe file. Every one may be left out: its defaults hold then."""

    data: DataSettings = Field(default=DataSettings(), description="what is read, and where the version goes")
    brief: Brief = Field(default=Brief(), description="the requirement checklist")
    clean: CleanSettings = Field(default=CleanSettings(), description="cleaning")
    annotate: AnnotateSettings = Field(default=AnnotateSettings(), description="what people judge")
    model: ModelSettings = Field(default=ModelSettings(), description="the model, and its chat template")
    masks: MaskSettings = Field(default=MaskSettings(), description="which tokens may be trained")
    train: TrainSettings = Field(default=TrainSettings(), description="training, one table a stage")
    gates: GatesSettings = Field(default=GatesSettings(), description="what must hold before, while and after training")
    evaluate: EvaluateSettings = Field(default=EvaluateSettings(), description="what a model is measured with")
    launch: LaunchSettings = Field(default=LaunchSettings(), description="processes that train")

    @field_validator("gates")
    @classmethod
    def _asks_for_what_is_there(cls, gates: GatesSettings, info: ValidationInfo) -> GatesSettings:
        check_metrics(gates, info.data.get("brief", Brief()))
        return gates
