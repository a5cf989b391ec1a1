"""[brief]: the requirement checklist that a project fills in before it starts.

The tables and their names follow section 3.1 of the guide "大模型后训练完全指南". Cleaning does not read them;
dialogue checks (what is prohibited), gates (what must pass) and plans do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from datakit.recipe.base import Table


class Domain(Table):
    """Where the model works, and where it does not."""

    name: str = Field(default="", description="the domain's name, e.g. 销售对话")
    scope: str = Field(default="", description="what is inside")
    out_of_scope: str = Field(default="", description="what the model is not for")


class Knowledge(Table):
    """What the model has to know, and how fast that changes."""

    required_facts: tuple[str, ...] = Field(default=(), description="facts that must be answered right")
    knowledge_source: str = Field(default="", description="where the facts come from")
    update_frequency: str = Field(default="", description="how often they change, e.g. 每月更新")


class Behavior(Table):
    """How the model speaks, and what it never does."""

    allowed_styles: tuple[str, ...] = Field(default=(), description="styles that are welcome")
    prohibited_actions: tuple[str, ...] = Field(default=(), description="what a reply must never do")
    safety_requirements: str = Field(default="", description="rules of compliance")


class Deployment(Table):
    """What the model is served as."""

    type: str = Field(default="", description="纯模型, 模型+RAG or 模型+工具调用")
    latency_requirement: str = Field(default="", description="e.g. P99 < 3s")
    concurrency: str = Field(default="", description="e.g. 100 QPS")


class Evaluation(Table):
    """What decides whether the model goes out."""

    must_pass: tuple[str, ...] = Field(
        default=(), description="criteria without which it does not, e.g. 安全合规率 = 100%"
    )
    nice_to_have: tuple[str, ...] = Field(default=(), description="criteria that are wished for")


class Brief(Table):
    """The whole checklist; every part may be left out."""

    domain: Domain = Domain()
    knowledge: Knowledge = Knowledge()
    behavior: Behavior = Behavior()
    deployment: Deployment = Deployment()
    evaluation: Evaluation = Evaluation()


_UPDATES: Final[Mapping[str, float]] = {
    **dict.fromkeys(("实时", "小时", "hour", "real time", "real-time"), 8760),
    **dict.fromkeys(("每天", "每日", "daily", "day"), 365),
    **dict.fromkeys(("周", "week"), 52),
    **dict.fromkeys(("月", "month"), 12),
    **dict.fromkeys(("季", "quarter"), 4),
    **dict.fromkeys(("半年", "half-year", "half year"), 2),
    **dict.fromkeys(("每年", "年度", "year", "annual"), 1),
    **dict.fromkeys(("静态", "不变", "static", "never"), 0),
}


def updates_a_year(knowledge: Knowledge) -> float | None:
    """How many times a year the knowledge changes, by the first word of time in it; None where there is none."""
    words = knowledge.update_frequency.lower()
    return next((times for word, times in _UPDATES.items() if word in words), None)
