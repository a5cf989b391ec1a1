"""The stages of training as one table: which rows, which proof, which trainer of TRL, and what each starts from.

A further stage (kto, grpo …) is a further row here and a file with its `build`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datakit.gates import Stage
from datakit.masks.plan import Stage as ProofStage
from datakit.records import Kind
from train.model import Task
from train.start import Ingredients

if TYPE_CHECKING:
    from transformers import Trainer


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Attributes:
        kind: of the rows that are trained.
        proof: the stage that a proof of them is for.
        columns: of the proof's rows that the trainer takes.
        given: of the version's rows that the trainer takes too where a row has one; 0 stands for none.
        config: name of TRL's configuration class.
        task: what the model does.
        after: the stage whose model it starts from where the recipe names none.
        build: makes the trainer; imports TRL when it is called.
    """

    kind: Kind
    proof: ProofStage
    columns: tuple[str, ...]
    config: str
    task: Task
    after: Stage | None
    build: Callable[[Ingredients], Trainer]
    given: tuple[str, ...] = ()


def _sft(parts: Ingredients) -> Trainer:
    from train.sft import build

    return build(parts)


def _reward(parts: Ingredients) -> Trainer:
    from train.reward import build

    return build(parts)


def _preference(parts: Ingredients) -> Trainer:
    from train.preference import build

    return build(parts)


STAGES: Final[Mapping[Stage, StageRow]] = {
    "cpt": StageRow("text", "cpt", ("input_ids", "labels"), "SFTConfig", "causal", None, _sft),
    "sft": StageRow("messages", "sft", ("input_ids", "labels"), "SFTConfig", "causal", "cpt", _sft),
    "reward": StageRow(
        "preference", "reward", ("chosen_ids", "rejected_ids"), "RewardConfig", "reward", "sft", _reward, ("margin",)
    ),
    "dpo": StageRow(
        "preference", "dpo", ("prompt_ids", "chosen_ids", "rejected_ids"), "DPOConfig", "causal", "sft", _preference
    ),
}
