"""The plain Python oracle for units, shingles and Jaccard similarity: slow, independent of datakit's kernels.

The definition is the one that docs/dedup.md publishes. Nothing here is imported from datakit, so that a fault
of a kernel cannot hide itself in the truth that the benchmarks measure it by.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

N = 5
"""Units in a shingle."""

# Han with its extensions, iteration marks, kana and bopomofo: one character is one unit.
CJK = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


@cache
def _unit_pattern() -> re.Pattern[str]:
    # One explicit character class: `re` looks it up in a table, five times as fast as a lookahead a character.
    is_cjk = re.compile(f"[{CJK}]").match
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if _is_word(chr(code)) and not is_cjk(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    others = "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in ranges)
    return re.compile(f"[{CJK}]|[{others}]+")


def cut_units(text: str) -> list[str]:
    """The units of a text after NFKC and lower-casing: runs of word characters, and single CJK characters."""
    return _unit_pattern().findall(unicodedata.normalize("NFKC", text).lower())


def cut_shingles(text: str) -> set[tuple[str, ...]]:
    """The set of 5-grams of units; a text of 1 to 4 units is one shingle, one of none its characters, "" nothing."""
    units = cut_units(text)
    if not units:
        bare = "".join(unicodedata.normalize("NFKC", text).lower().split())
        return {("", bare)} if bare else set()
    if len(units) < N:
        return {tuple(units)}
    return set(zip(*(units[i:] for i in range(N)), strict=False))


def jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    """Shared shingles over all shingles of two sets, 0 to 1; two empty sets count as 1."""
    if not left and not right:
        return 1.0
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
