"""Tables on the terminal that more than one verb prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from datakit.versions.store import Version


def print_counts(version: Version) -> None:
    """Rows by decision, and by reason."""
    counts = version.manifest.counts
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in counts.rows:
        table.add_column(name, justify="right")
    table.add_row(*(f"{count:,}" for count in counts.rows.values()))
    console.print(table)
    if counts.reasons:
        reasons = Table(box=None, header_style="bold", pad_edge=False)
        reasons.add_column("reason")
        reasons.add_column("rows", justify="right")
        for reason, count in counts.reasons.items():
            reasons.add_row(reason, f"{count:,}")
        console.print()
        console.print(reasons)
    if counts.edits:
        edits = "; ".join(f"{step} {rows:,}" for step, rows in counts.edits.items())
        console.print(f"\nrows edited, by step: {edits}")
    console.print()
