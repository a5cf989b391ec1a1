r"""Axolotl: rows for its `chat_template` and `completion` types, and the lines of YAML that load them.

    messages     {"messages": [{"role": "user", "content": "hi"}, {…, "train": false}], "tools": […]}
    preference   {"messages": [...], "chosen": {"role": "assistant", "content": "…"}, "rejected": {…}}
    unpaired     {"system": "…", "prompt": "…", "completion": "…", "label": true}
    text         {"text": "…"}

The rows are read by the readers of messages, preference, unpaired and text. Axolotl wants `tools` as a list and parses
parameters and arguments that are JSON texts (prompt_strategies/chat_template.py), so that Arrow fills no nulls into
them. Its pairs and judged answers are roles and texts (prompt_strategies/dpo/chat_template.py, kto/): calls, reasoning
and margins have no place there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datakit.formats import chatml, sharegpt, text
from datakit.formats.calls import load_json
from datakit.formats.row import to_json
from datakit.formats.writing import CannotHold, Losses, Record, Writer, lose, take_turns
from datakit.records import Kind

_WHO: Final = "axolotl"
_PLAIN: Final = frozenset({"role", "content"})


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a messages record.

    Raises:
        CannotHold: its tools are no list of tools.
    """
    row: dict[str, Any] = {"messages": chatml.open_turns(take_turns(record, "messages", chatml.FIELDS, _WHO, losses))}
    if "tools" in record:
        tools = _tools(record["tools"])
        record["tools"] = to_json(tools)  # a list is read back so
        row["tools"] = [_in_text(tool) for tool in tools]
    return row


def write_preference(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a preference record.

    Raises:
        CannotHold: an answer is not one message of the assistant's.
    """
    lose(record, "margin", f"{_WHO} has no place for it", losses)
    row: dict[str, Any] = {"messages": take_turns(record, "prompt", _PLAIN, _WHO, losses)}
    for side in ("chosen", "rejected"):
        sharegpt.only_answer(record[side], side, f"{_WHO} compares two answers")
        row[side] = take_turns(record, side, _PLAIN, _WHO, losses)[0]
    return row


def write_unpaired(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of an unpaired record.

    Raises:
        CannotHold: it is more than one question, perhaps after a system prompt, and one answer.
    """
    sharegpt.only_answer(record["completion"], "completion", f"{_WHO} judges one answer")
    (answer,) = take_turns(record, "completion", _PLAIN, _WHO, losses)
    prompt = take_turns(record, "prompt", _PLAIN, _WHO, losses)
    roles = [turn["role"] for turn in prompt]
    if roles not in (["user"], ["system", "user"]):
        raise CannotHold("prompt", f"{_WHO} judges the answer to one question", prompt)
    system = {"system": prompt[0]["content"]} if len(prompt) == 2 else {}
    return {**system, "prompt": prompt[-1]["content"], "completion": answer["content"], "label": record["label"]}


WRITES: Final[Mapping[Kind, Writer]] = {
    "text": text.write,
    "messages": write,
    "preference": write_preference,
    "unpaired": write_unpaired,
}

_YAML: Final[Mapping[Kind, str]] = {
    "text": "    type: completion",
    "messages": "    type: chat_template\n    message_field_training: train",
    "preference": "    type: chat_template.default  # with rl: dpo",
    "unpaired": "    type: chatml.ultra  # with rl: kto; or llama3.ultra, as the model's template is",
}


def usage(name: str, files: Mapping[Kind, str]) -> str:
    """The `datasets` of an axolotl file; `name` is the file or folder."""
    entries = [f"  - path: {file}\n    ds_type: json\n{_YAML[kind]}" for kind, file in files.items()]
    return "\n".join(["datasets:", *entries])


def _tools(text: str) -> list[dict[str, Any]]:
    tools = load_json(text)
    if type(tools) is not list or not all(type(tool) is dict for tool in tools):
        raise CannotHold("tools", f"{_WHO} needs a list of tools", text)
    return tools


def _in_text(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool with its parameters as a JSON text, where axolotl looks for one."""
    function = tool.get("function")
    if type(function) is not dict or type(function.get("parameters")) is not dict:
        return tool
    return {**tool, "function": {**function, "parameters": to_json(function["parameters"], sort=False)}}
