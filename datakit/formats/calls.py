r"""Tool calls: from every spelling to one JSON text a message, and from that text to the spellings of other formats.

    {"name": "f", "arguments": {"y": 1, "x": 2}}   or OpenAI's {"id": …, "function": {…}}, or a list, or JSON text of it
        ->  '[{"function":{"arguments":"{\"y\":1,\"x\":2}","name":"f"},"type":"function"}]'
        ->  OpenAI: [{"type": "function", "function": {"name": "f", "arguments": "{\"y\":1,\"x\":2}"}}]
        ->  ShareGPT: '{"name": "f", "arguments": {"y": 1, "x": 2}}'

Arguments keep the order of their keys, for a model learns to write them in it, and integers of any length stay whole.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from datakit.formats.row import to_json, wrong_type

_LONG: Final = re.compile(r"\d{19}")  # perhaps an integer over 64 bits, which orjson would read as a float
_OUTER: Final = frozenset({"id", "type", "function"})
_INNER: Final = frozenset({"name", "arguments", "parameters"})


def read_calls(value: Any, where: str, extra: dict[str, Any] | None = None) -> str:
    """Tool calls in OpenAI's form as one JSON text; the arguments of each are a JSON text themselves.

    Args:
        value: a call or a list of calls, each `{"name", "arguments"}` or OpenAI's form, or the JSON text of these.
        where: the place, for the fault.
        extra: takes in the fields of calls that records have no room for.

    Raises:
        BadRow: it is none of these.
    """
    if type(value) is str:
        try:
            value = load_json(value)
        except ValueError:
            raise wrong_type(where, value, "tool calls as JSON") from None
    calls = value if type(value) is list else [value]
    return to_json([_call(call, f"{where}[{number}]", extra) for number, call in enumerate(calls)])


def _call(call: Any, where: str, extra: dict[str, Any] | None) -> dict[str, Any]:
    if type(call) is not dict:
        raise wrong_type(where, call, "a tool call")
    inner: dict[str, Any] = call["function"] if type(call.get("function")) is dict else call
    name = inner.get("name")
    if type(name) is not str:
        raise wrong_type(f"{where}.name", name, "the name of a function")
    arguments = inner.get("arguments", inner.get("parameters"))
    if arguments is None:
        arguments = "{}"
    elif type(arguments) is not str:
        arguments = to_json(arguments, sort=False)
    function = {"name": name, "arguments": arguments}
    outer: dict[str, Any] = {"type": "function", "function": function}
    if call.get("id") is not None:
        outer["id"] = str(call["id"])
    if extra is not None and (unknown := _unknown(call, inner)):
        extra[where] = unknown
    return outer


def _unknown(call: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """The fields of a call that no record has room for, such as OpenAI's `index` or `strict`."""
    known = _OUTER if inner is not call else _OUTER | _INNER
    unknown = {key: value for key, value in call.items() if key not in known and value is not None}
    if inner is not call:
        unknown |= {key: value for key, value in inner.items() if key not in _INNER and value is not None}
    if call.get("type") not in (None, "function", "tool_call"):
        unknown["type"] = call["type"]
    return unknown


def openai_calls(calls: str) -> list[dict[str, Any]]:
    """A message's calls as OpenAI lists them; `calls` is what `read_calls` gives."""
    return [
        {
            **({"id": call["id"]} if "id" in call else {}),
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
        }
        for call in orjson.loads(calls)
    ]


def sharegpt_calls(calls: str) -> str:
    """A message's calls as the JSON text of a `function_call` turn: an object, or a list where there are more.

    The text is that of Python's json.dumps, as in the files of LLaMA-Factory. Arguments that are no JSON stay a text.
    """
    plain = [
        {"name": call["function"]["name"], "arguments": _loaded(call["function"]["arguments"])}
        for call in orjson.loads(calls)
    ]
    return json.dumps(plain[0] if len(plain) == 1 else plain, ensure_ascii=False)


def compact_calls(calls: str) -> str:
    """The same calls with the JSON of their arguments spelled compactly: how they are read back from ShareGPT."""
    loaded = orjson.loads(calls)
    for call in loaded:
        arguments = _loaded(call["function"]["arguments"])
        call["function"]["arguments"] = arguments if type(arguments) is str else to_json(arguments, sort=False)
    return to_json(loaded)


def _loaded(arguments: str) -> Any:
    try:
        return load_json(arguments)
    except ValueError:
        return arguments


def load_json(text: str) -> Any:
    """The value of a JSON text, integers of any length included.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(text, parse_constant=_no_number) if _LONG.search(text) else orjson.loads(text)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
