"""`datakit recut`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from datakit.cli.options import Json


def recut(
    version: Annotated[
        str, typer.Argument(help="A version that datakit clean made: DATASET, DATASET@3f2a, or its folder.")
    ],
    sets: Annotated[
        list[str],
        typer.Option(
            "--set", help="One value to cut by, e.g. clean.near.threshold=0.9; repeatable.", metavar="KEY=VALUE"
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The dataset's folder; else the version's own.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Cut a version anew by other settings, from its stored scores and pairs; no raw file is read.

    Example: datakit recut clean@3f2a --set clean.near.threshold=0.9
    """
    from datakit.cleaning.recut import recut as run
    from datakit.cli.clean import show_result
    from datakit.cli.progress import Bar
    from datakit.versions.store import open_version

    before = open_version(version)
    with Bar(quiet=as_json) as bar:
        result = run(before, sets, output, progress=bar, command=["datakit", *sys.argv[1:]])
    show_result(result, as_json)
    if not as_json and not result.unchanged:
        typer.echo(f"      datakit versions diff {before.path} {result.path}")
