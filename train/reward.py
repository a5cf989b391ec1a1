"""The trainer of `reward`: TRL's RewardTrainer on the pairs as the replay proof has them."""

from __future__ import annotations

import torch
from transformers import Trainer
from trl import RewardTrainer

from train.start import Ingredients, arguments_of


def build(parts: Ingredients) -> Trainer:
    """The trainer of a model that gives a sequence one score; the head for it is new, drawn by the plan's seed.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    trainer: Trainer = RewardTrainer(**arguments_of(parts, "reward"))
    if len(trainer.train_dataset) != len(parts.rows):
        raise AssertionError(f"of {len(parts.rows)} proved pairs the trainer holds {len(trainer.train_dataset)}")
    if parts.adaptation == "qlora":  # TRL makes bfloat16 of all that is trained: the head must be of what it is given
        for name, weight in trainer.model.named_parameters():
            if ".score." in name:
                weight.data = weight.data.to(getattr(torch, parts.dtype))
    return trainer
