"""Make model/tokenizer.json: python recipes/sales/tokenizer.py. Needs the `tokenizers` package.

A byte-level BPE of 3,000 tokens, trained on the good rows alone: small enough to lie in the repository, and enough to
show what `datakit template` and `datakit masks` do. The chat template beside it is written by hand.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

_HERE = Path(__file__).resolve().parent
_WORDS = 3000
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKUP = ("<think>", "</think>", "<tool_call>", "</tool_call>")  # what the model writes itself


def texts() -> Iterator[str]:
    """Every string of the good rows."""
    good = _HERE / "good"
    for path in sorted(good.iterdir()):
        if path.suffix == ".csv":
            with path.open(encoding="gb18030", errors="ignore", newline="") as file:  # Excel's euro sign is none
                yield from (cell for row in csv.reader(file) for cell in row)
        elif path.suffix in (".md", ".txt"):
            yield path.read_text(encoding="utf-8")
        else:
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            rows = json.loads(raw) if path.suffix == ".json" else [json.loads(line) for line in raw.splitlines()]
            yield from _strings(rows)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _strings(inner))
    elif isinstance(value, list):
        yield from (text for inner in value for text in _strings(inner))


def main() -> None:
    """Train, and write the tokenizer's two files."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    added = len(_SPECIAL) + len(_MARKUP)
    trainer = trainers.BpeTrainer(
        vocab_size=_WORDS - added, min_frequency=2, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in _SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in _MARKUP])
    folder = _HERE / "model"
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
