"""[launch]: how many processes train."""

from __future__ import annotations

from pydantic import Field

from datakit.recipe.base import Table


class LaunchSettings(Table):
    """The [launch] table."""

    processes: int = Field(default=1, ge=1, description="processes that train, one a GPU")
