"""What `datakit masks` shows of single rows, and the template that it suggests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from datakit.cli.result import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datakit.masks.exhibit import Exhibit
    from datakit.masks.show import Shown
    from datakit.masks.suggest import Suggestion
    from datakit.template.model import Model


def show_row(exhibit: Exhibit, name: str, *, ids: bool, page: Path | None, as_json: bool) -> None:
    """Print a row with its tokens marked: in colours on a terminal, else in brackets; and as a page where asked."""
    from datakit.masks.page import rows_page

    kind, row = exhibit.find(name)
    sides = exhibit.shown(kind, row)
    if page is not None:
        write_page(page, rows_page(f"{exhibit.title}: {sides[0].title}", sides))
    if as_json:
        print_json({"kind": kind, "id": row["id"], "sides": [_plain(side) for side in sides]})
    else:
        _print(sides, ids)


def write_page(path: Path, page: str) -> None:
    """Write an HTML page, and say so."""
    from datakit.files import write_whole

    _has_folder(path)
    write_whole(path, page)
    typer.echo(f"the page: {path}", err=True)


def _has_folder(path: Path) -> None:
    from datakit.errors import OutputError

    if not path.parent.is_dir():
        raise OutputError(str(path), "its folder is not there", "a file in a folder that is", "Make the folder first")


def _print(sides: Sequence[Shown], ids: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from datakit.masks.labels import IGNORED
    from datakit.masks.show import bracket_legend, bracketed, legend, painted

    console = Console(highlight=False, soft_wrap=True)
    coloured = console.color_system is not None and not console.no_color
    console.print(legend() if coloured else Text(bracket_legend()))
    for side in sides:
        trained = sum(label != IGNORED for label in side.labels)
        console.print(Text(f"\n{side.title}: {trained:,} of {len(side.ids):,} tokens trained", style="bold"))
        for finding in side.findings:
            console.print(Text(f"{finding.code} ({finding.weight}): {finding.detail}"))
        console.print(painted(side, ids=ids) if coloured else Text(bracketed(side, ids=ids)))


def _plain(side: Shown) -> dict[str, Any]:
    from datakit.masks.show import pieces

    return {
        "row": side.title,
        "text": side.text,
        "pieces": [piece._asdict() for piece in pieces(side)],
        "findings": [
            {"code": finding.code, "severity": finding.weight, "detail": finding.detail} for finding in side.findings
        ],
    }


def suggest_template(model: Model, path: Path, *, as_json: bool) -> None:
    """Write a template that can be trained on, and show what the probes say of it; nothing is put in force.

    Raises:
        OutputError: the file is there already.
        DataVerdict: something should be changed, and no change is known.
    """
    from datakit.errors import DataVerdict, OutputError
    from datakit.files import write_whole
    from datakit.masks.suggest import suggest

    _has_folder(path)
    if path.exists():
        raise OutputError(str(path), "is there already", "a new file", "Name another one")
    found = suggest(model)
    if found.needed and not found.taken:
        cure = "See `datakit template` and `datakit explain`, and choose another template"
        raise DataVerdict(f"template of {model.name}", f"no change is known for {', '.join(found.left)}", cure=cure)
    if found.taken:
        write_whole(path, found.source)
    if as_json:
        print_json(
            {
                "path": str(path) if found.taken else None,
                "changes": [{"what": change.what, "arguments": dict(change.arguments)} for change in found.taken],
                "differences": [
                    {"probe": name, "before": before, "after": after} for name, before, after in found.differences()
                ],
                "left": list(found.left),
            }
        )
    else:
        _tell(found, path)


def _tell(found: Suggestion, path: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not found.taken:
        typer.echo("nothing to change: the template can be trained on as it is")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("probe", "before", "after"):
        table.add_column(name)
    for name, before, after in found.differences():
        table.add_row(name, *(Text(_word(name, value)) for value in (before, after)))
    Console(highlight=False).print(table)
    typer.echo("\nchanges:")
    for change in found.taken:
        same = ", ".join(f"{name} = {str(value).lower()}" for name, value in change.arguments.items())
        typer.echo(f"  {change.what}" + (f" (or give the template {same})" if same else ""))
    if found.left:
        typer.echo(f"no change is known for: {', '.join(found.left)}")
    typer.echo(f"\nwritten to {path}; read it, then name it: --template {path}")


def _word(probe: str, value: object) -> str:
    if value is None:
        return "none" if probe == "default_system" else "raise"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
