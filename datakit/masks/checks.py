"""What is wrong with a row beside its spans: why a template refuses it, its calls, special tokens in its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from datakit.errors import TemplateRaised
from datakit.masks.findings import RowFinding
from datakit.template.messages import for_template, tools_for_template

if TYPE_CHECKING:
    from datakit.template.model import Model
    from datakit.template.render import Renderer

_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})

# Tokens that close turns in one family or another; at the end of an answer they are leavings of a render.
_CLOSING: Final = re.compile(
    r"(?:</s>|<\|(?:im_end|eot_id|endoftext|end_of_text|end|return)\|>|<(?:eos|end_of_turn)>"
    r"|<｜end▁of▁sentence｜>|<\|END_OF_TURN_TOKEN\|>)\s*$"
)

Message = Mapping[str, Any]


def why_refused(
    messages: Sequence[Message], tools: str | None, raised: TemplateRaised, renderer: Renderer
) -> RowFinding:
    """Why a template refuses a row: what must be mended so that it renders."""
    words = f"the template refuses the row: {raised.found}"
    strangers = sorted({message["role"] for message in messages} - _ROLES)
    if strangers:
        return RowFinding("M18", f"{words} (roles {', '.join(strangers)})", "error")
    filled = [{**message, "content": message.get("content") or ""} for message in messages]
    if any(message.get("content") is None for message in messages) and _renders(renderer, filled, tools):
        return RowFinding("M27", f"{words}; with an empty content it renders")
    spoken = [{**message, "tool_calls": None} for message in filled if message["role"] != "tool"]
    calling = tools or len(spoken) < len(messages) or any(message.get("tool_calls") for message in messages)
    if calling and _renders(renderer, spoken, None):
        return RowFinding("M25", f"{words}; without tools it renders")
    plain = [message for message in filled if message["role"] != "system"]
    if len(plain) < len(messages) and _renders(renderer, plain, tools):
        return RowFinding("M5", f"{words}; without its system message it renders", "error")
    return RowFinding("M19", words)


def _renders(renderer: Renderer, messages: Sequence[Message], tools: str | None) -> bool:
    try:
        renderer.render(for_template(messages), tools_for_template(tools))
    except TemplateRaised:
        return False
    return True


def calls(messages: Sequence[Message], tools: str | None, text: str) -> Iterator[RowFinding]:
    """What became of declared tools, and of the calls of a row.

    Args:
        messages: as in a record's column.
        tools: the record's tools, as JSON.
        text: the render.
    """
    called = [(number, call) for number, message in enumerate(messages) for call in _calls_of(message)]
    declared = _declared(tools)
    missing = [name for name in declared if name not in text]
    if missing:
        yield RowFinding("M25", f"declared tools are not in the render: {', '.join(missing)}", _weight(called))
    for number, call in called:
        where = f"messages[{number}].tool_calls"
        arguments = _arguments(call)
        if not isinstance(arguments, dict):
            yield RowFinding("M24", f"{where}: the arguments of {call.get('name')} are no JSON object")
            continue
        lost = [str(call.get("name"))] if str(call.get("name")) not in text else []
        lost += [name for name, value in arguments.items() if not all(_said(leaf, text) for leaf in _leaves(value))]
        if lost:
            yield RowFinding("M25", f"{where}: not in the render: {', '.join(lost)}")
        known = declared.get(str(call.get("name")))
        nulls = [name for name, value in arguments.items() if value is None and (known is None or name not in known)]
        if nulls:
            yield RowFinding("M26", f"{where}: null in {', '.join(nulls)}, which the tool does not declare")


def _weight(called: Sequence[Any]) -> Any:
    """Declarations that nobody calls are lost without harm to the labels."""
    return None if called else "warning"


def _calls_of(message: Message) -> list[dict[str, Any]]:
    found = message.get("tool_calls")
    if not found:
        return []
    calls = orjson.loads(found) if isinstance(found, str) else found
    return [call.get("function", call) for call in calls if isinstance(call, dict)]


def _arguments(call: Mapping[str, Any]) -> Any:
    found = call.get("arguments", {})
    if not isinstance(found, str):
        return found
    try:
        return orjson.loads(found)
    except orjson.JSONDecodeError:
        return found


def _declared(tools: str | None) -> dict[str, frozenset[str]]:
    """Name of each declared tool to the names of its parameters."""
    found = tools_for_template(tools) or []
    functions = [tool.get("function", tool) for tool in found if isinstance(tool, dict)]
    return {
        str(function["name"]): frozenset(_properties(function))
        for function in functions
        if isinstance(function, dict) and "name" in function
    }


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return properties if isinstance(properties, dict) else {}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield value


def _said(leaf: Any, text: str) -> bool:
    """Whether a value is in the render: as it is, as JSON writes it, or as Python does."""
    if str(leaf) in text:
        return True
    written = orjson.dumps(leaf).decode()
    return (written[1:-1] if isinstance(leaf, str) else written) in text


def closings(messages: Sequence[Message]) -> Iterator[RowFinding]:
    """Closing tokens of whatever family at the end of an answer: the template adds its own."""
    for number, message in enumerate(messages):
        content = message.get("content")
        if message["role"] == "assistant" and content and content[-1] in ">\n " and (found := _CLOSING.search(content)):
            yield RowFinding("M4", f"messages[{number}] ends in {found.group().strip()}")


def forged(row: Mapping[str, Any], model: Model) -> Iterator[RowFinding]:
    """Texts of a row that spell special tokens, each tokenised alone."""
    texts = [
        (f"messages[{number}].{field}", message[field])
        for number, message in enumerate(row["messages"])
        for field in ("content", "reasoning_content", "tool_calls")
    ]
    for where, text in [*texts, ("tools", row["tools"])]:
        ids = model.tokenizer.encode(text or "", add_special_tokens=False).ids
        found = sorted({str(model.tokenizer.id_to_token(token)) for token in ids if token in model.special_ids})
        if found:
            yield RowFinding("M28", f"{where}: {', '.join(found)}")
