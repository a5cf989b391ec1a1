"""What a trainer is built from: the model loaded from its folder, the adapter that is laid on it, rows and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.model import Adaptation, Task, load, lora_config

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase, TrainerCallback


@dataclass(frozen=True)
class Ingredients:
    """What a trainer is built from.

    Attributes:
        start: folder of the whole weights that training starts from.
        adaptation: full, lora or qlora.
        settings: the plan's values by name; `lora_…` are LoRA's.
        config: TRL's configuration, made of the settings.
        tokenizer: of the start's folder, with the template in force.
        rows: what is trained, columns as the stage's collator takes them.
        held: rows kept back for evaluation; None where there are none.
        callbacks: of the run.
        dtype: of the weights that are loaded.
        attention: which implementation; None: transformers' choice.
    """

    start: Path
    adaptation: Adaptation
    settings: Mapping[str, Any]
    config: Any
    tokenizer: PreTrainedTokenizerBase
    rows: Dataset
    held: Dataset | None
    callbacks: tuple[TrainerCallback, ...]
    dtype: str
    attention: str | None = None


def arguments_of(parts: Ingredients, task: Task) -> dict[str, Any]:
    """What every trainer of TRL takes, the model and its adapter among it.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    return {
        "model": _policy_of(parts, task),
        "args": parts.config,
        "train_dataset": parts.rows,
        "eval_dataset": parts.held,
        "processing_class": parts.tokenizer,
        "callbacks": list(parts.callbacks),
        "peft_config": _adapter_of(parts, task),
    }


def reference_of(parts: Ingredients) -> Any:
    """The model that the policy is compared with, loaded from the folder that the policy starts from; None needs none.

    TRL would reload it by the name in the model's configuration, which may be another model (facts/training.md, 4b).
    An adapter is its own reference when it is switched off.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    if parts.adaptation != "full" or parts.config.precompute_ref_log_probs:
        return None
    return load(parts.start, dtype=parts.dtype, attention=parts.attention)


def _policy_of(parts: Ingredients, task: Task) -> Any:
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


def _adapter_of(parts: Ingredients, task: Task) -> LoraConfig | None:
    """LoRA's configuration; None where all weights are trained."""
    return None if parts.adaptation == "full" else lora_config(parts.settings, task)
