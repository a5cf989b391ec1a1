"""A proved row for eyes: which tokens are trained, as colours on a terminal, as brackets where there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from datakit.masks.findings import RowFinding
from datakit.masks.labels import IGNORED

if TYPE_CHECKING:
    from rich.text import Text

    from datakit.masks.prover import ProvedRow
    from datakit.masks.replay import Replayed

PARTS: Final[Mapping[str, str]] = {
    "trained": "trained: the row's own words",
    "stop": "stop: trained, ends the answer",
    "injected": "injected: written by the template, not by the row",
    "context": "context: read, not trained",
}
"""What a token is to training, and its legend."""

_STYLES: Final = {"trained": "black on green", "stop": "white on red", "injected": "black on yellow", "context": "dim"}
_BRACKETS: Final = {"trained": ("[+", "+]"), "stop": ("[!", "!]"), "injected": ("[~", "~]"), "context": ("", "")}

# Signs that move the cursor, hide text or turn its direction. Joiners (U+200C, U+200D) stay: scripts and emoji need
# them.
_UNSEEN: Final = re.compile(r"\r\n|[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_NAMED: Final = {"\n": "⏎\n", "\r\n": "␍⏎\n", "\t": "⇥\t"}


@dataclass(frozen=True)
class Shown:
    """A render with its tokens; of a pair there are two.

    Attributes:
        title: the row's key, and the side of a pair.
        text: the render.
        ids, labels, offsets, parts: one entry a token; offsets are characters of the text, parts keys of `PARTS`.
        findings: what is wrong with the row.
    """

    title: str
    text: str
    ids: Sequence[int]
    labels: Sequence[int]
    offsets: Sequence[tuple[int, int]]
    parts: Sequence[str]
    findings: Sequence[RowFinding] = ()

    @classmethod
    def of_proved(cls, row: ProvedRow) -> Shown:
        """A row of dialogue or text."""
        title = f"{row.source}:{row.line}"
        return cls(title, row.text, row.input_ids, row.labels, row.offsets, row.parts, row.findings)

    @classmethod
    def of_replayed(cls, row: Replayed, stop_ids: frozenset[int]) -> list[Shown]:
        """The sides of a pair, the one answer, or the prompt alone; the findings stand with the first."""
        if not row.sides:
            ids = row.prompt.ids
            nothing, context = [IGNORED] * len(ids), ["context"] * len(ids)
            title = f"{row.source}:{row.line}"
            return [cls(title, row.prompt.text, ids, nothing, row.prompt.offsets, context, row.findings)]
        return [
            cls(
                f"{row.source}:{row.line} {side.name}",
                side.text,
                side.ids,
                side.labels,
                side.offsets,
                side.parts(stop_ids),
                () if number else row.findings,
            )
            for number, side in enumerate(row.sides)
        ]


class Piece(NamedTuple):
    """Tokens that share characters, and these characters; most pieces are one token."""

    text: str
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    part: str


def pieces(row: Shown) -> Iterator[Piece]:
    """The whole text in pieces, in order.

    A character that several tokens share (bytes of 😀 or of a rare Chinese character) is one piece with all their ids.
    Characters that no token claims, such as blanks that offsets leave out, go to the piece after them.
    """
    begin = end = 0
    held: list[int] = []
    for at, (start, until) in enumerate(row.offsets):
        if held and start >= end:
            yield _piece(row, begin, end, held)
            begin, held = end, []
        held.append(at)
        end = max(end, until)
    if held:
        yield _piece(row, begin, end, held)
    if end < len(row.text):
        yield Piece(row.text[end:], (), (), "context")


def _piece(row: Shown, begin: int, end: int, held: list[int]) -> Piece:
    """The gravest part counts: a character that is half trained must not look like context."""
    part = min((row.parts[at] for at in held), key=list(PARTS).index)
    return Piece(row.text[begin:end], tuple(row.ids[at] for at in held), tuple(row.labels[at] for at in held), part)


def said(piece: Piece) -> str:
    """What is shown for a piece: its characters; for a token that has none, as the end of a text, its id."""
    return visible(piece.text) or _listed(piece)


def visible(text: str) -> str:
    """Text that shows its line ends and can neither steer a terminal nor hide anything."""
    return _UNSEEN.sub(_name, text)


def _name(found: re.Match[str]) -> str:
    sign = found.group()
    picture = chr(0x2400 + ord(sign)) if len(sign) == 1 and sign < " " else f"⟨U+{ord(sign[-1]):04X}⟩"
    return _NAMED.get(sign, picture)


def painted(row: Shown, *, ids: bool = False) -> Text:
    """The row in colours, for a terminal; with ids, each token is followed by its own."""
    from rich.text import Text

    text = Text()
    for part, stretch in groupby(pieces(row), key=lambda piece: piece.part):
        for piece in stretch:
            text.append(said(piece), style=_STYLES[part])
            if ids and piece.ids:
                text.append(_listed(piece), style="dim italic")
    return text


def bracketed(row: Shown, *, ids: bool = False) -> str:
    """The row without colours: brackets around each stretch that is not context."""
    parts = []
    for part, stretch in groupby(pieces(row), key=lambda piece: piece.part):
        opened, closed = _BRACKETS[part]
        words = "".join(said(piece) + (_listed(piece) if ids and piece.ids else "") for piece in stretch)
        parts.append(f"{opened}{words}{closed}")
    return "".join(parts)


def _listed(piece: Piece) -> str:
    return f"⟨{' '.join(map(str, piece.ids))}⟩"


def legend() -> Text:
    """What the colours mean."""
    from rich.text import Text

    return Text("  ").join(Text(f" {words} ", style=_STYLES[part]) for part, words in PARTS.items())


def bracket_legend() -> str:
    """What the brackets mean."""
    return "  ".join(f"{_BRACKETS[part][0]}{words}{_BRACKETS[part][1]}" for part, words in PARTS.items())
