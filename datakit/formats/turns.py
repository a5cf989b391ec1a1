r"""Messages in canonical form, from every spelling of roles, contents and tool calls in use.

    {"from": "human", "value": "hi"}                      ->  {"role": "user", "content": "hi"}
    {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'}
        ->  {"role": "assistant", "tool_calls": '[{"type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]'}
    {"role": "user", "content": [{"type": "text", "text": "hi"}]}  ->  {"role": "user", "content": "hi"}

Tool calls are one JSON string a message: Arrow would fill nulls in between the arguments of different calls.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from datakit.formats.calls import read_calls
from datakit.formats.row import BadRow, Message, described, flag, to_json, wrong_type

ROLES: Final[dict[str, str]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    # OpenAI: `developer` took the place of `system`, `function` is the older `tool`.
    "developer": "system",
    "function": "tool",
    # ShareGPT, as LLaMA-Factory and FastChat write it.
    "human": "user",
    "gpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "prompter": "user",
    # Chinese exports.
    "系统": "system",
    "用户": "user",
    "客户": "user",
    "助手": "assistant",
    "客服": "assistant",
    "销售": "assistant",
}
_CANONICAL: Final = frozenset({"system", "user", "assistant", "tool"})
_CALLS: Final = frozenset({"function_call", "tool_call", "tool_calls"})

_THOUGHT: Final = re.compile(r"<think>\n?(.*?)\n?</think>\s*(?=[\[{])", re.DOTALL)  # LLaMA-Factory, before calls
_WEIGHTS: Final = ("weight", "loss_weight")
_KNOWN: Final = frozenset(
    {"role", "from", "content", "value", "reasoning_content", "reasoning", "tool_calls", "function_call"}
    | {"tool_call_id", "name", "train", *_WEIGHTS}
)

Extra = dict[str, Any]


def read_turns(value: Any, where: str, extra: Extra) -> list[Message]:
    """The messages of a list, or of the JSON text of one.

    Args:
        value: what stands in the row.
        where: its place, for the fault.
        extra: takes in the fields of messages that records have no room for, under `messages[2]`.

    Raises:
        BadRow: it is no list of messages.
    """
    if type(value) is str:
        value = _parsed(value, where)
    if type(value) is dict:
        value = [value]
    if type(value) is not list:
        raise wrong_type(where, value, "a list of messages")
    turns: list[Message] = []
    for number, turn in enumerate(value):
        # Nearly every message is this plain, and is canonical already.
        if (
            type(turn) is dict
            and len(turn) == 2
            and type(turn.get("content")) is str
            and type(role := turn.get("role")) is str
            and role in _CANONICAL
        ):
            turns.append(turn)
        else:
            turns.append(_turn(turn, f"{where}[{number}]", extra))
    return turns


def said(turns: list[Message]) -> bool:
    """Whether anything is said at all: content, reasoning or a tool call."""
    return any(
        turn.get("tool_calls") or (turn.get("content") or "").strip() or (turn.get("reasoning_content") or "").strip()
        for turn in turns
    )


def _parsed(text: str, where: str) -> Any:
    """Lists stand in strings in csv, and often in Parquet."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    raise wrong_type(where, text, "a list of messages")


def _turn(turn: Any, where: str, extra: Extra) -> Message:
    """One message of any spelling."""
    if type(turn) is not dict:
        raise wrong_type(where, turn, "a message with role and content")
    found = turn.get("role") if turn.get("role") is not None else turn.get("from")
    name = found.strip().lower() if type(found) is str else None
    role = ROLES.get(name) if name is not None else None
    if name is None or (role is None and name not in _CALLS):
        raise wrong_type(f"{where}.role", found, "system, user, assistant or tool")
    message: Message = {"role": role or "assistant"}
    content = turn.get("content") if turn.get("content") is not None else turn.get("value")
    if name in _CALLS:
        if type(content) is str and (thought := _THOUGHT.match(content)):
            message["reasoning_content"], content = thought[1], content[thought.end() :]
        message["tool_calls"] = read_calls(content, f"{where}.value", extra)
    elif type(content) is str:
        message["content"] = content
    elif content is not None:
        _parts(content, where, message, extra)
    _rest(turn, where, message, extra)
    if "content" not in message and "tool_calls" not in message and "reasoning_content" not in message:
        raise wrong_type(f"{where}.content", None)
    unknown = {key: turn[key] for key in turn if key not in _KNOWN and turn[key] is not None}
    unknown |= {key: turn[key] for key in _WEIGHTS if type(turn.get(key)) in (int, float) and turn[key] not in (0, 1)}
    if unknown:
        extra[where] = unknown
    return message


def _rest(turn: dict[str, Any], where: str, message: Message, extra: Extra) -> None:
    """The fields of a message beside role and content."""
    for field, names in (
        ("reasoning_content", ("reasoning_content", "reasoning")),
        ("tool_call_id", ("tool_call_id",)),
        ("name", ("name",)),
    ):
        for key in names:
            value = turn.get(key)
            if value is None or field in message:
                continue
            if type(value) is not str:
                raise wrong_type(f"{where}.{key}", value)
            message[field] = value
    for key in ("tool_calls", "function_call"):
        value = turn.get(key)
        if value is not None and value != [] and value != "" and "tool_calls" not in message:
            message["tool_calls"] = read_calls(value, f"{where}.{key}", extra)
    for key in ("train", *_WEIGHTS):
        value = turn.get(key)
        if value is not None and "train" not in message:
            message["train"] = _trained(value, f"{where}.{key}")


def _trained(value: Any, where: str) -> bool:
    """Whether a message is trained on: a flag, or a weight above 0 (OpenAI `weight`, LLaMA-Factory `loss_weight`)."""
    if type(value) in (int, float):
        return bool(value > 0)
    trained = flag(value)
    if trained is None:
        raise wrong_type(where, value, "true, false or a weight")
    return trained


def _parts(content: Any, where: str, message: Message, extra: Extra) -> None:
    """Content parts: texts are joined as they are; reasoning and tool calls (LLaMA-Factory's v1) go to their fields."""
    if type(content) is not list:
        raise wrong_type(f"{where}.content", content)
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Any] = []
    for number, part in enumerate(content):
        place = f"{where}.content[{number}]"
        kind = "text" if type(part) is str else part.get("type") if type(part) is dict else None
        if type(part) is dict:
            keys = ("text", "value", "thinking", "reasoning")
            part = next((part[key] for key in keys if part.get(key) is not None), None)
        if kind in ("text", "input_text", "output_text"):
            texts.append(_text_of(part, place))
        elif kind in ("reasoning", "thinking"):
            thoughts.append(_text_of(part, place))
        elif kind == "tool_call":
            calls += orjson.loads(read_calls(part, place, extra))
        else:
            raise BadRow("wrong_type", f"{place}: found a part of type {described(kind)}, expected text")
    if texts or not (thoughts or calls):
        message["content"] = "".join(texts)
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = to_json(calls)


def _text_of(value: Any, where: str) -> str:
    if type(value) is not str:
        raise wrong_type(where, value)
    return value
