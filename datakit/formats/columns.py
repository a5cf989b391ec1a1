"""Columns that fit no format: what they are called, and what they most likely mean."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from datakit.errors import InputError
from datakit.formats.detect import FORMATS, candidates

_SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    # The target, then the names met for it, most telling first.
    "user": (
        "客户问题", "用户问题", "问题", "提问", "客户提问", "问", "客户", "用户", "question", "query", "customer",
        "human", "user_message", "user_input", "ask", "q",
    ),
    "assistant": (
        "销售回复", "客服回复", "回复", "回答", "答案", "答复", "标准答案", "参考答案", "答", "应答",
        "销售", "客服", "助手", "answer", "response", "reply", "completion", "agent", "bot", "assistant_message", "a",
    ),
    "system": ("系统提示", "系统", "角色设定", "人设", "system_prompt", "persona"),
    "instruction": ("指令", "任务", "instruct", "task"),
    "input": ("输入", "上下文", "context"),
    "output": ("输出", "target", "result"),
    "messages": ("对话", "对话记录", "聊天记录", "消息", "chat", "dialog_history", "turns", "msgs"),
    "prompt": ("提示词", "提示"),
    "chosen": (
        "优选", "好回答", "较好回答", "better", "preferred", "chosen_response", "accepted", "response_chosen", "win",
    ),
    "rejected": (
        "劣选", "差回答", "较差回答", "worse", "dispreferred", "rejected_response", "response_rejected", "lose",
    ),
    "text": ("正文", "文本", "内容", "全文", "body", "document", "article", "passage", "raw_content", "story"),
}  # fmt: skip

# Sets of targets that make a whole row, the most telling first.
_WHOLE: Final[tuple[tuple[str, ...], ...]] = (
    ("prompt", "chosen", "rejected"),
    ("user", "chosen", "rejected"),
    ("chosen", "rejected"),
    ("messages",),
    ("instruction", "input", "output"),
    ("instruction", "output"),
    ("system", "user", "assistant"),
    ("user", "assistant"),
    ("instruction", "assistant"),
    ("user", "output"),
    ("text",),
)
_SOUGHT: Final = tuple(dict.fromkeys(target for targets in _WHOLE for target in targets))
# What a pair of a set is read as, where the names come from two formats.
_READ_AS: Final = {
    ("user", "chosen", "rejected"): ("prompt", "chosen", "rejected"),
    ("instruction", "assistant"): ("instruction", "output"),
    ("user", "output"): ("user", "assistant"),
}


@dataclass(frozen=True)
class ColumnReport:
    """Columns of a file that fit no format.

    source: the file; columns: as found; rows: how many rows have them; mapping: what they most likely mean, column
    to name; empty where nothing can be proposed.
    """

    source: str
    columns: tuple[str, ...]
    rows: int
    mapping: Mapping[str, str]

    @property
    def recipe_line(self) -> str:
        """The mapping as a line of the recipe's [data] table, ready to paste; an example where there is none."""
        mapping = self.mapping or {column: "text" for column in self.columns[:1]}
        return "columns = { " + ", ".join(f"{_quoted(k)} = {_quoted(v)}" for k, v in mapping.items()) + " }"

    def error(self) -> InputError:
        """The error for a file of which every row has such columns: what was found, and the mapping to paste."""
        sure = "Most likely" if self.mapping else "Name what they stand for, for example"
        return InputError(
            self.source,
            f"the columns of its {self.rows:,} rows fit no format: {', '.join(self.columns)}",
            ", or ".join(module.NEEDS for module in FORMATS.values()),
            f"{sure}, in the recipe:\n  [data]\n  {self.recipe_line}",
        )


def column_report(source: str, columns: tuple[str, ...], rows: int) -> ColumnReport:
    """The report on rows whose columns fit no format, with a proposed mapping."""
    return ColumnReport(source, columns, rows, propose_mapping(columns))


def propose_mapping(columns: tuple[str, ...]) -> dict[str, str]:
    """Column to standard name, as far as known names in Chinese and English and near spellings tell.

    Only mappings under which the row fits a format are proposed; the empty mapping where there is none.
    """
    guesses = _guesses(columns)
    for targets in _WHOLE:
        if all(target in guesses for target in targets):
            names = _READ_AS.get(targets, targets)
            mapping = {guesses[target]: name for target, name in zip(targets, names, strict=True)}
            renamed = frozenset(mapping.get(column, column) for column in columns)
            if candidates(renamed, None) and len(set(mapping)) == len(targets):
                return {column: name for column, name in mapping.items() if column != name} or mapping
    return {}


def _guesses(columns: tuple[str, ...]) -> dict[str, str]:
    """Target to the column that most likely stands for it; a column stands for one target only."""
    scored = []
    for order, column in enumerate(columns):
        plain = column.strip().lower().replace(" ", "_").replace("-", "_")
        for target in _SOUGHT:
            score = _score(plain, target)
            if score > 0:
                scored.append((-score, order, column, target))
    guesses: dict[str, str] = {}
    for _, _, column, target in sorted(scored):
        if target not in guesses and column not in guesses.values():
            guesses[target] = column
    return guesses


def _score(plain: str, target: str) -> float:
    """How well a name fits a target: 3 itself, 2 to 3 a synonym, 1 to 2 part of a name, below 1 a misspelling."""
    if plain == target:
        return 3.0
    names = _SYNONYMS.get(target, ())
    if plain in names:
        return 3.0 - (names.index(plain) + 1) / 100
    parts = [name for name in names if len(name) > 1 and (name in plain)]
    if parts:
        return 1.0 + max(len(name) / max(len(plain), 1) for name in parts)
    close = difflib.SequenceMatcher(None, plain, target).ratio()
    return close / 2 if close >= 0.8 else 0.0


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
