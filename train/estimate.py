"""What a run will take: memory by part and time, reckoned from sizes and never measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from train.defaults import Adaptation
from train.machine import Machine
from train.sizes import Sizes

_WIDE: Final = 4  # bytes of a float32
_NARROW: Final = 2  # bytes of a bfloat16
_NF4: Final = 0.516  # bytes: 4 bits and the doubly quantised constants (QLoRA, arXiv 2305.14314, section 3)
_ADAM: Final = 8  # bytes a trained weight: two moments in float32

# What autograd keeps of one token in one layer, in values: inputs of norms and projections, heads and residuals are
# some 10 times the hidden size; gate, up, their product and its factor 4 times the intermediate size. The matrix of
# attention is never kept (sdpa). Counted on Llama and Qwen2, which a test repeats.
_KEPT_HIDDEN: Final = 10
_KEPT_INTERMEDIATE: Final = 4

# TRL 1.16 (trl/kernels/chunked_logprob.py) never holds all logits: a tile is so many tokens by so many of the words.
_TILE: Final = (4096, 32768)
_FOLDED: Final = 8  # tiles at once where torch folds them, as it does on a CPU; 7.5 to 8.3 were measured

# On a CPU what is done value by value costs as much as multiplying, and of small models more: in operations of a
# multiplication, for a value that autograd keeps, and for one logit (softmax, loss, entropy, and all of that backward).
# Fitted to steps of 0.1 to 5.6 million weights under 300 to 12,000 words, which it meets within 1.8 times.
_A_VALUE: Final = 1000
_A_LOGIT: Final = 2000
_A_PASS: Final = 0.02  # seconds of one pass on a CPU, however little is in it


@dataclass(frozen=True)
class Load:
    """What one step on one device works on.

    Attributes:
        adaptation: full, lora or qlora.
        rank: of the adapter; 0 where there is none.
        sequences: at once; a pair is two.
        length: tokens of the longest.
        reference: whether a second model stands beside.
        compared: whether a reference sees every sequence too: a second model, or the one without its adapter.
        checkpointing: whether activations are computed twice instead of kept.
        scored: whether sequences get a score in place of tokens.
    """

    adaptation: Adaptation
    rank: int
    sequences: int
    length: int
    reference: bool = False
    compared: bool = False
    checkpointing: bool = False
    scored: bool = False

    @property
    def tokens(self) -> int:
        """Of one pass, padding included."""
        return self.sequences * self.length


def memory(sizes: Sizes, load: Load, *, gpu: bool) -> dict[str, int]:
    """Bytes by part at the height of a step: weights, reference, gradients, optimiser, activations, logits."""
    width = _NARROW if gpu else _WIDE
    trained = sizes.weights if load.adaptation == "full" else sizes.adapter(load.rank)
    base = {
        "full": _WIDE * sizes.weights,
        "lora": width * sizes.weights + _WIDE * trained,
        "qlora": _NF4 * sizes.adapted + width * (sizes.weights - sizes.adapted) + _WIDE * trained,
    }[load.adaptation]
    parts = {
        "weights": base,
        "reference": _WIDE * sizes.weights if load.reference else 0,
        "gradients": _WIDE * trained,
        "optimiser": _ADAM * trained,
        "activations": _activations(sizes, load, width),
        "logits": 0 if load.scored else _logits(sizes, load, width if gpu else _FOLDED * width),
    }
    return {part: round(size) for part, size in parts.items()}


def _activations(sizes: Sizes, load: Load, width: int) -> int:
    """Of all layers; with checkpointing the inputs of all, and everything of one."""
    layer = width * (_KEPT_HIDDEN * sizes.hidden + _KEPT_INTERMEDIATE * sizes.intermediate)
    if load.adaptation != "full":  # an adapter keeps its own copy of what it reads, in float32
        layer += _WIDE * sum(inputs for inputs, _ in sizes.linear) // max(1, sizes.layers)
    kept = sizes.layers * width * sizes.hidden + layer if load.checkpointing else sizes.layers * layer
    return load.tokens * kept


def _logits(sizes: Sizes, load: Load, width: int) -> int:
    """A tile of so many bytes a logit, and the gradient of the whole head, in float32, where the head is trained."""
    tile = width * min(load.tokens, _TILE[0]) * min(sizes.vocabulary, _TILE[1])
    return tile + (_WIDE * sizes.vocabulary * sizes.hidden if load.adaptation == "full" else 0)


def seconds(sizes: Sizes, load: Load, machine: Machine, *, tokens: int, passes: int) -> float | None:
    """How long `tokens`, padding included, in so many passes take, measures and checkpoints aside.

    A weight costs 2 operations a token forward and 4 backward (arXiv 2001.08361, section 2.1); 2 of these fall away
    where the weight is frozen; a reference and checkpointing are 2 more each. None where the rate is not known.
    """
    if machine.rate is None:
        return None
    operations = 6 if load.adaptation == "full" else 4
    operations += 2 * load.checkpointing + 2 * load.compared
    a_token = float(operations * sizes.weights)
    if machine.gpu:
        return a_token * tokens / machine.rate
    values = sizes.layers * (_KEPT_HIDDEN * sizes.hidden + _KEPT_INTERMEDIATE * sizes.intermediate)
    a_token += operations / 6 * (_A_VALUE * values + _A_LOGIT * sizes.vocabulary * (not load.scored))
    return _A_PASS * passes + a_token * tokens / machine.rate
