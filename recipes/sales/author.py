"""Compose the good rows from the hand-written pieces: python recipes/sales/author.py.

The result is stored in good/, and the manual in other forms in documents/; run it again only after changing a piece or
the manual. The two manuals of good/ and the evaluation set are written by hand and are not touched.
"""

import csv
import gzip
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))

from authoring.crm import COLUMNS, write_crm  # noqa: E402
from authoring.dialogues import write_dialogues  # noqa: E402
from authoring.documents import write_documents  # noqa: E402
from authoring.instructions import write_instructions  # noqa: E402
from authoring.pieces import open_desk  # noqa: E402
from authoring.preference import write_preference  # noqa: E402
from authoring.tools import write_tool_rows  # noqa: E402

_SEED = 11


def _lines(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def author(good: Path) -> dict[str, int]:
    """Write the composed files of good/; returns rows a file."""
    desk = open_desk(_SEED)
    dialogues, instructions = write_dialogues(desk), write_instructions(desk)
    tools, preference, crm = write_tool_rows(desk), write_preference(desk), write_crm(desk)
    (good / "dialogues.sharegpt.jsonl").write_bytes(_lines(dialogues))
    (good / "preference.jsonl").write_bytes(_lines(preference))
    text = json.dumps(instructions, ensure_ascii=False, indent=1) + "\n"
    (good / "instructions.alpaca.json").write_bytes(text.encode())
    # mtime=0 keeps the bytes the same on every run
    (good / "tools.messages.jsonl.gz").write_bytes(gzip.compress(_lines(tools), mtime=0))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(crm)
    (good / "crm.csv").write_bytes(table.getvalue().encode())
    written = {
        "dialogues": dialogues,
        "instructions": instructions,
        "tools": tools,
        "preference": preference,
    }
    return {name: len(rows) for name, rows in written.items()} | {"crm": len(crm)}


if __name__ == "__main__":
    sys.stdout.write(f"{author(_HERE / 'good')}\n")
    write_documents(_HERE / "good" / "manual.md", _HERE / "documents")
