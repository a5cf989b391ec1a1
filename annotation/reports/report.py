"""report.html of a campaign: progress, agreement, annotators, disagreements, in one page that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

import polars as pl

from annotation.campaigns.campaign import Campaign
from annotation.judgements.judgements import KIND, pulled
from annotation.measures.agreement import Agreement, agreement, parts
from annotation.measures.judged import COUNTS, judged, level_of
from annotation.measures.quality import annotator_quality
from annotation.reports.contested import Contested, find_contested
from annotation.reports.page import both, document, number
from annotation.reports.page_agreement import FEW_WEEKS, agreement_section, confusion_section, time_section
from annotation.reports.page_people import annotator_section, disagreement_section
from datakit.files import write_whole

FILE: Final = "report.html"


@dataclass(frozen=True)
class Findings:
    """What the page shows. items, judgements: the campaign's; overlap: answers that make an item complete."""

    name: str
    kind: str
    source: str
    version: str
    overlap: int
    items: pl.DataFrame
    judgements: pl.DataFrame
    disagreements: Sequence[Contested] = field(default_factory=list)


def write_report(campaign: Campaign, language: str = "en") -> Path:
    """Write the page into the campaign's folder; its path comes back.

    Args:
        campaign: one whose judgements were pulled.
        language: the one that is shown first, en or zh; the page holds both.

    Raises:
        UsageFault: nothing was pulled yet.
    """
    version = pulled(campaign)
    judgements, items = version.frame(KIND), campaign.items()
    findings = Findings(
        name=campaign.name,
        kind=campaign.kind,
        source=campaign.source,
        version=version.name,
        overlap=campaign.overlap,
        items=items,
        judgements=judgements,
        disagreements=find_contested(judged(judgements), items, campaign.source_version()),
    )
    path = campaign.path / FILE
    write_whole(path, report_page(findings, language))
    return path


def report_page(findings: Findings, language: str = "en") -> str:
    """The page's HTML."""
    answers = judged(findings.judgements)
    level = level_of(findings.judgements)
    weeks = len(parts(answers, "week"))
    found = agreement(
        judged(findings.judgements, as_shown=True),
        level,
        by=("question", "stratum", "week" if weeks >= FEW_WEEKS else "day"),
    )
    quality = annotator_quality(findings.judgements, findings.items)
    body = "".join(
        [
            _head(findings),
            _progress(findings, found),
            agreement_section(found),
            time_section(found),
            annotator_section(quality, findings.kind),
            confusion_section(answers, found),
            disagreement_section(findings.disagreements),
        ]
    )
    return document(f"{findings.name}: agreement / 一致性", body, language)


def _head(findings: Findings) -> str:
    latest = str(findings.judgements["answered_at"].max() or "–")[:16].replace("T", " ")
    facts = both(
        f"{findings.kind} · rows of {escape(findings.source)} · judgements {findings.version} · latest answer {latest}",
        f"{_KINDS.get(findings.kind, findings.kind)} · 数据来自 {escape(findings.source)} · "
        f"标注版本 {findings.version} · 最近一次作答 {latest}",
    )
    return f'<h1>{escape(findings.name)}</h1><p class="quiet">{facts}</p>\n'


_KINDS: Final[Mapping[str, str]] = {
    "preference": "偏好比较",
    "rating": "打分",
    "ranking": "排序",
    "labels": "标签",
    "spans": "片段标注",
    "rewriting": "改写",
}


def _progress(findings: Findings, found: Agreement) -> str:
    """How many items have how many answers."""
    counted = findings.judgements.filter(pl.col("status") == COUNTS)
    answered = counted.group_by("item").agg(pl.col("annotator").n_unique().alias("people"))
    people = findings.items.select("item").join(answered, on="item", how="left").get_column("people").fill_null(0)
    of = max(1, people.len())
    complete = int((people >= findings.overlap).sum())
    tiles = [
        (f"{complete:,} / {people.len():,}", "items complete", "已完成条目"),
        (f"{counted.select('item', 'annotator').n_unique():,}", "submitted answers", "已提交作答"),
        (f"{len(found.annotators)}", "annotators", "标注员"),
        (number(found.alpha), "Krippendorff's alpha", "Krippendorff α"),
    ]
    shown = "".join(f"<li><b>{value}</b>{both(english, chinese)}</li>" for value, english, chinese in tiles)
    drawn, keys = [], []
    for answers in range(findings.overlap, 0, -1):
        here = int((people >= answers).sum()) if answers == findings.overlap else int((people == answers).sum())
        opacity = f"opacity:{answers / findings.overlap:.2f}"
        drawn.append(f'<i style="width:{100 * here / of:.2f}%;{opacity}"></i>')
        more = "+" if answers == findings.overlap else ""
        keys.append(f'<span class="key" style="{opacity}"></span>{both(*_answers_of(answers, more))}: {here:,}')
    keys.append(f"{both('none', '无作答')}: {int((people == 0).sum()):,}")
    return (
        f"<h2>{both('Progress', '进度')}</h2>"
        f'<ul class="tiles">{shown}</ul><div class="stack" role="img" '
        f'aria-label="{complete} of {people.len()} items complete / 已完成 {complete}，共 {people.len()}">'
        f"{''.join(drawn)}</div>"
        f'<p class="quiet">{" &nbsp; ".join(keys)}</p>\n'
    )


def _answers_of(answers: int, more: str) -> tuple[str, str]:
    return f"{answers}{more} answer{'s' if answers > 1 else ''}", f"{answers}{more} 个作答"
