"""docs/annotation.md and README's campaign: every command that they show is run, and what they show printed is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotated_sales import Walk

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "annotation.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    started = Walk(tmp_path)
    yield started
    started.run(["datakit", "annotate", "stop"])


def shown(path: Path) -> list[tuple[str, str]]:
    """The blocks of a page."""
    return BLOCK.findall(path.read_text(encoding="utf-8"))


def commands(body: str) -> list[list[str]]:
    """The commands of a block, without what stands behind #."""
    lines = body.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(("datakit ", "python "))]


def printed_as_shown(body: str, printed: str) -> None:
    """Every line of a shown output occurs in what was printed, in this order; … stands for anything."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in (" ".join(line.split()) for line in body.splitlines()):
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        assert line in ("", "…") or any(re.fullmatch(pattern, found) for found in lines), f"{line}\n---\n{printed}"


def test_the_page_is_a_campaign(walk: Walk) -> None:
    """From top to bottom, with people who answer whenever something was pushed."""
    blocks = shown(PAGE)
    six, rest = blocks[0], blocks[1:]
    ran: list[list[str]] = []
    printed = ""
    for language, body in rest:
        words = commands(body)
        if not words and not language and not body.startswith("pip"):
            printed_as_shown(body, printed)
        printed = ""
        for command in words:
            printed += walk.run(command)
            ran.append(command)
            if "--dry-run" not in command and command[2] in ("push", "adjudicate"):
                walk.answer_everything("sales" if command[2] == "push" else "sales-adjudication")
    places = [ran.index(command) for command in commands(six[1])]
    assert places == sorted(places), "the six lines above are the campaign below"
    assert not [command for command in ran if "--help" in command]


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_readme_shows_the_six_lines(name: str) -> None:
    assert any(commands(body) == commands(shown(PAGE)[0][1]) for _, body in shown(ROOT / name))


def test_pictures_are_small_and_all_shown() -> None:
    linked = set(re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", PAGE.read_text(encoding="utf-8")))
    there = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").glob("annotate-*")}
    assert linked == set(there) and max(there.values()) <= 120_000
