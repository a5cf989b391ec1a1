"""`datakit train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from datakit.cli.options import Json, Overrides, Unproved
from datakit.cli.paths import near
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datakit.gates import Stage, Verdict
    from train.plan import Plan
    from train.run import TrainResult

# What people ask for by these names, and what there is instead.
_INSTEAD: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("ppo", "rlhf"),
        "TRL has removed PPO. Train `reward` here; rloo and grpo, which learn from its scores, come with a later "
        "release; `datakit convert --to openrlhf` hands the rows to a trainer that has PPO",
    ),
    **dict.fromkeys(
        ("grpo", "gspo", "rloo", "rlvr"),
        "It comes with a later release; `datakit convert` hands the rows to a trainer that has it",
    ),
    "ipo": 'It is a loss of dpo: --set train.dpo.trl.loss_type="ipo"',
    "rm": "Did you mean 'reward'?",
    "pretrain": "Did you mean 'cpt'?",
}


_STAGES: Final = "cpt, sft, reward, dpo, kto, orpo or simpo."


def _known(name: str) -> str:
    """The stage of a name; an unknown one is refused before the other arguments are looked at."""
    from difflib import get_close_matches

    from datakit.errors import UsageFault
    from datakit.gates import STAGES

    if name in STAGES:
        return name
    near = get_close_matches(name, STAGES, n=1, cutoff=0.5)
    cure = _INSTEAD.get(name.lower()) or (f"Did you mean '{near[0]}'?" if near else "datakit train --help")
    raise UsageFault("datakit train", f"no stage {name!r}", f"one of {', '.join(STAGES)}", cure)


def train(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help=_STAGES, callback=_known, show_default=False)],
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the plan: rows, steps, memory, time, every value and gate; train nothing."
        ),
    ] = False,
    sets: Overrides = None,
    allow_unproved: Unproved = False,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with a run that was interrupted, or begin a new one.")
    ] = True,
    fork: Annotated[
        bool,
        typer.Option("--fork", help="Begin a child run from the last run's weights, whatever has changed since."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model on proved data: a recipe's version and proof in, a run with a saved model out.

    \b
    cpt      texts     goes on with pre-training
    sft      messages  trains on dialogues, the tokens that the proof says
    reward   pairs     trains a model that scores answers
    dpo      pairs     aligns with preferences
    kto      answers   aligns with single answers, good or bad
    orpo     pairs     aligns by odds, without a reference
    simpo    pairs     aligns by margins a token, without a reference

    Each starts from what the stage before it has saved.

    Example: datakit train sft recipes/sales.toml --dry-run
    """  # noqa: D301  # the backslash is for click, which else would fold the table
    from datakit.cli.progress import Bar
    from datakit.cli.siblings import check_sibling
    from datakit.recipe.load import load_recipe

    check_sibling("train")
    overrides, chosen = sets or [], cast("Stage", stage)
    settings = load_recipe(recipe, overrides)
    if dry_run:
        from train.dry import plan_only

        _show_plan(plan_only(chosen, settings, recipe_path=recipe, overrides=overrides), as_json)
        return
    from train.run import train as train_stage

    with Bar(quiet=as_json) as bar:
        result = train_stage(
            chosen,
            settings,
            recipe_path=recipe,
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
        print_json(plan.to_json())
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
        print_json(result.to_json())
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
        typer.echo(f"the run: {near(result.run)}")
    if result.model is not None:
        typer.echo(f"the model: {near(result.model)}")


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
