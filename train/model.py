"""Models from saved folders and back. Stages hand folders to each other, never live objects.

A folder holds whole weights (`config.json`, `model.safetensors` …) or an adapter (`adapter_config.json`), and beside
them the tokenizer. An adapter names its base by path; what the base's weights were is written beside it (`base.json`),
so that an adapter is never laid on others.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from datakit.errors import InputError, MissingInput
from datakit.files import disk_faults, write_whole
from datakit.template.model import training_extra
from train.heads import read_head
from train.quiet import quiet

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

Task = Literal["causal", "reward"]
Adaptation = Literal["full", "lora", "qlora"]

ADAPTER: Final = "adapter_config.json"
BASE: Final = "base.json"
_WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin")
_LOOKS: Final = 64  # pieces of a weight file that its fingerprint reads, spread evenly
_PIECE: Final = 1 << 16
# What a tokenizer may consist of. It is copied, not saved anew: the proof is about these very files.
_TOKENIZER: Final = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "tokenizer.model", "vocab.json", "merges.txt", "generation_config.json",
)  # fmt: skip


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and not whole weights."""
    return (folder / ADAPTER).is_file()


def check_model(folder: Path) -> None:
    """Make sure that a folder holds a model that can be loaded, without loading it.

    Raises:
        MissingInput: the folder, or the base of its adapter, is not there.
        InputError: there are no weights, or they are cut short; or the adapter was trained on another base than the one
            that is there.
    """
    if not folder.is_dir():
        raise MissingInput(
            str(folder), "no such model", "a folder with config.json and weights", "Download it first: hf download NAME"
        )
    if is_adapter(folder):
        base_of(folder)
    elif not (folder / "config.json").is_file():
        raise InputError(str(folder), "no config.json", "a model in the layout of transformers", "Check model.base")
    elif not _weight_files(folder):
        raise InputError(
            str(folder), "a tokenizer, but no weights", "model.safetensors", "Download the whole model, or train one"
        )
    for path in _weight_files(folder):
        if path.suffix == ".safetensors":
            read_head(path)


def base_of(adapter: Path) -> Path:
    """The folder of the weights that an adapter was trained on; they are compared with what they were then.

    Raises:
        MissingInput: it is not there.
        InputError: it holds other weights now.
    """
    base = Path(_read(adapter / ADAPTER).get("base_model_name_or_path") or "")
    if not base.is_dir():
        raise MissingInput(
            str(adapter), f"its base {base} is not there", "the model that the adapter was trained on", "Restore it"
        )
    check_model(base)
    known = _read(adapter / BASE).get("weights") if (adapter / BASE).is_file() else None
    if known is not None and known != fingerprint(base):
        raise InputError(
            str(adapter),
            f"trained on other weights than those of {base}",
            f"weights with the fingerprint {known}",
            "Restore the base, or train the adapter again",
        )
    return base


def context_length(folder: Path) -> int | None:
    """Positions that a model was made for, by its configuration; None where it says none."""
    config = _read((base_of(folder) if is_adapter(folder) else folder) / "config.json")
    found = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    return int(found) if found else None


