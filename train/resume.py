"""Going on from a checkpoint exactly as it was left: what trainers forget, or turn into something else, on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Trainer

    from train.runs import Run


def go_on(trainer: Trainer, run: Run) -> None:
    """Make a trainer ready to go on with a run from one of its checkpoints.

    TRL 1.16 counts its tokens from nought again; peft loads an adapter that QLoRA trains in bfloat16 as float32, so
    that every step behind the checkpoint would be another one.
    """
    trainer._total_train_tokens = int(max((row.get("num_tokens", 0) for row in run.history()), default=0))
    load = trainer._load_from_checkpoint

    def load_as_it_was(*arguments: Any, **named: Any) -> None:
        kinds = {name: weight.dtype for name, weight in trainer.model.named_parameters()}
        load(*arguments, **named)
        for name, weight in trainer.model.named_parameters():
            weight.data = weight.data.to(kinds[name])

    trainer._load_from_checkpoint = load_as_it_was
