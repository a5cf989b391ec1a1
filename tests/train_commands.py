"""`datakit train` called in this process, on a small project of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from mask_rows import version_of
from tiny_weights import quiet, tiny_weights

RECIPE = """
[data]
output = "clean"
[model]
base = "model"
[train]
runs = "runs"
[train.sft]
adaptation = "full"
learning_rate = 1e-2
epochs = 3
batch = 4
[gates.cpt.entry]
text_gb = 0
updates_a_year = false
[gates.sft.entry]
rows = 1
[gates.sft.rollback]
general_drop = false
[evaluate]
samples = 2
max_new_tokens = 4
"""


def make_project(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A recipe, the version of some rows, and a tiny model, all in one folder."""
    version_of(rows, folder)
    shutil.copytree(tiny_weights(), folder / "model")
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


def train(project: Path, stage: str, *options: str, **sets: Any) -> int:
    """The exit code of `datakit train STAGE`; `train__runs=…` stands for `--set train.runs=…`."""
    from datakit.cli import main

    laid = [word for name, value in sets.items() for word in ("--set", f"{name.replace('__', '.')}={value}")]
    with pytest.MonkeyPatch.context() as patch, quiet():
        patch.setattr(sys, "argv", ["datakit", "train", stage, str(project / "tiny.toml"), *options, *laid])
        with pytest.raises(SystemExit) as left:
            main()
    code = left.value.code
    assert isinstance(code, int)
    return code
