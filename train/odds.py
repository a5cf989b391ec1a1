"""The trainer of `orpo`: TRL's ORPOTrainer on the pairs as the replay proof has them."""

from __future__ import annotations

from typing import Any

from torch.nn.functional import cross_entropy
from transformers import Trainer
from trl.experimental.orpo import ORPOTrainer

from train.sequences import UNTRAINED, ProvedPairs
from train.start import Ingredients, arguments_of

_NLL = 4  # place of the loss on chosen answers in what a forward pass gives


class _ProvedORPOTrainer(ProvedPairs, ORPOTrainer):  # type: ignore[misc]
    """ORPO that learns answers alone.

    TRL 1.16 computes the loss on chosen answers over the prompt too, which no proof would let pass; ORPO's own is of
    the answer, given the prompt (arXiv 2403.07691, equation 2).
    """

    def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[Any, ...]:
        found = list(super().concatenated_forward(model, batch))
        logits, labels = found[2], batch["chosen_labels"]
        width = labels.shape[1] - 1  # both sides are padded to the longer one
        found[_NLL] = cross_entropy(
            logits[:, :width].flatten(0, 1), labels[:, 1:].flatten().to(logits.device), ignore_index=UNTRAINED
        )
        return tuple(found)


def build(parts: Ingredients) -> Trainer:
    """The trainer; it needs no reference.

    Raises:
        MissingInput, InputError: the model cannot be loaded.
    """
    trainer: Trainer = _ProvedORPOTrainer(**arguments_of(parts, "causal"))
    return trainer
