"""`datakit masks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from datakit.cli.options import Json, Overrides, RecipeFile
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from datakit.masks.exhibit import Exhibit
    from datakit.masks.plan import ProofSettings
    from datakit.masks.proofs import Proof
    from datakit.recipe.recipe import Recipe
    from datakit.template.model import Model
    from datakit.versions.store import Version

_NAMED = 3  # rows named a finding on the terminal; --json names more

_Show = Annotated[
    str | None,
    typer.Option(
        "--show", metavar="ROW", help="Show one row with its tokens marked: source:line, or an id.", show_default=False
    ),
]
_Ids = Annotated[bool, typer.Option("--ids", help="With --show: each token followed by its id.")]
_Page = Annotated[
    Path | None,
    typer.Option(
        "--page", metavar="FILE", help="Write an HTML page: rows, and one for each finding.", show_default=False
    ),
]
_Suggest = Annotated[
    Path | None,
    typer.Option(
        "--suggest", metavar="FILE", help="Write a template that can be trained on, and leave.", show_default=False
    ),
]


def masks(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="A dataset (its latest version), DATASET@3f2a, or a version's folder; else the recipe's data.output.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="A folder with tokenizer files; else the recipe's model.base.", show_default=False
        ),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option("--template", help="A Jinja file instead of the model's own template.", show_default=False),
    ] = None,
    max_length: Annotated[
        str | None,
        typer.Option("--max-length", metavar="N|p99|none", help="Tokens a row may have.", show_default=False),
    ] = None,
    stage: Annotated[
        Literal["cpt", "sft", "dpo", "kto", "reward", "grpo"] | None,
        typer.Option("--stage", help="Prove the rows that this stage trains on; else all kinds.", show_default=False),
    ] = None,
    recipe: RecipeFile = None,
    sets: Overrides = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; by default by the number of rows.", show_default=False),
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning"] | None,
        typer.Option("--fail-on", help="The lightest severity that fails the proof.", show_default=False),
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit", help="Make the proof, if it passes, part of the version.")
    ] = False,
    show: _Show = None,
    ids: _Ids = False,
    page: _Page = None,
    suggest: _Suggest = None,
    as_json: Json = False,
) -> None:
    """Prove for every row of a version which tokens are trained, and say what is wrong.

    Example: datakit masks clean/ --model Qwen2.5-7B-Instruct/ --commit
    """
    from datakit.cli.rows import show_row, suggest_template
    from datakit.masks.plan import ProofSettings
    from datakit.recipe.load import load_recipe
    from datakit.versions.store import open_version

    flags = {"masks.max_length": max_length, "masks.fail_on": fail_on}
    plan = load_recipe(recipe, [*(sets or []), *(f"{key}={value}" for key, value in flags.items() if value)])
    if suggest is not None:
        suggest_template(_model(model, template, plan), suggest, as_json=as_json)
        return
    version = open_version(_dataset(dataset, plan))
    subject = _model(model, template, plan)
    settings = ProofSettings(plan.masks, stage, plan.model.arguments)
    if show is not None:
        show_row(_exhibit(version, subject, settings), show, ids=ids, page=page, as_json=as_json)
        return
    _prove(version, subject, settings, workers, commit=commit, page=page, as_json=as_json)


def _prove(
    version: Version,
    model: Model,
    settings: ProofSettings,
    workers: int | None,
    *,
    commit: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    from datakit.cli.progress import Bar
    from datakit.cli.rows import write_page
    from datakit.masks.proof import prove

    with Bar(quiet=as_json) as bar:
        proof = prove(version, model, settings, workers=workers, progress=bar, commit=commit)
    _show(proof, as_json)
    if page is not None:
        write_page(page, _exhibit(version, model, settings).page(proof.findings.to_rows()))
    if not proof.passed:
        typer.echo(f"datakit: {_why(proof)}", err=True)
        raise typer.Exit(1)


def _exhibit(version: Version, model: Model, settings: ProofSettings) -> Exhibit:
    from datakit.masks.exhibit import Exhibit
    from datakit.masks.prover import Prover

    return Exhibit(version, Prover(model, settings.masks, settings.arguments), settings)


def _dataset(dataset: str | None, plan: Recipe) -> str:
    from datakit.errors import UsageFault

    found = dataset or plan.data.output
    if found is None:
        raise UsageFault("datakit masks", "no dataset", "a dataset", "For example: datakit masks clean/ --model DIR")
    return found


def _model(model: Path | None, template: Path | None, plan: Recipe) -> Model:
    """The model that the flags name, or else the recipe; a template of the recipe goes with the recipe's model."""
    from datakit.errors import UsageFault
    from datakit.template.model import load_model

    base = model or (Path(plan.model.base) if plan.model.base else None)
    if base is None:
        raise UsageFault("datakit masks", "no model", "--model DIR", "For example: datakit masks clean/ --model DIR")
    named = template or (Path(plan.model.template) if plan.model.template else None)
    return load_model(base, named)


