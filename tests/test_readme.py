"""What README shows is run, and its shown output is true."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    return [(language, body) for language, body in BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")  # a copy: paths in a recipe are relative to its file
    return tmp_path


def run(line: str, folder: Path) -> str:
    """Run a command as README shows it; what it prints."""
    words = shlex.split(line)
    before = {"datakit": ["-m", "datakit"], "python": []}[words[0]]
    done = subprocess.run(
        [sys.executable, *before, *words[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_commands_run(name: str, folder: Path) -> None:
    commands = [
        line
        for language, body in blocks(name)
        if not language and not is_training(body) and not is_campaign(body)
        for line in body.splitlines()
        if line.startswith(("datakit ", "pip "))
    ]
    assert any(line.startswith("pip install . && datakit clean") for line in commands)
    assert "pip install -e '.[all,dev]' && pytest" in commands
    for line in commands:
        for part in line.split(" && "):
            if part.startswith("datakit "):  # installing and testing is what .ci/run does, with these very words
                run(part, folder)


def test_shown_output_is_true(folder: Path) -> None:
    shown = [body for language, body in blocks("README.md") if body.startswith(" in  kept")]
    words = [sys.executable, "-m", "datakit", "clean", "recipes/sales/raw", "-o", "clean/"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    assert shown
    for body in shown:
        lines = [line.rstrip() for line in body.splitlines()]
        assert printed[: len(lines)] == lines


def is_campaign(body: str) -> bool:
    """A block that tests/test_annotate_docs.py runs, which has a server and people who answer."""
    return "datakit annotate" in body


def is_training(body: str) -> bool:
    return "datakit train dpo" in body and not is_campaign(body)


def test_training_prints_what_is_shown(folder: Path) -> None:
    """From nothing to an aligned model, by the lines of the block alone; they are the same in both languages."""
    pytest.importorskip("trl", reason="trl is not installed")
    shown = [body for language, body in blocks("README.md") if not language]
    (place,) = (number for number, body in enumerate(shown) if is_training(body))
    assert shown[place] in [body for _, body in blocks("README.zh.md")]
    *before, last = shown[place].splitlines()
    assert last == "datakit train dpo recipes/sales.toml"
    for line in before:
        run(line, folder)
    compare(run(last, folder), shown[place + 1])


# What a model answers, and how likely, depends on the processor and the libraries in its last digits; so do measures of it.
MEASURED = {
    "loss", "eval_loss", "cloze", "general", "general_drop", "instruction_following", "format", "safety", "win_rate",
    "distinct_2", "distinct_2_ratio", "repeated_4", "kl_token", "kl_sequence",
}  # fmt: skip
MEASURED_LINE = re.compile(rf"( *)({'|'.join(sorted(MEASURED))})(:?) (\S+)( .*)?")
STARTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d")


def compare(printed: str, shown: str) -> None:
    """Equal to the letter but for the time in a run's name; measures of a trained model roughly."""
    lines = [STARTED.sub("TIME", text).splitlines() for text in (printed, shown)]
    for line, wanted in zip(*lines, strict=True):
        found, expected = MEASURED_LINE.fullmatch(line), MEASURED_LINE.fullmatch(wanted)
        if found is None or expected is None:
            assert line == wanted
            continue
        assert found.group(1, 2, 3, 5) == expected.group(1, 2, 3, 5)
        assert float(found[4]) == pytest.approx(float(expected[4]), rel=1 / 3, abs=0.05), line


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_python_blocks_print_what_is_shown(name: str, folder: Path) -> None:
    shown = blocks(name)
    ran = 0
    for place, (language, body) in enumerate(shown):
        if language == "python":
            done = subprocess.run([sys.executable, "-c", body], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            if "print(" in body:
                assert done.stdout == shown[place + 1][1]
            ran += 1
    assert ran


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]), ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_toml_in_the_docs_is_a_recipe() -> None:
    import tomllib

    from datakit.recipe.load import recipe_from

    found = [body for language, body in blocks("docs/recipe.md") if language == "toml"]
    assert found
    for body in found:
        recipe_from(tomllib.loads(body))
