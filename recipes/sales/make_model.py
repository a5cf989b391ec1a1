"""Make a tiny model to train: python recipes/sales/make_model.py models/sales. Needs torch and transformers.

0.3 million weights drawn by a seed, under the tokenizer and the template of model/. It knows nothing: it shows what the
commands of training do within seconds on a CPU, and it takes the place of a real model such as Qwen2.5-7B-Instruct.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

_HERE = Path(__file__).resolve().parent
_SEED = 7


def make(folder: Path) -> None:
    """Write weights, configuration and tokenizer into a folder."""
    tokenizer = AutoTokenizer.from_pretrained(_HERE / "model")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(_SEED)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    for path in (_HERE / "model").iterdir():
        shutil.copyfile(path, folder / path.name)
    print(json.dumps({"model": str(folder), "parameters": model.num_parameters()}))  # noqa: T201


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "models/sales"))
