"""What people are asked: the questions of each task, in the language of the page.

A question is a mapping: `name`, `kind` (the task), `title`; `values` where the set is closed; `options` (value to what
stands on the button); `multiple` for labels; `field` for spans. Nothing is ever suggested: Argilla would choose a
suggestion beforehand, and people would follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from datakit.recipe.annotate import LETTERS, AnnotateSettings, titled
from datakit.recipe.recipe import Recipe

Language = Literal["zh", "en"]

WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "zh": {
        "A": "A 更好", "B": "B 更好", "tie": "不分上下", "both_bad": "两个都不可用",
        "preference": "哪个回复更好？", "ranking": "请把回复从好到差排序",
        "rating": "{title}：请打分（{scale} 分最好）",
        "labels": "请选择标签", "spans": "请标出相应的片段", "rewriting": "请改写成您认为最好的回复",
        "quality": "质量", "conversation": "对话", "answer": "回复",
        "system": "系统", "user": "用户", "assistant": "助手", "tool": "工具",
        "tools": "可用工具", "calls": "调用", "thinking": "思考", "required": "必填", "one_of": "可选值",
    },
    "en": {
        "A": "A is better", "B": "B is better", "tie": "No difference", "both_bad": "Neither is usable",
        "preference": "Which answer is better?", "ranking": "Order the answers, the best one first",
        "rating": "{title}: how good is it? ({scale} is best)",
        "labels": "Which labels fit?", "spans": "Mark the passages", "rewriting": "Write the best answer you can",
        "quality": "quality", "conversation": "Dialogue", "answer": "Answer",
        "system": "system", "user": "user", "assistant": "assistant", "tool": "tool",
        "tools": "tools at hand", "calls": "calls", "thinking": "thinking", "required": "required", "one_of": "one of",
    },
}  # fmt: skip
"""What stands on the page."""

PREFERENCES: Final = ("A", "B", "tie", "both_bad")
"""The values of a preference, as the server knows them."""


def language_of(recipe: Recipe) -> Language:
    """The language of the page: the recipe's, else Chinese if cleaning keeps Chinese by name, else English."""
    return recipe.annotate.language or ("zh" if "zh" in recipe.clean.languages else "en")


def questions_of(settings: AnnotateSettings, language: Language) -> tuple[dict[str, Any], ...]:
    """The questions of a campaign."""
    words, kind = WORDS[language], settings.kind
    question: dict[str, Any] = {"name": kind, "kind": kind, "title": words[kind]}
    match kind:
        case "preference":
            return (_closed(question, {value: words[value] for value in PREFERENCES}),)
        case "rating":
            scale, values = settings.scale, list(range(1, settings.scale + 1))
            titles = {
                name: words["rating"].format(title=words.get(title, title), scale=scale)
                for name, title in titled(settings.aspects).items()
            }
            return tuple(
                {"name": name, "kind": kind, "title": title, "values": values} for name, title in titles.items()
            )
        case "ranking":
            places = LETTERS[: settings.answers]
            return (_closed(question, {letter: f"{words['answer']} {letter}" for letter in places}),)
        case "labels":
            return (_closed({**question, "multiple": settings.multiple}, titled(settings.labels)),)
        case "spans":
            return (_closed({**question, "field": "answer"}, titled(settings.labels)),)
        case "rewriting":
            return (question,)


def _closed(question: dict[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
    return {**question, "values": list(options), "options": dict(options)}
