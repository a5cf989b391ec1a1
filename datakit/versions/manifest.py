"""manifest.json: what a version holds. It is written last, so its existence means the version is whole."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from datakit.errors import DataVerdict
from datakit.files import checksum, write_whole

FORMAT: Final = 1
"""The number of the layout of a version. It is part of the fingerprint."""

FILE: Final = "manifest.json"


class Part(BaseModel):
    """One file of a version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    blake2b: str


class Input(Part):
    """One file that was read."""

    source: str


class Counts(BaseModel):
    """How many rows went where; `rows` obeys in = kept + edited + dropped + rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: dict[str, int]
    reasons: dict[str, int]
    kinds: dict[str, int]
    edits: dict[str, int]
    near: dict[str, int]


class Manifest(BaseModel):
    """Everything there is to know about a version but its rows.

    fingerprint: 64 hex digits; the version's name is the first 12. schemas: kind to column to type, of the
    files in data/. parts: path inside the version to its size and checksum. settings: hash over the recipe's
    effective values for cleaning. checksum: blake2b over the manifest without this field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    fingerprint: str
    schemas: dict[str, dict[str, str]]
    counts: Counts
    parts: dict[str, Part]
    parents: tuple[str, ...]
    inputs: tuple[Input, ...]
    recipe: dict[str, Any]
    settings: str
    libraries: dict[str, str]
    template: str | None = None
    checksum: str = ""

    @property
    def version(self) -> str:
        """The version's name: 12 hex digits."""
        return self.fingerprint[:12]

    def sealed(self) -> Manifest:
        """The manifest with its own checksum filled in."""
        return self.model_copy(update={"checksum": self._own_checksum()})

    def _own_checksum(self) -> str:
        plain = self.model_dump(mode="json", exclude={"checksum"})
        return hashlib.blake2b(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder whose parts are all there; this makes it a version."""
        plain = self.sealed().model_dump(mode="json")
        write_whole(folder / FILE, orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode() + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a version's folder.

        Raises:
            DataVerdict: it is unreadable or was changed after it was written.
        """
        path = folder / FILE
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except (ValidationError, UnicodeDecodeError, OSError) as error:
            first = str(error).splitlines()[0]
            raise DataVerdict(
                str(path), f"not a manifest ({first})", cure="Restore the version or make it again"
            ) from None
        if manifest.checksum != manifest._own_checksum():
            raise DataVerdict(str(path), "changed after it was written", cure="Restore the version or make it again")
        return manifest


def changed_parts(folder: Path, parts: dict[str, Part], cure: str) -> list[DataVerdict]:
    """What is wrong with the parts of a folder: missing, or changed since they were written."""
    faults = []
    for name, part in parts.items():
        path = folder / name
        if not path.is_file():
            faults.append(DataVerdict(str(path), "missing", f"{part.bytes} bytes", cure))
        elif path.stat().st_size != part.bytes or checksum(path) != part.blake2b:
            faults.append(DataVerdict(str(path), "changed since it was written", f"blake2b {part.blake2b}", cure))
    return faults


def describe_parts(folder: Path) -> dict[str, Part]:
    """Size and checksum of every file below a folder, by its path inside."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    with ThreadPoolExecutor() as pool:  # hashing runs outside of Python's lock
        sums = list(pool.map(checksum, files))
    return {
        path.relative_to(folder).as_posix(): Part(bytes=path.stat().st_size, blake2b=total)
        for path, total in zip(files, sums, strict=True)
    }