def _show(proof: Proof, as_json: bool) -> None:
    manifest = proof.manifest
    if as_json:
        plain = {
            "rows": manifest.rows,
            "left_out": manifest.left_out,
            "passed": proof.passed,
            "findings": proof.findings.to_json(),
            "tokens": {"total": manifest.total, "trained": manifest.trained},
            "path": str(proof.path) if proof.path is not None else None,
        }
        print_json(plain)
        return
    _show_findings(proof)
    share = manifest.trained / manifest.total if manifest.total else 0
    typer.echo(
        f"{manifest.rows:,} rows, {manifest.left_out:,} left out; {manifest.total:,} tokens, "
        f"{manifest.trained:,} trained ({share:.0%})"
    )
    for kind, length in manifest.max_length.items():
        if length is not None:
            typer.echo(f"{kind}: held to {length:,} tokens")
    for kind, packs in manifest.packs.items():
        filled = packs.tokens / max(1, packs.packs * packs.length)
        typer.echo(f"{kind}: {packs.packs:,} packs of {packs.length:,} tokens, {filled:.0%} filled")
    typer.echo("passed" if proof.passed else "not passed")
    if proof.path is not None:
        typer.echo(f"the proof: {proof.path}")
    elif proof.passed:
        typer.echo("next: the same with --commit makes it part of the version")


def _show_findings(proof: Proof) -> None:
    """A table of codes, and below it the first case of each in words."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from datakit.masks.codes import CODES

    rows = proof.findings.to_rows()
    if not rows:
        return
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("code", "severity", "reach", "what"):
        table.add_column(name)
    table.add_column("rows", justify="right")
    colours = {"error": "red", "warning": "yellow", "note": ""}
    for row in rows:
        count = f"{row['count']:,}" if row["rows"] else "all"
        title = CODES[row["code"]].title
        table.add_row(row["code"], Text(row["severity"], style=colours[row["severity"]]), row["reach"], title, count)
    console.print(table)
    console.print()
    for row in rows:
        named = ", ".join(row["rows"][:_NAMED]) + (" …" if row["count"] > _NAMED and row["rows"] else "")
        console.print(Text(f"{row['code']}  {named + ': ' if named else ''}{row['detail']}"), soft_wrap=True)
    console.print(f"\nwhat to do: datakit explain {rows[0]['code']}\n")


def _why(proof: Proof) -> str:
    """Why a proof does not pass, in one line."""
    from datakit.masks.findings import at_least

    manifest = proof.manifest
    limit = manifest.settings["masks"]
    grave = [
        row["code"]
        for row in manifest.findings
        if row["reach"] == "template" and at_least(row["severity"], limit["fail_on"])
    ]
    if grave:
        return f"the proof fails by {', '.join(grave)}: what is wrong holds for all rows"
    return (
        f"{manifest.left_out:,} of {manifest.rows:,} rows are left out, more than masks.max_left_out = "
        f"{limit['max_left_out']:g} allows"
    )
