"""Why an item gives no row: the reason words that `datakit annotate resolve` writes to the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Reason:
    """What a word means, and what can be done about it."""

    title: str
    fix: str


DISCARDED: Final = "annotation_discarded"
NO_QUORUM: Final = "annotation_no_quorum"
SPLIT: Final = "annotation_split"
LOW_MARGIN: Final = "annotation_low_margin"
TIE: Final = "annotation_tie"
BOTH_BAD: Final = "annotation_both_bad"
EMPTY: Final = "annotation_empty"
ROW_MISSING: Final = "annotation_row_missing"

_AGAIN: Final = "`datakit annotate adjudicate` asks somebody else."

REASONS: Final[Mapping[str, Reason]] = {
    DISCARDED: Reason(
        "more annotators discarded the item than judged it",
        "Value and threshold of the ledger are both numbers. Look at the row: what could not be judged in it?",
    ),
    NO_QUORUM: Reason(
        "fewer votes than the quorum",
        f"Pull again when more is answered, or lower annotate.resolve.quorum. {_AGAIN}",
    ),
    SPLIT: Reason("the votes are divided equally", f"{_AGAIN} A method that weighs annotators may decide it, too."),
    LOW_MARGIN: Reason(
        "the winner leads by less than the margin",
        f"The ledger has lead and margin. Lower annotate.resolve.margin, or better: {_AGAIN}",
    ),
    TIE: Reason(
        "the answers were judged equal",
        'A pair without a better answer teaches no preference. annotate.resolve.ties = "keep" keeps it, with margin 0.',
    ),
    BOTH_BAD: Reason(
        "neither answer was judged good enough",
        'Have it rewritten (annotate.kind = "rewriting"); annotate.resolve.both_bad = "tie" counts it as a tie.',
    ),
    EMPTY: Reason("a rewritten text without a letter", "Look at the guideline: is it plain what is to be written?"),
    ROW_MISSING: Reason(
        "the source version no longer holds the row that was judged",
        "Check it with `datakit versions verify`, and restore it.",
    ),
}
"""By word, in the order in which they are looked for; the last one rejects, all others drop."""
