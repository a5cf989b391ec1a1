"""What README shows is run, and its shown output is true."""

from __future__ import annotations

import re
import shlex
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
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    return tmp_path


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_commands_run(name: str, folder: Path) -> None:
    commands = [
        line
        for language, body in blocks(name)
        if not language
        for line in body.splitlines()
        if line.startswith(("datakit ", "pip "))
    ]
    assert any(line.startswith("pip install . && datakit clean") for line in commands)
    assert "pip install -e '.[all,dev]' && pytest" in commands
    for line in commands:
        for part in line.split(" && "):
            words = shlex.split(part)
            if words[0] != "datakit":
                continue  # installing and testing is what .ci/run does, with these very words
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{part}\n{done.stderr}"


def test_shown_output_is_true(folder: Path) -> None:
    shown = [body for language, body in blocks("README.md") if body.startswith(" in  kept")]
    words = [sys.executable, "-m", "datakit", "clean", "recipes/sales/raw", "-o", "clean/"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    assert shown
    for body in shown:
        lines = [line.rstrip() for line in body.splitlines()]
        assert printed[: len(lines)] == lines


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
