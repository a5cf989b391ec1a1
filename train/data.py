"""From a reference to what is trained: a version, every byte of it checked, its proof, and its rows, all accounted for.

rows in = trained + held out + left out by the proof, each with its code
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl
from polars import selectors

from datakit.errors import DataVerdict, NoRows, UsageFault
from datakit.gates import Stage
from datakit.masks.codes import CODES
from datakit.masks.plan import ProofSettings
from datakit.masks.proof import prove
from datakit.masks.proofs import Proof
from datakit.progress import Progress
from datakit.recipe.recipe import Recipe
from datakit.template.model import Model
from datakit.versions.store import Version, open_version, verify
from train.holdout import held_out
from train.stages import StageRow

if TYPE_CHECKING:
    from datasets import Dataset

ATTENTION: Final = "sdpa"
"""What transformers takes where nothing is named; it keeps packed rows apart."""

_KEY: Final = ("source", "line")
_GRAVITY: Final = ("error", "warning", "note")


@dataclass(frozen=True)
class Accounts:
    """Where a stage's rows went; `left_out` is by reason: held_out, or the code of the proof's finding."""

    given: int
    trained: int
    left_out: dict[str, int]

    def to_json(self) -> dict[str, int | dict[str, int]]:
        """As the result names them."""
        return {"in": self.given, "trained": self.trained, "left_out": self.left_out}


@dataclass(frozen=True)
class Data:
    """The rows of a stage: those that are trained and those held out, with the columns of the proof."""

    rows: pl.DataFrame
    held: pl.DataFrame
    accounts: Accounts

    def longest(self, stage: StageRow) -> int:
        """Tokens of the longest sequence that a row makes: itself, or a prompt with one of its sides."""
        lengths = [pl.sum_horizontal(pl.col(*names).list.len()).max() for names in stage.sequences]
        return max(int(frame.select(pl.max_horizontal(lengths)).item() or 0) for frame in (self.rows, self.held))


def reference_of(stage: Stage, recipe: Recipe) -> str:
    """The dataset of a stage.

    Raises:
        UsageFault: the recipe names none.
    """
    reference = recipe.train.of(stage).dataset or recipe.data.output
    if reference is None:
        raise UsageFault(f"datakit train {stage}", "no dataset", f"data.output, or train.{stage}.dataset", "Name one")
    return reference


def open_whole(reference: str, stage: StageRow) -> Version:
    """The version of a reference, every part of it checked.

    Raises:
        UnknownVersion: there is none.
        DataVerdict: a part is missing or was changed; the first is named.
        NoRows: it has no row of the stage's kind.
    """
    version = open_version(reference)
    if faults := verify(version):
        raise faults[0]
    check_kind(version, stage)
    return version


def check_kind(version: Version, stage: StageRow) -> None:
    """Make sure that a version holds rows of the stage's kind.

    Raises:
        NoRows: it holds none.
    """
    if not version.data_files(stage.kind):
        there = ", ".join(f"{count} {kind}" for kind, count in version.manifest.counts.kinds.items() if count)
        raise NoRows(
            version.reference,
            f"no row of kind {stage.kind} (it holds {there or 'none'})",
            f"rows of kind {stage.kind}",
            "Choose another dataset, or another stage",
        )


def settings_of(recipe: Recipe, stage: StageRow) -> ProofSettings:
    """What the stage's proof is made by. For cpt, texts are split and packed unless the recipe says how."""
    masks = recipe.masks
    if stage.proof == "cpt" and masks.packing == "none" and masks.max_length != "none":
        masks = masks.model_copy(update={"packing": "bfd_split", "attention": masks.attention or ATTENTION})
    return ProofSettings(masks, stage.proof, recipe.model.arguments)


