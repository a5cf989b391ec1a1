r"""LLaMA-Factory: ShareGPT rows that its converter takes, and the `dataset_info.json` that describes the files.

    messages: user "hi", assistant "hello" with reasoning "hm"
        ->  {"conversations": [{"from": "human", "value": "hi"},
                               {"from": "gpt", "value": "<think>\nhm\n</think>\n\nhello"}]}
        ->  "chat_messages": {"file_name": "messages.jsonl", "formatting": "sharegpt",
                              "columns": {"messages": "conversations"}}

The rows are read by the readers of ShareGPT and text. LLaMA-Factory skips a row, with a warning, whose turns do not go
human or observation, gpt or function_call, and so on to an answer (`SharegptDatasetConverter` in data/converter.py):
such a row is not written. It keeps reasoning in the answer, between the marks of `data/template.py`. It has no flag for
a turn that is not trained, no margin, and no ids of calls. Images, videos and audios in `meta` are columns again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from datakit.formats import sharegpt, text
from datakit.formats.calls import load_json
from datakit.formats.row import Message, to_json
from datakit.formats.writing import CannotHold, Losses, Record, Writer, lose
from datakit.records import Kind

_WHO: Final = "LLaMA-Factory"
_FIELDS: Final = frozenset({"role", "content", "tool_calls", "reasoning_content"})
_MEDIA: Final = ("images", "videos", "audios")
_ORDER: Final = (frozenset({"human", "observation"}), frozenset({"gpt", "function_call"}))


def write(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a messages record.

    Raises:
        CannotHold: LLaMA-Factory would skip the row.
    """
    turns = _turns(record, "messages", losses)
    _see_order(turns, "messages")
    row: dict[str, Any] = {"conversations": turns}
    if "tools" in record:
        row["tools"] = record["tools"]
    return {**row, **_media(record)}


def write_preference(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of a preference record.

    Raises:
        CannotHold: LLaMA-Factory would skip the row.
    """
    lose(record, "margin", f"{_WHO} has no place for it", losses)
    prompt, answers = _turns(record, "prompt", losses), {}
    for side in ("chosen", "rejected"):
        sharegpt.only_answer(record[side], side, f"{_WHO} compares two answers")
        answers[side] = _turns(record, side, losses)[0]
        _see_order([*prompt, answers[side]], "prompt")
    return {"conversations": prompt, **answers, **_tools(record), **_media(record)}


def write_unpaired(record: Record, losses: Losses) -> dict[str, Any]:
    """The row of an unpaired record.

    Raises:
        CannotHold: LLaMA-Factory would skip the row.
    """
    sharegpt.only_answer(record["completion"], "completion", "the last turn is what is judged")
    turns = _turns(record, "prompt", losses) + _turns(record, "completion", losses)
    _see_order(turns, "prompt")
    return {"conversations": turns, "kto_tag": record["label"], **_tools(record), **_media(record)}


WRITES: Final[Mapping[Kind, Writer]] = {
    "text": text.write,
    "messages": write,
    "preference": write_preference,
    "unpaired": write_unpaired,
}


def dataset_info(name: str, files: Mapping[Kind, str], columns: Mapping[Kind, set[str]]) -> dict[str, Any]:
    """The content of dataset_info.json: an entry a file.

    Args:
        name: what the datasets are called; the kind is added to it.
        files: kind to the name of its file.
        columns: kind to the columns that its rows have; a column that is described must be there.
    """
    return {f"{name}_{kind}": _entry(kind, file, columns[kind]) for kind, file in files.items()}


def _entry(kind: Kind, file: str, columns: set[str]) -> dict[str, Any]:
    if kind == "text":
        return {"file_name": file, "columns": {"prompt": "text"}}
    names = {"messages": "conversations"}
    names |= {name: name for name in ("tools", *_MEDIA, "chosen", "rejected", "kto_tag") if name in columns}
    ranking = {"ranking": True} if kind == "preference" else {}
    return {"file_name": file, "formatting": "sharegpt", **ranking, "columns": names}


def usage(name: str, files: Mapping[Kind, str]) -> str:
    """What to put into a training file of LLaMA-Factory; `name` is the folder with dataset_info.json."""
    dataset = name.rpartition("/")[2]
    return f"dataset_dir: {name}\ndataset: {','.join(f'{dataset}_{kind}' for kind in files)}"


def _turns(record: Record, column: str, losses: Losses) -> list[dict[str, Any]]:
    record[column] = [_with_thoughts(turn) for turn in record[column]]
    turns = sharegpt.write_turns(record, column, losses, _FIELDS, _WHO)
    for number, turn in enumerate(record[column]):
        for call in orjson.loads(turn.get("tool_calls", "[]")):
            _see_arguments(call["function"]["arguments"], f"{column}[{number}].tool_calls")
    return turns


def _with_thoughts(turn: Message) -> Message:
    """An answer with its reasoning in the content, in the marks that LLaMA-Factory's reasoning templates look for.

    That of a message with calls comes before the calls, see `sharegpt.write_turns`.
    """
    if "reasoning_content" not in turn or "tool_calls" in turn or "content" not in turn:
        return turn
    if turn["role"] != "assistant":
        raise CannotHold("reasoning_content", f"{_WHO} has no place for it but in answers", turn["reasoning_content"])
    content = sharegpt.thought(turn) + turn["content"]
    return {**{name: value for name, value in turn.items() if name != "reasoning_content"}, "content": content}


def _see_arguments(arguments: str, where: str) -> None:
    """LLaMA-Factory would write arguments that are no object as a text of JSON in JSON."""
    try:
        if type(load_json(arguments)) is dict:
            return
    except ValueError:
        pass
    raise CannotHold(where, f"{_WHO} needs arguments that are a JSON object", arguments)


def _see_order(turns: list[dict[str, Any]], column: str) -> None:
    start = int(turns[0]["from"] == "system")
    for number, turn in enumerate(turns[start:], start):
        if turn["from"] not in _ORDER[(number - start) % 2]:
            raise CannotHold(
                f"{column}[{number}]", f"{_WHO} skips rows whose turns are not a question or result, then an answer"
            )
    if len(turns) == start or (len(turns) - start) % 2:
        raise CannotHold(f"{column}[{len(turns) - 1}]", f"{_WHO} skips rows that do not end with an answer")


def _tools(record: Record) -> dict[str, Any]:
    """The tools of a record whose kind keeps them in meta, as the text that LLaMA-Factory parses."""
    meta = record["meta"]
    if not meta.get("tools"):
        return {}
    if type(meta["tools"]) is not str:
        meta["tools"] = to_json(meta["tools"], sort=False)
    return {"tools": meta["tools"]}


def _media(record: Record) -> dict[str, Any]:
    return {name: record["meta"][name] for name in _MEDIA if type(record["meta"].get(name)) is list}
