"""`datakit convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from datakit.cli.options import Json

if TYPE_CHECKING:
    from datakit.conversion.convert import ConvertResult

_SHOWN = 20  # lost fields named on stderr

_Target = Literal[
    "alpaca", "sharegpt", "chatml", "messages", "preference", "kto", "text", "llamafactory", "openrlhf", "axolotl"
]


def convert(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs, - for standard input, or a version of a dataset (clean@3f2a)."),
    ],
    to: Annotated[_Target, typer.Option("--to", help="The format to write.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="A file (.jsonl, .json, also .gz or .zst; .parquet), or a folder: a file a kind."
        ),
    ],
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write what the format can hold; OUTPUT.lost.jsonl names the rest.")
    ] = False,
    format: Annotated[  # noqa: A002 - the name of the flag
        str | None,
        typer.Option("--format", help="Take every row of files for this format instead of detecting it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write rows in another format. What it cannot hold is named row by row, and then nothing is written.

    Example: datakit convert clean/ --to llamafactory -o llamafactory/
    """
    from datakit.cli.progress import Bar
    from datakit.conversion.convert import convert as run

    with Bar(quiet=as_json) as bar:
        result = run(inputs, output, to, lossy=lossy, format=format, progress=bar)
    _tell_losses(result, output)
    if as_json:
        import orjson

        typer.echo(orjson.dumps(result, default=str).decode())
    else:
        for path in result.files.values():
            typer.echo(path)
    if result.usage and not as_json:
        typer.echo(f"\nfor {result.target}:\n{result.usage}", err=True)
    if not result.files:
        raise typer.Exit(1)


def _tell_losses(result: ConvertResult, output: Path) -> None:
    """Say on stderr how many rows were written, what is lost, and in which rows first."""
    for lost in result.losses[:_SHOWN]:
        found = f" ({lost.value})" if lost.value else ""
        typer.echo(f"lost: {lost.source}:{lost.line}: {lost.field}: {lost.why}{found}", err=True)
    if result.fields:
        typer.echo("rows  field, and why it is lost", err=True)
        for field, why, rows in result.fields:
            typer.echo(f"{rows:>9,}  {field}: {why}", err=True)
    altered = f", {result.altered:,} of them without a field" if result.altered else ""
    typer.echo(f"{result.rows['written']:,} of {result.rows['in']:,} rows written{altered}", err=True)
    for reason, rows in result.reasons.items():
        typer.echo(f"not written: {reason} {rows:,}", err=True)
    if result.report is not None:
        typer.echo(f"every loss, row by row: {result.report}", err=True)
    elif result.fields and result.reasons.keys() & {"loses_fields", "withheld"}:
        typer.echo(f"--lossy writes what can be held, and names the rest in {output}.lost.jsonl", err=True)
