"""Packing end to end: dialogues only where documents are kept apart, texts cut and none of them lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from mask_rows import plain_rows, version_of
from tiny_weights import quiet
from train_rows import mixed_version, recipe_of
from transformers import AutoTokenizer

pytest.importorskip("trl", reason="trl is not installed")

from datakit.errors import DatakitError, DataVerdict, InputError
from datakit.masks.packing import keeps_apart
from datakit.progress import Silent
from datakit.versions.store import Version
from train import data
from train.config import make_config
from train.job import Job, prepare
from train.run import train
from train.runs import Run
from train.start import Ingredients

HERE = ["eager", "sdpa"]
"""What keeps packed rows apart on a CPU: flex_attention and the flash ones need a GPU, or a package of their own."""


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_of(plain_rows(16), tmp_path_factory.mktemp("data"))


def packed(version: Version, folder: Path, **masks: Any) -> Any:
    """One step on all rows at once, packed as told, without an adapter's dropout; the run that made it."""
    table = {
        "adaptation": "full",
        "holdout": 0.0,
        "batch": 16,
        "trl": {"max_steps": 1, "per_device_train_batch_size": 16},
    }
    recipe = recipe_of(version, folder, train={"sft": table}, masks=masks)
    result = train("sft", recipe, recipe_path=folder / "tiny.toml")
    assert result.run is not None and result.rows.trained == 16
    return next(row for row in Run.open(result.run).history() if "loss" in row)


@pytest.mark.parametrize("attention", HERE)
def test_packed_dialogues_have_the_loss_of_rows_alone(attention: str, version: Version, tmp_path: Path) -> None:
    """The mean over the same tokens is the same only where no row sees another and positions begin anew with each."""
    alone = packed(version, tmp_path / "alone", max_length=128)
    together = packed(version, tmp_path / "together", max_length=128, packing="bfd", attention=attention)
    assert together["num_tokens"] == alone["num_tokens"], "no token is lost, and none is padding"
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert together["grad_norm"] == pytest.approx(alone["grad_norm"], rel=1e-3)


def test_rows_that_see_each_other_would_show(version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: without the borders the loss is another."""
    from transformers import masking_utils

    alone = packed(version, tmp_path / "alone", max_length=128)
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda position_ids: None)
    together = packed(version, tmp_path / "together", max_length=128, packing="bfd", attention="sdpa")
    assert together["loss"] != pytest.approx(alone["loss"], rel=1e-5)


@pytest.mark.parametrize(
    "masks",
    [{"packing": "bfd"}, {"packing": "bfd", "attention": "xformers"}, {"packing": "wrapped", "attention": "sdpa"}],
)
def test_dialogues_are_not_packed_where_they_would_see_each_other(
    masks: dict[str, Any], version: Version, tmp_path: Path
) -> None:
    with pytest.raises(DataVerdict, match=r"M17 \(packed rows see each other\)"):
        packed(version, tmp_path, max_length=128, **masks)
    with pytest.raises(DataVerdict, match="M17"):  # of no row would the labels be right: that cannot be allowed
        recipe = recipe_of(version, tmp_path, masks={"max_length": 128, **masks})
        train("sft", recipe, recipe_path=tmp_path / "tiny.toml", allow_unproved=True)


def test_an_attention_that_is_not_installed_is_said(version: Version, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    try:
        import flash_attn  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("flash_attn is installed")
    with pytest.raises(InputError, match=r"cannot be loaded \(FlashAttention2"):
        packed(version, tmp_path, max_length=128, packing="bfd", attention="flash_attention_2")


def trainer_of(stage: Any, version: Version, folder: Path, **masks: Any) -> tuple[Job, Any]:
    recipe = recipe_of(version, folder, train={stage: {"holdout": 0.0}}, masks=masks)
    job = prepare(stage, recipe, folder / "tiny.toml", Silent(), False, ())
    with quiet():
        parts = Ingredients(
            job.start.folder, "full", job.settings, make_config(stage, job.settings, folder, evaluated=False),
            AutoTokenizer.from_pretrained(job.start.folder), data.dataset(job.rows.rows, job.row), None, (), "float32",
            data.settings_of(job.recipe, job.row).masks.attention or None,
        )  # fmt: skip
        return job, job.row.build(parts)


@pytest.mark.parametrize("length", [16, 64, 512])
def test_texts_are_cut_and_packed_and_every_token_is_trained_once(length: int, tmp_path: Path) -> None:
    """bfd_split: the packs hold the tokens of all texts, piece by piece in their order, and the trainer is given them."""
    version = mixed_version(tmp_path, 24)
    job, trainer = trainer_of("cpt", version, tmp_path, max_length=length)
    assert job.settings["packing"] == "bfd_split" and trainer.args.packing and trainer.padding_free
    assert keeps_apart("bfd_split", trainer.model.config._attn_implementation)
    given = job.rows.rows["input_ids"].to_list()
    packs = trainer.train_dataset
    assert max(map(len, packs["input_ids"])) <= length
    pieces = []
    for ids, lengths in zip(packs["input_ids"], packs["seq_lengths"], strict=True):
        assert sum(lengths) == len(ids)
        start = 0
        for size in lengths:
            pieces.append(tuple(ids[start : start + size]))
            start += size
    cut = [tuple(ids[start : start + length]) for ids in given for start in range(0, len(ids), length)]
    assert sorted(pieces) == sorted(cut)
    assert [ids for ids in packs["labels"]] == [ids for ids in packs["input_ids"]], "of a text every token is trained"
    assert len(packs) == math.ceil(sum(map(len, given)) / length) or len(packs) > 1


def test_a_run_on_packed_texts_counts_every_row(tmp_path: Path) -> None:
    version = mixed_version(tmp_path, 24)
    recipe = recipe_of(version, tmp_path, train={"cpt": {"epochs": 1}}, masks={"max_length": 32})
    result = train("cpt", recipe, recipe_path=tmp_path / "tiny.toml")
    rows = result.rows
    assert rows.given == 24 == rows.trained + sum(rows.left_out.values()) and rows.left_out.keys() == {"held_out"}


def test_a_trainer_that_loses_a_token_is_stopped(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl.trainer.sft_trainer as theirs

    whole = theirs.pack_dataset
    monkeypatch.setattr(theirs, "pack_dataset", lambda rows, *rest: whole(rows.select(range(len(rows) - 1)), *rest))
    with pytest.raises((AssertionError, DatakitError), match="proved tokens the trainer holds"):
        trainer_of("sft", version, tmp_path, max_length=128, packing="bfd", attention="sdpa")
