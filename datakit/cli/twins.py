"""Two rows side by side on the terminal, with what differs marked."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from datakit.questions.differences import Piece
    from datakit.questions.why import Story

_NARROW = 72  # columns below which two texts stand below each other

_Line = tuple[str, Text, Text]


def print_beside(console: Console, story: Story, *, everything: bool) -> None:
    """The dropped row and its twin, turn by turn: what only one says is marked, by colour or by brackets.

    everything: show turns that are the same in both as well, which are counted otherwise.
    """
    left = f"{story.fate['decision']}  {story.fate['source']}:{story.fate['line']}"
    right = f"{_stays(story)}  {story.fate['twin_source']}:{story.fate['twin_line']}"
    coloured = console.color_system is not None and not console.no_color
    lines = list(_lines(story, coloured, everything))
    if console.width < _NARROW:
        for title, first in ((left, True), (right, False)):
            console.print(Text(title, style="bold"))
            for label, one, other in lines:
                console.print(Text(f"{label}:", style="cyan"), one if first else other)
            console.print()
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="bold", expand=True)
    table.add_column("")
    table.add_column(left, ratio=1, overflow="fold")
    table.add_column(right, ratio=1, overflow="fold")
    for label, one, other in lines:
        table.add_row(Text(label, style="cyan"), one, other)
    console.print(table)


def _lines(story: Story, coloured: bool, everything: bool) -> Iterator[_Line]:
    turns = story.twin.turns if story.twin is not None else []
    for same, run in groupby(turns, key=lambda turn: turn.same and not everything):
        found = list(run)
        if same:
            words = "the same" if len(found) == 1 else f"{len(found)} turns, the same"
            yield found[0].label if len(found) == 1 else "…", Text(words, style="dim"), Text(words, style="dim")
        else:
            for turn in found:
                yield turn.label, _painted(turn.left, 1, coloured), _painted(turn.right, 2, coloured)


def _stays(story: Story) -> str:
    fate = story.twin.fate if story.twin is not None else None
    return "stays" if fate is None or fate["decision"] in ("kept", "edited") else str(fate["decision"])


def _painted(pieces: Sequence[Piece], side: int, coloured: bool) -> Text:
    """A side: what only it says on red (dropped) or green (stays), or as [-…-] and {+…+} without colours."""
    text = Text()
    for piece in pieces:
        if piece.mark == "cut":
            text.append(f" {piece.text} ", style="dim")
        elif piece.mark == "same":
            text.append(piece.text)
        elif coloured:
            text.append(_visible(piece.text), style="black on bright_red" if side == 1 else "black on bright_green")
        else:
            text.append(f"[-{piece.text}-]" if side == 1 else f"{{+{piece.text}+}}")
    return text


def _visible(text: str) -> str:
    """Blanks and line ends alone would be marked with nothing to see."""
    if text.strip():
        return text
    return text.replace(" ", "␣").replace("\t", "⇥").replace("\n", "⏎\n")
