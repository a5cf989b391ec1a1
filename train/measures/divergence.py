"""How far a policy has moved from the model before: KL in nats, a token and a sequence.

KL(policy || reference) = E over answers of the policy, sum over their tokens, of KL between both models' distributions
of the next token. The expectation is over answers that the policy samples at temperature 1; the KL at each place is
exact, over the whole vocabulary, which varies less than the log-ratio of the sampled token alone.

A sequence has the KL of all its tokens: the two units differ by the answers' mean length, and a threshold means
nothing without its unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datakit.errors import DatakitError, InputError
from datakit.progress import Progress, Silent
from train.measures.likelihood import batches, padded
from train.measures.sampling import Answer
from train.measures.subject import Subject, load_subject

if TYPE_CHECKING:
    from torch import Tensor

_NOISE: Final = 0.5  # of a weight's own spread: what the self-test adds to every weight
_TESTED: Final = 4  # answers that the self-test reads


@dataclass(frozen=True)
class Divergence:
    """KL in nats: over so many answers of so many tokens in all, `nats` together."""

    nats: float
    tokens: int
    sequences: int

    @property
    def per_token(self) -> float | None:
        """Mean over tokens; None of no token."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def per_sequence(self) -> float | None:
        """Mean over answers; None of none."""
        return self.nats / self.sequences if self.sequences else None


def divergence(
    policy: Subject,
    reference: Subject,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Answer],
    progress: Progress | None = None,
) -> Divergence:
    """KL of the policy from the reference on given answers.

    Args:
        policy: the model that is measured.
        reference: the model before, of the same tokenizer.
        prompts: ids.
        answers: what the policy sampled to them.
        progress: hears of answers.

    Raises:
        InputError: the tokenizers differ, so that tokens of one are not tokens of the other.
    """
    same_tokens(policy, reference)
    rows = [([*asked, *answer.ids], len(asked)) for asked, answer in zip(prompts, answers, strict=True)]
    listener, sums, done = progress or Silent(), [], 0
    for places in batches([len(ids) for ids, _ in rows], 2 * policy.network.config.get_text_config().vocab_size):
        sums += _sums(policy, reference, [rows[place] for place in places])
        done += len(places)
        listener.advance("divergence", done, len(rows), "answers")
    return Divergence(math.fsum(sums), sum(len(answer.ids) for answer in answers), len(answers))


def same_tokens(policy: Subject, reference: Subject) -> None:
    """Make sure that two models know the same tokens.

    Raises:
        InputError: they do not.
    """
    if policy.model.tokenizer.get_vocab() != reference.model.tokenizer.get_vocab():
        raise InputError(
            str(policy.path), f"another vocabulary than {reference.path}", "one tokenizer", "Compare related models"
        )


def _sums(policy: Subject, reference: Subject, rows: Sequence[tuple[Sequence[int], int]]) -> list[float]:
    """KL in nats summed over the answer of each row; a row is its ids and the length of its prompt."""
    import torch

    ids, mask = padded([ids for ids, _ in rows], policy)
    with torch.inference_mode():
        mine, its = (_log_probabilities(subject, ids, mask) for subject in (policy, reference))
        apart = (mine.exp() * (mine - its)).sum(-1)  # float32 (rows, longest - 1)
    places = torch.arange(1, ids.shape[1], device=ids.device)
    starts = torch.tensor([start for _, start in rows], device=ids.device)
    counted = (places >= starts[:, None]) & mask[:, 1:].bool()
    found: list[float] = torch.where(counted, apart, 0.0).double().sum(-1).tolist()
    return found


def _log_probabilities(subject: Subject, ids: Tensor, mask: Tensor) -> Tensor:
    """Of the tokens that the tokenizer knows: an embedding may hold more rows, and two models differently many."""
    device = subject.network.device
    logits = subject.network(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, :-1]
    scores: Tensor = logits[..., : subject.model.vocabulary].float().log_softmax(-1).to(ids.device)
    return scores


def perturb(subject: Subject, share: float = _NOISE, seed: int = 0) -> None:
    """Add noise to every weight of a model, in place; only ever to one that was loaded for the purpose.

    Args:
        subject: whose weights change.
        share: spread of the noise over the spread of the weight itself.
        seed: of the noise.
    """
    import torch

    noise = torch.Generator(device="cpu").manual_seed(seed)
    with torch.no_grad():
        for weight in subject.network.parameters():
            spread = weight.float().std().nan_to_num().item() or weight.float().abs().mean().item()
            drawn = torch.randn(weight.shape, generator=noise) * (share * spread)
            weight.add_(drawn.to(weight.device, weight.dtype))


def prove(reference: Subject, prompts: Sequence[Sequence[int]], answers: Sequence[Answer]) -> float:
    """KL a token of the reference, read again and perturbed, from the reference: above 0, or the measure is broken.

    A KL gate that read 0 whatever the policy would always pass; this is what shows that it does not.

    Raises:
        DatakitError: the measure reads no difference where there is one.
    """
    tested = load_subject(reference.path, words=reference.model, arguments=reference.arguments)
    perturb(tested)
    moved = divergence(tested, reference, prompts[:_TESTED], answers[:_TESTED]).per_token
    if moved is None or not moved > 0:
        raise DatakitError(
            f"KL from {reference.path}",
            f"reads {moved} for weights that differ",
            "more than 0",
            "No value of it is to be trusted: please report this",
        )
    return moved
