"""`datakit annotate push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.annotate.where import Server
from datakit.cli.options import Json, Overrides
from datakit.cli.paths import near
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from annotation.campaigns.push import PushResult


def push(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML) with [annotate].", show_default=False)],
    server: Server = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan only: how many items, and what is left out; send nothing.")
    ] = False,
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Bring the rows of a recipe's campaign to the server; again: what is missing, and no row twice.

    Example: datakit annotate push recipes/sales.toml
    """
    from contextlib import ExitStack

    from annotation.campaigns.push import push as push_campaign
    from annotation.client import server_from
    from datakit.cli.progress import Bar
    from datakit.recipe.load import load_recipe

    loaded = load_recipe(recipe, sets or [])
    with ExitStack() as open_things:
        to = None if dry_run else open_things.enter_context(server_from(server))
        result = push_campaign(loaded, to, open_things.enter_context(Bar(quiet=as_json)), dry_run=dry_run)
    if as_json:
        print_json(result.to_json())
        return
    _show(result)


def _show(result: PushResult) -> None:
    for row in result.left_out.iter_rows(named=True):
        typer.echo(f"left out: {row['source']}:{row['line']}: {row['reason']}: {row['detail']}", err=True)
    sent = f"{result.pushed:,} sent" if result.url else f"{result.pushed:,} to be sent"
    typer.echo(f"{result.campaign}: {result.items:,} items; {sent}, {result.already:,} there before")
    if result.annotators:
        typer.echo(f"annotators: {', '.join(result.annotators)}")
    tell_passwords(result)
    if result.url:
        typer.echo(result.url)


def tell_passwords(result: PushResult) -> None:
    """Say where the passwords of the people are whom a push has made."""
    if result.made:
        typer.echo(f"passwords of {', '.join(result.made)}: {near(result.folder / 'passwords.json')}")
