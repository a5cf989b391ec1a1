"""kill -9 at any step of any stage, run again: the same losses, the same weights, the same measures, bit for bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from killed_stages import MOMENTS, Death
from tiny_weights import quiet, tiny_weights
from train_rows import mixed_version

pytest.importorskip("trl", reason="trl is not installed")

from datakit.versions.store import Version
from train.runs import TIMINGS, Run

# Named in every failure: DATAKIT_KILL_SEED=… lets the same runs die at the same places again.
SEED = int(os.environ.get("DATAKIT_KILL_SEED") or time.time_ns() % 10**6)
STEPS = 15
WAYS = [
    ("cpt", "full"), ("cpt", "lora"), ("sft", "full"), ("sft", "lora"), ("sft", "qlora"), ("reward", "full"),
    ("reward", "lora"), ("reward", "qlora"), ("dpo", "full"), ("dpo", "lora"), ("dpo", "qlora"),
]  # fmt: skip
SHORT = [
    ("cpt", "full"), ("sft", "full"), ("sft", "qlora"), ("reward", "full"), ("reward", "lora"), ("dpo", "full"),
    ("dpo", "lora"),
]  # fmt: skip


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return mixed_version(tmp_path_factory.mktemp("data"))


def life(stage: str, adaptation: str, version: Version, folder: Path) -> Death:
    """A run that nobody kills."""
    if adaptation == "qlora":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes, which 4-bit weights need, is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    base = tiny_weights(width=64 if adaptation == "qlora" else 32)
    return Death(stage, adaptation, str(folder), str(version.path), str(base), 0, "step")


def kill(deaths: list[Death], folder: Path) -> None:
    """Let every run die in a process of its own."""
    jobs = folder / "jobs.json"
    jobs.write_bytes(orjson.dumps([asdict(death) for death in deaths]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    script = Path(__file__).with_name("killed_stages.py")
    done = subprocess.run([sys.executable, script, jobs], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["-9"] * len(deaths), done.stderr[-3000:]


def outcome(death: Death, runs: int = 1) -> dict[str, Any]:
    """Train to the end, and say all that must not depend on whether the run was ever killed."""
    with quiet():
        result = death.train()
    folders = sorted((Path(death.folder) / "runs").iterdir())
    assert len(folders) == runs, "the same run has gone on"
    assert result.run is not None and result.model is not None
    run = Run.open(result.run)
    assert run.status == "done"
    logged = [
        {name: value for name, value in row.items() if not name.endswith(TIMINGS)}
        for row in run.history()
        if "train_loss" not in row  # the trainer's last words, of which a part is how long it took
    ]
    (weights,) = result.model.glob("*model.safetensors")
    return {"weights": weights.read_bytes(), "logged": logged, "metrics": result.metrics, "entry": str(result.entry)}


def compare(whole: dict[str, Any], resumed: dict[str, Any], death: Death) -> None:
    """Bit for bit. Of QLoRA to 2 in a thousand: on a CPU, bitsandbytes packs weights anew at an evaluation, and what it
    computes from them is no longer the same; a run that goes on begins with weights that were not evaluated yet.
    """
    if death.adaptation == "qlora":
        losses = [[row["loss"] for row in found["logged"] if "loss" in row] for found in (whole, resumed)]
        assert losses[0] == pytest.approx(losses[1], rel=2e-3), f"{death}, DATAKIT_KILL_SEED={SEED}"
        return
    for name in whole:
        assert whole[name] == resumed[name], f"{name} of {death}, DATAKIT_KILL_SEED={SEED}"


def dead(ways: list[tuple[str, str]], version: Version, folder: Path, times: int) -> list[Death]:
    chance = random.Random(SEED)
    deaths = []
    for stage, adaptation in ways:
        for number in range(times):
            alive = life(stage, adaptation, version, folder / f"{stage}-{adaptation}-{number}")
            deaths.append(replace(alive, step=chance.randint(1, STEPS), moment=chance.choice(MOMENTS)))
    kill(deaths, folder)
    return deaths


def check(ways: list[tuple[str, str]], version: Version, folder: Path, times: int) -> None:
    deaths = dead(ways, version, folder, times)
    for stage, adaptation in ways:
        whole = outcome(life(stage, adaptation, version, folder / f"whole-{stage}-{adaptation}"))
        assert len([row for row in whole["logged"] if "loss" in row]) >= STEPS
        for death in deaths:
            if (death.stage, death.adaptation) == (stage, adaptation):
                compare(whole, outcome(death), death)


def test_a_killed_run_of_any_stage_ends_where_an_unbroken_one_does(version: Version, tmp_path: Path) -> None:
    check(SHORT, version, tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_wherever_a_run_is_killed_it_ends_the_same(way: tuple[str, str], version: Version, tmp_path: Path) -> None:
    check([way], version, tmp_path, 8)


@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_a_fork_that_is_killed_goes_on_from_its_parents_weights(
    adaptation: str, version: Version, tmp_path: Path
) -> None:
    """A child's start is its parent's checkpoint also when it is gone on with: for DPO it is the reference too."""
    kills = []
    for name in ("whole", "killed"):
        parent = life("dpo", adaptation, version, tmp_path / name)
        outcome(parent)
        kills.append(replace(parent, fork=True, rate=5e-3, step=7, moment="step"))
    whole = outcome(kills[0], runs=2)
    kill(kills[1:], tmp_path)
    # Gone on with as any run that was killed: without --fork.
    resumed = outcome(replace(kills[1], fork=False), runs=2)
    compare(whole, resumed, kills[1])
