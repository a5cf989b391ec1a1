"""A run goes on only as it was begun; and what a QLoRA run measures is what its adapter is merged into."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mask_rows import plain_rows, version_of
from tiny_models import TEMPLATES
from tiny_weights import quiet, tiny_weights
from train_rows import mixed_version, recipe_of

pytest.importorskip("trl", reason="trl is not installed")

import train.job
from datakit.errors import UsageFault
from datakit.progress import Silent
from datakit.versions.store import Version
from train.callbacks import Watcher
from train.checkpoints import checkpoints_of, step_of
from train.model import load
from train.run import train as train_stage
from train.runs import Run

Tables = dict[str, Any]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def begun(version: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose only run was interrupted behind its second checkpoint."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(tiny_weights(), folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        saved = Watcher.on_save

        def interrupted(self: Watcher, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            saved(self, args, state, control, **kwargs)
            if state.global_step >= 6:
                raise KeyboardInterrupt

        patch.setattr(Watcher, "on_save", interrupted)
        with quiet(), pytest.raises(KeyboardInterrupt):
            go_on(version, folder)
    return folder


def go_on(version: Version, folder: Path, *, fork: bool = False, progress: Any = None, **tables: Any) -> Any:
    table = {"adaptation": "full", **tables.pop("table", {})}
    recipe = recipe_of(version, folder, base=folder / "base", train={"sft": table}, **tables)
    path = folder / "tiny.toml"
    return train_stage("sft", recipe, recipe_path=path, fork=fork, progress=progress or Silent())


def other_rows(folder: Path, patch: pytest.MonkeyPatch) -> Tables:
    return {"version": version_of(plain_rows(25), folder / "other")}


def other_library(folder: Path, patch: pytest.MonkeyPatch) -> Tables:
    real = train.job.library_version
    patch.setattr(train.job, "library_version", lambda name: "9.9.9" if name == "trl" else real(name))
    return {}


def other_template(folder: Path, patch: pytest.MonkeyPatch) -> Tables:
    (folder / "other.jinja").write_text(TEMPLATES["default_system"], encoding="utf-8")
    return {"model": {"base": str(folder / "base"), "template": str(folder / "other.jinja")}}


def other_base(folder: Path, patch: pytest.MonkeyPatch) -> Tables:
    shutil.copyfile(tiny_weights(seed=2) / "model.safetensors", folder / "base" / "model.safetensors")
    return {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda *_: {"table": {"learning_rate": 2e-2}}, "recipe.learning_rate was 0.01, is 0.02"),
        (lambda *_: {"table": {"trl": {"weight_decay": 0.1}}}, "recipe.weight_decay was None, is 0.1"),
        (lambda *_: {"table": {"adaptation": "lora"}}, "recipe.adaptation was full, is lora"),
        (lambda *_: {"table": {"seed": 7}}, "seed was 42, is 7"),
        (lambda *_: {"table": {"holdout": 0.3}}, "recipe.holdout was 0.1, is 0.3"),
        (lambda *_: {"masks": {"train_on": "last"}}, "proof was "),
        (other_rows, "dataset was "),
        (other_library, "libraries.trl was 1.16"),
        (other_template, "template was "),
        (other_base, "base was "),
    ],
)
def test_a_run_does_not_go_on_as_another(
    change: Callable[[Path, pytest.MonkeyPatch], Tables],
    said: str,
    version: Version,
    begun: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    tables = change(folder, monkeypatch)
    with quiet(), pytest.raises(UsageFault) as refused:
        go_on(tables.pop("version", version), folder, **tables)
    assert said in str(refused.value) and "--fork" in refused.value.cure
    assert len(list((folder / "runs").iterdir())) == 1, "nothing was begun"


def test_a_fork_begins_a_child_and_says_what_was_changed(version: Version, begun: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    with quiet():
        child = go_on(version, folder, fork=True, table={"learning_rate": 2e-2})
    parent = Run.open(child.run).fields["parent"]
    assert parent["changed"] == [["recipe.learning_rate", 0.01, 0.02]]
    assert parent["checkpoint"] == "checkpoint-8"


def test_a_torn_newest_checkpoint_is_named_and_passed_over(version: Version, begun: Path, tmp_path: Path) -> None:
    class Heard(Silent):
        words: list[str] = []  # noqa: RUF012

        def notice(self, text: str) -> None:
            self.words.append(text)

    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    with quiet():
        whole = go_on(version, folder)
        torn = tmp_path / "torn"
        shutil.copytree(begun, torn)
        (run,) = map(Run.open, (torn / "runs").iterdir())
        newest = checkpoints_of(run)[0]
        weights = newest / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        resumed = go_on(version, torn, progress=Heard())
    assert any(newest.name in words for words in Heard.words) and step_of(newest) == 8
    assert resumed.run.name == run.name and resumed.metrics == whole.metrics
    same = (folder / "model" / "model.safetensors" for folder in (whole.run, resumed.run))
    assert len({path.read_bytes() for path in same}) == 1


def test_an_adapter_on_four_bits_is_measured_as_it_is_merged(version: Version, tmp_path: Path) -> None:
    """Trained on rounded weights, measured and handed on over whole ones: the two differ by less than was learnt."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes, which 4-bit weights need, is not installed")
    import torch
    from peft import PeftModel

    base = tiny_weights(width=64)
    recipe = recipe_of(version, tmp_path, base=base, train={"sft": {"adaptation": "qlora"}})
    with quiet():
        result = train_stage("sft", recipe, recipe_path=tmp_path / "tiny.toml")
        merged, plain = load(result.model), load(base)  # type: ignore[arg-type]
        trained = PeftModel.from_pretrained(load(base, quantised=True), str(result.model))
        ids = torch.arange(40).reshape(1, -1)
        with torch.no_grad():
            on_four, on_all, before = (model.eval()(input_ids=ids).logits.float() for model in (trained, merged, plain))
    rounded, learnt = (on_four - on_all).abs().mean(), (on_all - before).abs().mean()
    assert 0 < rounded < 0.5 * learnt
    record = Run.open(result.run).fields  # type: ignore[arg-type]
    assert record["facts"]["recipe"]["adaptation"] == "qlora"
