"""What a hyper-parameter is where the recipe says nothing: one table, stage by adaptation, each with where it is from.

`guide` is section 4.3 of the guide "大模型后训练完全指南"; `datakit` is ours, for what the guide says nothing about.
Values carry the names of TRL's fields; LoRA's carry `lora_`. Peers' numbers are those of facts/training.md, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from datakit.gates import Stage

Adaptation = Literal["full", "lora", "qlora"]
Source = Literal["guide", "datakit", "data", "recipe", "--set"]


class Default(NamedTuple):
    """A value, where it is from, and why it is what it is."""

    value: Any
    source: Source
    why: str


# Peers train adapters at 1e-4 to 3e-4; the guide is more careful, and stays the default where it speaks.
_RATES: Final[Mapping[Stage, Mapping[Adaptation, Default]]] = {
    "cpt": {
        "full": Default(1e-5, "datakit", "as peers; half of fine-tuning's, for what the base knows must stay"),
        "lora": Default(5e-5, "datakit", "as the guide's for sft"),
        "qlora": Default(1e-4, "datakit", "as the guide's for sft"),
    },
    "sft": {
        "full": Default(2e-5, "guide", "2e-5"),
        "lora": Default(5e-5, "guide", "5e-5; peers take 1e-4 to 3e-4"),
        "qlora": Default(1e-4, "guide", "1e-4"),
    },
    "reward": {
        "full": Default(1e-5, "datakit", "as peers, 9e-6 to 1e-5"),
        "lora": Default(1e-4, "datakit", "as TRL and peers: the head is new and has far to go"),
        "qlora": Default(1e-4, "datakit", "as TRL and peers: the head is new and has far to go"),
    },
    "dpo": {
        "full": Default(1e-6, "guide", "1e-6 to 5e-6, the low end for all weights"),
        "lora": Default(5e-6, "guide", "1e-6 to 5e-6, the high end for an adapter"),
        "qlora": Default(5e-6, "guide", "1e-6 to 5e-6, the high end for an adapter"),
    },
    "kto": {
        "full": Default(1e-6, "datakit", "as TRL, and as the guide's for dpo"),
        "lora": Default(5e-6, "datakit", "as LLaMA-Factory, and as the guide's for dpo"),
        "qlora": Default(5e-6, "datakit", "as LLaMA-Factory, and as the guide's for dpo"),
    },
    "orpo": {
        "full": Default(8e-6, "datakit", "as ORPO (arXiv 2403.07691, appendix C): it also learns the chosen answers"),
        "lora": Default(5e-5, "datakit", "as the guide's for sft, of which it is half"),
        "qlora": Default(1e-4, "datakit", "as the guide's for sft, of which it is half"),
    },
    "simpo": {
        "full": Default(
            1e-6, "datakit", "SimPO (arXiv 2405.14734, appendix B) takes 3e-7 to 1e-6; above, answers decay"
        ),
        "lora": Default(5e-6, "datakit", "as the guide's for dpo"),
        "qlora": Default(5e-6, "datakit", "as the guide's for dpo"),
    },
}

_EPOCHS: Final[Mapping[Stage, Default]] = {
    "cpt": Default(1.0, "datakit", "one pass, as in pre-training"),
    "sft": Default(2.0, "guide", "1 to 3"),
    "reward": Default(1.0, "datakit", "one, as InstructGPT (arXiv 2203.02155, appendix C.2): more over-fits"),
    "dpo": Default(1.0, "guide", "1 to 2"),
    "kto": Default(1.0, "datakit", "one, as its authors (arXiv 2402.01306)"),
    "orpo": Default(1.0, "datakit", "as the guide's for dpo"),
    "simpo": Default(1.0, "datakit", "one, as its authors (arXiv 2405.14734)"),
}

_BATCH: Final = Default(16, "guide", "16 rows a step, of 4 to 32 by memory")
MICRO_BATCH: Final = Default(4, "datakit", "rows at once on a device; the rest of a batch is accumulated")
RANK: Final = Default(16, "guide", "8 to 256, 16 to begin with")
ALPHA: Final = Default(2, "guide", "r or 2r: this many times the rank")

_WARMUP: Final = Default(0.05, "guide", "3 to 10 % of the steps")
_SCHEDULE: Final = Default("cosine", "datakit", "as most peers")
_ADAPTER: Final[Mapping[str, Default]] = {
    "lora_dropout": Default(0.05, "datakit", "as TRL and axolotl"),
    "lora_target_modules": Default("all-linear", "guide", "all linear layers, attention and MLP"),
}
_OF_STAGE: Final[Mapping[Stage, Mapping[str, Default]]] = {
    "cpt": {},
    "sft": {},
    "reward": {},
    "dpo": {"beta": Default(0.1, "guide", "0.1")},
    "kto": {
        "beta": Default(0.1, "datakit", "as its authors, and as the guide's for dpo"),
        "desirable_weight": Default(1.0, "datakit", "as TRL; see imbalance in the entry gate"),
        "undesirable_weight": Default(1.0, "datakit", "as TRL; see imbalance in the entry gate"),
    },
    "orpo": {"beta": Default(0.1, "datakit", "as its authors (lambda in arXiv 2403.07691)")},
    "simpo": {
        "loss_type": Default("simpo", "datakit", "what makes SimPO of TRL's CPOTrainer"),
        "cpo_alpha": Default(0.0, "datakit", "weight of the loss on chosen answers; SimPO has none"),
        "beta": Default(2.0, "datakit", "2.0 to 10 (arXiv 2405.14734, appendix B): rewards are means, not sums"),
        "simpo_gamma": Default(0.5, "datakit", "0.5 to 1.6 (arXiv 2405.14734, appendix B)"),
    },
}


def defaults(stage: Stage, adaptation: Adaptation) -> Iterator[tuple[str, Default]]:
    """Name and default of every hyper-parameter of a stage that stands alone; batches and LoRA's size do not."""
    yield "learning_rate", _RATES[stage][adaptation]
    yield "num_train_epochs", _EPOCHS[stage]
    yield "warmup_steps", _lent(_WARMUP, stage)
    yield "lr_scheduler_type", _SCHEDULE
    yield from _OF_STAGE[stage].items()
    if adaptation != "full":
        yield from _ADAPTER.items()


def batch_of(stage: Stage) -> Default:
    """Rows that an optimiser step sees."""
    return _lent(_BATCH, stage)


def _lent(default: Default, stage: Stage) -> Default:
    """What the guide says of sft alone, and the other stages take over."""
    return default if stage == "sft" else default._replace(source="datakit", why="as the guide's for sft")
