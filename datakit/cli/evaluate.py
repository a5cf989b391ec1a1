"""`datakit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from datakit.cli.options import Json, Overrides, RecipeFile, Unproved
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from train.evaluate import Measured


def evaluate(
    target: Annotated[
        str,
        typer.Argument(metavar="RUN|MODEL", help="A run, or a folder with a model or an adapter.", show_default=False),
    ],
    recipe: RecipeFile = None,
    sets: Overrides = None,
    stage: Annotated[
        Literal["cpt", "sft", "reward", "dpo", "kto", "orpo", "simpo"] | None,
        typer.Option("--stage", help="Whose metrics; else the run's, and sft for a model.", show_default=False),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="MODEL",
            help="The model before; else the run's base, or model.base.",
            show_default=False,
        ),
    ] = None,
    allow_unproved: Unproved = False,
    as_json: Json = False,
) -> None:
    """Measure a model: perplexity, cloze, choice, format, variety, KL, win rate, or a reward model's accuracy.

    Example: datakit evaluate runs/2026-11-23T23-14-55-sales-dpo --recipe recipes/sales.toml
    """
    from datakit.cli.progress import Bar
    from datakit.cli.siblings import check_sibling
    from datakit.recipe.load import load_recipe

    check_sibling("train")
    from train.evaluate import evaluate as measure

    plan = load_recipe(recipe, sets or [])
    with Bar(quiet=as_json) as bar:
        measured = measure(target, plan, stage=stage, against=against, progress=bar, allow_unproved=allow_unproved)
    if as_json:
        print_json(measured.to_json())
    else:
        _show(measured)


def _show(measured: Measured) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("samples", justify="right")
    for name, value in measured.found.values.items():
        shown = "unknown" if value.value is None else f"{value.value:.4g}"
        table.add_row(name, shown, "" if value.samples is None else f"{value.samples:,}")
    Console(highlight=False).print(table)
    typer.echo(f"\n{measured.stage}: {measured.model}" + (f" beside {measured.against}" if measured.against else ""))
