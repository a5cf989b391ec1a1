"""`datakit versions list | show | verify | diff | prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datakit.cli.diff import diff, prune
from datakit.cli.options import Json
from datakit.cli.result import print_json

versions = typer.Typer(
    help="List, show, verify, compare and remove the versions of a dataset.",
    epilog="Example: datakit versions list clean/",
    no_args_is_help=True,
)

_Reference = Annotated[str, typer.Argument(help="A dataset (its latest version), DATASET@3f2a, or a version's folder.")]


@versions.command("list")
def list_(
    dataset: Annotated[Path, typer.Argument(help="The dataset's folder.")],
    as_json: Json = False,
) -> None:
    """List the versions of a dataset, oldest first.

    Example: datakit versions list clean/
    """
    from datakit.versions.store import history, open_version
    from datakit.versions.store import versions as all_versions

    head = open_version(dataset)
    times = {entry["version"]: entry["time"] for entry in history(dataset)}
    rows = [(v.name, times.get(v.name, ""), v.manifest.counts.rows, v.name == head.name) for v in all_versions(dataset)]
    if as_json:
        print_json({"versions": [{"version": n, "time": t, "rows": r, "head": h} for n, t, r, h in rows]})
        return
    for name, when, counts, is_head in rows:
        kept = counts["kept"] + counts["edited"]
        typer.echo(f"{name}  {when:20}  {kept:>10,} of {counts['in']:,} rows{'  HEAD' if is_head else ''}")


@versions.command()
def show(reference: _Reference, as_json: Json = False) -> None:
    """Show what a version holds, where it came from and what was dropped.

    Example: datakit versions show clean@3f2a
    """
    from datakit.cli.tables import print_counts
    from datakit.versions.store import open_version

    version = open_version(reference)
    if as_json:
        print_json({"version": version.name, "path": str(version.path), **version.manifest.model_dump(mode="json")})
        return
    typer.echo(f"{version.reference}  {version.path}\n")
    print_counts(version)
    typer.echo("inputs:")
    for source in version.manifest.inputs:
        typer.echo(f"  {source.source}  {source.bytes:,} bytes  {source.blake2b}")
    for kind, count in version.manifest.counts.kinds.items():
        typer.echo(f"{kind}: {count:,} rows")


@versions.command()
def verify(reference: _Reference, as_json: Json = False) -> None:
    """Check every file of a version against its checksum; a flipped bit is found.

    Example: datakit versions verify clean/
    """
    from datakit.versions.store import open_version
    from datakit.versions.store import verify as faults_of

    version = open_version(reference)
    faults = faults_of(version)
    if as_json:
        print_json({"version": version.name, "whole": not faults, "faults": [str(fault) for fault in faults]})
    elif faults:
        for fault in faults:
            typer.echo(f"datakit: {fault}", err=True)
    else:
        typer.echo(f"{version.reference} is whole: {len(version.manifest.parts)} files")
    if faults:
        raise typer.Exit(1)


versions.command()(diff)
versions.command()(prune)
