"""Every value that a stage is trained with: the recipe's where it has one, else the default, each with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from datakit.errors import RecipeError
from datakit.gates import Stage
from datakit.masks.proofs import Proof
from datakit.recipe.recipe import Recipe
from datakit.recipe.train import LORA_NAMES, TRL_NAMES, StageSettings
from datakit.records import Kind
from train.defaults import ALPHA, MICRO_BATCH, RANK, Default, Source, batch_of, defaults
from train.stages import STAGES

_OURS: Final = {theirs: name for name, theirs in {**TRL_NAMES, **LORA_NAMES}.items()}
_UNTOLD: Final = Default(1024, "datakit", "tokens of a pack while no proof says how long texts are")
_ALONE: Final = Default("none", "datakit", "a row stands alone unless masks.packing says how")
_CUT: Final = Default("bfd_split", "datakit", "the one of TRL's ways that cuts texts and loses none")


@dataclass(frozen=True)
class Setting:
    """One value that a stage is trained with, under TRL's name; LoRA's begin with `lora_`.

    Attributes:
        source: guide, datakit, data, recipe or --set.
        why: the range or reason behind a default; empty for what somebody chose.
    """

    name: str
    value: Any
    source: Source
    why: str = ""


def settings_of(
    stage: Stage, recipe: Recipe, proof: Proof | None, longest: int | None, chosen: frozenset[str]
) -> tuple[Setting, ...]:
    """Every setting of a stage, in the order it is shown; what stands under [train.STAGE.trl] wins.

    Args:
        stage: which.
        recipe: its tables.
        proof: says what length its rows were held to; None while there is none.
        longest: tokens of the longest row, where it is known.
        chosen: keys that `--set` decided.

    Raises:
        RecipeError: the batch cannot be divided as asked.
    """
    teller = _Teller(stage, recipe.train.of(stage), chosen)
    table = teller.table
    every = [
        *(teller.setting(name, default) for name, default in defaults(stage, table.adaptation)),
        *(_of_adapter(teller) if table.adaptation != "full" else ()),
        *_batches(teller, recipe.launch.processes),
        *_lengths(teller, recipe, proof, longest),
        *(teller.said(name, value, f"train.{stage}.trl.{name}") for name, value in table.trl.items()),
    ]
    return tuple({setting.name: setting for setting in every}.values())


@dataclass(frozen=True)
class _Teller:
    """Tells where the values of one table are from."""

    stage: Stage
    table: StageSettings
    chosen: frozenset[str]

    def said(self, name: str, value: Any, key: str) -> Setting:
        """A value that the recipe or `--set` gives."""
        return Setting(name, value, "--set" if key in self.chosen else "recipe")

    def setting(self, name: str, default: Default) -> Setting:
        """The table's value, or else the default."""
        ours = _OURS.get(name, name)
        if ours not in self.table.model_fields_set or getattr(self.table, ours) is None:
            return Setting(name, *default)
        return self.said(name, getattr(self.table, ours), f"train.{self.stage}.{ours}")


def _of_adapter(teller: _Teller) -> Iterator[Setting]:
    rank = teller.setting("lora_r", RANK)
    yield rank
    yield teller.setting("lora_alpha", ALPHA._replace(value=ALPHA.value * rank.value))


def _batches(teller: _Teller, processes: int) -> Iterator[Setting]:
    """Rows at once on a device, and how many such are one step.

    Raises:
        RecipeError: the batch is no multiple of the rows that are looked at together.
    """
    trl, asked = teller.table.trl, teller.table.batch
    batch = batch_of(teller.stage)
    whole = asked or batch.value
    if "per_device_train_batch_size" in trl:
        at_once = int(trl["per_device_train_batch_size"])
    else:  # the largest that divides a batch evenly
        share = max(1, whole // processes)
        at_once = next(size for size in range(min(MICRO_BATCH.value, share), 0, -1) if share % size == 0)
    together = at_once * processes
    if asked is not None and "gradient_accumulation_steps" not in trl and asked % together:
        raise RecipeError(
            f"train.{teller.stage}.batch",
            f"{asked} rows a step cannot be divided by {at_once} at once on {processes} processes",
            f"a multiple of {together}",
            "Change batch, launch.processes or per_device_train_batch_size",
        )
    sizes = {"per_device_train_batch_size": MICRO_BATCH, "gradient_accumulation_steps": batch}
    for (name, default), size in zip(sizes.items(), (at_once, max(1, whole // together)), strict=True):
        if asked is None:
            yield Setting(name, *default._replace(value=size))
        else:
            yield teller.said(name, size, f"train.{teller.stage}.batch")


def _held_to(proof: Proof, kind: Kind) -> int | None:
    """Tokens that a row of a kind may have; of packed rows, those of a pack."""
    packs = proof.manifest.packs.get(kind)
    return packs.length if packs is not None else proof.manifest.max_length.get(kind)


def _lengths(teller: _Teller, recipe: Recipe, proof: Proof | None, longest: int | None) -> Iterator[Setting]:
    """The length that rows are held to, how texts and dialogues are packed into it, and the seed."""
    row = STAGES[teller.stage]
    asked = recipe.masks.max_length
    if isinstance(asked, int):
        length = teller.said("max_length", asked, "masks.max_length")
    else:
        held = _held_to(proof, row.kind) if proof is not None else None
        why = "what 99 of 100 rows keep to" if asked == "p99" else "the longest row"
        length = Setting("max_length", held or longest, "data", why)
    if "input_ids" in row.columns:
        packing = Setting("packing", *(_CUT if teller.stage == "cpt" else _ALONE))
        if recipe.masks.packing != "none":
            packing = teller.said("packing", recipe.masks.packing, "masks.packing")
        if packing.value != "none" and length.value is None:
            length = Setting("max_length", *_UNTOLD)
        yield packing
    yield length
    yield teller.setting("seed", Default(teller.table.seed, "datakit", "of everything random"))
