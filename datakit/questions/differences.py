"""Two texts compared for eyes: what both say, and what only one of them says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Final, Literal, NamedTuple

from datakit.questions.turns import Turn

Mark = Literal["same", "only", "cut"]
"""Both sides say it; this side alone says it; so many characters of what both say are left out."""

_WORDS: Final = re.compile(r"[^\W\d_\u2e80-\ud7ff\uf900-\ufaff]+|\d+|\s+|.", re.DOTALL)
"""Words, numbers, blanks; of Chinese, Japanese and Korean, and of signs, each character on its own."""

_MOST: Final = 3_000  # words between first and last difference that are matched one by one, which takes their square
_EDGES: Final = {"same": 60, "only": 300, "cut": 0}  # characters shown at each end of a long passage
_SPARED: Final = 40  # as many characters at least are worth cutting


class Piece(NamedTuple):
    """A stretch of one side."""

    mark: Mark
    text: str


class Compared(NamedTuple):
    """A turn of both rows; a side is empty where it has no such turn."""

    label: str
    left: list[Piece]
    right: list[Piece]

    @property
    def same(self) -> bool:
        """Whether both say it, word for word."""
        return all(piece.mark != "only" for piece in (*self.left, *self.right))

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        sides = {"left": self.left, "right": self.right}
        return {"label": self.label} | {name: [piece._asdict() for piece in side] for name, side in sides.items()}


def compare_turns(left: Sequence[Turn], right: Sequence[Turn]) -> list[Compared]:
    """Two rows turn by turn; a turn that only one of them has stands alone."""
    compared = []
    for one, other in zip_longest(left, right):
        if one is None or other is None or one.label != other.label:
            compared += [Compared(one.label, _alone(one.text), [])] if one is not None else []
            compared += [Compared(other.label, [], _alone(other.text))] if other is not None else []
        else:
            compared.append(Compared(one.label, *compare(one.text, other.text)))
    return compared


def compare(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """The pieces of each side. Long passages that both say are cut in their middle."""
    one, other = _WORDS.findall(left), _WORDS.findall(right)
    head = _common(one, other)
    tail = _common(one[head:][::-1], other[head:][::-1])
    middle_one, middle_other = one[head : len(one) - tail], other[head : len(other) - tail]
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    _both(sides, one[:head])
    if max(len(middle_one), len(middle_other)) > _MOST:
        _each(sides, middle_one, middle_other)
    else:
        matcher = SequenceMatcher(None, middle_one, middle_other, autojunk=False)
        for word, a, b, c, d in matcher.get_opcodes():
            if word == "equal":
                _both(sides, middle_one[a:b])
            else:
                _each(sides, middle_one[a:b], middle_other[c:d])
    _both(sides, one[len(one) - tail :])
    return sides


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def _both(sides: tuple[list[Piece], list[Piece]], words: Sequence[str]) -> None:
    for piece in _shortened("".join(words), "same"):
        sides[0].append(piece)
        sides[1].append(piece)


def _each(sides: tuple[list[Piece], list[Piece]], one: Sequence[str], other: Sequence[str]) -> None:
    for side, words in zip(sides, (one, other), strict=True):
        if words:
            side.extend(_alone("".join(words)))


def _alone(text: str) -> list[Piece]:
    return _shortened(text, "only")


def _shortened(text: str, mark: Mark) -> list[Piece]:
    edge = _EDGES[mark]
    left_out = len(text) - 2 * edge
    if left_out < _SPARED:
        return [Piece(mark, text)] if text else []
    return [Piece(mark, text[:edge]), Piece("cut", f"… {left_out:,} characters …"), Piece(mark, text[-edge:])]
