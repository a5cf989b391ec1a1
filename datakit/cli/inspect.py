"""`datakit inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.options import Json, Overrides, RecipeFile
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datakit.questions.inspect import Inspection


def inspect(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, globs, or - for standard input; else the recipe's data.input.", show_default=False
        ),
    ] = None,
    recipe: RecipeFile = None,
    sets: Overrides = None,
    everything: Annotated[bool, typer.Option("--all", help="Read everything, not a sample of large input.")] = False,
    as_json: Json = False,
) -> None:
    """Show what files hold, before any cleaning: kinds, languages, lengths, turns, and what is odd.

    Example: datakit inspect raw/
    """
    from datakit.cli.progress import Bar
    from datakit.errors import UsageFault
    from datakit.questions.inspect import inspect as look
    from datakit.recipe.load import load_recipe

    plan = load_recipe(recipe, sets or [])
    paths = list(inputs or plan.data.input)
    if not paths:
        raise UsageFault("datakit inspect", "no input", "a file or folder", "For example: datakit inspect raw/")
    with Bar(quiet=as_json) as bar:
        found = look(paths, plan, whole=everything, progress=bar)
    if as_json:
        print_json(found.plain())
    else:
        _show(found)


def _show(found: Inspection) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    files = [
        (
            file.source,
            _size(file.bytes),
            f"{file.rows:,}",
            ", ".join(f"{kind} {count:,}" for kind, count in file.kinds.most_common()) or "none",
            f"{file.reasons.total():,}" if file.reasons else "",
        )
        for file in found.files
    ]
    _table(("file", ">size", ">rows", "kinds", ">rejected"), files)
    kinds = []
    for kind, count in found.kinds.most_common():
        lengths, turns = found.lengths[kind], found.turns.get(kind)
        kinds.append((kind, f"{count:,}", _languages(found.languages[kind]), _range(lengths), _range(turns)))
    _table(("kind", ">rows", "languages", ">characters", ">turns"), kinds)
    if kinds:
        console.print(Text("characters and turns: median, 95 of 100 rows, longest\n", style="dim"))
    odd = [(file.source, words) for file in found.files for words in file.oddities]
    if found.repeated:
        odd.append(("all files", f"{found.repeated:,} rows are equal to an earlier one"))
    _table(("odd", ""), odd)
    if found.sampled:
        read, size = sum(file.read for file in found.files), sum(file.bytes for file in found.files)
        console.print(
            f"a sample: the first {_size(read)} of {_size(size)}, of every file its beginning; --all reads all"
        )
    console.print(Text("next: datakit clean … -o clean/", style="dim"))


def _languages(counts: Mapping[str, int]) -> str:
    total = max(1, sum(counts.values()))
    first = [f"{name} {count / total:.0%}" for name, count in list(counts.items())[:3]]
    return ", ".join(first) + (" …" if len(counts) > len(first) else "")


def _range(values: Mapping[str, float] | None) -> str:
    return "" if values is None else " / ".join(f"{values[name]:,.0f}" for name in ("p50", "p95", "most"))


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of texts; a heading that begins with > stands above numbers, to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in head:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table, "")
