"""`datakit runs list | show | compare | lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datakit.cli.options import Json
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from train.runs import Run

runs = typer.Typer(
    help="List, show, compare and trace the runs of datakit train.",
    epilog="Example: datakit runs list",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(help="A run's folder, its saved model, or a part of its name.")]
_Folder = Annotated[Path, typer.Option("--runs", help="The folder of all runs.")]
_RUNS = Path("runs")


@runs.callback()
def _root() -> None:
    from datakit.cli.siblings import check_sibling

    check_sibling("train")


@runs.command("list")
def list_(folder: _Folder = _RUNS, as_json: Json = False) -> None:
    """List the runs of a folder, oldest first: how each ended, how far it came and its last loss.

    Example: datakit runs list
    """
    from train.runs import list_runs

    found, faults = list_runs(folder)
    if as_json:
        _json({"runs": [_summary(run) for run in found], "unreadable": [str(fault) for fault in faults]})
        return
    for fault in faults:
        typer.echo(f"datakit: {fault}", err=True)
    if not found:
        typer.echo(f"no runs in {folder}")
    for run in found:
        line = _summary(run)
        loss = f"loss {line['loss']:.4g}" if line["loss"] is not None else ""
        typer.echo(
            f"{run.name}  {line['status']:<11}  step {line['step']:,} of {line['steps'] or '?'}  {loss}".rstrip()
        )


@runs.command()
def show(name: _Name, folder: _Folder = _RUNS, as_json: Json = False) -> None:
    """Show a run: rows, gates, last metrics, and what it was made from.

    Example: datakit runs show sales-sft
    """
    from train.runs import find_run, flatten

    run = find_run(name, folder)
    if as_json:
        _json({**run.fields, "status": run.status, "path": str(run.path), "metrics": _last(run)})
        return
    typer.echo(f"{run.name}  {run.status}  {run.path}\n")
    for words in _verdicts(run.fields):
        typer.echo(words)
    _table(("metric", "last"), [(metric, f"{value:.4g}") for metric, value in _last(run).items()])
    facts = {**run.fields["facts"], "rows": run.fields.get("rows") or {}}
    _table(("fact", "value"), [(fact, str(value)) for fact, value in flatten(facts).items()])
    if run.fields.get("error"):
        typer.echo(f"it failed: {run.fields['error']}")


@runs.command()
def compare(first: _Name, second: _Name, folder: _Folder = _RUNS, as_json: Json = False) -> None:
    """Compare two runs: what differs in their facts, and the last value of each metric.

    Example: datakit runs compare 2026-11-23T23-14-55 2026-11-23T23-20-01
    """
    from train.runs import differences, find_run

    one, other = find_run(first, folder), find_run(second, folder)
    changed = differences(one.fields["facts"], other.fields["facts"])
    before, after = _last(one), _last(other)
    metrics = {name: (before.get(name), after.get(name)) for name in {**before, **after}}
    if as_json:
        _json(
            {
                "runs": [one.name, other.name],
                "differences": {name: values for name, *values in changed},
                "metrics": metrics,
            }
        )
        return
    if not changed:
        typer.echo("the facts of both are equal\n")
    _table(("differs", one.name, other.name), [(name, str(was), str(now)) for name, was, now in changed])
    values = [(name, *("" if value is None else f"{value:.4g}" for value in pair)) for name, pair in metrics.items()]
    _table(("last value", one.name, other.name), values)


@runs.command()
def lineage(
    name: _Name,
    row: Annotated[
        str | None,
        typer.Option("--row", metavar="ROW", help="source:line, or an id; else the first row.", show_default=False),
    ] = None,
    folder: _Folder = _RUNS,
    as_json: Json = False,
) -> None:
    """Trace a trained model back: run by run to its base, and a row to its line of a raw file.

    Example: datakit runs lineage runs/2026-11-23T23-14-55-sales-sft/model --row dialogues.jsonl:12
    """
    from train.lineage import lineage as trace
    from train.runs import find_run

    found = trace(find_run(name, folder), row)
    if as_json:
        _json(found)
        return
    for link in found["chain"]:
        forked = f", forked from {link['forked_from']}" if link["forked_from"] else ""
        typer.echo(f"{link['stage']}: {link['run']} ({link['status']}{forked})")
        typer.echo(f"  rows of {link['dataset'] or 'a version that is no longer there'}")
    typer.echo(f"base: {found['base'] or 'unknown'}")
    for link in found["versions"][1:]:
        decided = ", ".join(f"{count} {decision}" for decision, count in link["decisions"].items())
        typer.echo(f"from {link['version']}: {decided or 'no such row' if link['path'] else 'no longer found'}")
    for file in found["files"]:
        typer.echo(f"file: {file['source']}  {file['bytes']:,} bytes  {file['blake2b']}")
    if found["row"] is not None:
        typer.echo(_told(found["row"]))


def _told(row: Mapping[str, Any]) -> str:
    """What became of a row, in one line."""
    why = f" ({row['reason']})" if row["reason"] else ""
    twin = f", twin of {row['twin_source']}:{row['twin_line']}" if row["twin_source"] else ""
    use = f"; {row['use']}, {row['trained_tokens']:,} of {row['tokens']:,} tokens" if "use" in row else ""
    name = f"{row['source']}:{row['line']}" + (f" (id {row['id']})" if row["id"] else "")
    return f"row: {name}: {row['decision']}{why}{twin}{use}"


def _summary(run: Run) -> dict[str, Any]:
    history = run.history()
    losses = [row["loss"] for row in history if "loss" in row]
    return {
        "run": run.name,
        "stage": run.fields["stage"],
        "recipe": run.fields["recipe"],
        "status": run.status,
        "step": int(history[-1]["step"]) if history else 0,
        "steps": run.fields.get("steps"),
        "loss": losses[-1] if losses else None,
        "path": str(run.path),
    }


def _last(run: Run) -> dict[str, float]:
    """The last value of every metric that was logged, with those that were measured at the end."""
    from train.runs import TIMINGS

    logged = {name: value for row in run.history() for name, value in row.items() if not name.endswith(TIMINGS)}
    measured = run.fields.get("metrics") or {}
    return {**logged, **{name: value for name, value in measured.items() if isinstance(value, (int, float))}}


def _verdicts(fields: Mapping[str, Any]) -> list[str]:
    gates = {**(fields.get("gates") or {}), "rollback": fields.get("rollback") or []}
    return [
        f"{moment}: {verdict['metric']} {_value(verdict['value'])} "
        f"({verdict['op']} {verdict['threshold']:g}): {verdict['status']}"
        for moment, verdicts in gates.items()
        for verdict in verdicts or []
    ]


def _value(value: Any) -> str:
    return "not measured" if value is None else f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table, "")


def _json(value: Mapping[str, Any]) -> None:

    from train.runs import plain

    print_json(plain(value))
