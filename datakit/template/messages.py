"""Messages of records as chat templates take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

Arguments = Literal["dict", "string"]


def for_template(messages: Sequence[Mapping[str, Any]], *, arguments: Arguments = "dict") -> list[dict[str, Any]]:
    """The messages without empty fields, tool calls parsed.

        {"content": None, "tool_calls": '[{"type":"function","function":{"name":"f","arguments":"{}"}}]'}
        ->  {"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}

    Empty fields go because transformers drops them too (`apply_chat_template`), and because most templates print or
    trip over None. `train` goes: it is ours.

    Args:
        messages: as in a record's column (`records.MESSAGE`).
        arguments: whether the arguments of a call are given as an object or as JSON text; templates differ in what
            they take (M24). Text that is no JSON object stays text.
    """
    return [
        {
            field: value if field != "tool_calls" else _calls(value, arguments)
            for field, value in message.items()
            if value is not None and field != "train"
        }
        for message in messages
    ]


def tools_for_template(tools: str | Sequence[Any] | None) -> list[Any] | None:
    """The declared tools of a record, parsed; None where it declares none."""
    parsed = orjson.loads(tools) if isinstance(tools, str) else tools
    return list(parsed) if parsed else None


def _calls(value: Any, arguments: Arguments) -> list[Any]:
    calls = orjson.loads(value) if isinstance(value, str) else value
    return [_call(call, arguments) for call in calls]


def _call(call: Any, arguments: Arguments) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or "arguments" not in function:
        return call
    found = function["arguments"]
    given = (
        _as_object(found) if arguments == "dict" else found if isinstance(found, str) else orjson.dumps(found).decode()
    )
    return {**call, "function": {**function, "arguments": given}}


def _as_object(found: Any) -> Any:
    if not isinstance(found, str):
        return found
    try:
        parsed = orjson.loads(found)
    except orjson.JSONDecodeError:
        return found
    return parsed if isinstance(parsed, dict) else found
