"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe (TOML).", show_default=False)]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="One value of the recipe, e.g. clean.near.threshold=0.9; repeatable.",
        metavar="KEY=VALUE",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Unproved = Annotated[
    bool,
    typer.Option("--allow-unproved", help="Take the rows that a proof leaves in although it leaves out too many."),
]
