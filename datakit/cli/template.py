"""`datakit template`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from datakit.cli.options import Json

if TYPE_CHECKING:
    from datakit.template.model import Model
    from datakit.template.verdict import Verdict

_ASKS: Final = {
    "system": "a system turn",
    "default_system": "added where no system turn is given",
    "dated": "the text changes with the clock",
    "generation_prompt_is_prefix": "training sees what inference sees",
    "prefix_preserving": "a beginning reads the same later",
    "ends_with_stop": "the last answer ends with a stop",
    "thinking_last": "<think> in the last answer",
    "thinking_history": "<think> in an earlier answer",
    "reasoning_content": "reasoning in a field of its own",
    "injects_thinking": "adds think markup to plain answers",
    "tool_call_dict": "a call, its arguments an object",
    "tool_call_string": "a call, its arguments JSON text",
    "human_gpt_roles": "roles named human and gpt",
    "user_user": "two user turns in a row",
    "assistant_first": "the assistant begins",
    "system_mid": "a system turn after an answer",
    "none_content": "a call without content",
    "trims": "changes blanks around answers",
    "generation_markers": "marks answers itself",
}


def template(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL_OR_JINJA", help="A folder with tokenizer files, or a bare Jinja file.", show_default=False
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option("--template", help="A Jinja file instead of the folder's own template.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Probe a chat template: what it keeps, drops, adds and refuses of the messages it is given.

    Example: datakit template Qwen2.5-7B-Instruct/
    """
    from datakit.template.probes import verdict_of

    verdict = verdict_of(_model(model, file))
    if as_json:
        typer.echo(verdict.model_dump_json())
    else:
        _show(verdict)


def _model(path: Path, template: Path | None) -> Model:
    """The model of a folder; of a bare template, with a stand-in tokenizer."""
    if not path.is_file():
        from datakit.template.model import load_model

        return load_model(path, template)
    if template is not None:
        from datakit.errors import UsageFault

        raise UsageFault("--template", f"{path} is a file, not a model's folder", cure="Name one of the two")
    from datakit.template.standin import stand_in

    return stand_in(path)


def _show(verdict: Verdict) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("probe", "verdict", "of"):
        table.add_column(name, no_wrap=True)
    values = verdict.model_dump()
    text = values["default_system"]
    if text not in (None, "raise"):
        values["default_system"] = "text"
    for name, value in values.items():
        nothing = "none" if name == "default_system" else "raise"
        said = {True: "yes", False: "no", None: nothing}.get(value, value)
        table.add_row(name, Text(said, style="red" if said == "raise" else ""), Text(_ASKS[name], style="dim"))
    Console(highlight=False).print(table)
    if values["default_system"] == "text":
        typer.echo(f"\nthe system turn that it adds: {text}")
