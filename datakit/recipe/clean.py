"""[clean]: which steps run, and how."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field, field_validator

from datakit.recipe.base import Table
from datakit.recipe.language import Language
from datakit.recipe.near import NearSettings
from datakit.recipe.normalise import Normalise
from datakit.recipe.pii import Pii
from datakit.recipe.rules import RulesSettings

Step = Literal["normalise", "pii", "language", "rules", "exact", "near"]

STEPS: Final[tuple[Step, ...]] = ("normalise", "pii", "language", "rules", "exact", "near")
"""The order is fixed. Masking comes before the rules, so that rules judge what will be trained on and a
clean version, cleaned again, gets the same scores."""


class CleanSettings(Table):
    """The [clean] table."""

    steps: tuple[Step, ...] = Field(default=STEPS, description="steps that run, always in the fixed order")
    languages: tuple[str, ...] = Field(
        default=(), description="ISO 639-1 codes that are kept, e.g. ['zh', 'en']; empty: tag only"
    )
    max_row_mb: float = Field(default=64, gt=0, description="a longer row is rejected as row_too_long, in MB")
    memory_mb: int = Field(
        default=1500, ge=500, description="memory of a run, all processes together, in MB; without effect on the result"
    )
    normalise: Normalise = Normalise()
    pii: Pii = Pii()
    language: Language = Language()
    rules: RulesSettings = RulesSettings()
    near: NearSettings = NearSettings()

    @field_validator("languages")
    @classmethod
    def _as_a_set(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({language.strip().lower() for language in languages}))

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(step for step in STEPS if step in steps)


# Settings that change how the work is done but not what comes out.
_WITHOUT_EFFECT: Final = frozenset({"memory_mb", "vault"})


def effective_values(settings: CleanSettings) -> dict[str, Any]:
    """The values that decide what comes out, as JSON types: the part of the fingerprint that is the recipe.

    Settings of steps that do not run, and settings without an effect on the result, are left out.
    """

    def values(table: BaseModel) -> dict[str, Any]:
        plain = table.model_dump(mode="json")
        nested = {name: values(value) for name, value in table if isinstance(value, BaseModel)}
        return {name: nested.get(name, value) for name, value in plain.items() if name not in _WITHOUT_EFFECT}

    off = {step for step in STEPS if step not in settings.steps}
    return {name: value for name, value in values(settings).items() if name not in off}
