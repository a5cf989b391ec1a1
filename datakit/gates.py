"""Gates: what must hold before a stage of training, while it runs, and after it.

A criterion always says what must hold (`kl_token < 0.5`). One that fails stops the work or warns; one whose value
nobody measured is unknown: shown, recorded, counted, and in the way only where gates are strict. A gate is judged as
a whole: facts/training.md shows a run whose win rate passed while its KL and its variety failed.

    entry      before training: is there enough, and is it right?
    rollback   while training: the first criterion that fails ends the run, the last good checkpoint is taken
    exit       after training: may the model go on to the next stage?

Nothing here measures anything: values come as a mapping of metric to number. The criteria that hold unless a recipe
says otherwise are in `datakit.recipe.guide`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

Op = Literal[">", ">=", "<", "<=", "=="]
OnFail = Literal["stop", "warn"]
Status = Literal["passed", "failed", "unknown"]
Stage = Literal["cpt", "sft", "reward", "dpo", "kto", "orpo", "simpo"]
Moment = Literal["entry", "exit", "rollback"]

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
"""As a model passes through them; reward trains a model of its own, and dpo to simpo are ways to one end."""
MOMENTS: Final[tuple[Moment, ...]] = get_args(Moment)

_COMPARE: Final[Mapping[Op, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Criterion:
    """What must hold of one metric.

    Attributes:
        metric: the name that its value travels by.
        op, threshold: what must hold of the value.
        on_fail: stop the work, or warn.
        unit: what the value counts, e.g. "nats a token".
        measured: how the value comes about.
        samples: fewest samples that the value must rest on; of fewer it is unknown. 0: any number.
    """

    metric: str
    op: Op
    threshold: float
    on_fail: OnFail = "stop"
    unit: str = ""
    measured: str = ""
    samples: int = 0

    def holds(self, value: float) -> bool:
        """Whether a value meets it; NaN never does."""
        return _COMPARE[self.op](value, self.threshold)

    def __str__(self) -> str:
        """`win_rate > 0.55`."""
        return f"{self.metric} {self.op} {self.threshold:g}"


@dataclass(frozen=True)
class Verdict:
    """What became of one criterion.

    Attributes:
        value: as measured; None where nobody did.
        samples: what the value rests on, where that is known.
        stops: whether the work may not go on because of it.
    """

    criterion: Criterion
    value: float | None
    status: Status
    samples: int | None = None
    stops: bool = False

    def __str__(self) -> str:
        """`win_rate 0.61 (> 0.55): passed`."""
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        few = " (too few samples)" if self.status == "unknown" and self.value is not None else ""
        return f"{self.criterion.metric} {value} ({self.criterion.op} {self.criterion.threshold:g}): {self.status}{few}"

    def to_json(self) -> dict[str, Any]:
        """As JSON types; a value that is no finite number comes as a text, so that none is lost as null."""
        value = self.value if self.value is None or math.isfinite(self.value) else str(self.value)
        criterion = self.criterion
        return {
            "metric": criterion.metric,
            "op": criterion.op,
            "threshold": criterion.threshold,
            "unit": criterion.unit,
            "measured": criterion.measured,
            "on_fail": criterion.on_fail,
            "value": value,
            "samples": self.samples,
            "status": self.status,
            "stops": self.stops,
        }


@dataclass(frozen=True)
class Gate:
    """The criteria of one stage."""

    entry: tuple[Criterion, ...] = ()
    exit: tuple[Criterion, ...] = ()
    rollback: tuple[Criterion, ...] = ()


def judge(
    criteria: Iterable[Criterion],
    values: Mapping[str, float | None],
    strict: bool = False,
    samples: Mapping[str, int] | None = None,
) -> list[Verdict]:
    """A verdict a criterion, in their order.

    Args:
        criteria: of one gate.
        values: metric to what was measured; one that is missing or None is unknown.
        strict: whether an unknown criterion that would stop when failed stops too.
        samples: metric to the number of samples that its value rests on, where known.
    """
    return [_verdict(criterion, values.get(criterion.metric), strict, samples or {}) for criterion in criteria]


def _verdict(criterion: Criterion, value: float | None, strict: bool, samples: Mapping[str, int]) -> Verdict:
    count = samples.get(criterion.metric)
    if value is None or (count is not None and count < criterion.samples):
        return Verdict(criterion, value, "unknown", count, stops=strict and criterion.on_fail == "stop")
    if criterion.holds(value):
        return Verdict(criterion, value, "passed", count)
    return Verdict(criterion, value, "failed", count, stops=criterion.on_fail == "stop")


def stops(verdicts: Sequence[Verdict]) -> bool:
    """Whether the work may not go on: a single verdict that stops is enough."""
    return any(verdict.stops for verdict in verdicts)
