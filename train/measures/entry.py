"""What gates ask of the data before a stage starts: no model is needed, and nothing heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from datakit.gates import Stage
from datakit.recipe.recipe import Recipe
from datakit.recipe.train import KtoSettings
from datakit.versions.store import Version
from train.measures.distance import divergence, pair_distance
from train.measures.evaluation import Evaluation, Value
from train.measures.files import read_records
from train.stages import STAGES

_MOST_GOOD: Final = 4 / 3

Turns = Sequence[Mapping[str, Any]]


def entry_values(stage: Stage, recipe: Recipe, version: Version) -> Evaluation:
    """The metrics of a stage's entry gate that are measured on texts.

    cpt: `term_distance` of the version's texts from `evaluate.general`; None where no general text is named.
    Stages of pairs: `pair_distance` of chosen and rejected answers. Stages that align: `prompt_divergence` of the rows'
    prompts from what users say in the version's dialogues; None where it has too few of either. kto: `imbalance`.
    """
    if stage == "cpt":
        return Evaluation({"term_distance": _term_distance(recipe, version)})
    if stage == "sft":
        return Evaluation({})
    trained, values = STAGES[stage], {}
    rows = _rows(version, trained.kind)
    if trained.kind == "preference":
        pairs = [(_said(row["chosen"], "assistant"), _said(row["rejected"], "assistant")) for row in rows]
        values["pair_distance"] = Value(pair_distance(pairs), len(pairs))
    if trained.kind == "unpaired":
        values["imbalance"] = Value(_imbalance([row["label"] for row in rows], recipe.train.kto), len(rows))
    if trained.task == "causal":
        asked = [_said(row["prompt"], "user") for row in rows]
        taught = [_said(row["messages"], "user") for row in _rows(version, "messages")]
        values["prompt_divergence"] = Value(divergence(asked, taught), len(asked))
    return Evaluation(values)


def _imbalance(labels: Sequence[bool], settings: KtoSettings) -> float | None:
    """How far the weight of good answers by that of bad ones is from the 1 to 4/3 that KTO asks for; 1 is its edge.

    Ethayarajh et al., arXiv 2402.01306, section 4.2: desirable_weight x good by undesirable_weight x bad.
    """
    good = sum(labels) * (settings.desirable_weight or 1.0)
    bad = (len(labels) - sum(labels)) * (settings.undesirable_weight or 1.0)
    return max(bad / good, good / bad / _MOST_GOOD) if good and bad else None


def _term_distance(recipe: Recipe, version: Version) -> Value:
    texts = [row["text"] for row in _rows(version, "text")]
    if not recipe.evaluate.general:
        return Value(None, len(texts))
    general = [row["text"] for row in read_records(recipe.evaluate.general, "text", "text")]
    return Value(divergence(texts, general), len(texts))


def _rows(version: Version, kind: str) -> list[dict[str, Any]]:
    return list(version.frame(kind).iter_rows(named=True)) if version.data_files(kind) else []


def _said(turns: Turns, role: str) -> str:
    """What a role says in a conversation, turn by turn."""
    return "\n".join(_contents(turns, role))


def _contents(turns: Turns, role: str) -> Iterator[str]:
    return (turn["content"] for turn in turns if turn["role"] == role and turn["content"])
