"""A plan: everything a stage will be trained with, each value with where it is from, and what that will take.

It is made of manifests, lengths and the head of the model's files, without torch or TRL. Training reads its values
here and nowhere else, so what `--dry-run` shows is what will be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl

from datakit.gates import Gate, Stage, Verdict, judge
from datakit.masks.proofs import Proof
from datakit.recipe.brief import updates_a_year
from datakit.recipe.gates import gate_of
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version
from train.defaults import Adaptation
from train.estimate import Load, memory, seconds
from train.holdout import held_out
from train.machine import Machine, machine_at_hand
from train.settings import Setting, settings_of
from train.sizes import Sizes, read_sizes
from train.stages import STAGES


@dataclass(frozen=True)
class Rows:
    """The rows of a stage, counted before anything is loaded.

    Attributes:
        given: rows of the version; trained: of them, in one epoch; held_out: kept back; left_out: by the proof.
        tokens: of the rows that are trained, all sequences of a pair counted; None where no proof has counted them.
        longest: tokens of the longest sequence among them; None likewise.
        lengths: of the longest sequence of every trained row, in ascending order; empty likewise.
        sequences: that a row becomes: 2 of a pair.
    """

    given: int
    trained: int
    held_out: int
    left_out: int
    tokens: int | None
    longest: int | None
    lengths: pl.Series = field(default_factory=pl.Series, repr=False, compare=False)
    sequences: int = 1

    def padded(self, at_once: int) -> float:
        """Tokens of an epoch with the padding of batches of so many rows, drawn at random: its expected value.

        Of n rows in ascending order the i-th is the longest of k draws with a chance of (i/n)^k - ((i-1)/n)^k.
        """
        shares = pl.Series(range(len(self.lengths) + 1), dtype=pl.Float64) / max(1, len(self.lengths))
        longest = (shares.pow(at_once).diff().tail(-1) * self.lengths).sum()
        return float(self.sequences * len(self.lengths) * longest)

    def to_json(self) -> dict[str, int]:
        """As JSON types."""
        return {"in": self.given, "trained": self.trained, "held_out": self.held_out, "left_out": self.left_out}


@dataclass(frozen=True)
class Plan:
    """What a stage will be trained with, and what that will take.

    Attributes:
        start: the folder that training starts from, where it is known.
        memory: bytes by part on one device at the height of a step; empty where the model's weights are not there.
        machine: what trains; seconds: how long it may take, None where that cannot be told.
        gate: the criteria in force; entry: today's verdicts on those before training.
    """

    stage: Stage
    adaptation: Adaptation
    start: Path | None
    settings: tuple[Setting, ...]
    rows: Rows
    steps: int
    memory: dict[str, int]
    machine: Machine
    seconds: float | None
    gate: Gate
    entry: tuple[Verdict, ...]

    @property
    def values(self) -> dict[str, Any]:
        """Name to value of every setting."""
        return {setting.name: setting.value for setting in self.settings}

    def to_json(self) -> dict[str, Any]:
        """As JSON types; what is judged while and after training is unknown as yet."""
        return {
            "stage": self.stage,
            "adaptation": self.adaptation,
            "start": str(self.start) if self.start is not None else None,
            "rows": self.rows.to_json(),
            "tokens": self.rows.tokens,
            "steps": self.steps,
            "settings": [{"name": s.name, "value": s.value, "source": s.source, "why": s.why} for s in self.settings],
            "memory": {**self.memory, "all": sum(self.memory.values())} if self.memory else None,
            "machine": self.machine.name,
            "seconds": self.seconds,
            "gates": {
                "entry": [verdict.to_json() for verdict in self.entry],
                "rollback": [verdict.to_json() for verdict in judge(self.gate.rollback, {})],
                "exit": [verdict.to_json() for verdict in judge(self.gate.exit, {})],
            },
        }


def make_plan(
    stage: Stage,
    recipe: Recipe,
    version: Version,
    proof: Proof | None = None,
    *,
    start: Path | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, float | None] | None = None,
) -> Plan:
    """The plan of a stage.

    Args:
        stage: which.
        recipe: its tables, `overrides` laid over them already.
        version: the rows.
        proof: of the version for the stage; None while there is none: tokens are unknown then.
        start: the folder of the model that training starts from.
        overrides: the texts of `--set`, to tell what they decided from what the recipe's file did.
        values: further measures for the entry gate, such as how far pairs are apart.

    Raises:
        RecipeError: the batch cannot be divided as asked.
        InputError: a file of the model's folder is broken.
    """
    table = recipe.train.of(stage)
    rows = count_rows(stage, version, proof, table.holdout)
    chosen = frozenset(text.partition("=")[0].strip() for text in overrides)
    settings = settings_of(stage, recipe, proof, rows.longest, chosen)
    plain = {setting.name: setting.value for setting in settings}
    steps = _steps(plain, rows, recipe.launch.processes)
    epochs = steps / max(1, _steps_an_epoch(plain, rows, recipe.launch.processes))
    sizes = read_sizes(start) if start is not None and start.is_dir() else None
    machine = machine_at_hand()
    load = _load(stage, table.adaptation, plain, rows)
    gate = gate_of(stage, recipe.gates, recipe.brief)
    measured = {**_measures(stage, recipe, version, proof, rows), **(values or {})}
    return Plan(
        stage=stage,
        adaptation=table.adaptation,
        start=start,
        settings=settings,
        rows=rows,
        steps=steps,
        memory=memory(sizes, load, gpu=machine.gpu) if sizes is not None and load is not None else {},
        machine=machine,
        seconds=_time(sizes, load, machine, _processed(plain, rows, epochs), steps * _passes(plain)),
        gate=gate,
        entry=tuple(judge(gate.entry, measured, recipe.gates.strict)),
    )


def count_rows(stage: Stage, version: Version, proof: Proof | None, holdout: float) -> Rows:
    """The rows of a stage by what becomes of them, read from the proof; from the version where there is none."""
    row = STAGES[stage]
    given = version.manifest.counts.kinds.get(row.kind, 0)
    proved = proof.data_files(row.kind) if proof is not None else []
    files = proved or version.data_files(row.kind)
    if not files:
        return Rows(given, 0, 0, given, None, None)
    frame = pl.scan_parquet(files)
    kept_back = held_out(holdout)
    counts = frame.select(left=pl.len(), held=kept_back.sum()).collect().row(0, named=True)
    tokens, longest, lengths = None, None, pl.Series(dtype=pl.UInt32)
    if proved:
        sequences = [pl.sum_horizontal(pl.col(name).list.len() for name in names) for names in row.sequences]
        sizes = frame.filter(~kept_back).select(all=pl.sum_horizontal(sequences), longest=pl.max_horizontal(sequences))
        found = sizes.collect().sort("longest")
        lengths = found["longest"]
        tokens = int(found["all"].sum())
        longest = int(lengths[-1]) if len(lengths) else None
    left, held = counts["left"], counts["held"]
    return Rows(given, left - held, held, given - left, tokens, longest, lengths, len(row.sequences))


def _steps(values: Mapping[str, Any], rows: Rows, processes: int) -> int:
    """Optimiser steps of the whole run, as transformers counts them."""
    most = int(values.get("max_steps") or 0)
    return most if most > 0 else ceil(float(values["num_train_epochs"]) * _steps_an_epoch(values, rows, processes))


def _steps_an_epoch(values: Mapping[str, Any], rows: Rows, processes: int) -> int:
    sequences = rows.trained
    if values.get("packing", "none") != "none" and rows.tokens is not None:
        sequences = ceil(rows.tokens / values["max_length"])
    batches = ceil(sequences / (int(values["per_device_train_batch_size"]) * processes))
    return ceil(batches / int(values["gradient_accumulation_steps"]))


def _passes(values: Mapping[str, Any]) -> int:
    """Passes of the model that are one step."""
    return int(values["gradient_accumulation_steps"])


def _processed(values: Mapping[str, Any], rows: Rows, epochs: float) -> int | None:
    """Tokens that the model will have seen at the end, padding included; packs have none."""
    if rows.tokens is None:
        return None
    packed = values.get("packing", "none") != "none"
    return ceil(epochs * (rows.tokens if packed else rows.padded(int(values["per_device_train_batch_size"]))))


def _load(stage: Stage, adaptation: Adaptation, values: Mapping[str, Any], rows: Rows) -> Load | None:
    """What a step works on; None while the rows' lengths are unknown."""
    packed = values.get("packing", "none") != "none"
    length = values["max_length"] if packed else rows.longest
    if length is None:
        return None
    row = STAGES[stage]
    referenced = row.reference and not values.get("precompute_ref_log_probs")
    return Load(
        adaptation=adaptation,
        rank=values.get("lora_r", 0),
        sequences=values["per_device_train_batch_size"] * len(row.sequences),
        length=length,
        reference=referenced and adaptation == "full",
        compared=referenced,
        checkpointing=bool(values.get("gradient_checkpointing")),
        scored=row.task == "reward",
    )


def _time(sizes: Sizes | None, load: Load | None, machine: Machine, tokens: int | None, passes: int) -> float | None:
    if sizes is None or load is None or tokens is None:
        return None
    return seconds(sizes, load, machine, tokens=tokens, passes=passes)


def _measures(
    stage: Stage, recipe: Recipe, version: Version, proof: Proof | None, rows: Rows
) -> dict[str, float | None]:
    """What a version and its proof say about entering a stage."""
    values: dict[str, float | None] = {
        "rows": float(rows.given - rows.left_out),
        "proof_passed": None if proof is None else float(proof.passed),
    }
    if stage == "cpt":
        values["text_gb"] = _bytes(version.data_files("text")) / 1e9
        values["updates_a_year"] = updates_a_year(recipe.brief.knowledge)
    return values


def _bytes(files: Iterable[Path]) -> int:
    """UTF-8 bytes of all texts."""
    sizes = (pl.scan_parquet(file).select(pl.col("text").str.len_bytes().sum()).collect().item() for file in files)
    return sum(sizes)
