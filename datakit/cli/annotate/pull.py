"""`datakit annotate pull` and `datakit annotate progress`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.annotate.where import Server, Where, opened
from datakit.cli.options import Json, Overrides
from datakit.cli.paths import near
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotation.campaigns.campaign import Campaign
    from annotation.judgements.pull import PullResult
    from annotation.measures.shares import Share
    from annotation.reports.standing import Standing
    from datakit.versions.store import Version


def pull(
    where: Where,
    server: Server = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every record, even where the server says that nothing has changed.")
    ] = False,
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Fetch what people have answered, as a version of judgements; again: what is new, and nothing twice.

    Example: datakit annotate pull recipes/sales.toml
    """
    import sys

    from annotation.client import server_from
    from annotation.judgements.pull import pull as pull_campaign
    from datakit.cli.progress import Bar

    campaign = opened(where, sets)[1]
    with server_from(server) as source, Bar(quiet=as_json) as bar:
        result = pull_campaign(campaign, source, bar, full=full, command=("datakit", *sys.argv[1:]))
    if as_json:
        print_json(result.to_json())
    else:
        _show(result)


def progress(
    where: Where,
    server: Server = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look at what was pulled last; ask no server.")] = False,
    names: Annotated[
        bool, typer.Option("--names", help="Show names instead of pseudonyms; they stay on this machine.")
    ] = False,
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Pull, and say how far a campaign is: done, left, each annotator, pace, expected end, agreement so far.

    Example: datakit annotate progress recipes/sales.toml
    """
    from annotation.judgements.annotators import read_annotators
    from annotation.judgements.judgements import KIND, pulled
    from annotation.reports.standing import standing

    campaign = opened(where, sets)[1]
    version = pulled(campaign) if offline else _pulled(campaign, server, quiet=as_json)
    found = standing(campaign, version.frame(KIND), version.reference)
    who = {one.pseudonym: one.name for one in read_annotators(campaign.path).values()} if names else None
    if as_json:
        print_json(found.to_json(who))
    else:
        _tell(found, who or {})


def _pulled(campaign: Campaign, url: str | None, *, quiet: bool) -> Version:
    from annotation.client import server_from
    from annotation.judgements.pull import pull as pull_campaign
    from datakit.cli.progress import Bar

    with server_from(url) as source, Bar(quiet=quiet) as bar:
        return pull_campaign(campaign, source, bar).version


def _tell(found: Standing, names: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from annotation.reports.page_people import leans

    console = Console(highlight=False)
    share = found.done / found.items if found.items else 1.0
    console.print(f"{found.campaign}: {found.done:,} of {found.items:,} items are done ({share:.0%})", markup=False)
    for count, number in found.by_answers.items():
        console.print(f"  with {count} of {found.overlap} answers: {number:,}")
    statuses = ", ".join(f"{count:,} {status}" for status, count in found.statuses.items()) or "none yet"
    console.print(f"answers: {statuses}; {found.left:,} left")
    alpha, percent = _number(found.agreement.alpha), _number(found.agreement.percent)
    console.print(f"agreement so far: alpha {alpha}, percent {percent}, on {found.agreement.compared:,} items")
    pace = "unknown" if found.pace is None else f"{found.pace:,.1f} answers an hour"
    end = f"; through by {found.end[:16].replace('T', ' ')} UTC" if found.end else ""
    console.print(f"pace: {pace}{end}")
    if not found.quality:
        return
    table = Table("annotator", box=None, header_style="bold", pad_edge=False)
    for name in ("items", "discarded", "seconds", "gold right", "left side", "last answer"):
        table.add_column(name, justify="right")
    for name, one in found.quality.items():
        table.add_row(
            Text(names.get(name) or name),
            f"{one.items:,}",
            f"{one.discarded:,}",
            "–" if one.seconds is None else f"{one.seconds:,.0f}",
            _share(one.gold),
            _share(one.left) + (" leans" if leans(one) else ""),
            found.last[name][:16].replace("T", " "),
        )
    console.print("\n", table, sep="", end="")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _share(share: Share | None) -> str:
    return "–" if share is None else f"{share.hits} of {share.of}"


def _show(result: PullResult) -> None:
    answers = result.answers
    typer.echo(f"{result.version.reference}  {near(result.version.path)}")
    statuses = "".join(f", {count:,} {status}" for status, count in result.statuses.items())
    typer.echo(f"{answers['in']:,} answers of {result.annotators:,} annotators: {answers['kept']:,} kept{statuses}")
    for reason, count in result.reasons.items():
        typer.echo(f"  {reason}: {count:,}")
    typer.echo("nothing has changed" if result.unchanged else f"{result.changed:,} are new or changed")
