"""What is trained is what was proved: versions are whole, proofs are found or made, no row is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mask_rows import plain_rows, version_of
from tiny_models import TEMPLATES, copy_of, tiny_model
from train_rows import mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

from datakit.errors import DataVerdict, InputError
from datakit.masks.proofs import read
from datakit.progress import Silent
from datakit.template.model import load_model
from datakit.versions.store import Version
from train import data
from train.evaluate import evaluate
from train.model import base_of, check_model
from train.run import train
from train.runs import Run
from train.stages import STAGES


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


def rows_of(version: Version, stage: Any, folder: Path, holdout: float = 0.0, **tables: Any) -> data.Data:
    recipe = recipe_of(version, folder, **tables)
    row = STAGES[stage]
    proof = data.proof_of(version, load_model(tiny_model()), recipe, row, Silent())
    return data.rows_of(version, proof, row, holdout)


def test_a_proof_is_made_and_committed_where_there_is_none(tmp_path: Path) -> None:
    version = version_of(plain_rows(6), tmp_path)
    assert not (version.path / "proofs").exists()
    rows = rows_of(version, "sft", tmp_path)
    (folder,) = (version.path / "proofs").iterdir()
    proof = read(folder)
    assert proof.passed and proof.frame("messages")["labels"].to_list() == rows.rows["labels"].to_list()
    written = (folder / "manifest.json").stat().st_mtime_ns
    rows_of(version, "sft", tmp_path)
    assert (folder / "manifest.json").stat().st_mtime_ns == written, "the second time it is found"


def test_proofs_of_two_stages_in_one_process_are_not_mixed_up(version: Version, tmp_path: Path) -> None:
    assert rows_of(version, "sft", tmp_path).rows.columns[3:] == ["input_ids", "labels"]
    assert rows_of(version, "dpo", tmp_path).rows.columns[3:] == ["prompt_ids", "chosen_ids", "rejected_ids"]
    assert rows_of(version, "reward", tmp_path).rows.columns[3:] == ["chosen_ids", "rejected_ids"]
    assert rows_of(version, "cpt", tmp_path).accounts.given == 24


def test_rows_that_the_proof_leaves_out_are_counted_by_their_code(tmp_path: Path) -> None:
    rows = plain_rows(30)
    rows[3]["messages"].append({"role": "user", "content": "多少？"})
    rows[4]["messages"] = rows[4]["messages"][:1]  # nothing to train
    rows[5]["messages"][1]["content"] = "很长。" * 200
    found = rows_of(version_of(rows, tmp_path), "sft", tmp_path, 0.2, masks={"max_left_out": 0.5, "max_length": 100})
    accounts = found.accounts
    assert accounts.given == 30 == accounts.trained + sum(accounts.left_out.values())
    assert accounts.left_out.keys() >= {"held_out", "M16"} and "not_proved" not in accounts.left_out
    assert len(found.held) == accounts.left_out["held_out"]
    assert not set(found.held["id"]) & set(found.rows["id"])


def test_what_is_held_out_depends_on_the_row_alone(version: Version, tmp_path: Path) -> None:
    few, many = (set(rows_of(version, "sft", tmp_path, share).held["id"]) for share in (0.1, 0.3))
    assert few and few < many


def test_a_proof_that_does_not_pass_ends_it(tmp_path: Path) -> None:
    rows = plain_rows(10)
    for row in rows[:5]:
        row["messages"] = row["messages"][:1]
    version = version_of(rows, tmp_path)
    recipe = recipe_of(version, tmp_path)
    with pytest.raises(DataVerdict, match=r"5 of 10 rows are left out.*--allow-unproved"):
        train("sft", recipe, recipe_path=tmp_path / "tiny.toml")
    result = train("sft", recipe, recipe_path=tmp_path / "tiny.toml", allow_unproved=True)
    assert result.run is not None and b'"unproved": true' in (result.run / "record.json").read_bytes()
    (verdict,) = [found for found in result.entry if found.criterion.metric == "proof_passed"]
    assert verdict.status == "failed" and not verdict.stops, "it is no secret, and was asked for"
    assert result.rows.trained + result.rows.left_out.get("held_out", 0) == 5
    assert result.model is not None
    found = evaluate(str(result.run), recipe).found.values["ppl"]
    assert found.value is not None, "a run says by itself that it was trained on such rows"
    (result.model / "run.json").unlink()
    bare = copy_of(result.model, tmp_path / "bare")
    with pytest.raises(DataVerdict, match="does not pass"):
        evaluate(str(bare), recipe)
    assert evaluate(str(bare), recipe, allow_unproved=True).found.values["ppl"].value == found.value


def test_wrong_labels_on_every_row_are_never_trained(tmp_path: Path) -> None:
    version = version_of(plain_rows(4), tmp_path)
    from tiny_weights import tiny_weights

    unstopped = copy_of(tiny_weights(), tmp_path / "model", template=TEMPLATES["last_turn_unstopped"])
    recipe = recipe_of(version, tmp_path, base=unstopped)
    for lax in (False, True):
        with pytest.raises(DataVerdict, match="M1"):
            train("sft", recipe, recipe_path=tmp_path / "tiny.toml", allow_unproved=lax)


def test_a_row_longer_than_the_model_is_refused(tmp_path: Path) -> None:
    rows = plain_rows(4)
    rows[0]["messages"][1]["content"] = "很长。" * 600
    version = version_of(rows, tmp_path)
    with pytest.raises(DataVerdict, match=r"512 positions.*masks.max_length = 512"):
        train("sft", recipe_of(version, tmp_path, masks={"max_length": "none"}), recipe_path=tmp_path / "tiny.toml")


def test_an_adapter_on_another_base_is_refused(version: Version, tmp_path: Path) -> None:
    from tiny_weights import tiny_weights

    base = copy_of(tiny_weights(), tmp_path / "base")
    made = train("sft", recipe_of(version, tmp_path, base=base), recipe_path=tmp_path / "tiny.toml").model
    assert made is not None and base_of(made) == base
    (base / "model.safetensors").write_bytes((tiny_weights(seed=2) / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="trained on other weights"):
        check_model(made)
    (base / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        check_model(made)


def test_losses_are_those_of_trl_own_mask(tmp_path: Path) -> None:
    """On rows without findings, ids and labels of the proof train as TRL's `assistant_only_loss` does, bit for bit."""
    import torch
    from tiny_weights import quiet, tiny_weights
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    marked = tiny_weights("chatml", "marked")
    version = version_of(plain_rows(12), tmp_path)
    recipe = recipe_of(version, tmp_path, base=marked, train={"sft": {"adaptation": "full", "holdout": 0.0}})
    result = train("sft", recipe, recipe_path=tmp_path / "tiny.toml")

    assert result.run is not None
    ours = [row["loss"] for row in Run.open(result.run).history() if "loss" in row]
    from datasets import Dataset

    keys = ("role", "content")
    proved = read(next((version.path / "proofs").iterdir())).frame("messages").select("source", "line")
    said = proved.join(version.frame("messages"), on=["source", "line"], how="left", maintain_order="left")["messages"]
    rows = [{"messages": [{key: turn[key] for key in keys} for turn in turns]} for turns in said.to_list()]
    with quiet():
        config = SFTConfig(
            output_dir=str(tmp_path / "bare"), assistant_only_loss=True, learning_rate=1e-2, num_train_epochs=3,
            per_device_train_batch_size=4, lr_scheduler_type="constant", warmup_steps=0.05, logging_steps=1, seed=42,
            use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
            disable_tqdm=True, max_length=None,
        )  # fmt: skip
        torch.manual_seed(0)
        bare = SFTTrainer(
            str(marked),
            config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(marked),
        )
        bare.train()
    theirs = [row["loss"] for row in bare.state.log_history if "loss" in row]
    assert ours == theirs and len(ours) == 9


