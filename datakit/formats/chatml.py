"""Messages, the list of OpenAI and ChatML: role and content, tool calls, reasoning, and tools beside it.

{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "tools": [...]}
    <->  messages: the same, tool calls as one JSON text a message; tools: the JSON text

Written are all fields of a record: `content` always, null where nothing is said; calls as OpenAI lists them, arguments
and `tools` as JSON texts, which TRL takes and in which Arrow fills no nulls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from datakit.formats.calls import load_json, openai_calls
from datakit.formats.row import BadRow, Draft, Message, Row, json_text, text_or_none, to_json
from datakit.formats.turns import Extra, read_turns, said
from datakit.formats.writing import Losses, Record, Writer, take_turns
from datakit.records import MESSAGE, Kind

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
    if type(row.get("tools")) is list:
        return to_json([_with_schema(tool) for tool in row["tools"]]) if row["tools"] else None
    if (tools := json_text(row, "tools")) is not None:
        return None if tools == "[]" else tools
    functions: Any = row.get("functions")
    if type(functions) is list and functions:
        return to_json([{"type": "function", "function": function} for function in functions])
    return json_text(row, "functions")


def _with_schema(tool: Any) -> Any:
    """A tool whose parameters are a JSON text, as axolotl wants them in tables, with the schema that they spell."""
    function = tool.get("function") if type(tool) is dict else None
    if type(function) is not dict or type(function.get("parameters")) is not str:
        return tool
    try:
        return {**tool, "function": {**function, "parameters": load_json(function["parameters"])}}
    except ValueError:
        return tool


FIELDS: Final = frozenset(field.name for field in MESSAGE.fields)
"""The fields of a message: this format has a place for all of them."""


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a messages record; nothing is lost."""
    row: dict[str, Any] = {"messages": open_turns(take_turns(record, "messages", FIELDS, "messages", losses))}
    if "tools" in record:
        row["tools"] = record["tools"]
    return row


def open_turns(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as OpenAI writes them: role first, content even where it is null, calls as a list."""
    opened = []
    for turn in turns:
        plain = {"role": turn["role"], "content": turn.get("content")}
        for name in ("reasoning_content", "tool_calls", "tool_call_id", "name", "train"):
            if name in turn:
                plain[name] = openai_calls(turn[name]) if name == "tool_calls" else turn[name]
        opened.append(plain)
    return opened


WRITES: Final[Mapping[Kind, Writer]] = {"messages": write}
