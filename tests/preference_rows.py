"""Records of pairs, rated answers and prompts for tests, with the columns of `records.SCHEMAS`."""

from __future__ import annotations

from typing import Any

import orjson

Turn = tuple[str, str]


def turns(*said: Turn) -> list[dict[str, Any]]:
    """Messages of (role, content) pairs, with every field of a record's message."""
    empty = dict.fromkeys(("reasoning_content", "tool_calls", "tool_call_id", "name", "train"))
    return [{"role": role, "content": content, **empty} for role, content in said]


def answer(content: str, **fields: Any) -> list[dict[str, Any]]:
    """One assistant message."""
    return [{**turns(("assistant", content))[0], **fields}]


def call(name: str, **arguments: Any) -> str:
    """A tool call as records hold it."""
    function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
    return orjson.dumps([{"type": "function", "function": function}]).decode()


def pair(prompt: Any, chosen: Any, rejected: Any, line: int = 1) -> dict[str, Any]:
    """A preference record; texts stand for a user turn and assistant turns."""
    sides = {"prompt": _messages(prompt, "user"), "chosen": _messages(chosen), "rejected": _messages(rejected)}
    return {**_key(line), **sides, "margin": None, "meta": "{}"}


def rated(prompt: Any, completion: Any, label: bool = True, line: int = 1) -> dict[str, Any]:
    """An unpaired record."""
    sides = {"prompt": _messages(prompt, "user"), "completion": _messages(completion)}
    return {**_key(line), **sides, "label": label, "meta": "{}"}


def asked(prompt: Any, line: int = 1) -> dict[str, Any]:
    """A prompt record."""
    return {**_key(line), "prompt": _messages(prompt, "user"), "answer": None, "checks": None, "meta": "{}"}


def _key(line: int) -> dict[str, Any]:
    return {"id": f"{line:016x}", "source": "rows.jsonl", "line": line}


def _messages(given: Any, role: str = "assistant") -> list[dict[str, Any]]:
    return turns((role, given)) if isinstance(given, str) else given
