"""Questions with options: multiple choice, and sentences with a blank. Local files only, one JSON object a line.

{"question": "一周有几天？", "options": ["五天", "七天"], "answer": "七天"}
{"text": "标准实施一般需要____周。", "options": ["三到六", "二十"], "answer": "三到六"}
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from datakit.errors import InputError, MissingInput, NoRows

BLANK: Final = "____"
_OPTIONS: Final = 4  # of a question made from terms: chance is a quarter, as in MMLU
_AROUND: Final = 120  # characters of a text that a question made from it shows on either side of the blank


@dataclass(frozen=True)
class Question:
    """What comes before the options, the options, what follows them (empty for multiple choice), and the right one."""

    before: str
    options: tuple[str, ...]
    after: str
    answer: int


def read_questions(paths: Iterable[str | Path]) -> list[Question]:
    """The questions of files, in their order.

    Raises:
        MissingInput: a file is not there.
        InputError: a line is no question.
        NoRows: a file holds none.
    """
    found = []
    for path in map(Path, paths):
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            raise MissingInput(str(path), "no such file", "questions, one JSON object a line") from None
        mine = [_question(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
        if not mine:
            raise NoRows(str(path), "holds no question", "one JSON object a line")
        found += mine
    return found


def _question(line: bytes, where: str) -> Question:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(where, f"is no JSON ({error})", "one question") from None
    if not isinstance(row, dict) or ("question" in row) == ("text" in row):
        raise InputError(where, "neither or both of 'question' and 'text'", "one of them, 'options' and 'answer'")
    options = _options(row, where)
    if "question" in row:
        return Question(f"{row['question']}\n", options, "", options.index(row["answer"]))
    before, blank, after = str(row["text"]).partition(BLANK)
    if not blank or BLANK in after:
        raise InputError(where, f"'text' has no blank, or several: {row['text']}", f"one {BLANK}")
    return Question(before, options, after, options.index(row["answer"]))


def _options(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    options = row.get("options")
    if not isinstance(options, list) or len(set(map(str, options))) != len(options) or len(options) < 2:
        raise InputError(where, f"'options' is {options!r:.60}", "a list of at least two different texts")
    if row.get("answer") not in options:
        raise InputError(where, f"'answer' is {row.get('answer')!r:.60}", "one of 'options'")
    return tuple(map(str, options))


def questions_from_terms(texts: Iterable[str], terms: Sequence[str], seed: int = 0) -> list[Question]:
    """One question a line of text that holds a term: the term's first place is the blank, other terms are options.

    Args:
        texts: held out of training.
        terms: of the domain; of fewer than two nothing is asked.
        seed: of the wrong options and their order.
    """
    chance = random.Random(seed)
    asked = []
    by_length = sorted(set(terms), key=lambda term: (-len(term), term))  # 企业版 before 版
    for line in (line.strip() for text in texts for line in text.splitlines()):
        term = next((term for term in by_length if term in line), None)
        others = [other for other in by_length if other not in line]
        if term is None or not others:
            continue
        before, _, after = line.partition(term)
        options = [term, *chance.sample(others, min(_OPTIONS - 1, len(others)))]
        chance.shuffle(options)
        asked.append(Question(before[-_AROUND:], tuple(options), after[:_AROUND], options.index(term)))
    return asked
