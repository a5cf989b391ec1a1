"""A dataset is a folder of immutable versions with a HEAD: open one, list them, commit a new one."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from datakit.errors import DataVerdict, OutputError, UnknownVersion
from datakit.files import disk_faults, write_whole
from datakit.versions.card import dataset_card
from datakit.versions.manifest import FILE, Manifest, changed_parts

HEAD: Final = "HEAD"
LOG: Final = "log.jsonl"
_NAME = re.compile(r"[0-9a-f]{12}")
_WORK = ".work-"


@dataclass(frozen=True)
class Version:
    """One version: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """12 hex digits."""
        return self.manifest.version

    @property
    def reference(self) -> str:
        """How to name it on a command line: `clean@3f2a9c1b04d2`."""
        return f"{self.path.parent.name}@{self.name}"

    def data_files(self, kind: str) -> list[Path]:
        """The Parquet files of one kind, in order."""
        return sorted((self.path / "data").glob(f"{kind}-*.parquet"))

    def frame(self, kind: str) -> pl.DataFrame:
        """The kept rows of one kind."""
        return pl.read_parquet(self.data_files(kind))

    def ledger(self) -> pl.DataFrame:
        """One row an input row: what became of it, and why."""
        return pl.read_parquet(self.path / "ledger.parquet")


def versions(dataset: Path) -> list[Version]:
    """All whole versions of a dataset, oldest commit first."""
    order = {entry["version"]: place for place, entry in enumerate(history(dataset))}
    folders = [path for path in dataset.iterdir() if _NAME.fullmatch(path.name) and (path / FILE).is_file()]
    return [
        Version(path, Manifest.read(path)) for path in sorted(folders, key=lambda p: (order.get(p.name, -1), p.name))
    ]


def history(dataset: Path) -> list[dict[str, str]]:
    """The lines of log.jsonl: time, version, command. A line that a killed run or a bad disk damaged is left out."""
    log = dataset / LOG
    if not log.is_file():
        return []
    entries = [_log_entry(line) for line in log.read_bytes().split(b"\n") if line.strip()]
    return [entry for entry in entries if entry is not None]


def _log_entry(line: bytes) -> dict[str, str] | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) and {"time", "version"} <= entry.keys() else None


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset of ours."""
    return (path / HEAD).is_file()


def is_version(path: Path) -> bool:
    """Whether a folder is a whole version of ours."""
    return (path / FILE).is_file() and _NAME.fullmatch(path.name) is not None


def is_reference(path: str | Path) -> bool:
    """Whether an input is written `clean@3f2a` with a dataset before the @, and no file is called so."""
    text = str(path)
    return "@" in text and not Path(text).exists() and is_dataset(Path(text.rpartition("@")[0]))


def open_version(reference: str | Path) -> Version:
    """The version that a reference names: `PATH` (latest), `PATH@3f2a` (a unique prefix), or a version's folder.

    Raises:
        UnknownVersion: none answers, or more than one; the candidates are listed.
        DataVerdict: its manifest is damaged.
    """
    text = str(reference)
    path = Path(text)
    if is_version(path):
        return Version(path, Manifest.read(path))
    prefix = ""
    if not path.exists() and "@" in text:
        before, _, prefix = text.rpartition("@")
        path = Path(before)
    if not is_dataset(path):
        raise UnknownVersion(
            text, "no dataset here", "a folder with a HEAD, as `datakit clean` writes it", "Check the path"
        )
    if not prefix:
        head = path / (path / HEAD).read_text(encoding="utf-8").strip()
        return Version(head, Manifest.read(head))
    names = [p.name for p in sorted(path.iterdir()) if _NAME.fullmatch(p.name) and (p / FILE).is_file()]
    matches = [name for name in names if name.startswith(prefix)] if len(prefix) >= 4 else []
    if len(matches) != 1:
        found = f"{len(matches)} versions begin with '{prefix}'" if len(prefix) >= 4 else f"'{prefix}' is too short"
        raise UnknownVersion(text, found, "a unique prefix of at least 4 digits", f"There are: {', '.join(names)}")
    return Version(path / matches[0], Manifest.read(path / matches[0]))


def prepare_output(out: Path) -> Path:
    """Make sure `out` is a dataset or can become one, and give a fresh work folder inside it.

    Raises:
        OutputError: `out` is a file, or a folder of something else, or may not be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(str(out), "a file stands here", "a folder for the dataset", "Choose another -o")
    if out.is_dir() and not is_dataset(out):
        # A run that was killed between its version and HEAD leaves a folder without a HEAD: it is ours all the same.
        ours = {"README.md", LOG} if any(is_version(p) for p in out.iterdir()) else set()
        strangers = [
            p.name for p in sorted(out.iterdir()) if not (p.name.startswith(_WORK) or p.name in ours or is_version(p))
        ]
        if strangers:
            found = (
                f"a folder that is no dataset (it holds {', '.join(strangers[:3])}{' …' if len(strangers) > 3 else ''})"
            )
            raise OutputError(str(out), found, "a new or empty folder, or a dataset", "Choose another -o")
    _remove_leavings(out)
    work = out / f"{_WORK}{os.getpid()}"
    try:
        work.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise OutputError(str(out), f"cannot be written ({error.strerror})", cure="Choose another -o") from None
    return work


def _remove_leavings(out: Path) -> None:
    """Remove the work folders of runs that were killed; those of runs that go on stay."""
    for path in out.glob(f"{_WORK}*"):
        number = path.name.removeprefix(_WORK)
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but there
    return process != os.getpid()


def commit(parts: Path, dataset: Path, manifest: Manifest, command: Sequence[str]) -> Version:
    """Make the folder of finished parts a version of the dataset, and HEAD its name.

    A version of the same fingerprint that is there already stays as it is, unless it is damaged: then it is moved
    aside, and this one takes its place.
    """
    target = dataset / manifest.version
    with disk_faults(target):
        if not _is_whole(target):
            if target.exists():
                target.rename(dataset / f".damaged-{manifest.version}-{time.time_ns()}")
            manifest.write(parts)
            parts.rename(target)
        version = Version(target, Manifest.read(target))
        write_whole(dataset / "README.md", dataset_card(dataset.resolve().name, version.manifest))
        write_whole(dataset / HEAD, manifest.version + "\n")
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "version": manifest.version}
        with (dataset / LOG).open("ab") as log:
            log.write(orjson.dumps({**entry, "command": " ".join(command)}) + b"\n")
    return version


def is_complete(version: Version) -> bool:
    """Whether every part is there in its size; a quick look, where `verify` reads every byte."""
    parts = version.manifest.parts
    return all(
        (path := version.path / name).is_file() and path.stat().st_size == part.bytes for name, part in parts.items()
    )


def _is_whole(folder: Path) -> bool:
    """Whether a folder is a version none of whose bytes has changed."""
    try:
        return is_version(folder) and not verify(Version(folder, Manifest.read(folder)))
    except DataVerdict:
        return False


def verify(version: Version) -> list[DataVerdict]:
    """What is wrong with a version's files: changed, missing or strange parts. Empty when it is whole."""
    cure = "Restore the version from a copy, or make it again from its inputs"
    faults = changed_parts(version.path, version.manifest.parts, cure)
    known = set(version.manifest.parts) | {FILE}
    for path in sorted(version.path.rglob("*")):
        name = path.relative_to(version.path).as_posix()
        if path.is_file() and name not in known and not name.startswith(("proofs/", "signatures/")):
            faults.append(DataVerdict(str(path), "not part of the version", cure="Move it elsewhere"))
    return faults
