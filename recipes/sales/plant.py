"""Make raw/ from good/ by planting: python recipes/sales/plant.py [--seed 7] [--out recipes/sales/raw].

Standard library only. Every row of raw/ stands once in expected.csv beside it, so the labels hold
by construction: a test of `datakit clean` compares what was done with what had to be done.
"""

import argparse
import csv
import io
import random
import sys
from collections import Counter
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))

from planting import duplicates, encoding, garbage, language, pii, rejects, repetition  # noqa: E402
from planting.audit import check_labels  # noqa: E402
from planting.rows import Case, Field, number, render  # noqa: E402

COLUMNS = ("source", "line", "case", "reason", "verdict")
# Rows edited in place are drawn first, copies after them, so that a copy is of a row as it stays.
_FAMILIES = (
    pii.plant_pii, pii.plant_pii_look_alikes,
    encoding.plant_mojibake, encoding.plant_mojibake_look_alikes,
    language.plant_language_look_alikes,
    repetition.plant_repetition_look_alikes,
    garbage.plant_garbage_look_alikes,
    rejects.plant_reject_look_alikes,
    duplicates.plant_near, duplicates.plant_near_look_alikes,
    duplicates.plant_exact, duplicates.plant_exact_look_alikes,
    language.plant_language, repetition.plant_repetition, garbage.plant_garbage,
    rejects.plant_rejects, rejects.end_truncated,
)  # fmt: skip


def plant(out: Path, seed: int = 7) -> list[Case]:
    """Write `out` and, beside it, expected.csv; returns the cases in their order.

    Raises: AssertionError when a planted row does not have the property its label claims.
    """
    field = Field(_HERE / "good")
    for family in _FAMILIES:
        # a source of its own, so that a change in one family leaves the others' draws alone
        family(field, random.Random(f"{seed}:{family.__module__}.{family.__name__}"))
    check_labels(field)
    out.mkdir(parents=True, exist_ok=True)
    for sheet in field.sheets:
        (out / sheet.name).write_bytes(render(sheet))
    cases = list(number(field.sheets))
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((c.source, c.line, c.case, c.reason, c.verdict) for c in cases)
    (out.parent / "expected.csv").write_bytes(table.getvalue().encode())
    return cases


def main() -> None:
    """Read the flags, plant, and print how many rows of each reason there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=_HERE / "raw")
    flags = parser.parse_args()
    cases = plant(flags.out, flags.seed)
    for (reason, verdict), count in sorted(Counter((c.reason, c.verdict) for c in cases).items()):
        sys.stdout.write(f"{reason or '-':16} {verdict:7} {count:5}\n")
    sys.stdout.write(f"{'all':24} {len(cases):5}\n")


if __name__ == "__main__":
    main()
