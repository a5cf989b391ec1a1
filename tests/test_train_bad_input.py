"""What `datakit train` is given and cannot train on: its exit code, and words that name the place and the cure."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mask_rows import plain_rows
from tiny_weights import tiny_weights
from train_commands import make_project, train
from train_rows import pairs, texts

pytest.importorskip("trl", reason="trl is not installed")

from train.runs import list_runs

ROWS = {"cpt": texts, "sft": plain_rows, "reward": pairs, "dpo": pairs}
KINDS = {"cpt": "text", "sft": "messages", "reward": "preference", "dpo": "preference"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, plain_rows(24))


def refused(
    capfd: pytest.CaptureFixture[str],
    code: int,
    words: tuple[str, ...],
    project: Path,
    stage: str = "sft",
    *options: str,
    **sets: Any,
) -> None:
    """Nothing is trained, the exit code is this one, and one line says these words."""
    capfd.readouterr()
    assert train(project, stage, *options, **sets) == code
    told = capfd.readouterr()
    last = told.err.splitlines()[-1]
    assert last.startswith("datakit: ") and told.out == ""
    for word in words:
        assert word in last
    assert list_runs(project / "runs") == ([], [])


def cut_weights(project: Path) -> None:
    path = project / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def torn_weights(project: Path) -> None:
    path = project / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def bad_config(project: Path) -> None:
    (project / "model" / "config.json").write_text("{")


def no_config(project: Path) -> None:
    (project / "model" / "config.json").unlink()


def no_weights(project: Path) -> None:
    (project / "model" / "model.safetensors").unlink()


def no_tokenizer(project: Path) -> None:
    (project / "model" / "tokenizer.json").unlink()


def no_template(project: Path) -> None:
    shutil.rmtree(project / "model")
    shutil.copytree(tiny_weights("plain"), project / "model")


def no_model(project: Path) -> None:
    shutil.rmtree(project / "model")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (no_model, ("no such model", "hf download")),
        (no_config, ("no config.json", "Check model.base")),
        (no_weights, ("a tokenizer, but no weights", "model.safetensors")),
        (cut_weights, ("model.safetensors", "cannot be read", "Restore the model's folder")),
        (torn_weights, ("model.safetensors", "cut short", "Restore the model's folder")),
        (bad_config, ("config.json", "is no JSON")),
        (no_tokenizer, ("tokenizer.json",)),
        (no_template, ("no chat template", "chat_template.jinja", "model.template")),
    ],
)
def test_a_model_that_cannot_be_trained(
    harm: Callable[[Path], None], words: tuple[str, ...], project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    harm(project)
    refused(capfd, 2, ("model", *words), project)


def test_texts_need_no_template(tmp_path: Path) -> None:
    project = make_project(tmp_path, texts(24))
    no_template(project)
    assert train(project, "cpt") in (0, 1), "a gate may say no to so little; it was trained"
    ((run,), _) = list_runs(project / "runs")
    assert run.status == "done"


def test_an_adapter_on_another_base(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(project, "sft", train__sft__adaptation="lora", train__runs=project / "made") == 0
    ((made,), _) = list_runs(project / "made")
    adapter = made.model / "adapter_model.safetensors"
    whole = adapter.read_bytes()
    adapter.write_bytes(whole[:-100])
    refused(capfd, 2, (adapter.name, "cut short"), project, train__sft__model=made.path)
    adapter.write_bytes(whole)
    other = tiny_weights(seed=2) / "model.safetensors"
    shutil.copyfile(other, project / "model" / "model.safetensors")
    words = (str(made.model), "trained on other weights than those of", "Restore the base")
    refused(capfd, 2, words, project, train__sft__model=made.path)
    no_model(project)
    refused(capfd, 2, ("its base", "is not there"), project, train__sft__model=made.path)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [(stage, kind) for stage in KINDS for kind in ("text", "messages", "preference") if KINDS[stage] != kind],
)
def test_rows_of_the_wrong_kind(stage: str, kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = {"text": texts, "messages": plain_rows, "preference": pairs}[kind]
    project = make_project(tmp_path, rows(8))
    words = (f"no row of kind {KINDS[stage]} (it holds 8 {kind})", "Choose another dataset, or another stage")
    refused(capfd, 2, words, project, stage)
    refused(capfd, 2, words, project, stage, "--dry-run")


@pytest.mark.parametrize("stage", list(ROWS))
def test_a_version_without_rows(stage: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from datakit.cleaning.clean import clean

    (project / "raw" / "rows.jsonl").write_text('{"text": "a"}\n')
    assert clean(project / "raw", project / "empty").rows["kept"] == 0
    words = ("empty@", f"no row of kind {KINDS[stage]} (it holds none)")
    refused(capfd, 2, words, project, stage, data__output=project / "empty")


def raw_folder(project: Path) -> str:
    return str(project / "raw")


def raw_file(project: Path) -> str:
    return str(project / "raw" / "rows.jsonl")


def nothing_there(project: Path) -> str:
    return str(project / "elsewhere")


@pytest.mark.parametrize("place", [raw_folder, raw_file, nothing_there])
def test_what_is_no_version(place: Callable[[Path], str], project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = place(project)
    refused(capfd, 2, (found, "datakit clean"), project, data__output=found)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("stage", list(ROWS))
def test_a_flipped_bit_in_a_part(stage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, ROWS[stage](8))
    (part,) = (project / "clean").glob("*/data/*.parquet")
    flip(part)
    refused(capfd, 1, (part.name,), project, stage)


@pytest.mark.parametrize("name", ["ledger.parquet", "data/*.parquet"])
def test_a_part_that_is_gone(name: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (part,) = (project / "clean").glob(f"*/{name}")
    part.unlink()
    refused(capfd, 1, (part.name,), project)


def test_a_flipped_bit_in_a_proof(project: Path) -> None:
    """It is told by its checksum, and the proof is made anew of the version; what was flipped is never trained on."""
    assert train(project, "sft", train__runs=project / "made") == 0
    (part,) = (project / "clean").glob("*/proofs/*/data/*.parquet")
    sound = part.read_bytes()
    flip(part)
    assert train(project, "sft", train__runs=project / "again") == 0
    assert part.read_bytes() == sound
    losses = [list_runs(project / name)[0][0].fields["metrics"]["loss"] for name in ("made", "again")]
    assert losses[0] == losses[1]
