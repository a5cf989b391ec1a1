"""A recipe: everything a run depends on, as one frozen value."""

from __future__ import annotations

from pydantic import Field

from datakit.recipe.base import Table
from datakit.recipe.brief import Brief
from datakit.recipe.clean import CleanSettings
from datakit.recipe.data import DataSettings
from datakit.recipe.masks import MaskSettings
from datakit.recipe.model import ModelSettings


class Recipe(Table):
    """The tables of a recipe file. Every one may be left out: its defaults hold then."""

    data: DataSettings = Field(default=DataSettings(), description="what is read, and where the version goes")
    brief: Brief = Field(default=Brief(), description="the requirement checklist")
    clean: CleanSettings = Field(default=CleanSettings(), description="cleaning")
    model: ModelSettings = Field(default=ModelSettings(), description="the model, and its chat template")
    masks: MaskSettings = Field(default=MaskSettings(), description="which tokens may be trained")
