"""Tiny model folders for tests: byte-level BPE trained on a few sentences, real special tokens, templates of our own.

    >>> folder = tiny_model("chatml")                     # a model folder: tokenizer.json, chat_template.jinja …
    >>> folder = tiny_model("chatml", template="thinking")  # ChatML's tokens under another template

Each folder is built once a session and shared: read it, never write to it (`copy_of` gives one to change).
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

SENTENCES = [
    "请问你们的软件支持多少用户同时在线？标准版支持五百个用户同时在线。",
    "价格是多少？一年一万两千元，按席位收费。您好，可以试用吗？可以的，三十天。",
    "How many users does the software support at the same time? The standard edition supports five hundred users.",
    "What does it cost? It is twelve thousand yuan a year. You are a helpful assistant. Let me think about it first.",
    "system user assistant tool function name arguments city weather Paris 北京 天气 晴 sunny\n\n",
]


@dataclass(frozen=True)
class Family:
    """The special tokens of one family of models, as its own tokenizers name them."""

    special: tuple[str, ...]
    plain: tuple[str, ...] = ()  # added tokens that are not special: markup that the model writes itself
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    adds_bos: bool = False


_THINK = ("<think>", "</think>", "<tool_call>", "</tool_call>")

FAMILIES = {
    "chatml": Family(("<|endoftext|>", "<|im_start|>", "<|im_end|>"), _THINK, None, "<|im_end|>", "<|endoftext|>"),
    "llama3": Family(
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|pad|>"),
        (),
        "<|begin_of_text|>",
        "<|eot_id|>",
        "<|pad|>",
        adds_bos=True,
    ),
    "deepseek": Family(
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>"),
        ("<think>", "</think>"),
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<｜▁pad▁｜>",
    ),
    "gemma": Family(
        ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"), (), "<bos>", "<eos>", "<pad>", adds_bos=True
    ),
    "plain": Family(("<|endoftext|>",), (), "<|endoftext|>", "<|endoftext|>"),
}

_TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
_PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
_EACH = "{% for m in messages %}"
_END = "{% endfor %}"

TEMPLATES = {
    # Sound ones.
    "chatml": _EACH + _TURN + _END + _PROMPT,
    "llama3": (
        "{{ bos_token }}{% for m in messages %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "deepseek": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ '<｜Assistant｜>' + m.content + eos_token }}{% else %}{{ '<｜User｜>' + m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}"
        "{% endif %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim }}"
        "{{ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    ),
    # ChatML with one property changed each.
    "last_turn_unstopped": (
        _EACH + "{{ '<|im_start|>' + m.role + '\\n' + m.content }}{% if not (loop.last and m.role == 'assistant') %}"
        "{{ '<|im_end|>\\n' }}{% endif %}" + _END + _PROMPT
    ),
    "drops_system": _EACH + "{% if m.role != 'system' %}" + _TURN + "{% endif %}" + _END + _PROMPT,
    "default_system": (
        "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are Tiny. 你是小助手。<|im_end|>\\n' }}{% endif %}"
        + _EACH + _TURN + _END + _PROMPT
    ),
    "dated": "{{ '<|im_start|>system\\nToday is ' + strftime_now('%d %b %Y') + '<|im_end|>\\n' }}" + _EACH + _TURN + _END + _PROMPT,
    "strips_thinking": (
        _EACH + "{% if m.role == 'assistant' and not loop.last and '</think>' in m.content %}"
        "{{ '<|im_start|>assistant\\n' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}"
        "{% else %}" + _TURN + "{% endif %}" + _END + _PROMPT
    ),
    "injects_thinking": (
        _EACH + "{% if m.role == 'assistant' and loop.last and '<think>' not in m.content %}"
        "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + m.content + '<|im_end|>\\n' }}"
        "{% else %}" + _TURN + "{% endif %}" + _END
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    ),
    "reasoning": (
        _EACH + "{{ '<|im_start|>' + m.role + '\\n' }}{% if m.reasoning_content %}"
        "{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}{{ m.content + '<|im_end|>\\n' }}" + _END + _PROMPT
    ),
    "alternates": (
        _EACH + "{% if m.role == 'user' and not loop.first and messages[loop.index0 - 1].role == 'user' %}"
        "{{ raise_exception('user follows user') }}{% endif %}" + _TURN + _END + _PROMPT
    ),
    "trims": _EACH + _TURN.replace("m.content", "m.content | trim") + _END + _PROMPT,
    "tools": (
        "{% if tools %}{{ '<|im_start|>system\\n' + tools | tojson + '<|im_end|>\\n' }}{% endif %}"
        + _EACH + "{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') }}{% for call in m.tool_calls or [] %}"
        "{{ '<tool_call>\\n' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson + '\\n</tool_call>' }}"
        "{% endfor %}{{ '<|im_end|>\\n' }}" + _END + _PROMPT
    ),
    "marked": (
        _EACH + "{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{% else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}"
        + _END + _PROMPT
    ),
    "foreign_prompt": (
        _EACH + _TURN + _END + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
    ),
    "not_prefix": _EACH + _TURN + _END + "{% if add_generation_prompt %}" + "{{ '<|im_start|>assistant\\n' }}{% else %}<|endoftext|>{% endif %}",
}  # fmt: skip
"""Name to source. `tools` writes text arguments as JSON text once more: strings are double-encoded, objects are sound."""


def tiny_tokenizer(family: str) -> Any:
    """A fresh fast tokenizer (of the tokenizers library) with a family's special tokens, a few hundred merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokens = FAMILIES[family]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in tokens.special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in tokens.plain])
    if tokens.adds_bos and tokens.bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tokens.bos} $A", special_tokens=[(tokens.bos, tokenizer.token_to_id(tokens.bos))]
        )
    return tokenizer


def tiny_model(family: str = "chatml", template: str | None = None) -> Path:
    """The folder of a tiny model; built once a session.

    Args:
        family: a key of `FAMILIES`.
        template: a key of `TEMPLATES`; by default the sound one of the family, and none for `plain`.
    """
    return _built(family, template if template is not None else family)


def copy_of(folder: Path, target: Path, *, template: str | None = None) -> Path:
    """A copy of a model folder that a test may change, with another template (its source) where one is given."""
    shutil.copytree(folder, target)
    if template is not None:
        (target / "chat_template.jinja").write_text(template, encoding="utf-8")
    return target


@cache
def _root() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="datakit-tiny-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _built(family: str, template: str) -> Path:
    tokens = FAMILIES[family]
    folder = _root() / f"{family}-{template}"
    folder.mkdir()
    tiny_tokenizer(family).save(str(folder / "tokenizer.json"))
    named = {"bos_token": tokens.bos, "eos_token": tokens.eos, "pad_token": tokens.pad}
    config = {
        **{name: text for name, text in named.items() if text is not None},
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps(config))
    if template in TEMPLATES:
        (folder / "chat_template.jinja").write_text(TEMPLATES[template], encoding="utf-8")
    return folder
