"""The trainer of `cpt` and `sft`: TRL's SFTTrainer on the proof's ids and labels, verbatim."""

from __future__ import annotations

from transformers import Trainer
from trl import SFTTrainer

from train.stages import Ingredients
from train.start import adapter_of, policy_of


def build(parts: Ingredients) -> Trainer:
    """The trainer, its rows as they will be trained.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    trainer: Trainer = SFTTrainer(
        model=policy_of(parts, "causal"),
        args=parts.config,
        train_dataset=parts.rows,
        eval_dataset=parts.held,
        processing_class=parts.tokenizer,
        callbacks=list(parts.callbacks),
        peft_config=adapter_of(parts, "causal"),
    )
    _check_nothing_lost(trainer, parts)
    return trainer


def _check_nothing_lost(trainer: Trainer, parts: Ingredients) -> None:
    """TRL cuts and filters rows without a count (facts: it made 10 of 16): every token must still be there."""
    given, made = (sum(map(len, rows["input_ids"])) for rows in (parts.rows, trainer.train_dataset))
    if given != made:
        raise AssertionError(f"of {given} proved tokens the trainer holds {made}")
