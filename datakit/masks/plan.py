"""What a proof is made by: model, settings, stage; and the hash that names the proof."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args

import orjson

from datakit.masks.packing import Strategy, keeps_apart
from datakit.recipe.masks import MaskSettings
from datakit.records import KINDS, Kind
from datakit.template.model import Model

Stage = Literal["cpt", "sft", "dpo", "kto", "reward", "grpo"]

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

_OF_STAGE: Final[Mapping[Stage, tuple[Kind, ...]]] = {
    "cpt": ("text",),
    "sft": ("text", "messages"),
    "dpo": ("preference",),
    "kto": ("unpaired",),
    "reward": ("preference",),
    "grpo": ("prompt",),
}
_OF_KIND: Final[Mapping[Kind, Stage]] = {
    "text": "sft",
    "messages": "sft",
    "preference": "dpo",
    "unpaired": "kto",
    "prompt": "grpo",
}

FORMAT: Final = 1
"""The number of a proof's layout and rules. It is part of its hash."""


@dataclass(frozen=True)
class ProofSettings:
    """What a proof depends on beside version and model.

    Attributes:
        masks: what may be trained, and how much may be left out.
        stage: whose rows are proved; None: every kind of row, pairs as for dpo.
        arguments: further variables of the template.
    """

    masks: MaskSettings = field(default_factory=MaskSettings)
    stage: Stage | None = None
    arguments: Mapping[str, Any] | None = None

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are proved."""
        return _OF_STAGE[self.stage] if self.stage is not None else KINDS

    def stage_of(self, kind: Kind) -> Stage:
        """Whose trainer the rows of a kind are proved for."""
        return self.stage if self.stage is not None else _OF_KIND[kind]

    @property
    def packing(self) -> Strategy | None:
        """How the rows are packed; None where they are not. Only dialogues and texts ever are."""
        packed = self.masks.packing
        return None if packed == "none" or self.stage not in (None, "cpt", "sft") else packed

    def values(self) -> dict[str, Any]:
        """As JSON types: what changes the proof, and nothing else."""
        masks = self.masks.model_dump(mode="json", exclude={"packing", "attention"})
        if self.packing is not None:
            masks |= {"packing": self.packing, "kept_apart": keeps_apart(self.packing, self.masks.attention)}
        return {
            "masks": masks,
            "stage": self.stage,
            "arguments": dict(self.arguments or {}),
        }


def proof_hash(fingerprint: str, model: Model, settings: ProofSettings) -> str:
    """The name of a proof, 12 hex digits: of the version, the model and the settings, and of nothing else."""
    values = [FORMAT, fingerprint, model.fingerprint, sorted(model.stop_ids), settings.values()]
    return hashlib.blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()


@dataclass(frozen=True)
class Plan:
    """What every worker needs: `clock` is what dated templates read, one for all rows."""

    model: Model
    settings: ProofSettings
    clock: datetime
