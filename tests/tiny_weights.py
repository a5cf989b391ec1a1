"""Tiny models with weights, for tests that train: 0.1 million parameters under the tokenizers of `tiny_models`."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tiny_models import tiny_model


@contextmanager
def quiet() -> Iterator[None]:
    """Training libraries warn of one another; what is ours is tested elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def tiny_weights(family: str = "chatml", template: str | None = None, seed: int = 1, width: int = 32) -> Path:
    """The folder of a tiny model that can be trained; built once a session, to be read only."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    source = tiny_model(family, template)
    folder = Path(tempfile.mkdtemp(prefix="datakit-tiny-weights-")) / source.name
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    shutil.copytree(source, folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    with quiet():
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder
