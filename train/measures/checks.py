"""What an answer must keep to, as checks that a machine can decide.

A prompt record's `checks` is an object, every entry of which must hold:

    {"include": ["试用"], "exclude": ["最好"], "matches": "^合计", "json": true, "language": "zh",
     "min_characters": 10, "max_characters": 200}

The idea is IFEval's (Zhou et al. 2023): instructions whose keeping needs no judge.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from datakit.errors import InputError
from train.measures.words import units

Checks = Mapping[str, Any]

_CALL: Final = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_MAJORITY: Final = 0.5  # of the units; an English product name does not make a Chinese answer English


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_in(text: str, language: str) -> bool:
    """Whether most units are Chinese characters (zh) or are not (any other)."""
    found = units(text)
    chinese = sum(not unit.isascii() and len(unit) == 1 for unit in found)
    return bool(found) and (chinese / len(found) >= _MAJORITY) == (language == "zh")


_CHECKS: Final[Mapping[str, tuple[type, Callable[[str, Any], bool]]]] = {
    "include": (list, lambda text, wanted: all(word in text for word in wanted)),
    "exclude": (list, lambda text, unwanted: not any(word in text for word in unwanted)),
    "matches": (str, lambda text, pattern: re.search(pattern, text) is not None),
    "json": (bool, lambda text, wanted: _is_json(text) == wanted),
    "language": (str, _is_in),
    "min_characters": (int, lambda text, least: len(text) >= least),
    "max_characters": (int, lambda text, most: len(text) <= most),
}
_OF_FORMAT: Final = ("json", "matches")


def read_checks(text: str | None, where: str) -> Checks:
    """The checks of a prompt record's `checks`; none where it has none.

    Raises:
        InputError: an unknown check, or a value of the wrong type.
    """
    found = orjson.loads(text) if text else {}
    if not isinstance(found, dict):
        raise InputError(where, f"checks is a JSON {type(found).__name__}", "an object, one entry a check")
    for name, value in found.items():
        if name not in _CHECKS:
            near = difflib.get_close_matches(name, _CHECKS, n=1)
            cure = f"Did you mean '{near[0]}'?" if near else ""
            raise InputError(where, f"unknown check '{name}'", f"one of {', '.join(_CHECKS)}", cure)
        wanted = _CHECKS[name][0]
        if type(value) is not wanted:
            raise InputError(where, f"check '{name}' is a {type(value).__name__}", f"a {wanted.__name__}")
    if "matches" in found:
        _compile(found["matches"], where)
    if found.get("language", "zh") not in ("zh", "en"):
        raise InputError(where, f"check 'language' is '{found['language']}'", "zh or en")
    return found


def _compile(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(where, f"check 'matches' is no regular expression ({error})") from None


def kept(answer: str, checks: Checks) -> float:
    """Share of the checks that an answer keeps, 0 to 1; 1 where there is none."""
    held = [_CHECKS[name][1](answer, value) for name, value in checks.items()]
    return sum(held) / len(held) if held else 1.0


def is_well_formed(answer: str, ended: bool, checks: Checks) -> bool:
    """Whether an answer ends by itself, says something, calls tools in valid JSON, and keeps the format asked for.

    Args:
        answer: its text.
        ended: whether its last token is a stop.
        checks: of its prompt; those of format are looked at: json, matches.
    """
    asked = {name: value for name, value in checks.items() if name in _OF_FORMAT}
    return ended and bool(answer.strip()) and all(map(_is_call, _CALL.findall(answer))) and kept(answer, asked) == 1.0


def _is_call(text: str) -> bool:
    try:
        call = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(call, dict) and {"name", "arguments"} <= call.keys()
