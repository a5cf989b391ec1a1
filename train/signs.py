"""What the logged numbers of a run say: signs that it goes wrong, as metrics that a rollback gate judges.

Each is computed from the history alone, so a resumed run sees what the unbroken one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_WINDOW: Final = 10  # logged steps of which a mean is taken; of short histories, half
_FEWEST: Final = 4  # logged steps of which two means say anything


@dataclass(frozen=True)
class Sign:
    """One thing that a run can suffer.

    Attributes:
        metric: the name of its value, and of its topic in `datakit explain`.
        title: what it is, in a few words.
        symptom, cause, check, fix, verify: as `datakit explain` tells them.
    """

    metric: str
    title: str
    symptom: str
    cause: str
    check: str
    fix: str
    verify: str


_ALL: Final = (
    Sign(
        "nan",
        "the loss or a gradient is not a number",
        symptom="The loss is nan or inf. transformers shows 0.0 instead by default (logging_nan_inf_filter); here that "
        "is switched off.",
        cause="Too high a learning rate, half precision that overflows, or rows of which nothing is trained.",
        check="Counted: logged steps whose loss or gradient norm is no finite number, and saved weights that are none.",
        fix="Lower learning_rate or max_grad_norm, use bf16 instead of fp16, and see that the proof passes.",
        verify="nan stays 0; the run goes on from the last checkpoint whose weights are numbers.",
    ),
    Sign(
        "loss_ratio",
        "divergence: the training loss rises",
        symptom="The loss climbs above where it began, or falls and comes back.",
        cause="Too high a learning rate, no warm-up, or a batch of rows unlike all others.",
        check="Mean training loss of the last 10 logged steps over that of the first 10; of a short run, halves.",
        fix="Halve learning_rate, or lengthen warmup_steps; full training needs less than LoRA.",
        verify="The loss curve of report.html falls.",
    ),
    Sign(
        "eval_loss_rises",
        "over-fitting: held-out loss rises while training loss falls",
        symptom="The model repeats rows of its training data and does worse on new ones.",
        cause="Too many epochs over too few rows.",
        check="Evaluations in a row at which the held-out loss rose while the training loss fell.",
        fix="Fewer epochs, more or more varied rows, a lower rank or a little dropout.",
        verify="Both curves of report.html fall together to the end.",
    ),
    Sign(
        "chosen_logp_ratio",
        "chosen answers become less probable",
        symptom="The margin of DPO grows, and yet the model prefers answers that are in no pair.",
        cause="DPO only widens the gap: it may lower both answers, the rejected one faster.",
        check="Mean log-probability of chosen answers over the last 10 logged steps by that of the first 10; both are "
        "below 0, so above 1 is falling.",
        fix='Add the loss on chosen answers: loss_type = ["sigmoid", "sft"] with loss_weights, or raise beta, lower '
        "learning_rate, train for fewer epochs.",
        verify="logps/chosen in report.html stays level or rises.",
    ),
)

SIGNS: Final[Mapping[str, Sign]] = {sign.metric: sign for sign in _ALL}


def read_signs(history: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """The value of each sign; None where the history does not say.

    Args:
        history: logged steps in order, each a mapping of metric to value, evaluations among them.
    """
    return {
        "nan": float(sum(map(is_broken, history))),
        "loss_ratio": _ratio([row["loss"] for row in history if "loss" in row], positive=True),
        "eval_loss_rises": _rises(history),
        "chosen_logp_ratio": _ratio([row["logps/chosen"] for row in history if "logps/chosen" in row], positive=False),
    }


def is_broken(row: Mapping[str, float]) -> bool:
    """Whether a logged step shows a loss or a gradient that is no number.

    An infinite gradient norm alone does not count: fp16 meets one while it looks for its scale, and skips the step.
    """
    losses = [row[name] for name in ("loss", "eval_loss") if name in row]
    return not all(map(math.isfinite, losses)) or math.isnan(row.get("grad_norm", 0.0))


def _ratio(values: Sequence[float], *, positive: bool) -> float | None:
    """Mean of the last values over that of the first; None of too few, or where the sign makes no ratio of them."""
    window = min(_WINDOW, len(values) // 2)
    if len(values) < _FEWEST:
        return None
    first, last = _mean(values[:window]), _mean(values[-window:])
    if first == 0 or (first > 0) != positive:
        return None
    return last / first


def _rises(history: Sequence[Mapping[str, float]]) -> float | None:
    """Evaluations in a row, up to the last, at which the held-out loss rose while the training loss fell."""
    evaluations: list[tuple[float, float]] = []  # held-out loss, training loss of the steps before it
    training: list[float] = []
    for row in history:
        if "loss" in row:
            training.append(row["loss"])
        if "eval_loss" in row:
            # Evaluations between two logged steps share the training loss last seen.
            before = evaluations[-1][1] if evaluations else math.nan
            evaluations.append((row["eval_loss"], _mean(training) if training else before))
            training = []
    if not evaluations:
        return None
    count = 0
    for (held_before, trained_before), (held, trained) in pairwise(evaluations):
        count = count + 1 if held > held_before and trained < trained_before else 0
    return float(count)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
