"""Personal data: found by detectors, masked by tokens that are the same for the same value through one record.

`mask` reads records as segments (the messages of a dialogue, a tool call's arguments, the meta), so that one phone
number is `<PHONE_1>` in all of them. Tokens a record already has are taken: they are never given to another value and
never looked at again, so masking twice changes nothing. How each kind is found: `datakit.cleaning.detectors`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

import polars as pl

from datakit.cleaning.detectors import DETECTORS, DIGITS, NUMBERS, SIEVE, WIDE
from datakit.cleaning.evidence import HIDDEN, Detector
from datakit.recipe.pii import Kind, Pii

TOKEN = re.compile(r"<(PHONE|ID|CARD|USCC|PLATE|WECHAT|QQ|EMAIL|IP|SECRET)_([1-9][0-9]{0,8})>")
FOUND: Final = pl.Schema(
    {"row": pl.UInt32(), "kind": pl.String(), "original": pl.String(), "token": pl.String(), "count": pl.UInt32()}
)
# One to one, so that places in the folded text are places in the text.
_FOLD = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: 0x20}
# Kinds that are found by the words before them, and so must be looked for again where nothing announces them.
_ANNOUNCED: Final = frozenset({"wechat", "qq", "secret", "landline", "us_phone"})
# Values shorter than this are too common to be masked wherever they stand again.
_DISTINCT = 6
_JSON_PIECE = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]+)?|[^"0-9\-]+|[\s\S]', re.DOTALL
)
_INTEGER = re.compile(r"-?[0-9]+")
_COLON = re.compile(r"\s*:")
_WIDE = re.compile(WIDE)


class Masked(NamedTuple):
    """What masking gives.

    texts: one a segment, in order; found: row, kind, original, token, count: one row a distinct original of a record,
    in order of first occurrence.
    """

    texts: pl.Series
    found: pl.DataFrame


class _Finding(NamedTuple):
    start: int
    end: int
    kind: Kind
    token: str
    canonical: str


@dataclass
class _Leaf:
    """A run of text that is searched as one: a segment, or one string or number inside a JSON segment.

    `prefix` is context that is read but never masked (the key of a JSON value).
    """

    text: str
    prefix: str = ""
    raw: str | None = None  # the literal of a JSON string, as it stands
    number: bool = False
    findings: list[_Finding] = field(default_factory=list)
    inner: list[_Leaf | str] | None = None  # the pieces of a JSON text within a JSON string
    work: str = ""

    def __post_init__(self) -> None:
        work = self.prefix + self.text
        if _WIDE.search(work):
            work = work.translate(_FOLD)
        self.work = TOKEN.sub(lambda match: HIDDEN * len(match.group()), work) if "<" in work else work

    def hide(self, findings: Sequence[_Finding]) -> None:
        """Record findings (places in `text`, in order) and take them out of what is searched."""
        if not findings:
            return
        self.findings.extend(findings)
        offset, place = len(self.prefix), 0
        parts: list[str] = []
        for finding in findings:
            parts += (self.work[place : finding.start + offset], HIDDEN * (finding.end - finding.start))
            place = finding.end + offset
        self.work = "".join((*parts, self.work[place:]))

    def masked(self) -> str:
        """The text with its findings' tokens; after they are numbered."""
        parts: list[str] = []
        place = 0
        for finding in self.findings:
            parts += (self.text[place : finding.start], finding.token)
            place = finding.end
        return "".join((*parts, self.text[place:]))


def mask(segments: pl.DataFrame, settings: Pii) -> Masked:
    """The segments' texts with personal data masked, and what was found.

    segments: row (UInt32; the segments of one record share it and stand together), text (String), json (Boolean: the
    text is JSON and stays JSON; without findings it stays as it is, to the byte). In mode "tag" the texts stay.
    """
    texts = segments["text"]
    detectors = [detector for detector in DETECTORS if detector.kind in settings.kinds]
    active = _active(segments, detectors)
    changed: dict[int, str] = {}
    found: list[tuple[int, str, str, str, int]] = []
    records = list(_records(segments, active))
    # One gather for all records: polars' cost a call is a hundred times that of a record.
    touched = segments.select("text", "json")[[place for _, places in records for place in places]].iter_rows()
    for row, places in records:
        record = _Record(list(islice(touched, len(places))), places, detectors, active)
        found.extend((row, *entry) for entry in record.number())
        if settings.mode != "tag":
            changed.update(record.render())
    frame = pl.DataFrame(found, schema=FOUND, orient="row")
    if not changed:
        return Masked(texts, frame)
    return Masked(texts.clone().scatter(list(changed), list(changed.values())), frame)


