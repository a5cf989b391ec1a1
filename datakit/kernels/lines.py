"""Counts over the lines of one text: what Gopher, C4 and FineWeb ask of them.

A line ends at a line feed. Lines of white space alone end a paragraph and are not counted; the others
are taken without the white space around them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.characters import SPACE, TERMINAL
from datakit.kernels.jit import inner
from datakit.kernels.kinds import CLOSER, FULL_STOP, STOP
from datakit.kernels.repetition import Table, Units, count_duplicates

LINE_COUNTS: Final = (
    "lines", "paragraphs", "bullet_lines", "ellipsis_lines", "terminal_lines", "short_lines", "javascript_lines",
    "policy_lines", "unpunctuated_lines", "few_word_lines", "sentences", "open_sentences", "lorem_ipsum",
    "duplicate_lines", "duplicate_line_characters", "duplicate_paragraphs", "duplicate_paragraph_characters",
)  # fmt: skip
"""What `count_lines` writes, in this order. Sentences: those of the lines that C4 would keep; open sentences: those of
the lines that it would drop for their end alone."""

(
    _LINES, _PARAGRAPHS, _BULLET, _ELLIPSIS, _TERMINAL, _SHORT, _JAVASCRIPT, _POLICY, _UNPUNCTUATED, _FEW_WORDS,
    _SENTENCES, _OPEN_SENTENCES, _LOREM, _DUP_LINES, _DUP_LINE_CHARS, _DUP_PARAGRAPHS, _DUP_PARAGRAPH_CHARS,
) = range(len(LINE_COUNTS))  # fmt: skip

SHORT_LINE: Final = 30
"""Characters up to which a line is short (FineWeb, `fineweb_quality_filter.py`)."""

MIN_LINE_WORDS: Final = 3
"""C4 drops a line of fewer words (Raffel et al. 2020, section 2.2)."""

MAX_WORD: Final = 1000
"""C4 drops a line with a longer word (datatrove `c4_filters.py`)."""

_LINE_PHRASES: Final = {
    _JAVASCRIPT: ("javascript",),
    _LOREM: ("lorem ipsum",),
    _POLICY: ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
}
"""C4's phrases (datatrove `c4_filters.py`) by the count that each belongs to."""

PHRASE_WORDS: Final = tuple(
    dict.fromkeys(word for phrases in _LINE_PHRASES.values() for phrase in phrases for word in phrase.split())
)
"""The words of these phrases; a unit's number is its place here, counted from 1."""


def _number_phrases() -> NDArray[np.int64]:
    """A row for each phrase: the numbers of its last three words (0: it has fewer), and its count."""
    rows = []
    for counted, phrases in _LINE_PHRASES.items():
        for phrase in phrases:
            numbers = [PHRASE_WORDS.index(word) + 1 for word in phrase.split()]
            rows.append([0] * (3 - len(numbers)) + numbers + [counted])
    return np.array(rows, np.int64)


_PHRASES: Final = _number_phrases()
_PRIME: Final = np.uint64(0x100000001B3)
_SEED: Final = np.uint64(0xCBF29CE484222325)
_LANE: Final = np.uint64(0x9E3779B97F4A7C15)
_32: Final = np.uint64(32)


class Lines(NamedTuple):
    """Hash (uint64) and characters (int32) of each line and each paragraph of one text, as many as fit."""

    hashes: NDArray[np.uint64]
    lengths: NDArray[np.int32]
    paragraph_hashes: NDArray[np.uint64]
    paragraph_lengths: NDArray[np.int32]


