"""What a campaign's page says of agreement: the measures, their course over time, who confuses what with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl

from annotation.measures.agreement import Agreement
from annotation.measures.bootstrap import Interval
from annotation.measures.krippendorff import Level
from annotation.measures.ratings import Ratings, paired, read_ratings
from annotation.reports.page import answer, both, chart, number, percentage, reach, table

RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff (2004), Reliability in content analysis: rely on data from 0.8, conclude tentatively from 0.667."""

FEW_WEEKS: Final = 3
"""Below, agreement is shown by day."""

_PAIRS: Final = 10  # pairs of annotators that are shown, those that agree least
_CATEGORIES: Final = 12  # most values that a confusion is drawn for


def agreement_section(found: Agreement) -> str:
    """Every measure, over all, by question and by stratum."""
    parts = [
        f"<h2>{both('Agreement', '一致性')}</h2>"
        f"<p>{_reading(found.alpha, found.interval['krippendorff'][found.level])}</p>"
    ]
    levels = _defined(found)
    head = [
        "",
        "\t" + both("items compared", "可比条目"),
        "\t" + both("equal answers", "相同作答"),
        "\tFleiss κ",
        *(f"\tα {both(*_LEVELS[level])}" for level in levels),
    ]
    rows = [_measures(both("all", "全部"), found, levels)]
    for by in ("question", "stratum"):
        inner = found.by.get(by, {})
        rows += [_measures(escape(name), part, levels) for name, part in inner.items()] if len(inner) > 1 else []
    parts.append(table(head, rows))
    if found.cohen:
        pairs = [
            [escape(name.replace("|", " · ")), f"\t{number(kappa)}{reach(found.interval['cohen'][name])}"]
            for name, kappa in sorted(found.cohen.items(), key=_least)[:_PAIRS]
        ]
        parts.append(table([both("pair, least agreement first", "标注员对（一致性最低者在前）"), "\tCohen κ"], pairs))
    parts += [f'<p class="quiet">{escape(note)}</p>' for note in found.notes if found.alpha is None]
    return "".join(parts)


def _least(pair: tuple[str, float | None]) -> float:
    """What pairs are sorted by: kappa; those without one stand last."""
    return 2.0 if pair[1] is None else pair[1]


def _defined(found: Agreement) -> list[Level]:
    """The levels at which alpha is measured, and the one to read."""
    return [level for level, alpha in found.krippendorff.items() if alpha is not None or level == found.level]


_LEVELS: Final[Mapping[Level, tuple[str, str]]] = {
    "nominal": ("nominal", "名义"),
    "ordinal": ("ordinal", "有序"),
    "interval": ("interval", "等距"),
}


def _measures(name: str, found: Agreement, levels: Sequence[Level]) -> list[str]:
    reaches = found.interval
    return [
        name,
        f"\t{found.compared:,}",
        f"\t{percentage(found.percent)}{reach(reaches['percent'], percent=True)}",
        f"\t{number(found.fleiss)}{reach(reaches['fleiss'])}",
        *(f"\t{number(found.krippendorff[level])}{reach(reaches['krippendorff'][level])}" for level in levels),
    ]


def _reading(alpha: float | None, interval: Interval | None) -> str:
    """What alpha says, in words; where there is an interval, its lower end is what is read."""
    if alpha is None:
        return both("Agreement cannot be measured yet.", "目前还无法衡量一致性。")
    least = alpha if interval is None else interval[0]
    if least >= RELIABLE:
        return both(
            f"Reliable: alpha is at least {RELIABLE}, even at the lower end of its interval.",
            f"可靠：即使取区间下限，α 也不低于 {RELIABLE}。",
        )
    if least >= TENTATIVE:
        return both(
            f"Good enough for tentative conclusions: alpha's interval begins between {TENTATIVE} and {RELIABLE}.",
            f"可作初步结论：α 的区间下限在 {TENTATIVE} 与 {RELIABLE} 之间。",
        )
    return both(
        f"Not reliable by the usual measure: alpha's interval begins below {TENTATIVE}. "
        "Look at the disagreements below, mend the guideline, and let more people decide what is divided.",
        f"按通行标准尚不可靠：α 的区间下限低于 {TENTATIVE}。"
        "请查看下方分歧样例、修订标注指南，并让更多人复核有分歧的条目。",
    )


def time_section(found: Agreement) -> str:
    """Alpha by week; by day while there are few weeks."""
    parts = found.by.get("week") or found.by.get("day", {})
    if len(parts) < 2:
        return ""
    points = [(name, part.alpha, part.interval["krippendorff"][part.level]) for name, part in parts.items()]
    rows = [
        [escape(name), f"\t{part.compared:,}", f"\t{percentage(part.percent)}", f"\t{number(part.alpha)}"]
        for name, part in parts.items()
    ]
    head = [
        both("time", "时间"),
        "\t" + both("items compared", "可比条目"),
        "\t" + both("equal answers", "相同作答"),
        "\tα",
    ]
    words = both(
        "Krippendorff's alpha with its 95 % interval, by the time of an item's latest answer; "
        f"dashes at {TENTATIVE} and {RELIABLE}.",
        f"Krippendorff α 及其 95% 区间，按条目最后一次作答的时间；虚线为 {TENTATIVE} 与 {RELIABLE}。",
    )
    return (
        f"<h2>{both('Agreement over time', '一致性随时间的变化')}</h2>"
        f'<p class="quiet">{words}</p>'
        f"{chart(points, 'Krippendorff alpha over time / 随时间变化', (TENTATIVE, RELIABLE))}"
        f"<details><summary>{both('The figures', '数值')}</summary>{table(head, rows)}</details>\n"
    )


def confusion_section(answers: pl.DataFrame, found: Agreement) -> str:
    """What two annotators said of the same items, for the pairs that agree least."""
    if not found.cohen or len(found.categories) > _CATEGORIES:
        return ""
    ratings = read_ratings(answers)
    every = list(combinations(range(len(ratings.annotators)), 2))
    ranked = sorted(zip(found.cohen.items(), every, strict=True), key=lambda pair: _least(pair[0]))
    drawn = "".join(_confusion(ratings, one, other) for _, (one, other) in ranked[:_PAIRS])
    words = both(
        "Rows: what the first said; columns: what the second said of the same items. Least agreement first.",
        "行：前一位的作答；列：后一位对同一条目的作答。一致性最低的排在最前。",
    )
    return (
        f"<h2>{both('Confusion between annotators', '标注员之间的混淆')}</h2>"
        f'<p class="quiet">{words}</p><div class="pairs">{drawn}</div>\n'
    )


def _confusion(ratings: Ratings, one: int, other: int) -> str:
    pair = paired(ratings, one, other)
    kinds = len(ratings.categories)
    counts = np.bincount(pair.first * kinds + pair.second, pair.times, kinds * kinds).reshape(kinds, kinds)
    most = max(1.0, float(counts.max()))
    names = [answer(name) for name in ratings.categories]
    lines = "".join(
        f"<tr><th>{names[row]}</th>"
        + "".join(
            f'<td class="n heat" style="--share:{50 * count / most:.0f}%">{count:,.0f}</td>' for count in counts[row]
        )
        + "</tr>"
        for row in range(kinds)
    )
    columns = "".join(f'<th class="n">{name}</th>' for name in names)
    first, second = escape(ratings.annotators[one]), escape(ratings.annotators[other])
    return (
        f'<div class="wide"><h3>{first} · {second}</h3><table><tr><th>{first} \\ {second}</th>'
        f"{columns}</tr>{lines}</table></div>"
    )
