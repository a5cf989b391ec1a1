"""What LLaMA-Factory's dataset_info.json says of a file: which columns mean what, and how turns are tagged.

    "kto_en_demo": {"file_name": "kto_en_demo.json", "formatting": "sharegpt",
                    "columns": {"messages": "messages", "kto_tag": "label"},
                    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user"}}
        ->  columns {"messages": "conversations", "label": "kto_tag"}; turns {"from": "human", "value": "…"}

Names and defaults are those of `DatasetAttr` in data/parser.py of LLaMA-Factory 0.9: where an entry lists columns, the
others of the format are not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from datakit.recipe.data import Format

_MEDIA: Final = ("images", "videos", "audios")
_SHARED: Final = {name: name for name in ("system", "tools", "chosen", "rejected", "kto_tag", *_MEDIA)}
# LLaMA-Factory's name of a column to ours.
_ALPACA: Final = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": "history",
    **_SHARED,
}
_TAGS: Final = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_TURNS: Final = ("conversations", "messages", "chosen", "rejected")


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are to be understood.

    name: of the entry; format: what its rows are; columns: column of the file to standard name; roles: tag of a turn
    to standard tag; role and content: the keys of a turn that hold them.
    """

    name: str
    format: Format
    columns: Mapping[str, str]
    roles: Mapping[str, str]
    role: str
    content: str

    def retagged(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the tags of ShareGPT in its turns."""
        return {key: self._turns(value) if key in _TURNS else value for key, value in row.items()}

    def _turns(self, value: Any) -> Any:
        if type(value) is list:
            return [self._turn(turn) for turn in value]
        return self._turn(value)

    def _turn(self, turn: Any) -> Any:
        if type(turn) is not dict or self.role not in turn:
            return turn
        rest = {key: value for key, value in turn.items() if key not in (self.role, self.content)}
        found = turn[self.role]
        role = self.roles.get(found, found) if type(found) is str else found
        return {"from": role, "value": turn.get(self.content), **rest}


def layout_of(name: str, entry: Mapping[str, Any]) -> Layout:
    """The layout that an entry of dataset_info.json describes.

    Raises:
        ValueError: it is no entry that LLaMA-Factory would read; the text says why.
    """
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise ValueError(f"formatting is {formatting!r}, expected alpaca, sharegpt or openai")
    tags = {**_TAGS, **_texts(entry, "tags")}
    listed = _texts(entry, "columns")
    if formatting == "alpaca":
        known = _ALPACA
    else:
        known = {"messages": "messages" if formatting == "openai" else "conversations", **_SHARED}
        listed = listed or {"messages": "conversations"}
    columns = {column: known[ours] for ours, column in listed.items() if ours in known}
    given = set(columns.values()) or {"instruction", "input", "output"}
    chosen = _format(formatting, given, ranking=bool(entry.get("ranking")))
    if chosen == "text":
        columns = {column: "text" if ours == "instruction" else ours for column, ours in columns.items()}
    roles = {tags[key]: standard for key, standard in _TAGS.items() if key not in ("role_tag", "content_tag")}
    return Layout(name, chosen, columns, roles, tags["role_tag"], tags["content_tag"])


def _format(formatting: str, given: set[str], *, ranking: bool) -> Format:
    if ranking:
        return "preference"
    if "kto_tag" in given:
        return "unpaired"
    if formatting != "alpaca":
        return "sharegpt" if formatting == "sharegpt" else "messages"
    return "alpaca" if "output" in given else "text"


def _texts(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    found = entry.get(key) or {}
    if type(found) is not dict or not all(type(value) is str or value is None for value in found.values()):
        raise ValueError(f"{key} is no object of names")
    return {name: value for name, value in found.items() if value is not None}