def fingerprint(folder: Path) -> str:
    """32 hex digits over the weights of a folder; of an adapter, over its own and its base's.

    Size and 64 evenly spread pieces of every file are read: training moves every weight, and 15 GB need not be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in _weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            for look in range(_LOOKS):
                file.seek(max(0, size - _PIECE) * look // (_LOOKS - 1))
                digest.update(file.read(_PIECE))
    if is_adapter(folder):
        digest.update(fingerprint(base_of(folder)).encode())
    return digest.hexdigest()


def load(
    folder: Path,
    *,
    task: Task = "causal",
    dtype: str = "float32",
    quantised: bool = False,
    attention: str | None = None,
) -> PreTrainedModel:
    """A model from its folder; an adapter comes merged into its base.

    Args:
        folder: whole weights or an adapter.
        task: causal predicts tokens; reward gives a sequence one score.
        dtype: of the weights, as torch names it.
        quantised: load whole weights in 4 bits (bitsandbytes, nf4), as QLoRA trains on them.
        attention: transformers' name of the implementation; its own choice where None.

    Raises:
        MissingInput, InputError: as `check_model`.
        MissingExtra: torch or transformers is not installed; bitsandbytes, where it is needed.
    """
    check_model(folder)
    if not is_adapter(folder):
        return _weights(folder, task, dtype, quantised, attention)
    with training_extra("loading an adapter"):
        from peft import PeftModel
    base = _weights(base_of(folder), task, dtype, attention=attention)
    with quiet():
        merged = PeftModel.from_pretrained(base, str(folder)).merge_and_unload()
    merged.config._name_or_path = str(folder)  # the base's name stands here still, and trainers reload what is named
    loaded: PreTrainedModel = merged
    return loaded


def _weights(
    folder: Path, task: Task, dtype: str, quantised: bool = False, attention: str | None = None
) -> PreTrainedModel:
    with training_extra("training"):
        import torch
        import transformers
    kind = transformers.AutoModelForCausalLM if task == "causal" else transformers.AutoModelForSequenceClassification
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
    if task == "reward":
        options["num_labels"] = 1
    if attention is not None:
        options["attn_implementation"] = attention
    if quantised:
        options |= {
            "quantization_config": _four_bits(dtype),
            "device_map": {"": 0 if torch.cuda.is_available() else "cpu"},
        }
    try:
        with quiet():
            model: PreTrainedModel = kind.from_pretrained(str(folder), **options)
    except (OSError, ValueError, KeyError, ImportError) as error:  # ImportError: an attention that is not installed
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else repr(error)
        raise InputError(str(folder), f"cannot be loaded ({first})", "a model of transformers") from None
    return model


def _four_bits(dtype: str) -> Any:
    """nf4 with double quantisation, as the QLoRA paper (arXiv 2305.14314, section 3) has it."""
    with training_extra("QLoRA"):
        import bitsandbytes  # noqa: F401
        import torch
        from transformers import BitsAndBytesConfig
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def lora_config(settings: Mapping[str, Any], task: Task) -> LoraConfig:
    """LoRA's configuration from a plan's `lora_…` settings; a reward model's new head is trained whole."""
    with training_extra("LoRA"):
        from peft import LoraConfig
    targets = settings["lora_target_modules"]
    return LoraConfig(
        r=settings["lora_r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=settings["lora_dropout"],
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM" if task == "causal" else "SEQ_CLS",
        modules_to_save=["score"] if task == "reward" else None,
    )


def merge_into(folder: Path, target: Path, task: Task, tokenizer: Path | None = None) -> Path:
    """A folder of whole weights to start from: the folder itself, or its adapter merged into its base and saved.

    Args:
        folder: whole weights or an adapter.
        target: where they are saved.
        task: of the model.
        tokenizer: the folder whose tokenizer goes with the weights; with it, whole weights are saved in `target` too.
    """
    if not is_adapter(folder) and tokenizer is None:
        return folder
    if not target.is_dir():
        aside = target.with_name(f".{target.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        with disk_faults(target):
            load(folder, task=task).save_pretrained(str(aside))
            copy_tokenizer(tokenizer or folder, aside)
            aside.rename(target)
    return target


def finish_model(target: Path, start: Path, template: str) -> None:
    """Make saved weights a model that can be used: tokenizer, the template that was trained, and an adapter's base.

    Args:
        target: where the trainer saved.
        start: the folder that training started from; whole weights.
        template: the chat template in force; empty where there is none.
    """
    with disk_faults(target):
        copy_tokenizer(start, target)
        if template:
            write_whole(target / "chat_template.jinja", template)
        if is_adapter(target):
            write_whole(target / BASE, orjson.dumps({"weights": fingerprint(start)}).decode() + "\n")


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the files of a tokenizer, byte for byte."""
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _weight_files(folder: Path) -> list[Path]:
    names = ("adapter_model.safetensors",) if is_adapter(folder) else _WEIGHTS
    return sorted(path for name in names for path in folder.glob(name))


def _read(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(str(path), f"cannot be read ({error})", "a JSON object") from None
    if not isinstance(value, dict):
        raise InputError(str(path), "is no JSON object")
    return value
