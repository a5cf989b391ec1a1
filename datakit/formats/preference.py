r"""Preference: a prompt, a better and a worse answer.

Explicit, the prompt in a column of its own (`prompt`, `conversations`, `messages`, or Alpaca's `instruction`):
    {"prompt": "hi", "chosen": "hello", "rejected": "go away"}
        ->  prompt: user "hi"; chosen: assistant "hello"; rejected: assistant "go away"
    {"conversations": [...], "chosen": {"from": "gpt", "value": "…"}, "rejected": {…}}   (LLaMA-Factory)
Implicit, both answers begin with the prompt; it is their longest common beginning in whole messages:
    {"chosen": [user, assistant A], "rejected": [user, assistant B]}
    {"chosen": "\n\nHuman: hi\n\nAssistant: hello", "rejected": "\n\nHuman: hi\n\nAssistant: go away"}   (HH-RLHF)
Two plain texts without a prompt stay whole, the prompt being a user who says nothing: where a common beginning would
be cut is a guess.

Written is TRL's conversational form with the prompt in a column of its own, so that no trainer has to find it:
    {"prompt": [user], "chosen": [assistant], "rejected": [assistant], "margin": 1.5}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from datakit.formats import alpaca, chatml, sharegpt
from datakit.formats.prompt import conversation, never_empty, with_system
from datakit.formats.row import BadRow, Draft, Message, Row, wrong_type
from datakit.formats.turns import Extra, said
from datakit.formats.writing import Losses, Record, Writer, take_turns
from datakit.records import Kind

NEEDS: Final = "chosen and rejected"

_ANSWERS: Final = (("chosen", "rejected"), ("chosen_messages", "rejected_messages"))
_CONTEXTS: Final = ("prompt", "messages", *sharegpt.KEYS, "instruction")
_HH: Final = re.compile(r"\n\n(Human|Assistant):")
_HH_ROLES: Final = {"Human": "user", "Assistant": "assistant"}


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns is of this format."""
    return any(chosen in keys and rejected in keys for chosen, rejected in _ANSWERS)


def read(row: Row) -> Draft:
    """The preference record of a row.

    Raises:
        BadRow: prompt or answers are no text and no messages, or all are blank.
    """
    extra: Extra = {}
    names = next(names for names in _ANSWERS if names[0] in row and names[1] in row)
    context = next((name for name in _CONTEXTS if name in row), None)
    chosen, rejected = (_side(row[name], name, extra) for name in names)
    used = {*names, "margin", "system"}
    if context is None:
        prompt, chosen, rejected = _split(chosen, rejected)
    else:
        prompt = _prompt(row, context, extra)
        used |= alpaca.CONTEXT if context == "instruction" else {context}
        chosen, rejected = _without(prompt, chosen), _without(prompt, rejected)
    if context != "instruction":
        prompt = with_system(row, prompt, extra)
    if not (said(prompt) or said(chosen) or said(rejected)):
        raise BadRow("empty", "prompt, chosen and rejected are blank")
    return Draft("preference", (never_empty(prompt), chosen, rejected, _margin(row)), frozenset(used), extra or None)


def _prompt(row: Row, context: str, extra: Extra) -> list[Message]:
    if context == "instruction":
        return alpaca.context(row)
    return _side(row[context], context, extra, "user")


def _side(value: Any, where: str, extra: Extra, role: str = "assistant") -> list[Message]:
    """Messages of a prompt or an answer; a text in the style of HH-RLHF comes apart into its turns."""
    if type(value) is str and _HH.match(value):
        parts = _HH.split(value)[1:]
        turns = [
            {"role": _HH_ROLES[who], "content": what.strip()} for who, what in zip(parts[::2], parts[1::2], strict=True)
        ]
        if role == "user" and turns[-1] == {"role": "assistant", "content": ""}:
            turns.pop()  # a prompt that ends in "Assistant:"
        return turns
    return conversation(value, where, role, extra)


def _split(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """The longest common beginning, and what each side goes on with (at least one message)."""
    most = min(len(chosen), len(rejected)) - 1
    common = 0
    while common < most and chosen[common] == rejected[common]:
        common += 1
    return chosen[:common], chosen[common:], rejected[common:]


def _without(prompt: list[Message], side: list[Message]) -> list[Message]:
    """A side without the prompt where it repeats it, as UltraFeedback does."""
    if prompt and len(side) > len(prompt) and side[: len(prompt)] == prompt:
        return side[len(prompt) :]
    return side


def _margin(row: Row) -> float | None:
    value = row.get("margin")
    if value is None or value == "":
        return None
    if type(value) is str:
        try:
            return float(value)
        except ValueError:
            raise wrong_type("margin", value, "a number") from None
    if type(value) not in (int, float):
        raise wrong_type("margin", value, "a number")
    return float(value)


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a preference record; nothing is lost."""
    row: dict[str, Any] = {
        column: chatml.open_turns(take_turns(record, column, chatml.FIELDS, "preference", losses))
        for column in ("prompt", "chosen", "rejected")
    }
    if "margin" in record:
        row["margin"] = record["margin"]
    return row


WRITES: Final[Mapping[Kind, Writer]] = {"preference": write}
