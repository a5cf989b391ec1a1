"""Unpaired preference (KTO): a prompt, one answer, and whether it is good.

{"prompt": "hi", "completion": "hello", "label": true}
    ->  prompt: user "hi"; completion: assistant "hello"; label: true
{"messages": [user, assistant], "label": true}   (also conversations or Alpaca with `kto_tag`, LLaMA-Factory's)
    ->  prompt: all but the last message; completion: the last message

Written is TRL's conversational form: {"prompt": [user], "completion": [assistant], "label": true}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datakit.formats import alpaca, chatml, sharegpt
from datakit.formats.prompt import conversation, never_empty, with_system
from datakit.formats.row import BadRow, Draft, Message, Row, flag, text_at, wrong_type
from datakit.formats.turns import Extra, said
from datakit.formats.writing import Losses, Record, Writer, take_turns
from datakit.records import Kind

NEEDS: Final = "prompt, completion and label"

_TAGS: Final = ("label", "kto_tag")
_DIALOGUES: Final = ("messages", *sharegpt.KEYS)


def fits(keys: frozenset[str]) -> bool:
    """Whether a row with these columns can be of this format; `label` must be true or false, see `is_tagged`."""
    if keys.isdisjoint(_TAGS):
        return False
    return {"prompt", "completion"} <= keys or alpaca.fits(keys) or not keys.isdisjoint(_DIALOGUES)


def is_tagged(row: Row) -> bool:
    """Whether the row's tag is true or false. Dialogues with another `label` (a topic, say) are just dialogues."""
    return "kto_tag" in row or flag(row.get("label")) is not None


def read(row: Row) -> Draft:
    """The unpaired record of a row.

    Raises:
        BadRow: tag, prompt or completion are not what they must be, or all is blank.
    """
    extra: Extra = {}
    tag = next(name for name in _TAGS if name in row)
    label = flag(row[tag])
    if label is None:
        raise wrong_type(tag, row[tag], "true or false")
    prompt, completion, used = _sides(row, extra)
    if not said(prompt) and not said(completion):
        raise BadRow("empty", "prompt and completion are blank")
    return Draft("unpaired", (never_empty(prompt), completion, label), used | {tag}, extra or None)


def _sides(row: Row, extra: Extra) -> tuple[list[Message], list[Message], frozenset[str]]:
    """Prompt, completion, and the columns they came from."""
    if "prompt" in row and "completion" in row:
        prompt = with_system(row, conversation(row["prompt"], "prompt", "user", extra), extra)
        completion = conversation(row["completion"], "completion", "assistant", extra)
        return prompt, completion, frozenset({"prompt", "completion", "system"})
    key = next((name for name in _DIALOGUES if name in row), None)
    if key is None:
        answer: Message = {"role": "assistant", "content": text_at(row, "output")}
        return alpaca.context(row), [answer], alpaca.CONTEXT | {"output"}
    draft = chatml.read_dialogue(row, key)
    turns: list[Any] = draft.values[0]
    extra.update(draft.extra or {})
    if draft.values[1] is not None:
        extra["tools"] = draft.values[1]
    if turns[-1]["role"] != "assistant":
        raise BadRow(
            "unknown_kind", f"{key}: the last message is the {turns[-1]['role']}'s, so there is no answer to judge"
        )
    return turns[:-1], turns[-1:], draft.used


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of an unpaired record; nothing is lost."""
    row: dict[str, Any] = {
        column: chatml.open_turns(take_turns(record, column, chatml.FIELDS, "kto", losses))
        for column in ("prompt", "completion")
    }
    return {**row, "label": record["label"]}


WRITES: Final[Mapping[Kind, Writer]] = {"unpaired": write}
