"""Prompts for rollouts: a prompt, and perhaps what its answer is checked against.

{"prompt": "1+1?", "answer": "2"}  ->  prompt: user "1+1?"; answer: "2"
"""

from __future__ import annotations

from typing import Any, Final

from datakit.formats.row import BadRow, Draft, Message, Row, json_text, text_or_none, wrong_type
from datakit.formats.turns import Extra, read_turns, said

NEEDS: Final = "prompt"

ANSWERS: Final = ("answer", "ground_truth", "solution")
_USED: Final = {answer: frozenset({"prompt", "system", "checks", answer}) for answer in ANSWERS}


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return "prompt" in keys


def read(row: Row) -> Draft:
    """The prompt record of a row. An answer that is no text (a number, a list) is kept as JSON text.

    Raises:
        BadRow: the prompt is no text and no messages, or blank.
    """
    extra: Extra = {}
    prompt = with_system(row, conversation(row["prompt"], "prompt", "user", extra), extra)
    if not said(prompt):
        raise BadRow("empty", "prompt is blank")
    key = next((name for name in ANSWERS if row.get(name) is not None), ANSWERS[0])
    answer: Any = row.get(key)
    if type(answer) is not str:
        answer = json_text(row, key)
    return Draft("prompt", (prompt, answer, json_text(row, "checks")), _USED[key], extra or None)


def conversation(value: Any, where: str, role: str, extra: Extra) -> list[Message]:
    """Messages out of a text (said by `role`), a message or a list of messages, also as JSON text of a list.

    Raises:
        BadRow: it is none of these.
    """
    if type(value) is str:
        if value[:1] in ("[", "{") and '"role"' in value:  # csv and Parquet hold lists as JSON text
            try:
                return read_turns(value, where, extra)
            except BadRow:
                pass
        return [{"role": role, "content": value}]
    if type(value) in (list, dict):
        return read_turns(value, where, extra)
    raise wrong_type(where, value, "text or messages")


def never_empty(prompt: list[Message]) -> list[Message]:
    """The prompt, or one of a user who says nothing: TRL's trainers fail on a list without a message."""
    return prompt or [{"role": "user", "content": ""}]


def with_system(row: Row, prompt: list[Message], extra: Extra) -> list[Message]:
    """The prompt with the row's `system` text first, unless it has a system message: then the text goes to meta."""
    system = text_or_none(row, "system")
    if system is None:
        return prompt
    if prompt and prompt[0]["role"] == "system":
        extra["system"] = system
        return prompt
    return [{"role": "system", "content": system}, *prompt]
