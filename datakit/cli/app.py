"""The `datakit` command and its verbs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from datakit import __version__
from datakit.cli import edge
from datakit.cli.annotate import annotate
from datakit.cli.clean import clean
from datakit.cli.convert import convert
from datakit.cli.derive import mix, split
from datakit.cli.evaluate import evaluate
from datakit.cli.explain import explain
from datakit.cli.inspect import inspect
from datakit.cli.masks import masks
from datakit.cli.recut import recut
from datakit.cli.runs import runs
from datakit.cli.template import template
from datakit.cli.train import train
from datakit.cli.versions import versions
from datakit.cli.why import why

app = typer.Typer(
    name="datakit",
    help="Every row accounted for: raw text and dialogue in, versioned post-training datasets out.",
    epilog="Example: datakit clean raw/ -o clean/",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(clean)
app.command()(convert)
app.command()(evaluate)
app.command()(explain)
app.command()(inspect)
app.command()(masks)
app.command()(mix)
app.command()(recut)
app.command()(split)
app.command()(template)
app.command(no_args_is_help=True)(train)
app.command()(why)
app.add_typer(annotate, name="annotate")
app.add_typer(runs, name="runs")
app.add_typer(versions, name="versions")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"datakit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(edge.run(app))
