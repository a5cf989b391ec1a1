"""Pairs for TRL's older trainers (ORPO, CPO): each side one sequence with its labels, as the replay proof has them.

These trainers tokenise a row by a method of their own, with their own ideas of BOS and EOS, and cut what is too long;
the proof has done all that, so the method is put aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

UNTRAINED: Final = -100
"""The label of a token that is context."""


class ProvedPairs:
    """Puts rows of `prompt_ids`, `chosen_ids` and `rejected_ids` in the place of what a trainer would tokenise."""

    def tokenize_row(self, feature: Mapping[str, Sequence[int]], *_: Any, **__: Any) -> dict[str, list[int]]:
        """The columns that the trainer's collator pads; nothing of the prompt is labelled."""
        prompt = list(feature["prompt_ids"])
        row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
        for side in ("chosen", "rejected"):
            answer = list(feature[f"{side}_ids"])
            row |= {
                f"{side}_input_ids": [*prompt, *answer],
                f"{side}_attention_mask": [1] * (len(prompt) + len(answer)),
                f"{side}_labels": [UNTRAINED] * len(prompt) + answer,
            }
        return row
