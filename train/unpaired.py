"""The trainer of `kto`: TRL's KTOTrainer on single answers, good or bad, as the replay proof has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datasets import Dataset
from transformers import Trainer
from trl import KTOConfig, KTOTrainer

from train.start import Ingredients, arguments_of, reference_of


class _ProvedKTOTrainer(KTOTrainer):  # type: ignore[misc]
    """KTO on rows that are tokenised already: TRL 1.16 would render, tokenise and filter them once more.

    What it would do then is done here: each row also carries the answer of the row before it in its batch, from which
    the loss estimates how far the policy has moved (arXiv 2402.01306, section 4.1). The last row's answer goes to the
    first.
    """

    def _prepare_dataset(self, dataset: Dataset, _: Any, args: KTOConfig, __: str) -> Dataset:
        if not self.calculate_KL:
            return dataset
        return dataset.map(_with_strangers, batched=True, batch_size=args.per_device_train_batch_size)


def _with_strangers(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    answers = rows["completion_ids"]
    return {"KL_completion_ids": [answers[-1], *answers[:-1]]}


def build(parts: Ingredients) -> Trainer:
    """The trainer. Its batches are cut in the order of the rows, so these are shuffled first, by the run's seed.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    shuffled = replace(parts, rows=parts.rows.shuffle(seed=parts.config.seed))
    trainer: Trainer = _ProvedKTOTrainer(ref_model=reference_of(parts), **arguments_of(shuffled, "causal"))
    return trainer
