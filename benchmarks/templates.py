"""The tables of docs/templates.md: every template of a folder, probed.

    python -m benchmarks.templates --templates DIR

Names and verdicts are written, never the templates.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datakit.template.probes import probe
from datakit.template.standin import stand_in

PAGE = Path(__file__).parents[1] / "docs" / "templates.md"
BEGIN, END = "<!-- tables: written by benchmarks/templates.py -->", "<!-- end of tables -->"

TABLES = {
    "The text": ("system", "default_system", "dated", "ends_with_stop", "trims", "generation_markers"),
    "Beginnings": ("generation_prompt_is_prefix", "prefix_preserving"),
    "Thinking": ("thinking_last", "thinking_history", "reasoning_content", "injects_thinking"),
    "Tools": ("tool_call_dict", "tool_call_string", "none_content"),
    "Order and names of turns": ("human_gpt_roles", "user_user", "assistant_first", "system_mid"),
}
SHOWN = 24  # characters of a default system turn

Values = Mapping[str, str | bool | None]


def cell(key: str, value: str | bool | None) -> str:
    """A value in a table: booleans as words, a default system turn by its first characters."""
    if value is None:
        return "none" if key == "default_system" else "raise"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{' '.join(value.split())[:SHOWN]}…”" if key == "default_system" and value != "raise" else value


def tables(verdicts: Mapping[str, Values]) -> Iterator[str]:
    """The lines of all tables, a row a template."""
    for title, keys in TABLES.items():
        yield from ("", f"### {title}", "", f"| template | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|")
        for name, values in verdicts.items():
            yield f"| {name} | {' | '.join(cell(key, values[key]) for key in keys)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Probe a folder and write the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=Path, required=True, help="a folder of *.jinja files")
    folder = parser.parse_args(arguments).templates
    verdicts = {path.stem: probe(stand_in(path)).model_dump() for path in sorted(folder.glob("*.jinja"))}
    page = PAGE.read_text(encoding="utf-8")
    between = "\n".join((BEGIN, *tables(verdicts), "", END))
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: between, page, flags=re.DOTALL), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
