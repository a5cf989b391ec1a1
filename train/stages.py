"""The stages of training as one table: which rows, which proof, which trainer of TRL, and what each starts from.

A further stage is a further row here, and a file with its `build` where no trainer here fits it.
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
        config: name of TRL's configuration class, below the package `trl`.
        task: what the model does.
        after: the stage whose model it starts from where the recipe names none.
        build: makes the trainer; imports TRL when it is called.
        reference: whether the model it starts from judges every sequence too.
    """

    kind: Kind
    proof: ProofStage
    columns: tuple[str, ...]
    config: str
    task: Task
    after: Stage | None
    build: Callable[[Ingredients], Trainer]
    given: tuple[str, ...] = ()
    reference: bool = False

    @property
    def sequences(self) -> list[tuple[str, ...]]:
        """The columns whose ids make up each sequence that a row becomes: a pair becomes two."""
        shared = tuple(name for name in self.columns if name == "prompt_ids")
        ends = [name for name in self.columns if name not in (*shared, "labels")]
        return [(*shared, end) for end in ends] or [shared]


def _sft(parts: Ingredients) -> Trainer:
    from train.sft import build

    return build(parts)


def _reward(parts: Ingredients) -> Trainer:
    from train.reward import build

    return build(parts)


def _preference(parts: Ingredients) -> Trainer:
    from train.preference import build

    return build(parts)


def _unpaired(parts: Ingredients) -> Trainer:
    from train.unpaired import build

    return build(parts)


def _odds(parts: Ingredients) -> Trainer:
    from train.odds import build

    return build(parts)


def _simple(parts: Ingredients) -> Trainer:
    from train.simple import build

    return build(parts)


_PAIR: Final = ("prompt_ids", "chosen_ids", "rejected_ids")

STAGES: Final[Mapping[Stage, StageRow]] = {
    "cpt": StageRow("text", "cpt", ("input_ids", "labels"), "SFTConfig", "causal", None, _sft),
    "sft": StageRow("messages", "sft", ("input_ids", "labels"), "SFTConfig", "causal", "cpt", _sft),
    "reward": StageRow(
        "preference", "reward", ("chosen_ids", "rejected_ids"), "RewardConfig", "reward", "sft", _reward, ("margin",)
    ),
    "dpo": StageRow("preference", "dpo", _PAIR, "DPOConfig", "causal", "sft", _preference, reference=True),
    "kto": StageRow(
        "unpaired", "kto", ("prompt_ids", "completion_ids"), "KTOConfig", "causal", "sft", _unpaired, ("label",), True
    ),
    "orpo": StageRow("preference", "dpo", _PAIR, "experimental.orpo.ORPOConfig", "causal", "sft", _odds),
    "simpo": StageRow("preference", "dpo", _PAIR, "experimental.cpo.CPOConfig", "causal", "sft", _simple),
}