def _active(segments: pl.DataFrame, detectors: Sequence[Detector]) -> dict[int, list[int]]:
    """For each segment that may hold something: the detectors (places in `detectors`) whose candidate it matches."""
    texts = segments["text"].fill_null("")
    # A text that polars cannot read as Python will (escapes of JSON, full-width digits) is given to all detectors.
    escaped = segments["json"].fill_null(False)
    if escaped.any():
        escaped &= texts.str.contains("\\u", literal=True)
    rows = (texts.str.contains(f"{SIEVE}|{WIDE}") | escaped).arg_true()
    if not rows.len() or not detectors:
        return {}
    sifted = texts.gather(rows)
    open_to_all = (sifted.str.contains(WIDE) | escaped.gather(rows)).arg_true().to_list()
    numbered = sifted.str.contains(DIGITS).arg_true()
    with_number = sifted.gather(numbered)
    active: dict[int, list[int]] = {}
    places, places_with_number = rows.to_list(), rows.gather(numbered).to_list()
    for number, detector in enumerate(detectors):
        if detector.kind in NUMBERS:
            hits = [places_with_number[hit] for hit in with_number.str.contains(detector.candidate).arg_true()]
        else:
            hits = [places[hit] for hit in sifted.str.contains(detector.candidate).arg_true()]
        for hit in sorted({*hits, *(places[hit] for hit in open_to_all)}):
            active.setdefault(hit, []).append(number)
    return dict(sorted(active.items()))


def _records(segments: pl.DataFrame, active: dict[int, list[int]]) -> Iterator[tuple[int, range]]:
    """Row and places of the segments, for every record with a candidate."""
    if not active:
        return
    runs = segments["row"].rle()
    lengths = runs.struct.field("len").to_list()
    rows = runs.struct.field("value").to_list()
    wanted = iter(active)
    place = next(wanted, None)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        stop = start + length
        if place is not None and place < stop:
            yield row, range(start, stop)
            while place is not None and place < stop:
                place = next(wanted, None)
        start = stop


class _Record:
    """The segments of one record while they are searched and numbered."""

    def __init__(
        self,
        segments: Sequence[tuple[str | None, bool | None]],
        places: range,
        detectors: Sequence[Detector],
        active: dict[int, list[int]],
    ) -> None:
        self.places = places
        self.pieces: list[list[_Leaf | str]] = []
        for place, (text, is_json) in zip(places, segments, strict=True):
            pieces = _split(text or "", bool(is_json))
            for leaf in _leaves(pieces):
                _search(leaf, [detectors[number] for number in active.get(place, ())])
            self.pieces.append(pieces)
        self._search_again(detectors, active)

    def number(self) -> list[tuple[str, str, str, int]]:
        """kind, original, token, count of everything found; gives every finding its token."""
        taken = {
            (match.group(1), int(match.group(2)))
            for pieces in self.pieces
            for leaf in _leaves(pieces)
            for match in TOKEN.finditer(leaf.text)
        }
        given: dict[tuple[str, str], str] = {}
        last: Counter[str] = Counter()
        entries: Counter[tuple[str, str, str]] = Counter()
        for leaf in self._all_leaves():
            leaf.findings.sort()
            for place, finding in enumerate(leaf.findings):
                key = (finding.token, finding.canonical)
                if key not in given:
                    last[finding.token] += 1
                    while (finding.token, last[finding.token]) in taken:
                        last[finding.token] += 1
                    given[key] = f"<{finding.token}_{last[finding.token]}>"
                entries[finding.kind, leaf.text[finding.start : finding.end], given[key]] += 1
                leaf.findings[place] = finding._replace(token=given[key])
        return [(*entry, count) for entry, count in entries.items()]

    def render(self) -> dict[int, str]:
        """The new text of each place whose text changes; after `number`."""
        return {
            place: "".join(_written(piece) for piece in pieces)
            for place, pieces in zip(self.places, self.pieces, strict=True)
            if any(leaf.findings for leaf in _leaves(pieces))
        }

    def _all_leaves(self) -> Iterator[_Leaf]:
        for pieces in self.pieces:
            yield from _leaves(pieces)

    def _search_again(self, detectors: Sequence[Detector], active: dict[int, list[int]]) -> None:
        """Mask what was found once wherever it stands in the record, also where nothing announces it."""
        known: dict[str, _Finding] = {}
        while fresh := {
            leaf.text[finding.start : finding.end]: finding
            for leaf in self._all_leaves()
            for finding in leaf.findings
            if finding.kind in _ANNOUNCED
            and finding.end - finding.start >= _DISTINCT
            and leaf.text[finding.start : finding.end] not in known
        }:
            known |= fresh
            for value, finding in fresh.items():
                self._hide_everywhere(value, finding)
            for place, pieces in zip(self.places, self.pieces, strict=True):
                for leaf in _leaves(pieces):
                    _search(leaf, [detectors[number] for number in active.get(place, ())])

    def _hide_everywhere(self, value: str, finding: _Finding) -> None:
        folded = value.translate(_FOLD)
        again = re.compile(rf"(?<![0-9A-Za-z_])(?<![0-9]\.){re.escape(folded)}(?![0-9A-Za-z_])(?![.,][0-9])")
        for leaf in self._all_leaves():
            if folded in leaf.work:
                _hide_all(leaf, again, finding)


