"""The codes of the mask proof: complete, and the same in the manual."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from datakit.masks.codes import CODES, SEVERITIES, Code

SIGNS = re.compile(r"[|<]")  # would end a cell, or open a tag
BACKSLASHED = r"\\\g<0>"

MANUAL = Path(__file__).parents[1] / "docs" / "masks.md"


def test_all_thirty_three_in_order() -> None:
    assert list(CODES) == [f"M{number}" for number in range(1, 34)]
    assert all(name == code.code for name, code in CODES.items())


def test_severities_of_the_issue() -> None:
    graver = {severity: {c.code for c in CODES.values() if c.severity == severity} for severity in SEVERITIES}
    assert {"M1", "M2", "M3", "M4", "M14", "M30", "M32"} <= graver["error"]
    assert {"M6", "M7", "M29", "M9", "M24", "M26"} <= graver["warning"]
    assert {"M5", "M8", "M10", "M11", "M15", "M18"} <= graver["note"]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_every_part_is_a_sentence(code: Code) -> None:
    assert code.reach in ("row", "template") and code.severity in SEVERITIES
    assert code.title == code.title.strip(".") and code.title[0].islower()
    for part in ("symptom", "cause", "check", "fix", "verify"):
        assert getattr(code, part).endswith("."), f"{code.code} {part}"
    texts = [getattr(code, field.name) for field in fields(code)]
    assert len(set(texts)) == len(texts), f"{code.code} says something twice"


def table() -> list[str]:
    """The lines of the manual's table, as they must be."""
    rows = ["| code | what is wrong | severity | reach | what is checked | cure |", "|---|---|---|---|---|---|"]
    for code in CODES.values():
        parts = (code.code, code.title, code.severity, code.reach, code.check, code.fix)
        rows.append(f"| {' | '.join(SIGNS.sub(BACKSLASHED, part) for part in parts)} |")
    return rows


def test_the_manual_has_the_same_table() -> None:
    section = MANUAL.read_text(encoding="utf-8").split("\n## Codes\n", 1)[1].split("\n## ", 1)[0]
    found = [line for line in section.splitlines() if line.startswith("|")]
    assert found == table(), "docs/masks.md, Codes: it should be\n" + "\n".join(table())
