"""`datakit annotate resolve` and `datakit annotate adjudicate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.annotate.push import tell_passwords
from datakit.cli.annotate.where import Server, Where, opened
from datakit.cli.options import Json, Overrides
from datakit.cli.paths import near
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from annotation.decisions.adjudicate import AdjudicateResult
    from annotation.decisions.resolve import ResolveResult


def resolve(
    where: Where,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DATASET",
            help="The dataset; else resolved in the campaign's folder.",
            show_default=False,
        ),
    ] = None,
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Make a version of what people decided: pairs, labels, scores or new answers, every item accounted for.

    Example: datakit annotate resolve recipes/sales.toml -o sales-pairs --set annotate.resolve.method=dawid_skene
    """
    import sys

    from annotation.decisions.resolve import resolve as make
    from datakit.cli.progress import Bar

    recipe, campaign = opened(where, sets)
    with Bar(quiet=as_json) as bar:
        result = make(campaign, recipe.annotate.resolve, output, progress=bar, command=("datakit", *sys.argv[1:]))
    if as_json:
        print_json(result.to_json())
    else:
        _show(result)


def adjudicate(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)],
    server: Server = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go to the second round; push nothing.")
    ] = False,
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Push what people disagree on to a second, blind round: other people, other sides, no earlier vote in sight.

    Example: datakit annotate adjudicate recipes/sales.toml --set 'annotate.resolve.adjudicate.annotators=["dora"]'
    """
    from contextlib import ExitStack
    from functools import partial

    from annotation.campaigns.push import push
    from annotation.client import server_from
    from annotation.decisions.adjudicate import adjudicate as ask_again
    from datakit.cli.progress import Bar

    plan, campaign = opened(recipe, sets)
    with ExitStack() as open_things:
        if dry_run:
            result = ask_again(campaign, plan, None)
        else:
            to = open_things.enter_context(server_from(server))
            bar = open_things.enter_context(Bar(quiet=as_json))
            result = ask_again(campaign, plan, partial(push, server=to, progress=bar))
    if as_json:
        print_json(result.to_json())
    else:
        _tell(result, dry_run)


def _show(result: ResolveResult) -> None:
    from datakit.cli.tables import print_counts

    typer.echo(f"{result.version.reference}  {near(result.version.path)}\n")
    print_counts(result.version)
    agreement = "unknown" if result.agreement is None else f"{result.agreement:.3f}"
    confidence = "unknown" if result.confidence is None else f"{result.confidence:.3f}"
    typer.echo(f"{result.method}, quorum {result.quorum}: agreement {agreement}, confidence {confidence}")
    if result.adjudicated:
        typer.echo(f"{result.adjudicated:,} items were decided in the second round")
    if result.unchanged:
        typer.echo("this version was there already: the judgements and the settings are the same")


def _tell(result: AdjudicateResult, dry_run: bool) -> None:
    for reason, count in result.reasons.items():
        typer.echo(f"{reason}: {count:,}")
    would = "would ask" if dry_run else "asks"
    typer.echo(f"{result.campaign} {would} about {result.items:,} rows" if result.items else "nobody disagrees")
    if result.pushed is not None:
        tell_passwords(result.pushed)
        typer.echo(result.pushed.url)
