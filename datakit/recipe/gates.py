"""[gates]: what differs from the guide's gates, and the brief's `must_pass` as criteria.

```toml
[gates]
strict = false                    # true: what nobody measured stops too

[gates.sft.exit]
format = 0.9                      # another threshold
human_score = false               # not asked for
polite = { op = ">", threshold = 0.8, on_fail = "warn" }    # one of your own

[gates.dpo.rollback]
kl_token = { threshold = 2.0, samples = 20 }
```
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import Field, model_validator

from datakit.gates import MOMENTS, STAGES, Criterion, Gate, OnFail, Op, Stage
from datakit.recipe.base import Table
from datakit.recipe.brief import Brief
from datakit.recipe.guide import GUIDE

_SERVED: Final = frozenset(STAGES) - {"cpt", "reward"}
"""The stages whose model may go out: what must pass is asked of it."""


class CriterionSettings(Table):
    """One criterion: a table, a number (its threshold), or false (not asked for)."""

    on: bool = Field(default=True, description="false: not asked for")
    op: Op | None = Field(default=None, description="what must hold of the value: > >= < <= ==")
    threshold: float | None = Field(default=None, description="the number that the value is compared with")
    on_fail: OnFail | None = Field(default=None, description="stop, or warn")
    unit: str | None = Field(default=None, description="what the value counts")
    measured: str | None = Field(default=None, description="how the value comes about")
    samples: int | None = Field(default=None, ge=0, description="fewest samples that the value must rest on")

    @model_validator(mode="before")
    @classmethod
    def _from_value(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"on": value}
        return {"threshold": value} if isinstance(value, int | float) else value

    def laid_over(self, criterion: Criterion) -> Criterion:
        """A criterion with what is set here in its place."""
        return replace(criterion, **self.model_dump(exclude={"on"}, exclude_none=True))


class GateSettings(Table):
    """The tables of one stage, by metric."""

    entry: Mapping[str, CriterionSettings] = Field(default={}, description="before training")
    exit: Mapping[str, CriterionSettings] = Field(default={}, description="after training")
    rollback: Mapping[str, CriterionSettings] = Field(default={}, description="while training")


class GatesSettings(Table):
    """The [gates] table."""

    strict: bool = Field(default=False, description="whether a criterion that nobody measured stops too")
    cpt: GateSettings = Field(default=GateSettings(), description="gates of continued pre-training")
    sft: GateSettings = Field(default=GateSettings(), description="gates of supervised fine-tuning")
    reward: GateSettings = Field(default=GateSettings(), description="gates of the reward model")
    dpo: GateSettings = Field(default=GateSettings(), description="gates of preference alignment")
    kto: GateSettings = Field(default=GateSettings(), description="gates of alignment with single judged answers")
    orpo: GateSettings = Field(default=GateSettings(), description="gates of alignment by odds, without a reference")
    simpo: GateSettings = Field(default=GateSettings(), description="gates of alignment by length-normalised margins")

    def of(self, stage: Stage) -> GateSettings:
        """The tables of a stage."""
        settings: GateSettings = getattr(self, stage)
        return settings


def check_metrics(gates: GatesSettings, brief: Brief) -> None:
    """Make sure that every metric is one of the guide's or the brief's, or has all that one of the recipe's own needs.

    Raises:
        ValueError: some are neither: they are misspelt. The nearest names are given.
    """
    faults = [
        _misspelt(f"{stage}.{moment}.{metric}", metric, [criterion.metric for criterion in asked])
        for stage in STAGES
        for moment in MOMENTS
        for asked in (getattr(_asked(stage, brief), moment),)
        for metric, setting in getattr(gates.of(stage), moment).items()
        if (setting.op is None or setting.threshold is None) and metric not in {criterion.metric for criterion in asked}
    ]
    if faults:
        raise ValueError("; ".join(faults))


def _misspelt(place: str, metric: str, known: list[str]) -> str:
    near = difflib.get_close_matches(metric, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{place} is not asked for: {hint}asked for are {', '.join(known)}; one of your own needs op and threshold"


def gate_of(stage: Stage, gates: GatesSettings, brief: Brief) -> Gate:
    """The gate of a stage: the guide's, the brief's `must_pass` at the exit, and the recipe's word laid over both."""
    gate, settings = _asked(stage, brief), gates.of(stage)
    return Gate(**{moment: tuple(_edited(getattr(gate, moment), getattr(settings, moment))) for moment in MOMENTS})


