"""docs/formats.md: each example is run, each format has a section, and the table says what the writers hold."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from convert_rows import convert, lost, read, rows_of
from record_rows import one

from datakit.conversion.targets import WRITERS
from datakit.records import KINDS

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```convert (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_format_has_an_example() -> None:
    assert {target for target, _ in BLOCKS} == set(WRITERS) - {"chatml"}


@pytest.mark.parametrize(("target", "body"), BLOCKS, ids=[target for target, _ in BLOCKS])
def test_the_examples_are_true(target: str, body: str) -> None:
    row, record, written = map(orjson.loads, body.strip().split("\n"))
    kind, content = one(row)
    assert content == record
    batch = convert(read(row)[kind], kind, target)  # type: ignore[index, arg-type]
    assert lost(batch) == []
    assert rows_of(batch) == [written]


def test_the_table_says_which_kinds_a_format_holds() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|((?:[^|]*\|){5})", PAGE, re.MULTILINE)
    shown = {
        name: {kind for kind, cell in zip(KINDS, cells.split("|"), strict=False) if cell.strip() == "yes"}
        for names, cells in rows
        for name in re.findall(r"\w+", names)
    }
    assert {name: shown.get(name) for name in WRITERS} == {name: set(held) for name, held in WRITERS.items()}
