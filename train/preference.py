"""The trainer of `dpo`: TRL's DPOTrainer on the pairs as the replay proof has them."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import Trainer
from trl import DPOTrainer

from train.start import Ingredients, arguments_of, reference_of


class _ProvedDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO on rows that are tokenised already: TRL 1.16 would render, tokenise and filter them once more."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


def build(parts: Ingredients) -> Trainer:
    """The trainer.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    trainer: Trainer = _ProvedDPOTrainer(ref_model=reference_of(parts), **arguments_of(parts, "causal"))
    return trainer
