"""What measures come back as: values by metric, what each rests on, and answers to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Value:
    """One metric: its value, None where it cannot be told, and what it rests on.

    samples: how many; None where their number does not matter, as it does not for weights that are no numbers.
    """

    value: float | None
    samples: int | None


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of one model.

    Attributes:
        values: by metric.
        answers: some of the answers: prompt, before (the reference's) and after (the model's).
    """

    values: Mapping[str, Value]
    answers: list[dict[str, str]] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metric to value, as gates take them."""
        return {name: value.value for name, value in self.values.items()}

    @property
    def samples(self) -> dict[str, int]:
        """Metric to number of samples, as gates take them; only metrics that have one."""
        return {name: value.samples for name, value in self.values.items() if value.samples is not None}

    def to_json(self) -> dict[str, Any]:
        """As JSON types; a value that is no finite number comes as a text, so that none is lost as null."""
        plain = {
            name: value if value is None or math.isfinite(value) else str(value) for name, value in self.metrics.items()
        }
        return {"metrics": plain, "samples": self.samples, "answers": self.answers}
