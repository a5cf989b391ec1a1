"""Items whose right value is known: hidden among the others, to tell careful annotators from careless ones.

{"source": "preference.jsonl", "line": 12, "expected": "first"}                      a row of the source version
{"prompt": "…", "chosen": "…", "rejected": "…", "expected": "first"}                a record of its own, in any format

`expected` is the value as judgements hold it, in terms of the record and not of places on the page: `first` is the
chosen answer of a pair, wherever it stands. With several questions it is an object: question to value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from annotation.campaigns.choose import Key
from datakit.errors import InputError, MissingInput
from datakit.formats.detect import candidates, read_row
from datakit.formats.row import BadRow
from datakit.records import CONTENT, Kind

PREFERENCE_VALUES: Final = ("first", "second", "tie", "both_bad")

_KEYS: Final = frozenset({"source", "line", "expected"})


@dataclass(frozen=True)
class Gold:
    """One gold item.

    Attributes:
        key: of the row: of the source version, or (the file's name, the line) for a record of its own.
        expected: canonical JSON.
        kind, record: of a record of its own; None for a row of the source version.
    """

    key: Key
    expected: str
    kind: Kind | None = None
    record: Mapping[str, Any] | None = None


def read_gold(path: Path, name: str, questions: Sequence[Mapping[str, Any]]) -> list[Gold]:
    """The gold items of a file.

    Args:
        path: JSON lines.
        name: what rows of the file are called in items: its name, where it came from.
        questions: of the campaign; every expected value has to be a possible one.

    Raises:
        MissingInput: there is no such file.
        InputError: a line is no gold item.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise MissingInput(str(path), "no such file", "gold items as JSON lines", "Check annotate.gold") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_gold(orjson.loads(line), (name, number), questions))
            except (orjson.JSONDecodeError, BadRow, ValueError) as error:
                raise InputError(f"{path}:{number}", str(error), cure="Mend the line or remove it") from None
    keys = [gold.key for gold in found]
    if len(set(keys)) < len(keys):
        raise InputError(str(path), "a row is named twice", cure="Remove one of them")
    return found


def _gold(row: Any, place: Key, questions: Sequence[Mapping[str, Any]]) -> Gold:
    if not isinstance(row, dict) or "expected" not in row:
        raise ValueError('no "expected" value')
    expected = row["expected"]
    values = {questions[0]["name"]: expected} if len(questions) == 1 else expected
    if not isinstance(values, dict) or values.keys() != {question["name"] for question in questions}:
        names = ", ".join(question["name"] for question in questions)
        raise ValueError(f"expected {expected!r} has to say what is right of each of: {names}")
    for question in questions:
        if not is_possible(values[question["name"]], question):
            raise ValueError(f"expected {values[question['name']]!r} is no value of the question {question['name']}")
    canonical = orjson.dumps(expected, option=orjson.OPT_SORT_KEYS).decode()
    if row.keys() == _KEYS:
        return Gold((str(row["source"]), int(row["line"])), canonical)
    content = {key: value for key, value in row.items() if key != "expected" and value is not None}
    draft = read_row(content, candidates(frozenset(content), None), None)
    record = dict(zip(CONTENT[draft.kind], draft.values, strict=True))
    others = {key: value for key, value in content.items() if key not in draft.used}
    meta = others.pop("meta", {})  # where the answers of a ranking are
    record["meta"] = orjson.dumps({**(meta if isinstance(meta, dict) else {}), **others}).decode()
    return Gold(place, canonical, draft.kind, record)


def is_possible(value: Any, question: Mapping[str, Any]) -> bool:
    """Whether a value, as judgements hold it, can be an answer to a question."""
    kind, closed = question["kind"], question.get("values", ())
    match kind:
        case "preference":
            return value in PREFERENCE_VALUES
        case "rating":
            return isinstance(value, int) and value in closed
        case "labels" if not question["multiple"]:
            return value in closed
        case "labels":
            return isinstance(value, list) and bool(value) and set(value) <= set(closed)
        case "ranking":
            return isinstance(value, list) and len(value) == len(closed) and {type(rank) for rank in value} == {int}
        case "spans":
            return isinstance(value, list) and all(
                isinstance(span, dict) and span.keys() == {"start", "end", "label"} and span["label"] in closed
                for span in value
            )
    return isinstance(value, str)