def _hide_all(leaf: _Leaf, pattern: re.Pattern[str], known: _Finding) -> None:
    offset = len(leaf.prefix)
    again = [
        known._replace(start=match.start() - offset, end=match.end() - offset)
        for match in pattern.finditer(leaf.work, offset)
        if not leaf.number or len(match.group()) == len(leaf.text)
    ]
    leaf.hide(again)


def _search(leaf: _Leaf, detectors: Sequence[Detector]) -> None:
    """Hide all that the detectors find, until they find no more (a finding may uncover its neighbour)."""
    while True:
        before = len(leaf.findings)
        for detector in detectors:
            _search_one(leaf, detector)
        if len(leaf.findings) == before:
            return


def _search_one(leaf: _Leaf, detector: Detector) -> None:
    offset, place = len(leaf.prefix), 0
    fresh: list[_Finding] = []
    while (match := detector.pattern.search(leaf.work, place)) is not None:
        start, end = match.span("v")
        canonical = detector.accept(match) if start >= offset else None
        if canonical is None or (leaf.number and (start > offset or end < len(leaf.work))):
            place = match.start() + 1
            continue
        fresh.append(_Finding(start - offset, end - offset, detector.kind, detector.token, canonical))
        place = end
    leaf.hide(fresh)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _split(text: str, is_json: bool) -> list[_Leaf | str]:
    """The text as leaves and the runs between them that are copied as they stand."""
    return (_split_json(text) if is_json else None) or [_Leaf(text)]


def _split_json(text: str) -> list[_Leaf | str] | None:
    """The strings and integers of a JSON text as leaves; None where the text cannot be JSON."""
    pieces: list[_Leaf | str] = []
    key = ""
    for match in _JSON_PIECE.finditer(text):
        piece = match.group()
        if piece == '"':
            return None  # a string without an end
        if piece[0] == '"' and len(piece) > 1:
            leaf = _string_leaf(piece, key)
            if leaf is None:
                return None
            if _COLON.match(text, match.end()):
                key = leaf.text
                leaf = _Leaf(leaf.text, raw=piece)
            pieces.append(leaf)
        elif _INTEGER.fullmatch(piece):
            pieces.append(_Leaf(piece, prefix=f"{key}: " if key else "", number=True))
        else:
            pieces.append(piece)
    return pieces


def _string_leaf(literal: str, key: str) -> _Leaf | None:
    try:
        # Not strict: control characters inside strings are common in what models write.
        text = json.loads(literal, strict=False)
    except ValueError:
        return None
    leaf = _Leaf(text, prefix=f"{key}: " if key else "", raw=literal)
    if text[:1] in {"{", "["} and text[-1:] in {"}", "]"}:
        leaf.inner = _embedded(text)
    return leaf


def _embedded(text: str) -> list[_Leaf | str] | None:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _split_json(text)


def _leaves(pieces: Sequence[_Leaf | str]) -> Iterator[_Leaf]:
    """The leaves that are searched, in order; of a string that holds JSON, those of the JSON."""
    for piece in pieces:
        if isinstance(piece, _Leaf):
            if piece.inner is None:
                yield piece
            else:
                yield from _leaves(piece.inner)


def _written(piece: _Leaf | str) -> str:
    """A piece as it is written back; a number with a finding becomes a string."""
    if isinstance(piece, str):
        return piece
    text = piece.masked() if piece.inner is None else "".join(_written(part) for part in piece.inner)
    if text == piece.text:
        return piece.raw or text
    if piece.raw is not None:
        return json.dumps(text, ensure_ascii="\\u" in piece.raw)
    return json.dumps(text) if piece.number else text
