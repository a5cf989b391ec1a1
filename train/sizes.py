"""How large a model is, read from its folder without loading it: config.json and the heads of its safetensors files."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import orjson

from datakit.errors import InputError
from train.heads import read_head
from train.model import base_of, is_adapter

# Two-dimensional weights that are no linear layer of the body: peft's "all-linear" passes over the output head too.
_NOT_ADAPTED: Final = ("embed", "wte", "wpe", "lm_head", "score", "classifier")


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model.

    Attributes:
        weights: all of them, a tied embedding once.
        linear: inputs and outputs of every linear layer of the body.
        layers, hidden, intermediate, vocabulary: as config.json names them.
    """

    weights: int
    linear: tuple[tuple[int, int], ...]
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int

    @property
    def adapted(self) -> int:
        """Weights of the linear layers of the body."""
        return sum(width * height for width, height in self.linear)

    def adapter(self, rank: int) -> int:
        """Weights of a LoRA adapter on all linear layers."""
        return rank * sum(width + height for width, height in self.linear)


def read_sizes(folder: Path) -> Sizes | None:
    """The sizes of the model in a folder, an adapter's those of its base; None where its weights are not there.

    Raises:
        MissingInput, InputError: an adapter's base is not there or another one; a file of the folder is broken.
    """
    whole = base_of(folder) if is_adapter(folder) else folder
    files = sorted(whole.glob("*.safetensors"))
    if not files or not (whole / "config.json").is_file():
        return None
    config = _json(whole / "config.json")
    config = config.get("text_config", config)
    shapes = {name: entry["shape"] for file in files for name, entry in read_head(file).items()}
    linear = [
        (shape[1], shape[0])
        for name, shape in shapes.items()
        if len(shape) == 2 and not any(word in name for word in _NOT_ADAPTED)
    ]
    hidden = int(_either(config, "hidden_size", "n_embd"))
    return Sizes(
        weights=sum(prod(shape) for shape in shapes.values()),
        linear=tuple(linear),
        layers=int(_either(config, "num_hidden_layers", "n_layer")),
        hidden=hidden,
        intermediate=int(_either(config, "intermediate_size", "n_inner") or 4 * hidden),
        vocabulary=int(config.get("vocab_size") or 0),
    )


def _either(config: dict[str, Any], *names: str) -> Any:
    return next((config[name] for name in names if config.get(name)), 0)


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(str(path), f"cannot be read ({error})", cure="Restore the model's folder") from None
    return value
