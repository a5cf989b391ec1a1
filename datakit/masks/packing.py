"""Rows laid into packs of one length, as TRL 1.16 does it, and which attention keeps the rows of a pack apart.

    bfd        whole rows, the longest first, each into the fullest pack that has room; a longer row loses its end
    bfd_split  a longer row is split first, and its pieces are laid like rows
    wrapped    all rows end to end, cut wherever a pack is full

With bfd and bfd_split TRL's collator lets positions start at 0 with each piece, takes that first token out of the
labels, and gives no attention mask: attention has to keep the pieces apart by their positions. A wrapped pack has
neither borders nor such positions, and every attention reads across. Source: `pack_dataset` of `trl/data_utils.py`,
`DataCollatorForLanguageModeling` of `trl/trainer/sft_trainer.py`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

Strategy = Literal["bfd", "bfd_split", "wrapped"]

TOGETHER: Final = 1000
"""Rows that TRL packs at a time: the batch of `datasets.Dataset.map`."""

# Transformers makes the masks of the first three from the positions (`find_packed_sequence_indices` of its
# masking_utils.py), and the others take borders themselves. The first two are tried in tests/test_masks_packing.py.
_KEEPS_APART: Final = frozenset(
    {"eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4"}
)
_KERNEL: Final = "flash-attn"  # in the names of its builds on the hub, as in kernels-community/flash-attn3


def keeps_apart(strategy: Strategy, attention: str) -> bool:
    """Whether a row in a pack is known to see nothing of the others.

    Args:
        strategy: how rows are packed.
        attention: transformers' name of the implementation; an empty or unknown one is not known to.
    """
    return strategy != "wrapped" and (attention in _KEEPS_APART or _KERNEL in attention)


class Piece(NamedTuple):
    """Tokens `start` to `end` of the row at the place `row`."""

    row: int
    start: int
    end: int


Pack = list[Piece]


def pack(lengths: Sequence[int], size: int, strategy: Strategy) -> list[Pack]:
    """The packs of some rows, in TRL's order.

    Args:
        lengths: tokens of each row.
        size: tokens of a pack, at most.
        strategy: how rows are packed.
    """
    if strategy == "wrapped":
        return _wrapped(lengths, size)
    ends = [length if strategy == "bfd_split" else min(length, size) for length in lengths]
    pieces = (
        Piece(row, start, min(start + size, end)) for row, end in enumerate(ends) for start in range(0, end, size)
    )
    return _best_fit(pieces, size)


def _best_fit(pieces: Iterable[Piece], size: int) -> list[Pack]:
    """Best fit decreasing; of packs with the same room, the one that has had it the longest."""
    packs: list[Pack] = []
    rooms: list[tuple[int, int, int]] = []  # the room, since when, and of which pack; sorted
    for turn, piece in enumerate(sorted(pieces, key=lambda piece: piece.start - piece.end)):
        length = piece.end - piece.start
        best = bisect_left(rooms, (length,))
        if best < len(rooms):
            room, _, number = rooms.pop(best)
        else:
            room, number = size, len(packs)
            packs.append([])
        packs[number].append(piece)
        if room > length:
            insort(rooms, (room - length, turn, number))
    return packs


def _wrapped(lengths: Sequence[int], size: int) -> list[Pack]:
    packs: list[Pack] = []
    room = 0
    for row, length in enumerate(lengths):
        start = 0
        while start < length:
            if not room:
                packs.append([])
                room = size
            end = min(length, start + room)
            packs[-1].append(Piece(row, start, end))
            room -= end - start
            start = end
    return packs
