"""What a reward model scores, how often it is right, and whether it goes by length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from datakit.progress import Progress, Silent
from train.measures.likelihood import batches, padded
from train.measures.prompts import Prompt
from train.measures.subject import Subject

_WIDTH: Final = 4096  # numbers a token that a batch is reckoned with: a reward model has no logits, but layers


def scores(subject: Subject, rows: Sequence[Sequence[int]], progress: Progress | None = None) -> list[float]:
    """The reward of every sequence of ids, in their order; NaN of an empty one."""
    import torch

    listener, found, done = progress or Silent(), [math.nan] * len(rows), 0
    # The score is read at the last token that is not this one, as it was in training: TRL sets the same.
    subject.network.config.pad_token_id = subject.model.pad_id or 0
    for places in batches([len(row) for row in rows], _WIDTH):
        ids, mask = padded([rows[place] for place in places], subject)
        with torch.inference_mode():
            read = subject.network(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
        for place, score in zip(places, read, strict=True):
            found[place] = score
        done += len(places)
        listener.advance("rewards", done, len(rows), "answers")
    return found


def scorer(subject: Subject) -> Callable[[Sequence[Prompt], Sequence[str]], list[float]]:
    """A function from prompts and answers to scores, for `judges.RewardJudge`."""
    return lambda prompts, answers: scores(
        subject, [subject.answered(prompt, text) for prompt, text in zip(prompts, answers, strict=True)]
    )


def reward_accuracy(chosen: Sequence[float], rejected: Sequence[float]) -> float | None:
    """Share of pairs whose chosen answer scores higher; equal scores and NaN are wrong. None of no pair."""
    right = sum(mine > its for mine, its in zip(chosen, rejected, strict=True))
    return right / len(chosen) if chosen else None


def length_bias(rewards: Sequence[float], lengths: Sequence[int]) -> float | None:
    """Absolute Spearman correlation of score and length, 0 to 1; None where all scores or all lengths are equal.

    NaN where a score is no number.
    """
    if any(map(math.isnan, rewards)):
        return math.nan
    mine, its = _ranks(rewards), _ranks(lengths)
    spread = math.sqrt(math.fsum(rank * rank for rank in mine) * math.fsum(rank * rank for rank in its))
    return abs(math.fsum(one * other for one, other in zip(mine, its, strict=True))) / spread if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks around 0, equal values sharing their mean rank."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for place in order[start:end]:
                ranks[place] = (start + end - 1) / 2 - (len(values) - 1) / 2
            start = end
    return ranks