@inner
def hash_span(points: NDArray[np.uint32], start: int, end: int) -> np.uint64:
    """A hash of code points: FNV-1a in four lanes, as one would wait for each multiplication."""
    a, b, c, d = _SEED, _SEED, _SEED, _SEED
    at = start
    while at + 3 < end:
        a = (a ^ np.uint64(points[at])) * _PRIME
        b = (b ^ np.uint64(points[at + 1])) * _PRIME
        c = (c ^ np.uint64(points[at + 2])) * _PRIME
        d = (d ^ np.uint64(points[at + 3])) * _PRIME
        at += 4
    while at < end:
        a = (a ^ np.uint64(points[at])) * _PRIME
        at += 1
    for lane in (b, c, d, np.uint64(end - start)):
        a = (a ^ (a >> _32) ^ lane) * _LANE
    return a ^ (a >> _32)


@inner
def ends_in_ellipsis(points: NDArray[np.uint32], start: int, end: int) -> bool:
    """Whether a span ends in … or in three dots."""
    if points[end - 1] == 0x2026:
        return True
    return end - start > 2 and points[end - 1] == 0x2E and points[end - 2] == 0x2E and points[end - 3] == 0x2E


@inner
def cut_citations(points: NDArray[np.uint32], start: int, end: int) -> int:
    """The end of a span without citations such as [12] or [] behind it."""
    while end > start and points[end - 1] == 0x5D:
        at = end - 2
        while at >= start and 0x30 <= points[at] <= 0x39:
            at -= 1
        if at < start or points[at] != 0x5B:
            break
        end = at
    return end


@inner
def ends_like_c4(points: NDArray[np.uint32], kinds: NDArray[np.uint16], start: int, end: int) -> bool:
    """Whether C4 keeps a line for its end: one of . ? ! " ' behind which only citations stand, and no ellipsis."""
    end = cut_citations(points, start, end)
    if end == start or ends_in_ellipsis(points, start, end):
        return False
    last = points[end - 1]
    return bool(kinds[end - 1] & STOP != 0 or last == 0x22 or last == 0x27)


@inner
def count_words(kinds: NDArray[np.uint16], start: int, end: int) -> tuple[int, int]:
    """Words of a line as white space parts them, and the characters of the longest, where it can pass MAX_WORD.

    The line begins with no white space.
    """
    words = int(np.int64(1))
    for at in range(start + 1, end):
        words += (kinds[at - 1] & SPACE != 0) & (kinds[at] & SPACE == 0)
    length, longest = 0, 0
    if end - start > MAX_WORD:
        for at in range(start, end):
            length = 0 if kinds[at] & SPACE else length + 1
            longest = max(longest, length)
    return words, longest


@inner
def count_sentences(kinds: NDArray[np.uint16], start: int, end: int) -> int:
    """Sentences of a line: one, and one more behind each . ? ! with white space after it and each 。？！."""
    sentences, marked, ended = 1, False, False
    for at in range(start, end):
        kind = kinds[at]
        if not kind & (STOP | FULL_STOP) and not marked and not ended:
            continue
        if kind & (STOP | FULL_STOP):
            marked = marked or kind & STOP != 0
            ended = ended or kind & FULL_STOP != 0
        elif kind & SPACE:
            ended, marked = ended or marked, False
        elif not kind & CLOSER:
            sentences += ended
            marked, ended = False, False
    return sentences


@inner
def phrase_at(words: NDArray[np.uint8], at: int) -> int:
    """Which of C4's phrases ends with this unit: the count it belongs to, or -1."""
    before = words[at - 1] if at > 0 else 0
    earlier = words[at - 2] if at > 1 else 0
    for phrase in range(len(_PHRASES)):
        first, second, third, counted = _PHRASES[phrase]
        if third == words[at] and second in (0, before) and first in (0, earlier):
            return int(counted)
    return -1


@inner
def find_phrases(units: Units, first: int, known: int, end: int, tally: NDArray[np.int64]) -> tuple[int, bool]:
    """Count the phrases of a line that ends before character `end`.

    Its units begin with number `first`; `known` units are stored. The line counts once for each of JavaScript
    and policy. Back come the number of the first unit behind the line and whether C4 drops the line for a phrase.
    """
    script, policy = False, False
    while first < known and units.starts[first] < end:
        if units.words[first]:
            phrase = phrase_at(units.words, first)
            script = script or phrase == _JAVASCRIPT
            policy = policy or phrase == _POLICY
            tally[_LOREM] += phrase == _LOREM
        first += 1
    tally[_JAVASCRIPT] += script
    tally[_POLICY] += policy
    return first, script or policy


