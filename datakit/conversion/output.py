"""The files of a conversion: gathered as lines aside, then put into their form, and renamed into place at the end."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Final, cast

import orjson
import polars as pl

from datakit.conversion.targets import Target
from datakit.errors import DataVerdict, OutputError, UsageFault
from datakit.formats import llamafactory
from datakit.formats.read import parse
from datakit.recipe.data import DataSettings
from datakit.records import Kind
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import Form, SourceFile, split_suffixes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FORMS: Final = ("jsonl", "json", "parquet")
_PIECE: Final = 1 << 20


class Output:
    """Where rows go: a file, or a folder with a file a kind.

    Raises:
        UsageFault: the name says a form that is not written, or LLaMA-Factory is to have a file.
        OutputError: something stands there already, or the place may not be written.
    """

    def __init__(self, out: Path, target: Target) -> None:
        self.out, self.target = out, target
        self.form, self.compression = split_suffixes(out.name)
        self.is_folder = self.form is None and self.compression == "none"
        self._see_form()
        self.lost = out.with_name(f"{out.name}.lost.jsonl")
        for path in (out, self.lost):
            if path.exists() and not (path == out and self.is_folder and _is_empty(path)):
                raise OutputError(str(path), "is there already", "a new name", "Choose another -o, or remove it")
        self.columns: dict[Kind, set[str]] = {}
        self._files: dict[Kind, IO[bytes]] = {}
        self.work = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            self.work.mkdir(parents=True)
        except OSError as error:
            raise OutputError(str(out), f"cannot be written ({error.strerror})", cure="Choose another -o") from None

    def _see_form(self) -> None:
        if not self.is_folder and (self.form not in _FORMS or (self.form == "parquet" and self.compression != "none")):
            raise UsageFault(
                str(self.out), "no form that is written", ".jsonl or .json, perhaps .gz or .zst, .parquet, or a folder"
            )
        if not self.is_folder and self.target == "llamafactory":
            raise UsageFault(
                str(self.out), "a file", "a folder, for LLaMA-Factory reads dataset_info.json beside the data"
            )

    def add(self, kind: Kind, line: bytes, columns: frozenset[str]) -> None:
        """Take in a row.

        Raises:
            UsageFault: rows of a second kind, where the output is a file.
        """
        if kind not in self._files:
            if self._files and not self.is_folder:
                raise UsageFault(
                    str(self.out),
                    f"one file for rows of the kinds {next(iter(self._files))} and {kind}",
                    "a folder, which gets a file a kind",
                    f"For example: -o {self.out.name.split('.')[0]}/",
                )
            self._files[kind] = (self.work / f"{kind}.lines").open("wb")
            self.columns[kind] = set()
        self._files[kind].write(line)
        self.columns[kind] |= columns

    def finish(self) -> dict[Kind, Path]:
        """Give the files their form and put them into place; kind to file comes back."""
        ready = self.work / "ready"
        ready.mkdir()
        names: dict[Kind, str] = {}
        for kind, file in self._files.items():
            file.close()
            names[kind] = f"{kind}.jsonl" if self.is_folder else self.out.name
            _shape(self.form or "jsonl", self.compression)(self.work / f"{kind}.lines", ready / names[kind])
        if self.target == "llamafactory":
            info = llamafactory.dataset_info(self.out.name, names, self.columns)
            (ready / "dataset_info.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2) + b"\n")
        for path in ready.iterdir():
            with path.open("rb") as done:
                os.fsync(done.fileno())
        if (self.work / "lost").exists():
            (self.work / "lost").replace(self.lost)
        (ready if self.is_folder else ready / self.out.name).replace(self.out)
        return {kind: self.out / name if self.is_folder else self.out for kind, name in names.items()}

    def discard(self) -> None:
        """Leave nothing of the work aside."""
        for file in self._files.values():
            file.close()
        shutil.rmtree(self.work, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _shape(form: str, compression: str) -> Callable[[Path, Path], None]:
    """What makes a file of a form out of lines of JSON."""
    if form == "parquet":
        return _to_parquet
    opened: dict[str, Callable[[Path], Any]] = {
        "none": lambda path: path.open("wb"),
        "gz": _gzip,
        "zst": lambda path: zstd.open(path, "wb"),
    }

    def write(lines: Path, path: Path) -> None:
        with lines.open("rb") as source, opened[compression](path) as target:
            if form == "json":
                for number, line in enumerate(source):
                    target.write((b",\n" if number else b"[\n") + line.rstrip(b"\n"))
                target.write(b"\n]\n")
            else:
                shutil.copyfileobj(source, target, _PIECE)

    return write


@contextmanager
def _gzip(path: Path) -> Iterator[IO[bytes]]:
    """A gzip file without name and time, so that the same rows give the same bytes."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        yield cast(IO[bytes], packed)


def _to_parquet(lines: Path, path: Path) -> None:
    """All rows are looked at for the types of the columns, so that no field of a message is missed.

    Raises:
        DataVerdict: the rows have values of more than one type in a column, so that the table would not be the same.
    """
    try:
        pl.scan_ndjson(lines, infer_schema_length=None).sink_parquet(path)
        same = all(one == other for one, other in zip_longest(_ids(lines, "jsonl"), _ids(path, "parquet")))
    except pl.exceptions.PolarsError:
        same = False
    if not same:
        raise DataVerdict(path.name, "a column holds values of more than one type", "", "Write .jsonl instead")


def _ids(path: Path, form: Form) -> Iterator[str | None]:
    """The ids of the records of a file, in order; None for a row that is none."""
    for block in read_blocks(SourceFile(path, path.name, form, "none", path.stat().st_size), DataSettings()):
        parsed = parse(block, DataSettings())
        yield from (None for _ in range(parsed.rejected.height))
        for frame in parsed.frames.values():
            yield from frame["id"]
