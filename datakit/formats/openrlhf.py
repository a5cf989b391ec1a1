"""OpenRLHF: lists of messages under the keys that its datasets are told to read.

    messages     {"messages": [...]}                              --input_key messages --apply_chat_template --multiturn
    preference   {"prompt": [...], "chosen": [...], "rejected": [...], "margin": 1.5}     --prompt_key prompt
    unpaired     {"messages": [...], "label": true}               --output_key messages --label_key label
    prompt       {"prompt": [...], "answer": "2"}                 --input_key prompt --label_key answer
    text         {"text": "…"}                                    --pretrain_mode --input_key text

The rows are read by the readers of messages, preference, prompt and text. OpenRLHF renders messages with the model's
template but never hands it tools, and trains every answer of a dialogue (openrlhf/datasets/sft_dataset.py,
reward_dataset.py, unpaired_preference_dataset.py and prompts_dataset.py): tools and `train` flags are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datakit.formats import chatml, sharegpt, text
from datakit.formats.writing import Losses, Record, Writer, lose, take_turns
from datakit.records import Kind

_WHO: Final = "OpenRLHF"
_FIELDS: Final = chatml.FIELDS - {"train"}


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a messages record."""
    lose(record, "tools", f"{_WHO} hands no tools to the template", losses)
    return {"messages": _turns(record, "messages", losses)}


def write_preference(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a preference record."""
    row: dict[str, Any] = {column: _turns(record, column, losses) for column in ("prompt", "chosen", "rejected")}
    if "margin" in record:
        row["margin"] = record["margin"]
    return row


def write_unpaired(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of an unpaired record: the whole dialogue, as its KTO dataset renders it.

    Raises:
        CannotHold: the completion is not one message of the assistant's.
    """
    sharegpt.only_answer(record["completion"], "completion", "the last message is what is judged")
    turns = _turns(record, "prompt", losses) + _turns(record, "completion", losses)
    return {"messages": turns, "label": record["label"]}


def write_prompt(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a prompt record."""
    lose(record, "checks", f"{_WHO} has no place for it", losses)
    row: dict[str, Any] = {"prompt": _turns(record, "prompt", losses)}
    if "answer" in record:
        row["answer"] = record["answer"]
    return row


WRITES: Final[Mapping[Kind, Writer]] = {
    "text": text.write,
    "messages": write,
    "preference": write_preference,
    "unpaired": write_unpaired,
    "prompt": write_prompt,
}

_FLAGS: Final[Mapping[Kind, str]] = {
    "text": "--pretrain_mode --input_key text",
    "messages": "--input_key messages --apply_chat_template --multiturn",
    "preference": "--prompt_key prompt --chosen_key chosen --rejected_key rejected --apply_chat_template",
    "unpaired": "--output_key messages --label_key label --apply_chat_template",
    "prompt": "--input_key prompt --label_key answer --apply_chat_template",
}


def usage(name: str, files: Mapping[Kind, str]) -> str:
    """The flags of OpenRLHF's trainers for each file; `name` is the file or folder."""
    return "\n".join(
        f"{'--prompt_data' if kind == 'prompt' else '--dataset'} {file} {_FLAGS[kind]}" for kind, file in files.items()
    )


def _turns(record: Record, column: str, losses: Losses) -> list[dict[str, Any]]:
    return chatml.open_turns(take_turns(record, column, _FIELDS, _WHO, losses))