@inner
def count_line(
    points: NDArray[np.uint32], kinds: NDArray[np.uint16], start: int, end: int, phrase: bool, tally: NDArray[np.int64]
) -> None:
    """Add one line, white space around it left out, to the counts."""
    tally[_LINES] += 1
    tally[_BULLET] += points[start] == 0x2022 or points[start] == 0x2D
    tally[_ELLIPSIS] += ends_in_ellipsis(points, start, end)
    tally[_TERMINAL] += (kinds[end - 1] & TERMINAL) != 0
    tally[_SHORT] += end - start <= SHORT_LINE
    words, longest = count_words(kinds, start, end)
    punctuated = ends_like_c4(points, kinds, start, end)
    tally[_UNPUNCTUATED] += not punctuated
    tally[_FEW_WORDS] += words < MIN_LINE_WORDS
    if words >= MIN_LINE_WORDS and longest <= MAX_WORD and not phrase:
        tally[_SENTENCES if punctuated else _OPEN_SENTENCES] += count_sentences(kinds, start, end)


@inner
def close_paragraph(lines: Lines, value: np.uint64, characters: int, tally: NDArray[np.int64]) -> None:
    """Store a paragraph of so many characters, where there is one and room for it."""
    if characters:
        if tally[_PARAGRAPHS] < len(lines.paragraph_hashes):
            lines.paragraph_hashes[tally[_PARAGRAPHS]] = value
            lines.paragraph_lengths[tally[_PARAGRAPHS]] = characters
        tally[_PARAGRAPHS] += 1


@inner
def count_lines(
    points: NDArray[np.uint32],
    kinds: NDArray[np.uint16],
    length: int,
    units: Units,
    known: int,
    lines: Lines,
    table: Table,
    tally: NDArray[np.int64],
) -> None:
    """Write the counts named in LINE_COUNTS for one text; `tally` holds zeros on entry."""
    # Plain 0 would be a type of its own to numba, and each function that takes it compiled twice.
    at, unit, characters = int(np.int64(0)), int(np.int64(0)), int(np.int64(0))
    paragraph = _SEED
    while at < length:
        end = at
        while end < length and points[end] != 0x0A:
            end += 1
        begin, behind, at = at, end, end + 1
        while begin < behind and kinds[begin] & SPACE:
            begin += 1
        while behind > begin and kinds[behind - 1] & SPACE:
            behind -= 1
        if begin == behind:
            close_paragraph(lines, paragraph, characters, tally)
            paragraph, characters = _SEED, int(np.int64(0))
            continue
        unit, phrase = find_phrases(units, unit, known, behind, tally)
        value = hash_span(points, begin, behind)
        if tally[_LINES] < len(lines.hashes):
            lines.hashes[tally[_LINES]] = value
            lines.lengths[tally[_LINES]] = behind - begin
        paragraph = (paragraph ^ value) * _PRIME
        characters += behind - begin + (characters > 0)
        count_line(points, kinds, begin, behind, phrase, tally)
    close_paragraph(lines, paragraph, characters, tally)
    stored = min(tally[_LINES], len(lines.hashes))
    tally[_DUP_LINES], tally[_DUP_LINE_CHARS] = count_duplicates(lines.hashes, lines.lengths, stored, table)
    stored = min(tally[_PARAGRAPHS], len(lines.paragraph_hashes))
    tally[_DUP_PARAGRAPHS], tally[_DUP_PARAGRAPH_CHARS] = count_duplicates(
        lines.paragraph_hashes, lines.paragraph_lengths, stored, table
    )
