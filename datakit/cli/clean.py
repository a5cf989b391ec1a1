"""`datakit clean`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from datakit.cli.options import Json, Overrides, RecipeFile
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from datakit.cleaning.clean import CleanResult
    from datakit.recipe.recipe import Recipe

_SHOWN_REJECTS = 3


def clean(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, globs, or - for standard input; else the recipe's data.input.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The dataset's folder; else the recipe's data.output.", show_default=False),
    ] = None,
    recipe: RecipeFile = None,
    sets: Overrides = None,
    format: Annotated[  # noqa: A002 - the name of the flag
        str | None,
        typer.Option("--format", help="Take every row for this format instead of detecting it.", show_default=False),
    ] = None,
    split: Annotated[
        Literal["blank", "lines"] | None,
        typer.Option(
            "--split",
            help="Cut txt files at blank lines or at every line; else a file is one record.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; by default by the size of the input.", show_default=False),
    ] = None,
    explain: Annotated[
        Literal["near"] | None,
        typer.Option("--explain", help="Explain a step with the settings in use, and leave.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Clean files into a version of a dataset: every row kept, edited, dropped or rejected, with its reason.

    Example: datakit clean raw/ -o clean/ --set clean.languages='["zh", "en"]'
    """
    from datakit.cli.progress import Bar
    from datakit.errors import UsageFault
    from datakit.recipe.load import load_recipe

    flags = [f"data.{name}={value}" for name, value in (("format", format), ("split", split)) if value is not None]
    plan = load_recipe(recipe, [*(sets or []), *flags])
    if explain is not None:
        _explain_near(plan, as_json)
        return
    paths: list[str] = list(inputs or plan.data.input)
    target = output or (Path(plan.data.output) if plan.data.output else None)
    if not paths:
        raise UsageFault("datakit clean", "no input", "a file or folder", "For example: datakit clean raw/ -o clean/")
    if target is None:
        raise UsageFault("datakit clean", "no output", "-o FOLDER", "For example: datakit clean raw/ -o clean/")
    from datakit.cleaning.workers import start_early

    start_early(paths, plan.clean.memory_mb, workers)
    from datakit.cleaning.clean import clean as run

    with Bar(quiet=as_json) as bar:
        result = run(paths, target, plan, workers=workers, progress=bar, command=["datakit", *sys.argv[1:]])
    _tell_rejected(result)
    _tell_short_texts(result)
    show_result(result, as_json)
    if not result.rows["kept"] + result.rows["edited"]:
        typer.echo(f"datakit: no row was kept; {result.path / 'ledger.parquet'} says why, row by row", err=True)
        raise typer.Exit(1)


def _tell_rejected(result: CleanResult) -> None:
    """Name the first rows that could not be read, on stderr: they are in the ledger, and should not go unseen."""
    count = result.rows["rejected"]
    if not count or result.unchanged:
        return
    import polars as pl

    rejected = pl.read_parquet(result.path / "dropped" / "rejected.parquet")
    different = rejected.unique(["source", "reason"], keep="first", maintain_order=True)
    for row in different.head(_SHOWN_REJECTS).iter_rows(named=True):
        typer.echo(f"rejected: {row['source']}:{row['line']}: {row['reason']}: {row['detail']}", err=True)
    path = result.path / "dropped" / "rejected.parquet"
    typer.echo(f"{count:,} rows could not be read; mend them in their files, or see all in {path}", err=True)


def _tell_short_texts(result: CleanResult) -> None:
    """Say why most rows are gone where texts are short: the rules for text are those of web pages."""
    short = result.reasons.get("gopher_words", 0)
    if 2 * short > result.rows["in"] and not result.unchanged:
        typer.echo(
            f"{short:,} texts have fewer than 50 words and are held to the rules of web pages; for replies, give them "
            "as dialogues, or add --set clean.rules.text.gopher_words=false",
            err=True,
        )


def show_result(result: CleanResult, as_json: bool) -> None:
    """Print what a run made."""
    if as_json:
        plain = {
            "version": result.version.name,
            "path": str(result.path),
            "rows": result.rows,
            "reasons": result.reasons,
            "seconds": round(result.seconds, 3),
            "unchanged": result.unchanged,
        }
        print_json(plain)
        return
    if result.unchanged:
        typer.echo(f"unchanged: {result.version.reference}")
        return
    from datakit.cli.tables import print_counts

    print_counts(result.version)
    typer.echo(f"{result.version.reference} in {result.seconds:.1f} s: {result.path}")
    typer.echo(f"next: datakit versions show {result.version.path.parent}")


def _explain_near(plan: Recipe, as_json: bool) -> None:
    """Print the S-curve of the settings in use: how likely a pair of a similarity is looked at."""
    from datakit.cleaning.near import s_curve

    near = plan.clean.near
    points = [0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    curve = s_curve(near.bands, near.rows, points)
    if as_json:
        print_json({"bands": near.bands, "rows": near.rows, "threshold": near.threshold, "curve": curve})
        return
    typer.echo(
        f"near duplicates: {near.bands} bands of {near.rows} rows; "
        f"removed from Jaccard {near.threshold} on, verified exactly"
    )
    typer.echo("Jaccard  candidate")
    for similarity, probability in curve:
        typer.echo(f"   {similarity:4.2f}  {probability:8.4f}  {'#' * round(40 * probability)}")
