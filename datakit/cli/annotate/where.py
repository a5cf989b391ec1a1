"""Which campaign a command means: that of a recipe, or one by its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from annotation.campaigns.campaign import Campaign
    from datakit.recipe.recipe import Recipe

Where = Annotated[
    Path, typer.Argument(help="A recipe (TOML) with [annotate], or a campaign's folder.", show_default=False)
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="URL of the server; else ARGILLA_API_URL, else the one that `annotate serve` started.",
        show_default=False,
    ),
]


def opened(where: Path, sets: Sequence[str] | None = None) -> tuple[Recipe, Campaign]:
    """The recipe and its campaign; of a campaign's folder, the recipe that `--set` alone makes."""
    from annotation.campaigns.campaign import is_campaign, open_campaign
    from datakit.recipe.load import load_recipe

    folder = where.is_dir() or is_campaign(where)
    recipe = load_recipe(None if folder else where, sets or [])
    return recipe, open_campaign(where if folder else recipe)
