"""The trainer of `dpo`: TRL's DPOTrainer on the pairs as the replay proof has them."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import Trainer
from trl import DPOTrainer

from train.model import load
from train.start import Ingredients, arguments_of


class _ProvedDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO on rows that are tokenised already: TRL 1.16 would render, tokenise and filter them once more."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


def build(parts: Ingredients) -> Trainer:
    """The trainer. Its reference is loaded from the folder that the policy starts from.

    TRL would reload it by the name in the model's configuration, which may be another model (facts/training.md, 4b).
    An adapter is its own reference when it is switched off.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    whole = parts.adaptation == "full" and not parts.config.precompute_ref_log_probs
    trainer: Trainer = _ProvedDPOTrainer(
        ref_model=load(parts.start, dtype=parts.dtype, attention=parts.attention) if whole else None,
        **arguments_of(parts, "causal"),
    )
    return trainer
