"""Messages, the list of OpenAI and ChatML: role and content, tool calls, reasoning, and tools beside it.

{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "tools": [...]}
    ->  messages: the same, tool calls as one JSON text a message; tools: the JSON text
"""

from __future__ import annotations

from typing import Any, Final

from datakit.formats.row import BadRow, Draft, Row, json_text, text_or_none, to_json
from datakit.formats.turns import Extra, read_turns, said

NEEDS: Final = "messages (a list of role and content)"

_USED: Final = {
    key: frozenset({key, "system", "tools", "functions"})
    for key in ("messages", "conversations", "conversation", "dialogue", "dialog")
}
_ONLY: Final = {key: frozenset({key}) for key in _USED}


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return "messages" in keys


def read(row: Row) -> Draft:
    """The messages record of a row.

    Raises:
        BadRow: a message is none.
    """
    return read_dialogue(row, "messages")


def read_dialogue(row: Row, key: str) -> Draft:
    """The messages record of a row whose messages stand in the column `key`.

    A `system` text comes first, unless the messages bring a system message of their own: then it stays in meta.

    Raises:
        BadRow: a message is none, or nothing is said.
    """
    extra: Extra = {}
    turns = read_turns(row[key], key, extra)
    used = _ONLY[key]
    tools = None
    if len(row) > 1:
        used = _USED[key]
        system = text_or_none(row, "system")
        if system is not None and not (turns and turns[0]["role"] == "system"):
            turns = [{"role": "system", "content": system}, *turns]
        elif system is not None:
            extra["system"] = system
        tools = _tools(row)
    if not said(turns):
        raise BadRow("empty", f"{key}: nothing is said")
    return Draft("messages", (turns, tools), used, extra or None)


def _tools(row: Row) -> str | None:
    """The tools on offer, as JSON text; OpenAI's older `functions` in the form of tools."""
    if (tools := json_text(row, "tools")) is not None:
        return None if tools == "[]" else tools
    functions: Any = row.get("functions")
    if type(functions) is list and functions:
        return to_json([{"type": "function", "function": function} for function in functions])
    return json_text(row, "functions")
