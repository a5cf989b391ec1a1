"""The trainer of `cpt` and `sft`: TRL's SFTTrainer on the proof's ids and labels, verbatim."""

from __future__ import annotations

from transformers import Trainer
from trl import SFTTrainer

from train.start import Ingredients, arguments_of


def build(parts: Ingredients) -> Trainer:
    """The trainer, its rows as they will be trained.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    trainer: Trainer = SFTTrainer(**arguments_of(parts, "causal"))
    _check_nothing_lost(trainer, parts)
    return trainer


def _check_nothing_lost(trainer: Trainer, parts: Ingredients) -> None:
    """TRL cuts and filters rows without a count (facts: it made 10 of 16): every token must still be there."""
    given, made = (sum(map(len, rows["input_ids"])) for rows in (parts.rows, trainer.train_dataset))
    if given != made:
        raise AssertionError(f"of {given} proved tokens the trainer holds {made}")
