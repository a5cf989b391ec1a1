"""`datakit train` as it is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from mask_rows import plain_rows, version_of
from tiny_weights import tiny_weights

pytest.importorskip("trl", reason="trl is not installed")

from typer.testing import CliRunner

from datakit.cli.app import app
from datakit.cli.siblings import check_sibling
from datakit.errors import UsageFault

ROOT = Path(__file__).parents[1]
RECIPE = """
[data]
output = "clean"
[model]
base = "model"
[train]
runs = "runs"
[train.sft]
learning_rate = 1e-2
[gates.sft.entry]
rows = 1
[gates.sft.rollback]
general_drop = false
[evaluate]
samples = 2
max_new_tokens = 4
"""


def datakit(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "datakit", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    version_of(plain_rows(20), folder)
    shutil.copytree(tiny_weights(), folder / "model")
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


def test_a_dry_run_shows_every_value_and_trains_nothing(project: Path) -> None:
    plain = datakit("train", "sft", "tiny.toml", "--dry-run", "--json", "--set", "train.sft.rank=4", folder=project)
    assert plain.returncode == 0, plain.stderr
    plan = orjson.loads(plain.stdout)
    sources = {setting["name"]: setting["source"] for setting in plan["settings"]}
    assert sources["learning_rate"] == "recipe" and sources["lora_r"] == "--set" and sources["warmup_steps"] == "guide"
    assert plan["rows"]["in"] == 20 and plan["gates"]["entry"]
    shown = datakit("train", "sft", "tiny.toml", "--dry-run", folder=project)
    assert "learning_rate" in shown.stdout and "entry gate:" in shown.stdout
    assert not (project / "runs").exists()


def test_a_dry_run_loads_neither_torch_nor_trl(project: Path) -> None:
    code = (
        "import sys; sys.argv = ['datakit', 'train', 'sft', 'tiny.toml', '--dry-run', '--json']\n"
        "from datakit.cli.app import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_prints_its_result_alone(project: Path) -> None:
    done = datakit("train", "sft", "tiny.toml", "--json", folder=project)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = orjson.loads(done.stdout)
    assert result.keys() == {"run", "stage", "rows", "metrics", "gates", "model"}
    assert (project / result["run"] / "record.json").is_file() and Path(project, result["model"]).is_dir()


def test_the_guide_says_no_to_so_little(project: Path) -> None:
    done = datakit("train", "sft", "tiny.toml", "--set", "gates.sft.entry.rows=1000", folder=project)
    assert done.returncode == 1
    assert "the entry gate says no: rows 20 (> 1000): failed" in done.stderr
    assert "learning" not in done.stdout


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ("train.sft.trl.max_grad_nrom=1", "Did you mean 'max_grad_norm'?"),
        ("train.sft.trl.packing=true", "set masks.packing"),
        ("train.sft.lerning_rate=1", "Did you mean 'learning_rate'?"),
        ("data.output=model", "no dataset here"),
        ("model.base=none", "no such model"),
        ("launch.processes=2", "later release"),
    ],
)
def test_wrong_use_is_told(sets: str, words: str, project: Path) -> None:
    done = datakit("train", "sft", "tiny.toml", "--set", sets, "--no-resume", folder=project)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("ppo", "TRL has removed PPO. Train `reward` here"),
        ("RLHF", "convert --to openrlhf"),
        ("dppo", "Did you mean 'dpo'?"),
        ("stf", "Did you mean 'sft'?"),
        ("rm", "Did you mean 'reward'?"),
        ("ipo", "loss_type"),
        ("grpo", "comes with a later release"),
        ("训练", "datakit train --help"),
    ],
)
@pytest.mark.parametrize("rest", [[], ["tiny.toml", "--dry-run"]], ids=["alone", "with_a_recipe"])
def test_an_unknown_stage_is_told_what_there_is_instead(stage: str, words: str, rest: list[str]) -> None:
    told = CliRunner().invoke(app, ["train", stage, *rest])
    assert isinstance(told.exception, UsageFault) and told.exception.exit_code == 2
    assert f"no stage {stage!r}; expected one of cpt, sft, reward, dpo" in str(told.exception)
    assert words in str(told.exception)


def test_the_loss_that_stands_for_ipo_is_one(project: Path) -> None:
    """What the hint says can be done is done: TRL takes it."""
    told = CliRunner().invoke(app, ["train", "ipo"])
    setting = str(told.exception).split("--set ")[1].rstrip(".")
    from datakit.recipe.load import load_recipe
    from train.config import make_config

    recipe = load_recipe(project / "tiny.toml", [setting])
    assert make_config("dpo", recipe.train.dpo.trl, project / "out", evaluated=False).loss_type == ["ipo"]


def test_help_names_every_stage_with_its_rows() -> None:
    shown = " ".join(CliRunner().invoke(app, ["train", "--help"]).stdout.split())
    for stage, rows in (("cpt", "texts"), ("sft", "messages"), ("reward", "pairs"), ("dpo", "pairs")):
        assert f"{stage} {rows}" in shown


def test_a_stranger_called_train_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_sibling("train")
    (tmp_path / "train.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "train", raising=False)
    with pytest.raises(UsageFault, match="another one of this name is found first"):
        check_sibling("train")


def test_the_example_with_the_guides_gates_is_refused(tmp_path: Path) -> None:
    """recipes/sales.toml sets its own thresholds: with the guide's, 642 rows and a tiny model do not get in."""
    from datakit.cleaning.clean import clean
    from datakit.recipe.load import load_recipe
    from train.dry import plan_only

    path = ROOT / "recipes" / "sales.toml"
    clean([str(ROOT / "recipes" / "sales" / "raw")], tmp_path / "clean", load_recipe(path))
    laid = [f"data.output={tmp_path / 'clean'}", f"train.runs={tmp_path / 'runs'}"]
    own = load_recipe(path, laid)
    guide = own.model_copy(update={"gates": type(own.gates)()})
    for stage, metric in (("cpt", "text_gb"), ("sft", "rows"), ("reward", "rows"), ("dpo", "rows")):
        assert not any(verdict.stops for verdict in plan_only(stage, own, recipe_path=path).entry), stage  # type: ignore[arg-type]
        stopped = {v.criterion.metric for v in plan_only(stage, guide, recipe_path=path).entry if v.stops}  # type: ignore[arg-type]
        assert metric in stopped, stage
