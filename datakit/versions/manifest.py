"""manifest.json: what a version holds. It is written last, so its existence means the version is whole."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final, Self

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


class Sealed(BaseModel):
    """A manifest with its own checksum: blake2b over all its fields but this one. It is the last file of its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: ClassVar[str] = FILE
    checksum: str = ""

    def _fields_and_checksum(self) -> tuple[dict[str, Any], str]:
        plain = self.model_dump(mode="json", exclude={"checksum"})
        digest = hashlib.blake2b(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS), digest_size=16)
        return plain, digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder whose parts are all there; this makes it whole."""
        plain, own = self._fields_and_checksum()
        text = orjson.dumps({**plain, "checksum": own}, option=orjson.OPT_INDENT_2).decode()
        write_whole(folder / self.file, text + "\n")

    @classmethod
    def read_sealed(cls, folder: Path, cure: str) -> Self:
        """The manifest of a folder; `cure`: what to do where it is damaged.

        Raises:
            DataVerdict: it is unreadable or was changed after it was written.
        """
        path = folder / cls.file
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except (ValidationError, UnicodeDecodeError, OSError) as error:
            raise DataVerdict(str(path), f"not a manifest ({str(error).splitlines()[0]})", cure=cure) from None
        if manifest.checksum != manifest._fields_and_checksum()[1]:
            raise DataVerdict(str(path), "changed after it was written", cure=cure)
        return manifest


class Manifest(Sealed):
    """Everything there is to know about a version but its rows.

    fingerprint: 64 hex digits; the version's name is the first 12. schemas: kind to column to type, of the
    files in data/. parts: path inside the version to its size and checksum. settings: hash over the recipe's
    effective values for cleaning.
    """

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

    @property
    def version(self) -> str:
        """The version's name: 12 hex digits."""
        return self.fingerprint[:12]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a version's folder.

        Raises:
            DataVerdict: it is unreadable or was changed after it was written.
        """
        return cls.read_sealed(folder, "Restore the version or make it again")


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
