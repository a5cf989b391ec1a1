"""What a model answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from datakit.progress import Progress, Silent
from train.measures.likelihood import padded
from train.measures.subject import Subject

if TYPE_CHECKING:
    from transformers import GenerationConfig

_BATCH: Final = 32  # prompts answered at once


@dataclass(frozen=True)
class Answer:
    """One answer: its ids, the stop included; its text without special tokens; whether it ended by a stop."""

    ids: tuple[int, ...]
    text: str
    ended: bool


def answer(
    subject: Subject,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    seed: int | None = None,
    progress: Progress | None = None,
) -> list[Answer]:
    """One answer a prompt, in their order.

    Args:
        subject: who answers.
        prompts: ids, as `Subject.asked` gives them.
        max_new_tokens: an answer that is not over by then has not ended.
        seed: of samples from the whole distribution at temperature 1; None: the likeliest token each time.
        progress: hears of answers.
    """
    import torch

    listener = progress or Silent()
    found: dict[int, Answer] = {}
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    devices = [subject.network.device] if subject.network.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(seed or 0)
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            rows = _generate(subject, [prompts[place] for place in places], max_new_tokens, seed)
            found |= {place: _answer(subject, ids) for place, ids in zip(places, rows, strict=True)}
            listener.advance("answers", len(found), len(prompts), "answers")
    return [found[place] for place in range(len(prompts))]


def _generate(subject: Subject, prompts: list[Sequence[int]], most: int, seed: int | None) -> list[list[int]]:
    ids, mask = padded(prompts, subject, left=True)
    settings = _settings(subject, most, sampled=seed is not None)
    # What a model's own generation_config says of temperature, top_k and the like would make another distribution.
    kept, subject.network.generation_config = subject.network.generation_config, settings
    try:
        whole: Any = subject.network.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    finally:
        subject.network.generation_config = kept
    rows: list[list[int]] = whole[:, ids.shape[1] :].tolist()
    return rows


def _settings(subject: Subject, most: int, *, sampled: bool) -> GenerationConfig:
    from transformers import GenerationConfig

    choice: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if sampled else {}
    make: Any = GenerationConfig
    settings: GenerationConfig = make(
        max_new_tokens=most,
        eos_token_id=sorted(subject.model.stop_ids) or None,
        pad_token_id=subject.model.pad_id or 0,
        **choice,
    )
    return settings


def _answer(subject: Subject, ids: Sequence[int]) -> Answer:
    stop = next((place for place, number in enumerate(ids) if number in subject.model.stop_ids), None)
    mine = tuple(ids if stop is None else ids[: stop + 1])
    return Answer(mine, subject.model.tokenizer.decode(list(mine), skip_special_tokens=True), stop is not None)