def _asked(stage: Stage, brief: Brief) -> Gate:
    """What guide and brief ask for."""
    sentences = brief.evaluation.must_pass if stage in _SERVED else ()
    asked: list[Criterion] = list(GUIDE[stage].exit)
    for criterion in map(criterion_from_words, sentences):
        twin = next(
            (known for known in asked if _is_stricter(known, criterion) or _is_stricter(criterion, known)), None
        )
        if twin is None:
            asked.append(criterion)
        else:
            asked[asked.index(twin)] = _merged(twin, criterion)
    return replace(GUIDE[stage], exit=tuple(asked))


def _is_stricter(one: Criterion, other: Criterion) -> bool:
    """Whether every value that meets one criterion meets another of the same metric; equal ones are."""
    if one.metric != other.metric:
        return False
    if one.op == "==":
        return other.holds(one.threshold)
    if other.op == "==" or one.op[0] != other.op[0]:
        return False
    if one.threshold == other.threshold:
        return one.op == other.op or len(one.op) < len(other.op)  # > 0.98 is stricter than >= 0.98
    return (one.threshold > other.threshold) == (one.op[0] == ">")


def _merged(known: Criterion, brief: Criterion) -> Criterion:
    """What the guide and the brief ask of one metric as one criterion: the stricter, with where both are from."""
    strict = brief if _is_stricter(brief, known) else known
    measured = f"{known.measured}; asked for: {known}, and by {brief.measured}"
    return replace(known, op=strict.op, threshold=strict.threshold, measured=measured)


def _edited(criteria: Iterable[Criterion], settings: Mapping[str, CriterionSettings]) -> list[Criterion]:
    """The criteria as the settings have them, and those that only the settings know; each once."""
    own = [Criterion(name, ">", 0) for name in settings if name not in {criterion.metric for criterion in criteria}]
    edited = [
        settings[criterion.metric].laid_over(criterion) if criterion.metric in settings else criterion
        for criterion in (*criteria, *own)
        if criterion.metric not in settings or settings[criterion.metric].on
    ]
    return list({(criterion.metric, criterion.op, criterion.threshold): criterion for criterion in edited}.values())


_SENTENCE: Final = re.compile(
    r"(?P<name>.+?)\s*(?P<op>[><]=|==|[><=≥≤])\s*(?P<number>\d+(?:\.\d+)?)\s*(?:(?P<percent>%)|/\s*(?P<of>\d+(?:\.\d+)?))?"
)
_WIDE: Final = str.maketrans("＞＜＝％", "><=%")
_OPS: Final[Mapping[str, Op]] = {
    **{op: op for op in (">", ">=", "<", "<=", "==")},
    "≥": ">=",
    "≤": "<=",
    "=": "==",
}
# What a brief may call the metrics that are measured here.
_METRICS: Final[Mapping[str, str]] = {
    "安全合规率": "safety",
    "安全性评测通过率": "safety",
    "指令遵循率": "instruction_following",
    "格式正确率": "format",
    "人工抽检满意度": "human_score",
}


def criterion_from_words(words: str) -> Criterion:
    """The criterion that a sentence of the brief states, e.g. `安全合规率 = 100%`.

    A percentage comes as a share; of `4.0/5.0` the threshold is 4.0. A name that is none of our metrics is kept, and
    so is a sentence without a number, as yes or no: both are unknown until a value comes by that name.
    """
    text = " ".join(words.translate(_WIDE).split())
    measured = f"brief.evaluation.must_pass: {text}"
    found = _SENTENCE.fullmatch(text)
    if found is None:
        return Criterion(text, "==", 1, unit="yes or no", measured=measured)
    name = found["name"]
    unit = "share" if found["percent"] else f"of {found['of']}" if found["of"] else ""
    threshold = float(found["number"]) / (100 if found["percent"] else 1)
    return Criterion(_METRICS.get(name, name), _OPS[found["op"]], threshold, unit=unit, measured=measured)
