"""Checkpoints: torn ones are told from whole ones, and a killed run ends where an unbroken one does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datakit.errors import DataVerdict, UsageFault
from datakit.gates import Criterion, judge
from datakit.progress import Silent
from train.checkpoints import faults_of, last_passing, last_whole, restore, seal, set_verdicts, take_up
from train.runs import Run

# peft 0.x asks a transformers 5 model by the old name of a property.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

FACTS = {"recipe": {"learning_rate": 2e-5, "数据": "甲"}, "dataset": "3f2a", "libraries": {"trl": "1.16.0"}}
PASSED = judge([Criterion("kl_token", "<=", 1.0)], {"kl_token": 0.2})
FAILED = judge([Criterion("kl_token", "<=", 1.0)], {"kl_token": 1.2})


class Heard(Silent):
    def __init__(self) -> None:
        self.words: list[str] = []

    def notice(self, text: str) -> None:
        self.words.append(text)


def checkpoint(run: Run, step: int, *, sealed: bool = True) -> Path:
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json", "config.json"):
        (folder / name).write_bytes(f"{name} {step} 权重".encode() * 50)
    if sealed:
        seal(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.start(tmp_path / "runs", "sft", "sales", FACTS)
    run.finish("interrupted")
    return run


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-3])


def flip(folder: Path) -> None:
    path = folder / "optimizer.pt"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


DAMAGES = {
    "weights cut": cut("model.safetensors"),
    "optimiser cut": cut("optimizer.pt"),
    "one bit": flip,
    "no trainer_state": lambda folder: (folder / "trainer_state.json").unlink(),
    "no seal": lambda folder: (folder / "manifest.json").unlink(),
    "seal cut": cut("manifest.json"),
    "nothing in it": empty,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_torn_newest_checkpoint_falls_back_to_the_last_whole_one(run: Run, damage: Callable[[Path], None]) -> None:
    whole, torn = checkpoint(run, 9), checkpoint(run, 10)
    assert last_whole(run) == torn
    damage(torn)
    heard = Heard()
    taken = take_up(run.path.parent, "sft", "sales", FACTS, progress=heard)
    assert (taken.how, taken.checkpoint, taken.run.path) == ("resumed", whole, run.path)
    assert not torn.exists(), "its files would mix with those of the checkpoint that is written there next"
    assert len(heard.words) == 1 and "checkpoint-10" in heard.words[0]


def test_steps_are_numbers_and_not_words(run: Run) -> None:
    checkpoint(run, 9)
    newest = checkpoint(run, 100)
    assert last_whole(run) == newest


def test_without_a_whole_checkpoint_the_run_begins_again(run: Run) -> None:
    torn = checkpoint(run, 5, sealed=False)
    run.log({"step": 1, "loss": 2.0})
    taken = take_up(run.path.parent, "sft", "sales", FACTS)
    assert (taken.how, taken.checkpoint, taken.run.path) == ("new", None, run.path)
    assert not torn.exists() and taken.run.history() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipe": {"learning_rate": 1e-5, "数据": "甲"}}, "recipe.learning_rate was 2e-05, is 1e-05"),
        ({"recipe": {"learning_rate": 2e-5, "数据": "乙"}}, "recipe.数据 was 甲, is 乙"),
        ({"dataset": "99ff"}, "dataset was 3f2a, is 99ff"),
        ({"libraries": {"trl": "1.17.0"}}, "libraries.trl was 1.16.0, is 1.17.0"),
        ({"template": "new"}, "template was None, is new"),
    ],
)
def test_a_run_does_not_go_on_with_other_facts(run: Run, changed: dict[str, Any], said: str) -> None:
    kept = checkpoint(run, 5)
    with pytest.raises(UsageFault) as refused:
        take_up(run.path.parent, "sft", "sales", FACTS | changed)
    assert said in str(refused.value) and "--fork" in refused.value.cure and "step 5" in refused.value.found
    child = take_up(run.path.parent, "sft", "sales", FACTS | changed, fork=True)
    assert (child.how, child.checkpoint) == ("forked", kept)
    assert child.run.path != run.path
    assert child.run.fields["parent"]["run"] == run.name and child.run.fields["parent"]["checkpoint"] == "checkpoint-5"
    assert [name for name, *_ in child.run.fields["parent"]["changed"]] == [said.split()[0]]


def test_other_facts_start_anew_where_there_is_nothing_to_lose(run: Run) -> None:
    taken = take_up(run.path.parent, "sft", "sales", FACTS | {"dataset": "99ff"})
    assert taken.how == "new" and taken.run.path != run.path


@pytest.mark.parametrize("status", ["done", "stopped"])
def test_a_finished_run_is_left_alone(run: Run, status: str) -> None:
    checkpoint(run, 5)
    run.finish(status)
    assert take_up(run.path.parent, "sft", "sales", FACTS).run.path != run.path


def test_runs_of_another_recipe_or_stage_are_left_alone(run: Run) -> None:
    checkpoint(run, 5)
    assert take_up(run.path.parent, "dpo", "sales", FACTS).how == "new"
    assert take_up(run.path.parent, "sft", "support", FACTS).how == "new"
    assert take_up(run.path.parent, "sft", "sales", FACTS, resume=False).run.path != run.path


def test_nothing_to_fork_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="no checkpoint"):
        take_up(tmp_path, "sft", "sales", FACTS, fork=True)


def test_a_run_that_is_going_on_is_not_taken(run: Run) -> None:
    checkpoint(run, 5)
    with run.held(), pytest.raises(UsageFault, match="going on"):
        take_up(run.path.parent, "sft", "sales", FACTS)


def test_the_last_passing_checkpoint_is_restored(run: Run, tmp_path: Path) -> None:
    for step, verdicts in ((5, PASSED), (10, PASSED), (15, FAILED)):
        set_verdicts(checkpoint(run, step), verdicts)
    flip(run.checkpoints / "checkpoint-10")
    assert last_passing(run) == run.checkpoints / "checkpoint-5"
    target = tmp_path / "model"
    target.mkdir()
    (target / "left.bin").write_text("of a run before")
    assert restore(run, target).name == "checkpoint-5"
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "model.safetensors"]
    assert faults_of(run.checkpoints / "checkpoint-5") == []


def test_where_no_checkpoint_passed_that_is_said(run: Run, tmp_path: Path) -> None:
    set_verdicts(checkpoint(run, 5), FAILED)
    with pytest.raises(DataVerdict, match="no checkpoint passed"):
        restore(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from training_runs import train_on

    run: Run = train_on(tmp_path_factory.mktemp("unbroken"))
    return run


def weights_of(run: Run) -> bytes:
    return (run.checkpoints / "checkpoint-16" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(("step", "moment", "resumed_at"), [(10, "step", 8), (12, "save", 8), (3, "step", None)])
def test_a_killed_run_ends_where_an_unbroken_one_does(
    unbroken: Run, tmp_path: Path, step: int, moment: str, resumed_at: int | None
) -> None:
    from training_runs import train_on

    script = Path(__file__).with_name("training_runs.py")
    killed = subprocess.run([sys.executable, script, tmp_path, str(step), moment], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr[-2000:]
    [record] = tmp_path.glob("*/record.json")
    left = Run.open(record.parent)
    assert left.status == "killed"
    found = last_whole(left)
    assert (int(found.name.split("-")[1]) if found else None) == resumed_at
    run = train_on(tmp_path)
    assert run.path == left.path and run.status == "done"
    assert weights_of(run) == weights_of(unbroken)
    assert run.history()[-2]["loss"] == unbroken.history()[-2]["loss"]
    assert [row["step"] for row in run.history()] == [row["step"] for row in unbroken.history()]
