"""What packing does to proved rows: rows that see each other (M17), answers cut and packs that train nothing (M16).

Proved rows are packed as training will do it, in their order, by their lengths and by where their trained tokens
stand: ids are not needed. One batch of TRL's is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl

from datakit.masks.batch import BatchResult, read_sheet
from datakit.masks.codes import Severity
from datakit.masks.findings import Findings
from datakit.masks.overall import Found
from datakit.masks.packing import TOGETHER, Pack, Piece, Strategy, keeps_apart, pack
from datakit.masks.proofs import Packs
from datakit.records import Kind


class Row(NamedTuple):
    """A proved row as packing sees it; `runs`: first token and behind the last of each trained stretch, in turns."""

    key: str
    length: int
    runs: Sequence[int]


def of_attention(strategy: Strategy, attention: str, kinds: Iterable[Kind]) -> Iterator[Found]:
    """Whether packed rows see each other. Texts do by the habit of pretraining: where there is nothing else, a note."""
    if keeps_apart(strategy, attention):
        return
    if strategy == "wrapped":
        why = "wrapped packs have no borders, whatever the attention"
    elif attention:
        why = f"masks.attention = {attention!r} is not known to keep packed rows apart"
    else:
        why = "rows are packed, and masks.attention does not say by which attention they will be trained"
    yield Found("M17", why, None if "messages" in kinds else "note")


def pack_rows(rows: Iterable[Row], kind: Kind, size: int, strategy: Strategy, findings: Findings) -> Packs:
    """Pack the rows of a kind, and add what that spoils to the findings.

    Args:
        rows: in the order of the proof.
        kind: messages or text.
        size: tokens of a pack, at most.
        strategy: how rows are packed.
        findings: are added to.
    """
    rows = iter(rows)
    packs = tokens = 0
    while together := list(islice(rows, TOGETHER)):
        made = pack([row.length for row in together], size, strategy)
        packs += len(made)
        tokens += sum(piece.end - piece.start for one in made for piece in one)
        for place, (severity, detail) in spoilt(together, made, kind, strategy).items():
            findings.add("M16", together[place].key, detail, severity=severity, reach="template")
    return Packs(packs=packs, length=size, tokens=tokens)


def rows_left(kind: Kind, results: Iterable[BatchResult], length: int | None, work: Path) -> Iterator[Row]:
    """The rows of a kind that are left at the length they are held to, in the order of the proof."""
    for result in results:
        if result.batch.kind == kind:
            sizes = read_sheet(work, "sizes", result.batch.number)
            if length is not None:
                sizes = sizes.filter(pl.col("needed") <= length).with_columns(pl.col("length").clip(upper_bound=length))
            for source, line, tokens, runs in sizes.select("source", "line", "length", "runs").iter_rows():
                yield Row(f"{source}:{line}", tokens, runs)


def spoilt(
    rows: Sequence[Row], packs: Iterable[Pack], kind: Kind, strategy: Strategy
) -> dict[int, tuple[Severity, str]]:
    """What packing spoils, by the row's place, of each the gravest.

    An error is a dialogue cut inside an answer, or into a piece that trains nothing. Texts are cut by habit: a piece
    of one that trains nothing is a note, and so is a whole row.
    """
    found: dict[int, tuple[Severity, str]] = {}
    for made in packs:
        trained = [
            _trains(rows[piece.row], piece, first=strategy != "wrapped" or not at) for at, piece in enumerate(made)
        ]
        for at, piece in enumerate(made):
            row = rows[piece.row]
            grave = kind == "messages" and piece.end - piece.start < row.length
            if grave and _cuts(row, piece):
                words = f"{strategy} cuts an answer before its stop token, behind {piece.end} of {row.length} tokens"
            elif not trained[at]:
                whose = "a piece of it" if at or any(trained) else "the pack that begins with it"
                words = f"{whose} trains nothing: tokens {piece.start} to {piece.end} of {row.length}"
            else:
                continue
            if piece.row not in found or (grave and found[piece.row][0] == "note"):
                found[piece.row] = "error" if grave else "note", words
    return found


def _trains(row: Row, piece: Piece, *, first: bool) -> bool:
    """Whether a piece has a trained token; the `first` of a sequence is none, as nothing before it foretells it."""
    start = piece.start + first
    return any(max(a, start) < min(b, piece.end) for a, b in _pairs(row.runs))


def _cuts(row: Row, piece: Piece) -> bool:
    """Whether a piece ends inside a trained stretch."""
    return any(a < piece.end < b for a, b in _pairs(row.runs))


def _pairs(runs: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(runs[::2], runs[1::2], strict=True)
