"""What is no language: damaged encodings, symbol noise, blobs, one character over and over.

All kernels read one text as code points (uint32) and their kinds (uint16, see `kinds`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.characters import SPACE, SYMBOL, WORD
from datakit.kernels.jit import inner
from datakit.kernels.kinds import ASIDE, DAMAGED, ENCODING, SYNTAX, URL_END

NOISE_COUNTS: Final = (
    "newlines", "hashes", "braces", "ellipses", "damaged", "half_symbols", "symbol_base", "longest_run",
    "longest_encoded", "longest_dense",
)  # fmt: skip
"""What `count_noise` writes, in this order."""

(_NEWLINES, _HASHES, _BRACES, _ELLIPSES, _DAMAGED, _SYMBOLS, _SYMBOL_BASE, _RUN, _ENCODED, _DENSE) = range(
    len(NOISE_COUNTS)
)

QUOTES: Final = np.array([ord(character) for character in "\"'(`‘“《「『（【"], np.uint32)
"""What a text that speaks about 锟斤拷 opens its quotation with."""


DENSE_PIECE: Final = 20
"""Characters without white space that are no word: a dense stretch goes on over the blank behind them."""

QUOTE_COST: Final = 10
"""What a quotation mark takes off a dense stretch."""

MIN_WRECK: Final = 3
"""Characters of 锟斤拷烫屯锘铪葺 in a row that no Chinese text has."""


@inner
def is_quoted(points: NDArray[np.uint32], start: int) -> bool:
    """Whether a quotation mark or bracket stands before a position."""
    quoted = False
    for quote in QUOTES:
        quoted = quoted or (start > 0 and points[start - 1] == quote)
    return quoted


@inner
def count_damaged(points: NDArray[np.uint32], kinds: NDArray[np.uint16], length: int) -> int:
    """Characters that stand for nothing or belong to an unquoted run of 锟斤拷, 烫烫烫, 屯屯屯 and the like."""
    damaged, at = 0, int(np.int64(0))
    while at < length:
        if not kinds[at] & DAMAGED:
            at += 1
            continue
        start, wreck = at, kinds[at] & WORD
        while at < length and kinds[at] & DAMAGED and kinds[at] & WORD == wreck:
            at += 1
        if not wreck or (at - start >= MIN_WRECK and not is_quoted(points, start)):
            damaged += at - start
    return damaged


@inner
def count_marks(points: NDArray[np.uint32], length: int, tally: NDArray[np.int64]) -> None:
    """Count line feeds, # and {."""
    newlines, hashes, braces = 0, 0, 0
    for at in range(length):
        newlines += points[at] == 0x0A
        hashes += points[at] == 0x23
        braces += points[at] == 0x7B
    tally[_NEWLINES], tally[_HASHES], tally[_BRACES] = newlines, hashes, braces


@inner
def count_symbols(points: NDArray[np.uint32], kinds: NDArray[np.uint16], length: int, tally: NDArray[np.int64]) -> None:
    """Count symbols, the characters they are set against, ellipses, and the longest run of one character.

    A run of one symbol counts once, so that rules (-----) and !!!!! are no noise. Symbols count in halves: one for
    what JSON and code are made of, two for others. Emoji, table bars and white space count on neither side. An
    ellipsis is a run of … or of three and more dots. The longest run is of word characters, emoji or dingbats.
    """
    halves, base, ellipses = 0, 0, 0
    for at in range(length):  # without a jump in it, so that spaces and commas cost no more than letters
        point, kind = points[at], kinds[at]
        first = at == 0 or points[at - 1] != point
        counted = kind & (ASIDE | SPACE) == 0
        symbol = counted & (kind & (SYMBOL | WORD) == SYMBOL)
        halves += (symbol & first) * (2 - (kind & SYNTAX != 0))
        base += counted & (first | (not symbol))
        ellipses += symbol & first & (point == 0x2026)
    tally[_SYMBOLS], tally[_SYMBOL_BASE] = halves, base
    run, longest = int(np.int64(0)), int(np.int64(0))
    for at in range(length):
        run = run + 1 if at > 0 and points[at] == points[at - 1] else 1
        if run > longest and (kinds[at] & WORD or (kinds[at] & ASIDE and points[at] >= 0x2600)):
            longest = run
        ellipses += run == 3 and points[at] == 0x2E
    tally[_ELLIPSES], tally[_RUN] = ellipses, longest


@inner
def add_dense(dense: int, piece: int, point: int) -> int:
    """The dense stretch with one more character outside URLs; `piece`: characters since the last white space.

    It goes on over a blank behind a long piece (`...;var x=...`), but not behind a word. Each quote takes off
    as much as strings and keys of JSON are long, so that compact JSON does not add up and a script does.
    """
    if point == 0x20 and piece >= DENSE_PIECE:
        return dense
    if point <= 0x20 or point >= 0x7F:
        return 0
    return max(0, dense - QUOTE_COST) if point == 0x22 else dense + 1


@inner
def follow_blob(
    points: NDArray[np.uint32], kinds: NDArray[np.uint16], at: int, length: int, densest: int, longest: int
) -> tuple[int, int, int]:
    """Follow dense and encoded stretches from the start of a word to a blank behind which nothing goes on.

    Back come the place of that blank (or the end) and the records.
    """
    encoded, dense, piece, url = 0, 0, int(np.int64(0)), False
    before = points[at - 1] if at > 0 else np.uint32(0)
    while at < length:
        point, kind = points[at], kinds[at]
        url = url and not kind & URL_END
        if point == 0x2F and before == 0x2F and at > 1 and points[at - 2] == 0x3A:
            url = True
        if url:
            dense, encoded = 0, 0
        elif point != before:
            dense = add_dense(dense, piece, int(point))
            encoded = encoded + 1 if kind & ENCODING else 0
        densest, longest, before = max(densest, dense), max(longest, encoded), point
        if kind & SPACE:
            if dense == 0 and encoded == 0 and not url:
                return at, densest, longest
            piece = int(np.int64(0))
        else:
            piece += 1
        at += 1
    return at, densest, longest


@inner
def find_blobs(points: NDArray[np.uint32], kinds: NDArray[np.uint16], length: int, tally: NDArray[np.int64]) -> None:
    """Find the longest run of base64 or hexadecimal characters and the longest dense stretch of ASCII, outside URLs.

    In both, a character that repeats its neighbour does not count, so that rules (-----, =====) stay.
    """
    # Plain 0 would be a type of its own to numba, and each function that takes it compiled twice.
    longest, densest, piece, at = int(np.int64(0)), int(np.int64(0)), int(np.int64(0)), int(np.int64(0))
    while at < length:
        piece = 0 if kinds[at] & SPACE else piece + 1
        # A word behind a blank can set no record, and leaves nothing behind, unless it is long.
        if piece > min(densest, longest, DENSE_PIECE - 2):
            at, densest, longest = follow_blob(points, kinds, at + 1 - piece, length, densest, longest)
            piece = 0
        at += 1
    tally[_ENCODED], tally[_DENSE] = longest, densest


@inner
def count_noise(
    points: NDArray[np.uint32], kinds: NDArray[np.uint16], length: int, seen: int, tally: NDArray[np.int64]
) -> None:
    """Write the counts named in NOISE_COUNTS for one text; `seen` holds every bit that one of its kinds has."""
    count_marks(points, length, tally)
    count_symbols(points, kinds, length, tally)
    find_blobs(points, kinds, length, tally)
    tally[_DAMAGED] = count_damaged(points, kinds, length) if seen & DAMAGED else 0
