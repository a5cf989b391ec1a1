"""What a trainer starts from: the model loaded from its folder, and the adapter that is laid on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from train.model import Task, load, lora_config
from train.stages import Ingredients

if TYPE_CHECKING:
    from peft import LoraConfig


def policy_of(parts: Ingredients, task: Task) -> Any:
    """The model to train, loaded anew; what is new in it is drawn by the configuration's seed."""
    from transformers import set_seed

    set_seed(parts.config.seed)
    return load(
        parts.start,
        task=task,
        dtype=parts.dtype,
        quantised=parts.adaptation == "qlora",
        attention=parts.attention,
    )


def adapter_of(parts: Ingredients, task: Task) -> LoraConfig | None:
    """LoRA's configuration; None where all weights are trained."""
    return None if parts.adaptation == "full" else lora_config(parts.settings, task)
