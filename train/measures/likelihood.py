"""What a model finds likely: log-probabilities of given tokens, perplexity, and questions answered by them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datakit.progress import Progress, Silent
from train.measures.questions import Question
from train.measures.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

IGNORED: Final = -100
_LOGITS: Final = 1 << 26  # numbers in a batch of logits: 256 MB in float32

Labelled = tuple[Sequence[int], Sequence[int]]
"""Ids, and labels: -100 where a token is not counted."""


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood in nats over so many tokens."""

    nats: float
    tokens: int

    @property
    def perplexity(self) -> float | None:
        """exp(nats a token); None of no token; infinite or NaN where the model is broken."""
        if not self.tokens:
            return None
        try:
            return math.exp(self.nats / self.tokens)
        except OverflowError:
            return math.inf


def likelihood(subject: Subject, rows: Sequence[Labelled], progress: Progress | None = None) -> Likelihood:
    """How likely the labelled tokens are, each after those before it in its row; rows do not see each other."""
    scores = token_scores(subject, rows, progress)
    return Likelihood(-sum(math.fsum(row) for row in scores), sum(map(len, scores)))


def token_scores(subject: Subject, rows: Sequence[Labelled], progress: Progress | None = None) -> list[list[float]]:
    """Log-probability in nats of every labelled token, a list a row, in the order of the rows.

    The first token of a row has nothing before it and is not counted.
    """
    import torch

    found: list[list[float]] = [[] for _ in rows]
    listener, done = progress or Silent(), 0
    for places in batches([len(ids) for ids, _ in rows], subject.network.config.get_text_config().vocab_size):
        ids, mask = padded([rows[place][0] for place in places], subject)
        with torch.inference_mode():
            logits = subject.network(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
            scores = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1).tolist()
        for place, row in zip(places, scores, strict=True):
            labels = rows[place][1][1:]
            found[place] = [score for score, label in zip(row, labels, strict=False) if label != IGNORED]
        done += len(places)
        listener.advance("likelihood", done, len(rows), "rows")
    return found


def batches(lengths: Sequence[int], vocabulary: int) -> Iterator[list[int]]:
    """Places of rows in batches of like lengths, the longest first, whose logits stay below 256 MB where one row does.

    Rows without a token are in none.
    """
    order = [place for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]) if lengths[place]]
    while order:
        size = max(1, _LOGITS // (lengths[order[0]] * vocabulary))
        yield order[:size]
        order = order[size:]


def padded(rows: Sequence[Sequence[int]], subject: Subject, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, int64 tensors of shape (rows, longest), on the model's device; padded right, or left."""
    import torch

    longest, pad = max(map(len, rows)), subject.model.pad_id or 0
    ids = [[pad] * (longest - len(row)) * left + list(row) + [pad] * (longest - len(row)) * (not left) for row in rows]
    mask = [
        [0] * (longest - len(row)) * left + [1] * len(row) + [0] * (longest - len(row)) * (not left) for row in rows
    ]
    device = subject.network.device
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def accuracy(subject: Subject, questions: Sequence[Question], progress: Progress | None = None) -> float | None:
    """Share of questions whose right option the model finds likelier than every other; None of no question.

    Multiple choice: log-probability of the option after the question, a character (lm-evaluation-harness' acc_norm
    does so by bytes). A blank: log-probability of the option and of what follows it, whole. Raw text, no template.
    """
    if not questions:
        return None
    rows = [_scored(subject, question, option) for question in questions for option in question.options]
    scores = iter(token_scores(subject, rows, progress))
    right = 0
    for question in questions:
        likely = [_worth(question, option, next(scores)) for option in question.options]
        best = likely.pop(question.answer)
        right += all(best > other for other in likely)
    return right / len(questions)


def _worth(question: Question, option: str, scores: Sequence[float]) -> float:
    return math.fsum(scores) / (1 if question.after else len(option))


def _scored(subject: Subject, question: Question, option: str) -> Labelled:
    """Ids of the sentence, labelled from the first token that reaches into the option.

    Something stands before them: BOS where the model has one, a newline where there would be nothing.
    """
    before = question.before or "\n"
    encoded = subject.model.tokenizer.encode(before + option + question.after, add_special_tokens=False)
    start = len(before)
    labels = [number if end > start else IGNORED for number, (_, end) in zip(encoded.ids, encoded.offsets, strict=True)]
    bos = [subject.model.bos_id] if subject.model.adds_bos and subject.model.bos_id is not None else []
    return [*bos, *encoded.ids], [*[IGNORED] * len(bos), *labels]
