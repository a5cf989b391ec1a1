"""The vault: which original each token of a masked record stands for, for those who may know.

One JSON object a line: source, line, token, kind, original, count. The file holds what the version must not: it is
readable by its owner alone (mode 0600) and never inside the dataset it belongs to, which is made to be passed on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from datakit.errors import OutputError
from datakit.files import write_whole

COLUMNS: Final = ("source", "line", "token", "kind", "original", "count")
MODE: Final = 0o600


def check(path: Path, version: Path) -> None:
    """Hold that a vault may be written at `path`; for the start of a run, so that no hour is lost on it.

    Raises:
        OutputError: the path is inside the version or its dataset's folder, is a folder, or is a file that is no vault.
    """
    place, dataset = path.resolve(), version.resolve().parent
    if place.is_relative_to(dataset):
        raise OutputError(
            str(path),
            f"inside the dataset {dataset}",
            "a file outside it: whoever gets the dataset would get the originals",
            "Set clean.pii.vault to another folder",
        )
    if path.is_dir():
        raise OutputError(str(path), "a folder", "a file for the vault")
    if path.exists():
        read(path)


def write(path: Path, found: pl.DataFrame, version: Path) -> int:
    """Add what was found to the vault at `path` and return the number of its entries; whole or not at all.

    found: source, line, kind, original, token, count (as `pii.mask` gives, with the row's key); may be without columns
    when empty. Entries of earlier runs stay: their versions still need them. An entry that is there already is not
    repeated. The folder of `path` is made where it is missing.

    Raises:
        OutputError: as `check`.
        Surroundings: the disk is full or does not answer.
    """
    check(path, version)
    entries = {_line(entry) for entry in read(path).iter_rows(named=True)} if path.exists() else set()
    if not found.is_empty():
        entries |= {_line(entry) for entry in found.select(COLUMNS).iter_rows(named=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(sorted(entries)), MODE)
    return len(entries)


def read(path: Path) -> pl.DataFrame:
    """All entries: source, line, token, kind, original, count.

    Raises:
        OutputError: the file is no vault; the message quotes nothing of it.
    """
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            entry = orjson.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or set(entry) != set(COLUMNS):
            raise OutputError(
                f"{path}:{number}", "no entry of a vault", "JSON with " + ", ".join(COLUMNS), "Choose another file"
            )
        entries.append(entry)
    schema = {name: pl.Int64() if name in ("line", "count") else pl.String() for name in COLUMNS}
    return pl.DataFrame(entries, schema=schema)


def originals(path: Path, source: str, line: int) -> dict[str, str]:
    """A record's originals by token, by its key; of several notations of one value, the most frequent.

    Putting them back: `for token, original in originals(...).items(): text = text.replace(token, original)`.
    """
    mine = read(path).filter(pl.col("source") == source, pl.col("line") == line).sort("count", maintain_order=True)
    return dict(mine.select("token", "original").iter_rows())


def _line(entry: dict[str, Any]) -> str:
    return orjson.dumps({name: entry[name] for name in COLUMNS}).decode() + "\n"
