"""Two tiny models for measures: one that knows nothing, and one that learnt a few sentences by heart."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tiny_weights import quiet, tiny_weights

QUESTIONS = [
    ("标准版支持多少用户？", "标准版支持五百个用户。"),
    ("价格是多少？", "一年一万两千元，按席位收费。"),
    ("可以试用吗？", "可以的，试用三十天。"),
    ("What does it cost?", "It is twelve thousand yuan a year."),
    ("How many users?", "The standard edition supports five hundred users."),
]
TEXTS = ["标准版支持五百个用户同时在线。", "试用期是三十天。", "The standard edition supports five hundred users."]
SEED, STEPS, RATE = 7, 200, 1e-2


def chat(question: str, answer: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"


def ignorant() -> Path:
    """A folder of whole weights, drawn by a seed."""
    return tiny_weights("chatml")


@cache
def reward_model() -> Path:
    """The ignorant model with a head that scores a sequence, drawn by a seed."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = _root() / "reward"
    torch.manual_seed(SEED)
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(ignorant(), num_labels=1)
        shutil.copytree(ignorant(), folder)
        model.save_pretrained(folder)
    return folder


@cache
def taught() -> Path:
    """The ignorant model after it learnt `QUESTIONS` and `TEXTS` by heart; whole weights."""
    import torch

    folder = _root() / "taught"
    model, tokenizer = opened(ignorant())
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in [*(chat(*row) for row in QUESTIONS), *TEXTS]]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        loss = model(input_ids=ids, attention_mask=mask, labels=torch.where(mask == 1, ids, -100)).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    shutil.copytree(ignorant(), folder)
    model.save_pretrained(folder)
    return folder


def opened(folder: Path) -> tuple[Any, Any]:
    """Weights and tokenizer of a folder, by transformers alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def perturbed(folder: Path, target: Path, noise: float = 0.5) -> Path:
    """A copy on disk whose every weight has noise on it."""
    import torch

    model, _ = opened(folder)
    torch.manual_seed(SEED)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * weight.std() * noise)
    shutil.copytree(folder, target)
    model.save_pretrained(target)
    return target


@cache
def _root() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="datakit-measured-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
