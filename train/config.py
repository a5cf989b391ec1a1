"""TRL's configuration of a stage: a plan's settings, checked against the fields that the installed TRL knows.

Any field of TRL's may be set under `[train.STAGE.trl]`, but those that the proof has decided and those that would let
something happen without a word; each of these says where it is decided instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from datakit.errors import RecipeError
from datakit.gates import Stage
from datakit.template.model import training_extra
from train.quiet import quiet
from train.stages import STAGES

_BY_PROOF = "the rows are trained as the proof has them"
_BY_MASKS = "it is found when the rows are proved: set masks.max_length"

DECIDED: Final[Mapping[str, str]] = {
    "output_dir": "every run has a folder of its own",
    "resume_from_checkpoint": "an unfinished run goes on by itself from its last whole checkpoint",
    "logging_nan_inf_filter": "a NaN is never hidden",
    "model_init_kwargs": "the model is loaded by datakit, which TRL would not be told",
    "trust_remote_code": "models are loaded from disk without code of their own",
    "dataset_kwargs": _BY_PROOF,
    "dataset_text_field": _BY_PROOF,
    "assistant_only_loss": _BY_PROOF,
    "completion_only_loss": _BY_PROOF,
    "chat_template_path": "the template in force is the one of the proof: set model.template",
    "eos_token": "the tokenizer in force is the one of the proof",
    "pad_token": "the tokenizer in force is the one of the proof",
    "truncation_mode": _BY_PROOF,
    "max_length": _BY_MASKS,
    "packing": "the proof judges packs: set masks.packing",
    "packing_strategy": "the proof judges packs: set masks.packing",
    "eval_packing": "the proof judges packs: set masks.packing",
    "padding_free": "the proof judges packs: set masks.packing",
    "sync_ref_model": "checkpoints do not hold a reference that moves: a run that was killed would go on with another",
    "remove_unused_columns": "the rows hold the columns that the trainer takes, and no others",
    "max_completion_length": _BY_MASKS,
    "generate_during_eval": "answers are sampled at the exit gate, and stand in the run's page",
    "is_encoder_decoder": "models that predict the next token are trained",
}
"""Field to who decides it."""


def check_keys(stage: Stage, keys: Iterable[str]) -> None:
    """Compare keys of `[train.STAGE.trl]` with the fields of the installed TRL's configuration.

    Raises:
        RecipeError: every key that is unknown or decided elsewhere, together, each with the nearest name.
        MissingExtra: TRL is not installed.
    """
    known = set(field_names(stage))
    faults = [fault for key in keys if (fault := _fault(stage, key, known)) is not None]
    if faults:
        raise RecipeError.of(faults)


def _fault(stage: Stage, key: str, known: set[str]) -> RecipeError | None:
    where = f"train.{stage}.trl.{key}"
    if key in DECIDED:
        return RecipeError(where, "is not set here", cure=DECIDED[key][0].upper() + DECIDED[key][1:])
    if key in known:
        return None
    near = difflib.get_close_matches(key, known - DECIDED.keys(), n=1, cutoff=0.5)
    config = STAGES[stage].config
    return RecipeError(
        where, f"unknown to TRL's {config}", "one of its fields", f"Did you mean '{near[0]}'?" if near else ""
    )


def field_names(stage: Stage) -> list[str]:
    """The fields of the stage's configuration that may be given, in TRL's order."""
    return [field.name for field in fields(_config_class(stage)) if field.init]


def make_config(stage: Stage, settings: Mapping[str, Any], output: Path, *, evaluated: bool) -> Any:
    """TRL's configuration of a stage, on the machine at hand.

    Args:
        stage: which.
        settings: name to value; those that are no field of the configuration (`lora_…`) are passed over.
        output: the folder for checkpoints.
        evaluated: whether rows are held out, on which the loss can be followed.

    Raises:
        RecipeError: TRL refuses a value.
    """
    known = set(field_names(stage))
    given = {**_house(evaluated), **{name: value for name, value in settings.items() if name in known}}
    if "packing" in given:  # the plan names the strategy
        strategy = given.pop("packing")
        given |= {"packing": strategy != "none"} | ({"packing_strategy": strategy} if strategy != "none" else {})
    given |= {"output_dir": str(output), "logging_nan_inf_filter": False, "remove_unused_columns": True}
    try:
        with quiet():
            return _config_class(stage)(**given)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"train.{stage}", f"TRL refuses it: {error}", cure="Change the value that is named") from None


def _house(evaluated: bool) -> dict[str, Any]:
    """What holds where neither guide nor recipe says anything: of the machine, and of the run's own records."""
    import torch

    gpu = torch.cuda.is_available()
    return {
        "use_cpu": not gpu,
        "bf16": gpu and torch.cuda.is_bf16_supported(),
        "dataloader_pin_memory": gpu,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        # Five checkpoints and five evaluations a run; a run that is killed loses a fifth of it at most.
        "save_strategy": "steps",
        "save_steps": 0.2,
        "save_total_limit": 3,
        "eval_strategy": "steps" if evaluated else "no",
        "eval_steps": 0.2,
        "disable_tqdm": True,
        "report_to": "none",
    }


def _config_class(stage: Stage) -> Any:
    with training_extra("training"), quiet():
        place, _, name = STAGES[stage].config.rpartition(".")
        return getattr(import_module(f"trl.{place}" if place else "trl"), name)
