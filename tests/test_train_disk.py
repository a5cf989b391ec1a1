"""A full disk while a run is trained: exit 4, what was whole stays whole, and with room again it ends as if nothing was."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mask_rows import plain_rows
from train_commands import make_project, train

pytest.importorskip("trl", reason="trl is not installed")

import torch

from datakit.files import size_of
from train.checkpoints import checkpoints_of, faults_of, last_whole
from train.runs import TIMINGS, Run, list_runs


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"), plain_rows(24))


@pytest.fixture(scope="module")
def unbroken(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that always had room."""
    runs = tmp_path_factory.mktemp("runs")
    assert train(project, "sft", train__runs=runs) == 0
    return only(runs)


def only(runs: Path) -> Run:
    """The one run of a folder."""
    ((run,), faults) = list_runs(runs)
    assert not faults
    return run


def outcome(run: Run) -> dict[str, Any]:
    """All that must not depend on whether there was always room."""
    assert run.status == "done"
    logged = [
        {name: value for name, value in row.items() if not name.endswith(TIMINGS)}
        for row in run.history()
        if "train_loss" not in row  # the trainer's last words, of which a part is how long it took
    ]
    weights = (run.model / "model.safetensors").read_bytes()
    return {"loss": run.fields["metrics"]["loss"], "logged": logged, "weights": weights}


def test_a_disk_that_is_really_full(
    project: Path, unbroken: Run, small_disk: Callable[[int], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Room for two checkpoints and a part of the third."""
    runs = small_disk(int(2.5 * max(map(size_of, checkpoints_of(unbroken)))))
    assert train(project, "sft", train__runs=runs) == 4
    said = capfd.readouterr().err
    assert ("disk is full" in said or "No space left" in said) and "Make room" in said
    run = only(runs)
    newest, *earlier = checkpoints_of(run)
    assert faults_of(newest), "it is torn, and can be told"
    assert earlier and not any(map(faults_of, earlier)) and last_whole(run) == earlier[0]

    small_disk(64 << 20)
    assert train(project, "sft", train__runs=runs) == 0
    assert outcome(only(runs)) == outcome(unbroken), "the same run has gone on, to the same end"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of its own of so many bytes; asked again, it gets another size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def size(wanted: int) -> Path:
        nonlocal mounted
        options = f"size={wanted}" + (",remount" if mounted else "")
        try:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
            )
        except FileNotFoundError:
            pytest.skip("there is no mount on this machine")
        if done.returncode:
            pytest.skip(f"only who may mount can have a disk that is really full: {done.stderr.strip()}")
        mounted = True
        return folder

    yield size
    if mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def in_checkpoint(path: Any, name: str) -> bool:
    return Path(path).name == name and Path(path).parent.name == "checkpoint-8"


MOMENTS: dict[str, tuple[Any, str, Callable[..., bool]]] = {
    "optimiser": (torch, "save", lambda value, path, *_: in_checkpoint(path, "optimizer.pt")),
    "seal": (Path, "replace", lambda path, target: in_checkpoint(target, "manifest.json")),
    "verdicts": (Path, "replace", lambda path, target: in_checkpoint(target, "verdicts.json")),
    "model": (shutil, "copyfile", lambda source, target, **_: Path(target).parent.name == ".model.part"),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
def test_a_disk_that_fills_up_while_something_is_written(
    moment: str,
    project: Path,
    unbroken: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    room, name, when = MOMENTS[moment]
    write, full = getattr(room, name), []

    def written(*arguments: Any, **named: Any) -> Any:
        if when(*arguments, **named):
            full.append(moment)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(room, name, written)
        assert train(project, "sft", train__runs=tmp_path / "runs") == 4
    assert full
    said = capfd.readouterr().err
    assert "No space left on device" in said and "Make room" in said
    run = only(tmp_path / "runs")
    assert run.status == "failed" and not run.model.exists()
    whole = last_whole(run)
    assert whole is not None and whole.name == {"model": "checkpoint-18", "verdicts": "checkpoint-8"}.get(
        moment, "checkpoint-4"
    )

    assert train(project, "sft", train__runs=tmp_path / "runs") == 0
    assert outcome(only(tmp_path / "runs")) == outcome(unbroken), "the same run has gone on, to the same end"
