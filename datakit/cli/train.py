"""`datakit train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.options import Json, Overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datakit.gates import Stage, Verdict
    from train.plan import Plan
    from train.run import TrainResult

train = typer.Typer(
    help="Train a model on proved data: a recipe's version and proof in, a run with a saved model out.",
    no_args_is_help=True,
)

_Recipe = Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)]
_DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the plan: rows, steps, memory, time, every value and gate; train nothing."),
]
_Unproved = Annotated[
    bool,
    typer.Option("--allow-unproved", help="Train although too many rows fail the proof; the run says so."),
]
_Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on with a run that was interrupted, or begin a new one.")
]
_Fork = Annotated[
    bool, typer.Option("--fork", help="Begin a child run from the last run's weights, whatever has changed since.")
]


@train.command()
def cpt(
    recipe: _Recipe,
    dry_run: _DryRun = False,
    sets: Overrides = None,
    allow_unproved: _Unproved = False,
    resume: _Resume = True,
    fork: _Fork = False,
    as_json: Json = False,
) -> None:
    """Go on with pre-training on texts.

    Example: datakit train cpt recipes/sales.toml
    """
    _run("cpt", recipe, dry_run, sets, allow_unproved, resume, fork, as_json)


@train.command()
def sft(
    recipe: _Recipe,
    dry_run: _DryRun = False,
    sets: Overrides = None,
    allow_unproved: _Unproved = False,
    resume: _Resume = True,
    fork: _Fork = False,
    as_json: Json = False,
) -> None:
    """Train on dialogues: the tokens that the proof says are trained, and no others.

    Example: datakit train sft recipes/sales.toml --dry-run
    """
    _run("sft", recipe, dry_run, sets, allow_unproved, resume, fork, as_json)


@train.command()
def reward(
    recipe: _Recipe,
    dry_run: _DryRun = False,
    sets: Overrides = None,
    allow_unproved: _Unproved = False,
    resume: _Resume = True,
    fork: _Fork = False,
    as_json: Json = False,
) -> None:
    """Train a model that scores answers, on pairs.

    Example: datakit train reward recipes/sales.toml
    """
    _run("reward", recipe, dry_run, sets, allow_unproved, resume, fork, as_json)


@train.command()
def dpo(
    recipe: _Recipe,
    dry_run: _DryRun = False,
    sets: Overrides = None,
    allow_unproved: _Unproved = False,
    resume: _Resume = True,
    fork: _Fork = False,
    as_json: Json = False,
) -> None:
    """Align a model with preferences, on pairs.

    Example: datakit train dpo recipes/sales.toml --set train.dpo.beta=0.2
    """
    _run("dpo", recipe, dry_run, sets, allow_unproved, resume, fork, as_json)


def _run(
    stage: Stage,
    path: Path,
    dry_run: bool,
    sets: Sequence[str] | None,
    allow_unproved: bool,
    resume: bool,
    fork: bool,
    as_json: bool,
) -> None:
    from datakit.cli.progress import Bar
    from datakit.cli.siblings import check_sibling
    from datakit.recipe.load import load_recipe

    check_sibling("train")
    overrides = sets or []
    recipe = load_recipe(path, overrides)
    if dry_run:
        from train.dry import plan_only

        _show_plan(plan_only(stage, recipe, recipe_path=path, overrides=overrides), as_json)
        return
    from train.run import train as train_stage

    with Bar(quiet=as_json) as bar:
        result = train_stage(
            stage,
            recipe,
            recipe_path=path,
            progress=bar,
            resume=resume,
            fork=fork,
            allow_unproved=allow_unproved,
            overrides=overrides,
        )
    _show_result(result, as_json)
    if not result.passed:
        typer.echo(f"datakit: {_why(result)}", err=True)
        raise typer.Exit(1)


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        _json(plan.to_json())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    rows, tokens = plan.rows, plan.rows.tokens
    counted = f"{tokens:,} tokens" if tokens is not None else "tokens unknown before the proof"
    console.print(
        f"{plan.stage}, {plan.adaptation}, from {plan.start or 'no model yet'}\n"
        f"{rows.given:,} rows: {rows.trained:,} trained, {rows.held_out:,} held out, {rows.left_out:,} left out; "
        f"{counted}; {plan.steps:,} steps",
        soft_wrap=True,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("setting", "value", "from", "why"):
        table.add_column(name)
    for setting in plan.settings:
        table.add_row(*map(Text, (setting.name, str(setting.value), setting.source, setting.why)))
    console.print(table)
    if plan.memory:
        parts = ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in plan.memory.items() if size)
        console.print(f"memory: {sum(plan.memory.values()) / 1e6:,.1f} MB ({parts})", soft_wrap=True)
    if plan.seconds is not None:
        console.print(f"time on {plan.machine.name}: about {plan.seconds:,.0f} s")
    _show_gate("entry gate", plan.entry)


def _show_result(result: TrainResult, as_json: bool) -> None:
    if as_json:
        _json(result.to_json())
        return
    accounts = result.rows
    left = "".join(f", {count:,} {reason}" for reason, count in accounts.left_out.items())
    typer.echo(f"{accounts.given:,} rows: {accounts.trained:,} trained{left}")
    _show_gate("entry gate", result.entry)
    _show_gate("rollback gate", result.rollback)
    _show_gate("exit gate", result.exit)
    for name, value in result.metrics.items():
        if value is not None:
            typer.echo(f"{name}: {value:.4g}")
    if result.run is not None:
        typer.echo(f"the run: {result.run}")
    if result.model is not None:
        typer.echo(f"the model: {result.model}")


def _show_gate(name: str, verdicts: Sequence[Verdict]) -> None:
    if verdicts:
        typer.echo(f"{name}:")
    for verdict in verdicts:
        typer.echo(f"  {verdict}{'  [stops]' if verdict.stops else ''}")


def _why(result: TrainResult) -> str:
    """Which gate says no, in one line."""
    for name, verdicts in (("entry", result.entry), ("rollback", result.rollback), ("exit", result.exit)):
        if failed := [str(verdict) for verdict in verdicts if verdict.stops]:
            return f"the {name} gate says no: {'; '.join(failed)}"
    raise AssertionError("a result that did not pass has a verdict that stops")


def _json(value: object) -> None:
    import orjson

    typer.echo(orjson.dumps(value).decode())
