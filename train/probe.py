"""One step on the longest batch before the first: what would go wrong after hours goes wrong at once.

Nothing of the step stays: no weight moves, random numbers go on from where they were, and nothing is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datakit.errors import DataVerdict, Surroundings

if TYPE_CHECKING:
    from transformers import Trainer

_EVEN: Final = 1e-2
"""Margins of a policy that is its own reference, in nats times beta: bf16 rounds both alike."""
_OPTIMISER: Final = 8  # bytes a trained weight: AdamW's two moments in float32


def probe(trainer: Trainer, *, even: bool) -> None:
    """Run forward and backward on the longest rows, as many as a batch has.

    Args:
        trainer: built, not yet started.
        even: whether there is a reference, which policy must still equal before the first step.

    Raises:
        Surroundings: memory does not suffice.
        DataVerdict: the loss is no number; or policy and reference differ before a step was made.
    """
    import torch

    # TRL's trainers keep what they will log under one of these names; the older ones under the second.
    metrics: dict[str, Any] = getattr(trainer, "_metrics", getattr(trainer, "_stored_metrics", {"train": {}}))["train"]
    tokens = getattr(trainer, "_total_train_tokens", None)
    try:
        with torch.random.fork_rng():
            loss = _step(trainer)
        margins = metrics.get("rewards/margins", [0.0])
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _too_much(trainer, str(error)) from None
    finally:
        metrics.clear()
        if tokens is not None:
            trainer._total_train_tokens = tokens
        trainer.model.zero_grad(set_to_none=True)
    if loss != loss:
        raise DataVerdict(
            "the first batch", "its loss is NaN", "a number", "Look at the model's weights, and at bf16 or fp16"
        )
    if even and abs(margins[-1]) > _EVEN:
        raise DataVerdict(
            "the first batch",
            f"policy and reference differ by a margin of {margins[-1]:.3g} before the first step",
            "a margin of 0",
            "The reference is another model than the one that training starts from: load both from one folder",
        )


def _step(trainer: Trainer) -> float:
    import torch

    rows = trainer.train_dataset
    lengths = [_length(row) for row in rows]
    longest = sorted(range(len(rows)), key=lambda place: -lengths[place])[: trainer.args.per_device_train_batch_size]
    model = trainer.model
    model.train()
    inputs = trainer._prepare_inputs(trainer.data_collator([rows[place] for place in longest]))
    with trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(model, inputs)
    loss.backward()
    if torch.cuda.is_available():
        _check_room(trainer)
    return float(loss.detach())


def _length(row: dict[str, Any]) -> int:
    """Tokens of a row: the sum of a pair's sides, and its prompt with each."""
    if "input_ids" in row:
        return len(row["input_ids"])
    ends = [row[name] for name in ("chosen_ids", "rejected_ids", "completion_ids") if name in row]
    return sum(len(end) + len(row.get("prompt_ids", ())) for end in ends)


def _check_room(trainer: Trainer) -> None:
    """Whether the optimiser's state, which comes with the first step, still finds room on the GPU."""
    import torch

    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()[1]
    state = _OPTIMISER * sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    if peak + state > total:
        raise _too_much(trainer, f"{(peak + state) / 1e9:.1f} GB with the optimiser, of {total / 1e9:.1f} GB")


def _too_much(trainer: Trainer, words: str) -> Surroundings:
    first = words.splitlines()[0] if words else "out of memory"
    size = trainer.args.per_device_train_batch_size
    advice = (
        f"Set per_device_train_batch_size below {size} and gradient_accumulation_steps above "
        f"{trainer.args.gradient_accumulation_steps}"
        if size > 1
        else 'Set gradient_checkpointing = true, a smaller masks.max_length, or adaptation = "lora" or "qlora"'
    )
    return Surroundings("the longest batch", f"memory does not suffice ({first})", cure=advice)
