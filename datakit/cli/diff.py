"""`datakit versions diff` and `datakit versions prune`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.options import Json
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from datakit.versions.diff import Difference
    from datakit.versions.prune import Old, Plan

_HEADS = {
    "came": "came (not kept before)",
    "went": "went (kept before)",
    "changed": "changed (kept in both)",
    "reason": "in neither, for another reason",
}


def diff(
    before: Annotated[str, typer.Argument(help="A version: DATASET, DATASET@3f2a, or its folder.", metavar="A")],
    after: Annotated[str, typer.Argument(help="The version that it is compared with.", metavar="B")],
    examples: Annotated[int, typer.Option("--examples", min=0, help="Rows that are named for each reason.")] = 3,
    as_json: Json = False,
) -> None:
    """Compare two versions: rows that came, went or changed, by reason, and the settings that differ.

    Example: datakit versions diff clean@3f2a clean@9eef
    """
    from datakit.versions.diff import diff as compare
    from datakit.versions.store import open_version

    found = compare(open_version(before), open_version(after))
    if as_json:
        print_json(_plain(found, examples))
        return
    _show(found, examples)


def _plain(found: Difference, examples: int) -> dict[str, object]:
    counts = found.counts()
    rows = {"stay": found.stay, **{change: 0 for change in _HEADS}}
    for change, _, _, count in counts.iter_rows():
        rows[change] += count
    groups = [
        {**row, "examples": found.examples(row["change"], row["before"], row["after"], examples)}
        for row in counts.iter_rows(named=True)
    ]
    settings = {name: {"before": was, "after": now} for name, (was, now) in found.settings.items()}
    references = {"before": found.before.reference, "after": found.after.reference}
    return {**references, "rows": rows, "groups": groups, "settings": settings}


def _show(found: Difference, examples: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"{found.before.reference} → {found.after.reference}", style="bold"), soft_wrap=True)
    for name, (was, now) in found.settings.items():
        console.print(Text(f"  {name}: {_value(was)} → {_value(now)}"), soft_wrap=True)
    counts = found.counts()
    for change, head in _HEADS.items():
        mine = counts.filter(counts["change"] == change)
        if not mine.height:
            continue
        console.print(Text(f"\n{mine['rows'].sum():,} {head}", style="bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("", justify="right")
        table.add_column("")
        table.add_column("", overflow="fold")
        for _, was, now, rows in mine.iter_rows():
            named = found.examples(change, was, now, examples)
            more = " …" if rows > len(named) > 0 else ""
            table.add_row(f"{rows:,}", Text(f"{was} → {now}"), Text(", ".join(named) + more, style="dim"))
        console.print(table)
    console.print(f"\n{found.stay:,} rows stay as they are")
    if counts.height:
        console.print(Text(f"next: datakit why ROW -d {found.after.path}", style="dim"), soft_wrap=True)


def _value(value: object) -> str:
    return "not set" if value is None else str(value)


def prune(
    dataset: Annotated[Path, typer.Argument(help="The dataset's folder.")],
    keep: Annotated[int, typer.Option("--keep", min=1, help="The latest so many versions stay.", metavar="N")],
    named: Annotated[
        bool, typer.Option("--named", help="Remove also what a version, a run, a campaign or a proof depends on.")
    ] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--beside",
            help="A folder of datasets, runs or campaigns that may name a version; else all beside it.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove old versions of a dataset. Without --yes nothing is touched; the latest always stays.

    Example: datakit versions prune clean/ --keep 3
    """
    from datakit.versions.prune import plan_prune
    from datakit.versions.prune import prune as remove

    plan = plan_prune(dataset, keep, named=named, beside=beside or ())
    freed = remove(plan, ["datakit", *sys.argv[1:]]) if yes else 0
    if as_json:
        plain = {
            "removed" if yes else "would_remove": [_old(one) for one in plan.remove],
            "held": [_old(one) for one in plan.held],
            "kept": [version.name for version in plan.keep],
            "freed": freed,
        }
        print_json(plain)
        return
    _tell(plan, yes)


def _old(one: Old) -> dict[str, object]:
    return {"version": one.version.name, "bytes": one.bytes, "named": list(one.named)}


def _tell(plan: Plan, yes: bool) -> None:
    for one in plan.held:
        typer.echo(f"held     {one.version.name}  {one.bytes / 1e6:9,.1f} MB  {'; '.join(one.named)}")
    word = "removed" if yes else "goes"
    for one in plan.remove:
        warning = f"  although {'; '.join(one.named)}" if one.named else ""
        typer.echo(f"{word:<8} {one.version.name}  {one.bytes / 1e6:9,.1f} MB{warning}")
    for version in plan.keep:
        typer.echo(f"stays    {version.name}")
    size = sum(one.bytes for one in plan.remove) / 1e6
    if not plan.remove:
        typer.echo("nothing to remove" + ("; --named removes what is held too" if plan.held else ""))
    elif not yes:
        typer.echo(f"nothing was touched; --yes removes {len(plan.remove)} versions, {size:,.1f} MB", err=True)
