"""The trainer of `simpo`: TRL's CPOTrainer on the pairs as the replay proof has them, its loss set by the plan."""

from __future__ import annotations

from transformers import Trainer
from trl.experimental.cpo import CPOTrainer

from train.sequences import ProvedPairs
from train.start import Ingredients, arguments_of


class _ProvedCPOTrainer(ProvedPairs, CPOTrainer):  # type: ignore[misc]
    """CPO on rows that are tokenised already."""


def build(parts: Ingredients) -> Trainer:
    """The trainer; it needs no reference.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    trainer: Trainer = _ProvedCPOTrainer(**arguments_of(parts, "causal"))
    return trainer
