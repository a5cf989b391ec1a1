"""`datakit why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.options import Json
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from datakit.questions.why import Other, Story

_SHOWN = 300  # characters of a turn that are shown without --all


def why(
    row: Annotated[str, typer.Argument(help="A row: source:line, or the first digits of its id.", metavar="ROW")],
    dataset: Annotated[
        str,
        typer.Option("-d", "--dataset", help="A dataset, DATASET@3f2a, or a version's folder."),
    ] = "clean",
    everything: Annotated[bool, typer.Option("--all", help="Show every rule and whole texts.")] = False,
    as_json: Json = False,
) -> None:
    """Tell the story of one row: what each step measured, what decided, and the twin beside it.

    Example: datakit why dialogues.jsonl:12 -d clean@3f2a
    """
    from datakit.questions.why import tell_why
    from datakit.versions.store import open_version

    story = tell_why(open_version(dataset), row)
    if as_json:
        print_json(story.plain())
        return
    from rich.console import Console

    console = Console(highlight=False)
    _head(console, story)
    _steps(console, story, everything)
    _says(console, story, everything)
    _others(console, story)
    _next(console, story, everything)


def _head(console: Console, story: Story) -> None:
    from rich.text import Text

    fate = story.fate
    colour = {"dropped": "red", "rejected": "red", "edited": "yellow"}.get(fate["decision"], "green")
    head = Text.assemble((f"{fate['source']}:{fate['line']}", "bold"), "  ", (_verdict(story), f"bold {colour}"))
    console.print(head, soft_wrap=True)
    facts = [fate["id"], story.kind, f"{story.version.reference}/{story.where}" if story.where else None]
    console.print(Text("  ".join(fact for fact in facts if fact), style="dim"), soft_wrap=True)


def _verdict(story: Story) -> str:
    """What became of the row, in one line."""
    fate = story.fate
    if fate["decision"] in ("kept", "edited"):
        return {"kept": "kept, unchanged", "edited": "kept, edited"}[fate["decision"]]
    words = f"{fate['decision']}: {fate['reason']}"
    if fate["twin_source"] is not None:
        like = f" {fate['similarity']:.3f} like" if fate["similarity"] not in (None, 1.0) else " of"
        stays = ", which stays" if story.twin is not None and story.twin.stays else ""
        return f"{words}{like} {fate['twin_source']}:{fate['twin_line']}{stays}"
    if fate["value"] is not None and fate["threshold"] is not None:
        return f"{words}, {fate['value']:.4g} where {fate['threshold']:g} is the threshold"
    return words


def _steps(console: Console, story: Story, everything: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from datakit.questions.steps import bounds

    marks = {"passed": ("✓", "green"), "edited": ("~", "yellow"), "dropped": ("✗", "bold red"),
             "rejected": ("✗", "bold red"), "not reached": ("·", "dim")}  # fmt: skip
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for told in story.steps:
        mark, style = marks[told.outcome]
        words = told.words or told.outcome
        table.add_row(Text(mark, style=style), Text(told.step), Text(words, style=style if style != "green" else ""))
        for score in told.measured if everything else ():
            short = "" if score.holds else "  too short for this rule"
            table.add_row(
                "", "", Text(f"{bounds(score)}{short}", style="red" if score.holds and score.share > 1 else "dim")
            )
    console.print()
    console.print(table)


def _says(console: Console, story: Story, everything: bool) -> None:
    """What the row says; beside its twin where it has one."""
    from rich.table import Table
    from rich.text import Text

    if story.twin is not None and story.twin.differs:
        from datakit.cli.twins import print_beside

        console.print()
        print_beside(console, story, everything=everything)
        console.print(Text(_stays(story).strip()), soft_wrap=True)
        return
    if story.raw is not None:
        start, length = story.raw["offset"], story.raw["length"]
        if start is not None and length is not None:
            words = f"\nThe file still has it: {length:,} bytes from byte {start:,} on of {story.raw['source']}."
            console.print(Text(words), soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("", overflow="fold")
    for turn in story.turns:
        text = turn.text if everything or len(turn.text) <= _SHOWN else f"{turn.text[:_SHOWN]}…"
        table.add_row(Text(turn.label, style="cyan"), Text(text, style="dim" if turn.label == "meta" else ""))
    if story.turns:
        console.print()
        console.print(table)
    if story.twin is not None and story.twin.turns:
        console.print(Text("\nBoth say the same, word for word." + _stays(story)), soft_wrap=True)


def _stays(story: Story) -> str:
    """Why the twin stays and not this row."""
    reason = story.twin.stays if story.twin is not None else ""
    return f" {story.fate['twin_source']}:{story.fate['twin_line']} stays: {reason}." if reason else ""


def _others(console: Console, story: Story) -> None:
    from rich.text import Text

    if story.dropped_for:
        rows = "1 row was" if story.dropped_for_count == 1 else f"{story.dropped_for_count:,} rows were"
        console.print(Text(f"\n{rows} dropped as a duplicate of this one:", style="bold"))
        _list(console, story.dropped_for, story.dropped_for_count)
    if story.compared:
        console.print(Text("\nAlso compared with:", style="bold"))
        _list(console, story.compared, len(story.compared))


def _list(console: Console, others: list[Other], count: int) -> None:
    for other in others:
        fate = other.fate
        like = f"{other.similarity:.3f}  " if other.similarity is not None else ""
        what = fate["reason"] or fate["decision"]
        console.print(f"  {like}{fate['source']}:{fate['line']}  {what}", soft_wrap=True)
    if count > len(others):
        console.print(f"  … and {count - len(others):,} more, in ledger.parquet")


def _next(console: Console, story: Story, everything: bool) -> None:
    from rich.text import Text

    fate = story.fate
    lines = [f"datakit explain {fate['reason']}"] if fate["reason"] else []
    if fate["twin_source"] is not None:
        lines.append(f"datakit why {fate['twin_source']}:{fate['twin_line']} -d {story.version.path.parent}")
    if not everything and any(told.measured for told in story.steps):
        lines.append(f"datakit why {fate['source']}:{fate['line']} -d {story.version.path.parent} --all")
    for place, line in enumerate(lines):
        console.print(Text(("\nnext: " if place == 0 else "      ") + line, style="dim"), soft_wrap=True)
