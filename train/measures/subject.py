"""A model under measurement: weights from disk, and the tokenizer and template that they are used with.

Weights are read from a folder every time and never copied in memory: after a TRL trainer a copy answers with the
original's weights, and a KL of it reads 0 (facts of TRL 1.16, trap a: `add_fused_lm_head` closes over `forward`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from datakit.template.model import Model, load_model, training_extra
from datakit.template.render import Renderer
from train.measures.prompts import Prompt
from train.model import Task, load
from train.sizes import read_sizes

_LARGE: Final = 2e9  # weights from which a GPU holds them as bfloat16: KL has three models in memory


@dataclass(frozen=True)
class Subject:
    """Weights, tokenizer and template.

    Attributes:
        path: the folder they came from.
        network: the weights, in evaluation mode.
        model: tokenizer and template.
        arguments: further variables of the template.
    """

    path: Path
    network: Any
    model: Model
    arguments: Mapping[str, Any]

    @property
    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(bool(weight.isfinite().all()) for weight in self.network.parameters())

    def asked(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt as the model sees it at inference, the generation prompt included."""
        text = self._renderer.render(prompt.messages, prompt.tools, generation_prompt=True)
        return self._encode(text)

    def answered(self, prompt: Prompt, answer: str) -> list[int]:
        """Token ids of a prompt with its answer, as a reward model sees both."""
        said = [*prompt.messages, {"role": "assistant", "content": answer}]
        return self._encode(self._renderer.render(said, prompt.tools))

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.model, arguments=self.arguments)

    def _encode(self, text: str) -> list[int]:
        return list(self.model.tokenizer.encode(text, add_special_tokens=False).ids)


def load_subject(
    folder: Path,
    *,
    task: Task = "causal",
    template: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    words: Model | None = None,
) -> Subject:
    """A model read from its folder.

    Args:
        folder: whole weights or an adapter, with tokenizer files.
        task: causal predicts tokens; reward scores sequences.
        template: a Jinja file instead of the folder's own template.
        arguments: further variables of the template.
        words: tokenizer and template, where they are known already.

    Raises:
        MissingInput, InputError: the folder is no model.
        MissingExtra: torch or transformers is not installed.
    """
    with training_extra("measuring a model"):
        import torch
    on_gpu = torch.cuda.is_available()
    network: Any = load(folder, task=task, dtype="bfloat16" if on_gpu and _is_large(folder) else "float32")
    network.to("cuda" if on_gpu else "cpu")
    return Subject(folder, network.eval(), words or load_model(folder, template), arguments or {})


def _is_large(folder: Path) -> bool:
    """By the number of weights, which is the same for a model, its reference and a checkpoint of it."""
    sizes = read_sizes(folder)
    return sizes is not None and sizes.weights > _LARGE
