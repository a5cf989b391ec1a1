"""`datakit split` and `datakit mix`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.options import Json
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from datakit.derivation.mix import Ingredient

_Seed = Annotated[int, typer.Option("--seed", help="Another number draws other rows.")]


def split(
    version: Annotated[
        str, typer.Argument(help="A dataset (its latest version), DATASET@3f2a, or a version's folder.")
    ],
    shares: Annotated[
        list[str] | None,
        typer.Argument(help="NAME=SIZE each; by default train=0.8 validation=0.1 test=0.1.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="A folder: a dataset a share; by default DATASET-split.", show_default=False
        ),
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by", help="A key of meta, or source, whose rows stay together; repeatable.", show_default=False
        ),
    ] = None,
    stratify: Annotated[
        list[str] | None,
        typer.Option(
            "--stratify", help="A key of meta, language or source, to spread alike; repeatable.", show_default=False
        ),
    ] = None,
    similarity: Annotated[
        float, typer.Option("--similarity", min=0, max=1, help="Recorded pairs from this similarity on stay together.")
    ] = 0.0,
    seed: _Seed = 0,
    as_json: Json = False,
) -> None:
    """Split a version into shares; similar rows, dialogues and groups never straddle two of them.

    Example: datakit split clean/ train=0.9 test=0.1 --group-by customer --stratify language
    """
    from datakit.cli.progress import Bar
    from datakit.derivation.split import split as run
    from datakit.versions.store import open_version

    parent = open_version(version)
    sizes = _sizes(shares or ["train=0.8", "validation=0.1", "test=0.1"])
    folder = output or parent.path.parent.with_name(f"{parent.path.parent.resolve().name}-split")
    command = ["datakit", *sys.argv[1:]]
    with Bar(quiet=as_json) as bar:
        made = run(
            parent,
            folder,
            sizes,
            seed=seed,
            group_by=group_by or (),
            stratify=stratify or (),
            similarity=similarity,
            progress=bar,
            command=command,
        )
    rows = {name: share.manifest.counts.rows["kept"] for name, share in made.shares.items()}
    if as_json:
        found = {
            name: {
                "version": share.name,
                "path": str(share.path),
                "rows": rows[name],
                "kinds": share.manifest.counts.kinds,
            }
            for name, share in made.shares.items()
        }
        print_json({"parent": parent.reference, "shares": found, "groups": made.groups, "largest_group": made.largest})
        return
    total = sum(rows.values())
    for name, share in made.shares.items():
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in share.manifest.counts.kinds.items())
        typer.echo(f"{name:<12} {rows[name]:>9,} rows  {rows[name] / total:6.1%}  {kinds}  {share.path}")
    typer.echo(f"{total:,} rows of {parent.reference} in {made.groups:,} groups, the largest of {made.largest:,} rows")


def mix(
    versions: Annotated[
        list[str],
        typer.Argument(help="VERSION (all of it), VERSION=0.7 (a weight) or VERSION=1000rows (at most so many)."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The dataset's folder.")],
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, help="At most so many rows of the versions with weights.", show_default=False),
    ] = None,
    seed: _Seed = 0,
    as_json: Json = False,
) -> None:
    """Mix versions into one, by weights or caps; no row is taken twice, and the ledger has every one.

    Example: datakit mix clean@3f2a=0.7 general@9eef=0.3 house@1b04 -o mixed/
    """
    from datakit.cli.progress import Bar
    from datakit.derivation.mix import mix as run

    ingredients = [_ingredient(text) for text in versions]
    with Bar(quiet=as_json) as bar:
        made = run(ingredients, output, rows=rows, seed=seed, progress=bar, command=["datakit", *sys.argv[1:]])
    counts = made.version.manifest.counts
    if as_json:
        taken = [
            {"version": one.version.reference, "rows": count}
            for one, count in zip(ingredients, made.taken, strict=True)
        ]
        plain = {"version": made.version.name, "path": str(made.version.path), "rows": counts.rows}
        print_json({**plain, "reasons": counts.reasons, "taken": taken})
        return
    from datakit.cli.tables import print_counts

    print_counts(made.version)
    for one, count in zip(ingredients, made.taken, strict=True):
        typer.echo(f"{count:>9,} rows of {one.version.reference}")
    typer.echo(f"{made.version.reference}: {made.version.path}")


def _sizes(shares: list[str]) -> dict[str, float]:
    from datakit.errors import UsageFault

    sizes: dict[str, float] = {}
    for text in shares:
        name, _, size = text.partition("=")
        try:
            sizes[name.strip()] = float(size)
        except ValueError:
            raise UsageFault(f"share {text}", "no size", "NAME=SIZE", "For example: train=0.9 test=0.1") from None
    if len(sizes) < len(shares):
        raise UsageFault("shares", "a name stands twice", "each name once")
    return sizes


def _ingredient(text: str) -> Ingredient:
    from datakit.derivation.mix import Ingredient
    from datakit.errors import UsageFault
    from datakit.versions.store import open_version

    reference, equals, amount = text.rpartition("=")
    if not equals or Path(text).exists():
        return Ingredient(open_version(text))
    version = open_version(reference)
    try:
        if amount.endswith("rows"):
            return Ingredient(version, most=int(amount.removesuffix("rows")))
        return Ingredient(version, weight=float(amount))
    except ValueError:
        raise UsageFault(text, f"'{amount}'", "a weight, such as 0.7, or a cap, such as 1000rows") from None
