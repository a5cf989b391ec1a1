"""Text, tool calls and tool results as Markdown that Argilla's page shows as they are.

The page runs every text through a Markdown renderer and then removes tags that it does not know: of "来电<PHONE_1>" the
number would be lost. Fields without Markdown are worse: the page puts them in as HTML, scripts and all. So every field
is Markdown, in which `<` and `&` are escaped wherever they are not code, and pictures are not fetched; except the
field that spans are marked in, which cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

_CODE: Final = re.compile(
    r"(^[ ]{0,3}(`{3,}|~{3,})[^\n]*(?:\n.*?(?:^[ ]{0,3}\2[`~]*[ \t]*$|\Z)|\Z)|(?<![`\\])(`+)(?!`)[^\n]+?(?<!`)\3(?!`))",
    re.MULTILINE | re.DOTALL,
)
_MARKUP: Final = re.compile(r"(\\*)([<&]|(?<=!)\[)")
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>&|#~!$])")
_HARMLESS: Final = str.maketrans({"<": "＜", "&": "＆", "\r": " ", "\0": "\N{REPLACEMENT CHARACTER}"})
_WIDE: Final = re.compile(r"[\U00010000-\U0010FFFF]")
_DEPTH: Final = 3  # levels of nesting that lists are readable to


def faithful(text: str) -> str:
    """Somebody's text, whose own Markdown is kept and whose tags, entities and pictures are shown as characters."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")  # no database takes it
    shown, place = [], 0
    for code in _CODE.finditer(text):
        shown += [_MARKUP.sub(_escaped, text[place : code.start()]), code.group()]
        place = code.end()
    return "".join([*shown, _MARKUP.sub(_escaped, text[place:])])


def aligned(text: str) -> str:
    """Somebody's text in as many characters, for a field without Markdown: `<` and `&` are shown in their wide forms.

    The browser counts in UTF-16, the server in code points: what takes two of the former is shown as a box, so that
    both mean the same place by the same number.
    """
    return _WIDE.sub("□", text.translate(_HARMLESS))


def plain(text: str) -> str:
    """A value on one line, every character of it shown as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.replace("\0", "\N{REPLACEMENT CHARACTER}").split("\n")))


def value(thing: Any, depth: int = 0) -> str:
    """A JSON value: a list of keys, a table of like objects, one line of plain values; code where it nests deeply."""
    if isinstance(thing, Mapping) and thing and depth < _DEPTH:
        return "\n".join(_entry(f"**{plain(str(key))}**", inner, depth) for key, inner in thing.items())
    if isinstance(thing, Sequence) and not isinstance(thing, str) and thing:
        if depth == 0 and (columns := _columns(thing)):
            return _table(columns, thing)
        if all(_is_scalar(inner) for inner in thing):
            return ", ".join(scalar(inner) for inner in thing)
        if depth < _DEPTH:
            return "\n".join(_entry(f"{number}", inner, depth) for number, inner in enumerate(thing, 1))
    return scalar(thing) if _is_scalar(thing) else f"`{orjson.dumps(thing).decode().replace('`', chr(0x2CB))}`"


def scalar(thing: Any) -> str:
    """A text, number, truth value or null in one line."""
    return plain(thing) if isinstance(thing, str) else orjson.dumps(thing).decode()


def parsed(text: str) -> Any:
    """The JSON object or list that a text holds, or the text itself."""
    try:
        thing = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return thing if isinstance(thing, (dict, list)) else text


def _escaped(found: re.Match[str]) -> str:
    """A character of markup behind an odd number of backslashes: the last of them escapes it."""
    slashes, character = found.groups()
    return found.group() if len(slashes) % 2 else f"{slashes}\\{character}"


def _is_scalar(thing: Any) -> bool:
    return not isinstance(thing, (Mapping, list, tuple)) or not thing


def _entry(name: str, inner: Any, depth: int) -> str:
    indent = "  " * depth
    if _is_scalar(inner) or (isinstance(inner, list) and all(_is_scalar(each) for each in inner)):
        return f"{indent}- {name}: {value(inner, depth + 1)}"
    if depth + 1 >= _DEPTH:
        return f"{indent}- {name}: {value(inner, _DEPTH)}"
    return f"{indent}- {name}:\n{value(inner, depth + 1)}"


def _columns(rows: Sequence[Any]) -> list[str] | None:
    """The keys of a list of objects that are alike and flat; None of any other list."""
    if len(rows) < 2 or not all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows):
        return None
    return list(rows[0]) if all(_is_scalar(inner) for row in rows for inner in row.values()) else None


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [[plain(str(column)) for column in columns], ["---"] * len(columns)]
    lines += [[scalar(row[column]) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
