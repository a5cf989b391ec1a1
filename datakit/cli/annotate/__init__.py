"""`datakit annotate`: an Argilla server, and campaigns on it."""

from __future__ import annotations

import typer

from datakit.cli.annotate.agreement import agreement, report
from datakit.cli.annotate.pull import progress, pull
from datakit.cli.annotate.push import push
from datakit.cli.annotate.resolve import adjudicate, resolve
from datakit.cli.annotate.server import serve, status, stop

annotate = typer.Typer(
    help="Let people judge rows in Argilla: serve it, push a campaign, pull the judgements, make data of them.",
    epilog="Example: datakit annotate push recipes/sales.toml",
    no_args_is_help=True,
)
annotate.command()(push)
annotate.command()(pull)
annotate.command()(progress)
annotate.command()(serve)
annotate.command()(stop)
annotate.command()(status)
annotate.command()(agreement)
annotate.command()(report)
annotate.command()(adjudicate)
annotate.command()(resolve)


@annotate.callback()
def _root() -> None:
    from datakit.cli.siblings import check_sibling

    check_sibling("annotation")
