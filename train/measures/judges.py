"""Which of two answers is better, by a rule or by a reward model, and how often a model wins.

A judge sees every pair twice, the second time the other way round. Where its two verdicts disagree, the place of the
answer decided and not its worth: that pair is a tie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from train.measures.checks import kept
from train.measures.prompts import Prompt
from train.measures.words import terms

Preference = Literal["first", "second", "tie"]

SWAP: Final[Mapping[Preference, Preference]] = {"first": "second", "second": "first", "tie": "tie"}
_NEARER: Final = 0.05  # of term overlap; less is wording


class Judge(Protocol):
    """Says which of two answers to the same prompt is better."""

    def compare(self, prompts: Sequence[Prompt], firsts: Sequence[str], seconds: Sequence[str]) -> list[Preference]:
        """One preference a prompt."""


@dataclass(frozen=True)
class Wins:
    """How a comparison went: won, tied (`turned` of these because the judge went by place) and lost."""

    won: int
    tied: int
    lost: int
    turned: int

    @property
    def rate(self) -> float | None:
        """Share of prompts won, a tie counting half; None of no prompt."""
        count = self.won + self.tied + self.lost
        return (self.won + self.tied / 2) / count if count else None


def count_wins(judge: Judge, prompts: Sequence[Prompt], answers: Sequence[str], baseline: Sequence[str]) -> Wins:
    """How often the answers are preferred to those of the baseline, both orders judged."""
    forward = judge.compare(prompts, answers, baseline)
    backward = [SWAP[said] for said in judge.compare(prompts, baseline, answers)]
    agreed = [one if one == other else "tie" for one, other in zip(forward, backward, strict=True)]
    turned = sum(one != other for one, other in zip(forward, backward, strict=True))
    return Wins(agreed.count("first"), agreed.count("tie"), agreed.count("second"), turned)


class RuleJudge:
    """Prefers, in this order: nothing prohibited; more of the prompt's checks kept; nearer to its reference answer.

    Args:
        prohibited: regular expressions of what an answer must never say.
    """

    def __init__(self, prohibited: Sequence[str]) -> None:
        self._prohibited = [re.compile(pattern) for pattern in prohibited]

    def can_judge(self, prompts: Sequence[Prompt]) -> bool:
        """Whether there is any rule to go by for these prompts."""
        return bool(self._prohibited) or any(prompt.checks or prompt.answer for prompt in prompts)

    def offends(self, answer: str) -> bool:
        """Whether an answer says something prohibited."""
        return any(pattern.search(answer) for pattern in self._prohibited)

    def compare(self, prompts: Sequence[Prompt], firsts: Sequence[str], seconds: Sequence[str]) -> list[Preference]:
        """One preference a prompt; a tie where every rule is silent."""
        return [self._compare(*case) for case in zip(prompts, firsts, seconds, strict=True)]

    def _compare(self, prompt: Prompt, first: str, second: str) -> Preference:
        mine, its = (
            (not self.offends(answer), kept(answer, prompt.checks), _nearness(answer, prompt.answer))
            for answer in (first, second)
        )
        if mine[:2] == its[:2] and abs(mine[2] - its[2]) < _NEARER:
            return "tie"
        return "first" if mine > its else "second"


class RewardJudge:
    """Prefers what a reward model scores higher.

    Args:
        score: scores of answers, one a prompt and answer.
    """

    def __init__(self, score: Callable[[Sequence[Prompt], Sequence[str]], list[float]]) -> None:
        self._score = score

    def compare(self, prompts: Sequence[Prompt], firsts: Sequence[str], seconds: Sequence[str]) -> list[Preference]:
        """One preference a prompt; equal scores, and such as are no numbers, are ties."""
        scores = zip(self._score(prompts, firsts), self._score(prompts, seconds), strict=True)
        return ["first" if mine > its else "second" if its > mine else "tie" for mine, its in scores]


def _nearness(answer: str, reference: str | None) -> float:
    """F1 of the terms of an answer and its reference, 0 to 1; 0 where there is no reference."""
    mine, its = set(terms(answer)), set(terms(reference or ""))
    return 2 * len(mine & its) / (len(mine) + len(its)) if its else 0.0