def proof_of(
    version: Version, model: Model, recipe: Recipe, stage: StageRow, progress: Progress, *, allow_unproved: bool = False
) -> Proof:
    """The committed proof of a version for the stage; made and committed first where there is none.

    Args:
        version: whose rows are proved.
        model: tokenizer and template.
        recipe: [masks], and the template's arguments.
        stage: whose rows.
        progress: hears of progress.
        allow_unproved: of a proof that fails by the number of rows it leaves out, take the others all the same:
            it comes by other settings, without a bound on that number.

    Raises:
        DataVerdict: it does not pass, or is damaged; or what is wrong holds for all rows, whatever is allowed.
    """
    settings = settings_of(recipe, stage)
    proof = prove(version, model, settings, progress=progress, commit=True)
    if not proof.passed and allow_unproved:
        lax = replace(settings, masks=settings.masks.model_copy(update={"max_left_out": 1.0}))
        proof = prove(version, model, lax, progress=progress, commit=True)
    if not proof.passed:
        raise DataVerdict(
            version.reference,
            f"its proof for {model.name} does not pass{_graver(proof)}",
            "a proof that passes" if not allow_unproved else "labels that are not wrong on every row",
            f"See datakit masks --stage {stage.proof}"
            + ("" if allow_unproved else ", or train the rows that are left with --allow-unproved"),
        )
    return proof


def _graver(proof: Proof) -> str:
    """The gravest findings of a proof, in words, and how many rows it leaves out."""
    manifest = proof.manifest
    codes = [f"{row['code']} ({CODES[row['code']].title})" for row in manifest.findings if row["severity"] == "error"]
    named = f": {', '.join(codes[:3])}" if codes else ""
    return f"{named}; {manifest.left_out} of {manifest.rows} rows are left out"


def rows_of(version: Version, proof: Proof, stage: StageRow, holdout: float) -> Data:
    """The proof's rows of the stage, and what became of every row of the version.

    Args:
        version: whose rows are counted.
        proof: committed; its rows are trained verbatim.
        stage: which kind.
        holdout: share of the rows that are kept back, 0 to 1.

    Raises:
        NoRows: none is left to train.
    """
    whole = version.frame(stage.kind)
    keys = whole.select("id", *_KEY)
    frame = proof.frame(stage.kind).select("id", *_KEY, *stage.columns)
    given = [name for name in stage.given if whole[name].is_not_null().any()]
    if given:  # rows without one train as if nobody had asked for it
        filled = whole.select(*_KEY, *given).with_columns(selectors.float().fill_null(0.0))
        frame = frame.join(filled, on=_KEY, how="left", maintain_order="left")
    kept_back = held_out(holdout)
    rows, held = frame.filter(~kept_back), frame.filter(kept_back)
    left = _reasons(keys.join(frame, on=_KEY, how="anti"), proof)
    if len(held):
        left = {"held_out": len(held), **left}
    if not len(rows):
        raise NoRows(version.reference, "no row is left to train", "rows that the proof leaves in", "datakit masks")
    accounts = Accounts(len(keys), len(rows), left)
    if accounts.given != accounts.trained + sum(left.values()):
        raise AssertionError(f"{accounts.given} rows in are not {accounts.trained} trained + {left}")
    return Data(rows, held, accounts)


def _reasons(lost: pl.DataFrame, proof: Proof) -> dict[str, int]:
    """The gravest finding of each row that the proof does not hold, counted by code."""
    if not len(lost) or proof.path is None:
        return {}
    found = pl.read_parquet(proof.path / "findings.parquet").with_columns(
        pl.col("severity").replace_strict({word: rank for rank, word in enumerate(_GRAVITY)}, default=0).alias("rank")
    )
    # The length is looked at last, and only of rows that nothing else had left out.
    first = found.sort("rank", maintain_order=True).unique(_KEY, keep="first", maintain_order=True)
    counted = lost.join(first, on=_KEY, how="left").with_columns(pl.col("code").fill_null("not_proved"))
    return dict(sorted(counted.group_by("code").len().iter_rows()))


def dataset(frame: pl.DataFrame, stage: StageRow) -> Dataset:
    """Rows as TRL takes them: the stage's columns alone, in their order, and what was given with them."""
    from datasets import Dataset

    given = [name for name in stage.given if name in frame.columns]
    made: Dataset = Dataset.from_polars(frame.select(*stage.columns, *given))
    return made
