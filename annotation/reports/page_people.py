"""What a campaign's page says of people: how each annotator does, and where they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from annotation.campaigns.answers import Messages
from annotation.measures.quality import Quality
from annotation.reports.contested import Contested
from annotation.reports.page import answer, both, percentage, share, table

_TEXT: Final = 2_000  # characters of a text that are shown
_LEANS: Final = 0.01  # p below which a lean to one side is marked; at 0.05 one in twenty honest people would be


def annotator_section(quality: Mapping[str, Quality], kind: str) -> str:
    """Each annotator: gold, side, consistency, estimated accuracy, pace."""
    if not quality:
        return ""
    head = [
        both("annotator", "标注员"),
        "\t" + both("items", "条目"),
        "\t" + both("discarded", "跳过"),
        "\t" + both("gold right", "金标正确率"),
        *(["\t" + both("left side", "选左侧比例")] if kind == "preference" else []),
        "\t" + both("same when repeated", "重复一致率"),
        "\t" + both("estimated accuracy", "估计准确率"),
        "\t" + both("pace", "速度"),
    ]
    rows = [
        [
            escape(name),
            f"\t{one.items:,}",
            f"\t{one.discarded:,}",
            share(one.gold),
            *([share(one.left, leans=leans(one))] if kind == "preference" else []),
            share(one.consistency),
            f"\t{percentage(one.estimated)}",
            "\t–" if one.seconds is None else f"\t{one.seconds:.0f} s",
        ]
        for name, one in quality.items()
    ]
    sides = both(
        "Sides are drawn by lot, so an annotator who judges takes the left one half of the time; a lean with p below "
        f"{_LEANS} is marked.",
        f"左右位置随机决定，认真判断的人约有一半选左侧；p 小于 {_LEANS} 的偏向会标红。",
    )
    words = both(
        "Estimated accuracy: Dawid–Skene, gold taken as known; without gold, and with three people or fewer, it is no "
        "more than a guess. Pace: median time between two answers, pauses left out.",
        "估计准确率：Dawid–Skene，金标条目视为已知；没有金标且标注员不多于三人时仅供参考。"
        "速度：相邻两次作答间隔的中位数（不计停顿）。",
    )
    notes = f"{sides if kind == 'preference' else ''} {words}"
    return f'<h2>{both("Annotators", "标注员")}</h2>{table(head, rows)}<p class="quiet">{notes}</p>\n'


def leans(one: Quality) -> bool:
    """Whether an annotator leans to one side by more than chance explains."""
    return one.left is not None and one.left.p is not None and one.left.p < _LEANS


def disagreement_section(disagreements: Sequence[Contested]) -> str:
    """Items that divide annotators most, the answers side by side."""
    if not disagreements:
        return ""
    shown = "".join(_disagreement(one, len({d.question for d in disagreements}) > 1) for one in disagreements)
    words = both("The items that divide annotators most.", "分歧最大的条目。")
    return f'<h2>{both("Disagreements", "分歧样例")}</h2><p class="quiet">{words}</p>{shown}'


def _disagreement(one: Contested, named: bool) -> str:
    votes = "".join(f"<li>{escape(name)}: <b>{answer(value)}</b></li>" for name, value in one.said)
    question = f" · {escape(one.question)}" if named else ""
    count = len(one.answers)
    names = ["first", "second"] if count == 2 else [str(place) for place in range(1, count + 1)] if count > 1 else [""]
    sides = "".join(
        f'<div class="side">{f"<h4>{answer(name)}</h4>" if name else ""}{_turns(said, roles=len(said) > 1)}</div>'
        for name, said in zip(names, one.answers, strict=False)
    )
    return (
        f'<article><p class="quiet"><code>{escape(one.source)}:{one.line}</code>{question}</p>'
        f'<ul class="votes">{votes}</ul>'
        f'{_turns(one.context, roles=True)}<div class="sides">{sides}</div></article>\n'
    )


def _turns(messages: Messages, *, roles: bool) -> str:
    parts = []
    for message in messages:
        text = str(message.get("content") or message.get("tool_calls") or "")
        parts += [f'<p class="role">{escape(str(message.get("role", "")))}</p>'] if roles else []
        parts.append(f'<p class="text">{escape(text[:_TEXT])}{"…" if len(text) > _TEXT else ""}</p>')
    return "".join(parts)