def test_packed_texts_lose_no_token(version: Version, tmp_path: Path) -> None:
    result = train("cpt", recipe_of(version, tmp_path, masks={"max_length": 32}), recipe_path=tmp_path / "tiny.toml")
    assert result.run is not None
    (proof,) = [
        found for path in (version.path / "proofs").iterdir()
        if (found := read(path)).manifest.settings["masks"].get("packing") == "bfd_split"
        and found.manifest.settings["masks"]["max_length"] == 32
    ]  # fmt: skip
    assert proof.manifest.packs["text"].length == 32
    frame: pl.DataFrame = proof.frame("text")
    assert proof.manifest.packs["text"].tokens == frame["input_ids"].list.len().sum()


def test_margins_of_pairs_are_asked_of_the_reward_model(tmp_path: Path) -> None:
    """The loss is -log sigmoid(chosen - rejected - margin), as Llama 2 (arXiv 2307.09288, section 3.2.2) has it."""
    from train_rows import pairs

    first = {}
    for margin in (None, 2.0):
        rows = [{**row, **({"margin": margin} if number % 2 and margin else {})} for number, row in enumerate(pairs(8))]
        folder = tmp_path / str(margin)
        folder.mkdir()
        trl = {"max_steps": 1, "per_device_train_batch_size": 8}
        table = {"adaptation": "full", "holdout": 0.0, "batch": 8, "trl": trl}
        recipe = recipe_of(version_of(rows, folder), folder, train={"reward": table})
        result = train("reward", recipe, recipe_path=folder / "tiny.toml")
        assert result.run is not None
        first[margin] = next(row for row in Run.open(result.run).history() if "loss" in row)
    assert first[None]["margin"] == pytest.approx(first[2.0]["margin"], abs=1e-6), "the scores are the same"
    assert first[2.0]["loss"] > first[None]["loss"] + 0.3, "of half of the pairs more is asked"


def test_dpo_has_no_use_for_margins(tmp_path: Path) -> None:
    from train_rows import pairs

    found = rows_of(version_of([{**row, "margin": 1.5} for row in pairs(4)], tmp_path), "dpo", tmp_path)
    assert "margin" not in found.rows.columns
