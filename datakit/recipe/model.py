"""[model]: the model that is trained, and the chat template in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from datakit.recipe.base import Table


class ModelSettings(Table):
    """The [model] table."""

    base: str | None = Field(default=None, description="folder of the model; its tokenizer files are enough for masks")
    template: str | None = Field(
        default=None, description="a Jinja file that takes the place of the model's own chat template"
    )
    arguments: Mapping[str, Any] = Field(
        default={}, description="further variables of the template, e.g. { enable_thinking = false }"
    )
