"""Check that the planted rows have the properties their labels claim."""

from collections import Counter

from planting.rows import Entry, Field, Sheet, read_contents
from planting.shingles import Neighbours, blank_numbers, jaccard, shingle

_LEAST_CASES = 20
# Nothing but the intended pairs may come near the threshold of 0.8.
_CLOSEST_STRANGER = 0.72
_ACTS = ("drop", "edit", "reject")


def _read_text(sheet: Sheet, entry: Entry) -> str:
    return read_contents(sheet.form, entry.value)


def check_labels(field: Field) -> None:
    """Count the cases of each reason and measure every row against all others.

    Raises: AssertionError, naming the rows.
    """
    everything = [(s, e) for s in field.sheets for e in s.entries]
    acts = Counter(e.reason for _, e in everything if e.verdict in _ACTS)
    stays = Counter(e.reason for _, e in everything if e.verdict == "stay")
    for reason in acts | stays:
        if min(acts[reason], stays[reason]) < _LEAST_CASES:
            raise AssertionError(f"{reason}: {acts[reason]} caught, {stays[reason]} look-alikes; expected 20 of each")
    texts = {id(e): _read_text(s, e) for s, e in everything if e.verdict != "reject"}
    for sheet, entry in everything:
        if entry.twin is not None:
            _check_twin(field, sheet, entry, texts)
    _check_strangers(everything, texts)


def _check_twin(field: Field, sheet: Sheet, entry: Entry, texts: dict[int, str]) -> None:
    twin = entry.twin or entry
    own, others = texts[id(entry)], texts[id(twin)]
    close = jaccard(shingle(own), shingle(others))
    home = next(s for s in field.sheets if twin in s.entries)
    later = home.name < sheet.name or (home is sheet and sheet.entries.index(twin) < sheet.entries.index(entry))
    label = f"{sheet.name} {entry.case}: {own[:40]!r}"
    if entry.verdict == "drop":
        if not later:
            raise AssertionError(f"{label} stands before the row it copies")
        exact = own.rstrip() == others.rstrip()
        near = 0.85 <= close < 1 and len(own) < len(others)
        if not (exact if entry.reason == "exact_duplicate" else near):
            raise AssertionError(f"{label} is no {entry.reason}: Jaccard {close:.2f}")
    elif entry.case == "other_number" and not (own != others and blank_numbers(own) == blank_numbers(others)):
        raise AssertionError(f"{label} differs in more than numbers")


def _check_strangers(everything: list[tuple[Sheet, Entry]], texts: dict[int, str]) -> None:
    seen = Neighbours()
    order: list[Entry] = []
    for sheet, entry in everything:
        if id(entry) not in texts:
            continue
        text = texts[id(entry)]
        for close, row in seen.find_above(text, _CLOSEST_STRANGER):
            other = order[row]
            if other is not entry.twin and other.twin is not entry:
                raise AssertionError(
                    f"{sheet.name}: {entry.case} and {other.case} are {close:.2f} alike: {text[:40]!r}"
                )
        seen.add(text)
        order.append(entry)
