"""What of a record is context and what is judged.

preference                    prompt                        chosen, rejected
unpaired                      prompt                        completion
text                          nothing                       the text
prompt, messages with meta    the prompt, or the messages   every entry of meta's "answers":
      {"answers": […]}        before their last answer      a text, or a list of messages
messages                      what comes before             the last answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from datakit.recipe.annotate import Task
from datakit.records import Kind

Message = Mapping[str, Any]
Messages = Sequence[Message]

JUDGED: Final[Mapping[Task, tuple[Kind, ...]]] = {
    "preference": ("preference",),
    "rating": ("text", "messages", "unpaired"),
    "ranking": ("preference", "prompt", "messages"),
    "labels": ("text", "messages", "unpaired"),
    "spans": ("text", "messages", "unpaired"),
    "rewriting": ("text", "messages", "unpaired"),
}
"""The kinds of records that each task is about."""

WHOLE: Final[tuple[Kind, ...]] = ("messages", "unpaired", "prompt")
"""The kinds that are dialogues, to be judged as a whole."""


def answers_of(record: Mapping[str, Any], kind: Kind) -> list[Messages]:
    """The answers of a record, in the order that items count them in; each a list of messages. None: an empty list."""
    match kind:
        case "preference":
            return [record["chosen"] or [], record["rejected"] or []]
        case "unpaired":
            return [record["completion"] or []]
        case "text":
            return [_said(record["text"])]
    if (several := _alternatives(record)) is not None:
        return several
    last = _last_answer(record["messages"]) if kind == "messages" else None
    return [record["messages"][last:]] if last is not None else []


def context_of(record: Mapping[str, Any], kind: Kind) -> Messages:
    """What came before the answers of a record; empty for a text."""
    if kind == "text":
        return []
    if kind != "messages":
        return record["prompt"] or []
    messages: Messages = record["messages"]
    return messages[: _last_answer(messages)]


def dialogue_of(record: Mapping[str, Any], kind: Kind) -> Messages:
    """A record of one of the kinds in `WHOLE` as one dialogue."""
    if kind == "messages":
        return list(record["messages"] or [])
    return [*(record["prompt"] or []), *(record["completion"] or [] if kind == "unpaired" else [])]


def _last_answer(messages: Messages) -> int | None:
    """Where the last answer begins: the assistant's last message, if nothing follows it."""
    last = len(messages) - 1
    return last if last >= 0 and messages[last]["role"] == "assistant" else None


def _alternatives(record: Mapping[str, Any]) -> list[Messages] | None:
    """The answers that meta holds; None where it holds none."""
    meta = orjson.loads(record["meta"]) if record.get("meta") else {}
    answers = meta.get("answers") if isinstance(meta, dict) else None
    if not isinstance(answers, list):
        return None
    return [_said(answer) if isinstance(answer, str) else _messages(answer) for answer in answers]


def _said(text: str) -> Messages:
    return [{"role": "assistant", "content": text}]


def _messages(value: Any) -> Messages:
    """Messages that somebody wrote into meta; what is none is left out, so that a bad answer is an empty one."""
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("role"), str)]
