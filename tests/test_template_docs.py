"""docs/templates.md: every probe explained, every template as probed."""

from __future__ import annotations

from pathlib import Path

import pytest

from datakit.template.probes import probe
from datakit.template.standin import stand_in
from datakit.template.verdict import Verdict

PAGE = Path(__file__).parents[1] / "docs" / "templates.md"
TEMPLATES = Path(__file__).parents[2] / "shared" / "templates"


def rows() -> dict[str, dict[str, str]]:
    """What the page's tables of templates say: template to key to cell."""
    said: dict[str, dict[str, str]] = {}
    keys: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").partition("## Fifty templates")[2].partition("\n## ")[0].splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if name == "template":
            keys = cells
        elif line.startswith("| "):
            said.setdefault(name, {}).update(zip(keys, cells, strict=True))
    return said


def test_every_probe_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## Fifty templates")[0]
    assert [key for key in Verdict.model_fields if f"| `{key}` |" not in page] == []
    assert {frozenset(cells) for cells in rows().values()} == {frozenset(Verdict.model_fields)}


@pytest.mark.skipif(not TEMPLATES.is_dir(), reason="the collection of real templates is not here")
def test_the_page_says_what_the_probes_say() -> None:
    said = rows()
    assert set(said) == {path.stem for path in TEMPLATES.glob("*.jinja")}
    words = {True: "yes", False: "no"}
    for name, cells in said.items():
        found = probe(stand_in(TEMPLATES / f"{name}.jinja")).model_dump()
        default = found.pop("default_system")
        assert cells.pop("default_system").strip("“…”") == (" ".join(default.split())[:24] if default else "none"), name
        assert cells == {key: words.get(value, value or "raise") for key, value in found.items()}, name
