"""The proof on real data with real tokenizers and templates, where the folder beside the repository holds them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mask_rows import version_of

from datakit.errors import DatakitError
from datakit.masks.proof import ProofSettings, prove
from datakit.masks.prover import Prover
from datakit.template.model import Model, load_model
from datakit.template.standin import stand_in
from datakit.versions.store import Version

SHARED = Path(__file__).parents[2] / "shared"
DATA, TEMPLATES = SHARED / "data", SHARED / "templates"

pytestmark = pytest.mark.skipif(
    not (DATA / "tokenizers" / "qwen2_5").is_dir() or not TEMPLATES.is_dir(),
    reason="needs ../shared with data and templates",
)


def crosswoz() -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(DATA / "crosswoz" / "val.json.zip") as folder:
        dialogues = json.loads(folder.read("val.json"))
    for dialogue in dialogues.values():
        roles = {"usr": "user", "sys": "assistant"}
        yield {"messages": [{"role": roles[turn["role"]], "content": turn["content"]} for turn in dialogue["messages"]]}


def rows() -> Iterator[dict[str, Any]]:
    """About 2,500 rows as their files hold them: instructions, dialogues and calls of tools, Chinese and English."""
    for name in ("alpaca_en_demo", "alpaca_zh_demo", "identity", "glaive_toolcall_en_demo", "glaive_toolcall_zh_demo"):
        yield from json.loads((DATA / "llamafactory" / f"{name}.json").read_text(encoding="utf-8"))[:500]
    yield from crosswoz()


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_of(list(rows()), tmp_path_factory.mktemp("real"))


def qwen(folder: Path, template: str) -> Model:
    shutil.copytree(DATA / "tokenizers" / "qwen2_5", folder, copy_function=shutil.copyfile)
    return load_model(folder, TEMPLATES / f"{template}.jinja")


@pytest.mark.parametrize("template", ["qwen2.5", "qwen3"])
def test_no_false_alarm_on_good_rows(version: Version, template: str, tmp_path: Path) -> None:
    proof = prove(version, qwen(tmp_path / "qwen", template), ProofSettings(), workers=1)
    assert proof.manifest.rows >= 2000 and proof.passed
    above = [finding for finding in proof.findings.to_json() if finding["severity"] != "note"]
    assert above == []
    # No more than one row in a hundred is left out, and only for its length.
    assert proof.manifest.left_out == proof.findings.count("M16") <= proof.manifest.rows / 100


def test_every_real_template_gives_spans_that_hold_the_answer(version: Version) -> None:
    """Over all templates: a row is refused with a code, or each answer that is trained is trained whole."""
    records = version.frame("messages").gather_every(150).to_dicts()
    seen = 0
    for path in sorted(TEMPLATES.glob("*.jinja")):
        found = Prover(stand_in(path), ProofSettings().masks)
        for record in records:
            try:
                shown = found.show(record)
            except DatakitError as error:  # pragma: no cover - a template that cannot be read at all
                pytest.fail(f"{path.name}: {error}")
            if any(finding.weight == "error" for finding in shown.findings):
                continue
            trained = found.model.tokenizer.decode(
                [label for label in shown.labels if label != -100], skip_special_tokens=False
            )
            answers = [
                turn["content"] for turn in record["messages"] if turn["role"] == "assistant" and turn["content"]
            ]
            assert all(answer.strip() in trained for answer in answers), f"{path.name}: {record['source']}"
            asked = [turn["content"] for turn in record["messages"] if turn["role"] == "user"]
            assert not any(question in trained for question in asked if len(question) > 12), path.name
            seen += 1
    assert seen > 400
