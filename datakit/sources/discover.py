"""Which files a run reads, each with a name of its own; every fault of the input in one error."""

from __future__ import annotations

import atexit
import glob
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final, Literal

from datakit.errors import InputError, InputPermission, MissingInput
from datakit.sources.block import Notice
from datakit.sources.catalogue import INFO, NAMES, Catalogue, catalogue_of
from datakit.sources.extras import need_documents
from datakit.sources.layout import Layout
from datakit.sources.remote import fetch, is_remote, local_path
from datakit.sources.stream import ByteStream, Compression, compression_of, take_head

Form = Literal[
    "jsonl", "json", "csv", "tsv", "parquet", "arrow", "txt", "md", "html", "pdf", "docx", "xlsx", "warc", "catalogue"
]

FORMS: Final[dict[str, Form]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "txt",
    ".md": "md",
    ".markdown": "md",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".warc": "warc",
    ".wet": "warc",
}
_ROWS: Final = frozenset({"jsonl", "json", "csv", "tsv", "parquet", "arrow"})
COMPRESSIONS: Final[dict[str, Compression]] = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}
_ACCEPTED: Final = (
    "jsonl, json, csv, tsv, parquet, arrow, txt, md, html, pdf, docx, xlsx, warc or wet, plain, .gz or .zst"
)
_SHOWN: Final = 5  # names listed in one notice


@dataclass(frozen=True)
class SourceFile:
    """One file to read.

    path: where it is; source: its name in row keys, with forward slashes; form and compression: how it is read;
    bytes: its size on disk; layout: what a catalogue beside it says of its columns. A file of the form "catalogue" says
    how others are read, and holds no rows.
    """

    path: Path
    source: str
    form: Form
    compression: Compression
    bytes: int
    layout: Layout | None = None


@dataclass(frozen=True)
class _Found:
    path: Path
    name: str
    layout: Layout | None = None
    describes: bool = False


def discover(paths: Sequence[str | Path], notice: Notice = lambda text: None) -> list[SourceFile]:
    """All files that `paths` stand for, sorted by source name, each file once.

    Args:
        paths: files, folders (read recursively; hidden files are skipped), globs, "-" for standard input, and
            datasets or versions of datakit (the version's rows are read); any of them elsewhere, by a protocol of
            fsspec. In a folder that describes its data (`catalogue`) what it names is read.
        notice: hears of what was passed over.

    Raises:
        MissingInput, InputPermission, InputError: every fault of all paths, as one error; of the first one's class.
        MissingExtra: there are documents, and what reads them is not installed.
        Surroundings: the network fails.
    """
    faults: list[InputError] = []
    found: list[_Found] = []
    for path in paths:
        try:
            found += _expand(str(path), faults, notice)
        except InputError as fault:
            faults.append(fault)
    files = []
    for one in _named(_once(found, notice)):
        try:
            files.append(_describe(one))
        except InputError as fault:
            faults.append(fault)
        except OSError as error:
            faults.append(_unreadable(one.path, error))
    if not paths:
        faults.append(MissingInput("input", "no path given", "a file, a folder, a glob or -", "Name what to read"))
    if faults:
        raise _together(faults)
    for form, source in {file.form: file.source for file in reversed(files)}.items():
        need_documents(form, source)
    return sorted(files, key=lambda file: file.source)


def split_suffixes(name: str) -> tuple[Form | None, Compression]:
    """The form and the compression that a file's name says; no form where its suffix is none of ours."""
    path = PurePath(name.lower())
    compression = COMPRESSIONS.get(path.suffix, "none")
    if compression != "none":
        path = path.with_suffix("")
    return FORMS.get(path.suffix), compression


def _together(faults: list[InputError]) -> InputError:
    if len(faults) == 1:
        return faults[0]
    return type(faults[0])(f"{len(faults)} faults", "".join(f"\n  - {fault}" for fault in faults))


def _unreadable(path: Path, error: OSError) -> InputError:
    if isinstance(error, PermissionError):
        who = "this user" if not hasattr(os, "geteuid") else f"user id {os.geteuid()}"
        return InputPermission(
            str(path),
            f"{who} may not read it",
            "read permission",
            f"For example: chmod u+r{'x' * path.is_dir()} '{path}'",
        )
    return InputError(str(path), f"cannot be read ({error.strerror or error})", cure="Check the path and the disk")


def _expand(text: str, faults: list[InputError], notice: Notice) -> list[_Found]:
    """The files behind one path as the user wrote it."""
    if text == "-":
        return [_Found(_spool(), "stdin")]
    if is_remote(text):
        text = local_path(text) or str(fetch(text, lambda name: split_suffixes(name)[0] is not None, notice))
    path = Path(text)
    try:
        path.stat()
    except FileNotFoundError:
        return _glob(text, faults, notice)
    except OSError as error:
        if path.is_symlink():
            raise InputError(text, "a symbolic link that leads to itself", "a file or a folder") from None
        raise _unreadable(path, error) from None
    if path.is_dir():
        return _folder(path, faults, notice)
    if not path.is_file():
        raise InputError(text, "neither a file nor a folder", "a file or a folder", "Pipe it in: datakit clean - < …")
    if split_suffixes(path.name)[0] is None:
        raise InputError(text, f"of unknown type '{path.suffix or path.name}'", _ACCEPTED, "Rename or convert it")
    if path.name == INFO and (catalogue := catalogue_of(path.parent)) is not None and catalogue.described_by == path:
        return _described(catalogue, path.parent, path.parent, notice)
    return [_Found(path, path.name)]


def _glob(text: str, faults: list[InputError], notice: Notice) -> list[_Found]:
    if not glob.has_magic(text):
        near = _near(Path(text))
        raise MissingInput(text, "no such file or folder", "a path that exists", near or "Check the path")
    root = Path(*_fixed(Path(text)))
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - the pattern may be absolute
    found: list[_Found] = []
    passed: list[_Found] = []
    for match in matches:
        if match.is_dir():
            continue
        name = match.relative_to(root).as_posix() if match.is_relative_to(root) else match.name
        (found if split_suffixes(match.name)[0] else passed).append(_Found(match, name))
    if not any(match.is_file() for match in matches):
        for folder in matches:
            found += _folder(folder, faults, notice)
    _tell_passed(text, [one.name for one in passed], notice)
    if not found:
        raise MissingInput(text, "the pattern matches no file that can be read", _ACCEPTED, "Check the pattern")
    return found


def _fixed(path: Path) -> Iterator[str]:
    """The leading parts of a pattern that hold no wildcard."""
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _near(path: Path) -> str:
    import difflib

    parent = path.parent
    names = [entry.name for entry in parent.iterdir()] if parent.is_dir() and os.access(parent, os.R_OK) else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {parent / close[0]}?" if close else ""


def _folder(folder: Path, faults: list[InputError], notice: Notice) -> list[_Found]:
    if (version := _version_of(folder)) is not None:
        parts = sorted((version / "data").glob("*.parquet"))
        return [_Found(part, part.relative_to(version).as_posix()) for part in parts]
    found, passed, before = [], [], len(faults)
    for place, catalogue, names in _walk(folder, faults, notice):
        if catalogue is not None:
            found += _described(catalogue, place, folder, notice)
            names = _beside(catalogue, place, names, notice)
        for path in (place / name for name in names):
            name = path.relative_to(folder).as_posix()
            if split_suffixes(path.name)[0] is None:
                passed.append(name)
            elif path.is_file():
                found.append(_Found(path, name))
            else:
                notice(f"{path}: passed over, a link that leads nowhere or no plain file")
    _tell_passed(str(folder), passed, notice)
    if not found and len(faults) == before:
        what = "a folder named like a file, and empty" if split_suffixes(folder.name)[0] else "an empty folder"
        what = f"no rows found: {what}"
        if passed:
            what = f"no rows found: it holds no file that can be read, but {', '.join(passed[:_SHOWN])}"
        faults.append(
            InputError(str(folder), what, f"files of type {_ACCEPTED}", "Put the raw files in, or name another folder")
        )
    return found


def _described(catalogue: Catalogue, place: Path, folder: Path, notice: Notice) -> list[_Found]:
    """The files that a folder says are its data, and the file that says so; names are relative to `folder`."""
    notice(f"{place}: read by {catalogue.kind}, {len(catalogue.files)} files")
    for what in catalogue.left_out:
        notice(f"{place}: {what}")
    found = []
    for path, layout in catalogue.files:
        if split_suffixes(path.name)[0] is None:
            notice(f"{path}: passed over, of unknown type (not {_ACCEPTED})")
        else:
            found.append(_Found(path, path.relative_to(folder).as_posix(), layout))
    if catalogue.described_by is not None:
        name = catalogue.described_by.relative_to(folder).as_posix()
        found.append(_Found(catalogue.described_by, name, describes=True))
    return found


def _beside(catalogue: Catalogue, place: Path, names: list[str], notice: Notice) -> list[str]:
    """The files beside what a catalogue names that are read too: rows, where it does not claim to name all of them."""
    listed = {path for path, _ in catalogue.files}
    others = [name for name in names if name not in NAMES and place / name not in listed]
    also = [name for name in others if not catalogue.complete and split_suffixes(name)[0] in _ROWS]
    if also:
        notice(f"{place}: {_listing(also)}, not named there, read as any other file")
    if passed := [name for name in others if name not in also]:
        notice(f"{place}: passed over {_listing(passed)}, not named there")
    return also


def _version_of(folder: Path) -> Path | None:
    """The version's folder that a dataset (by its HEAD) or a version stands for; None for any other folder."""
    if (folder / "manifest.json").is_file() and (folder / "data").is_dir():
        return folder
    if (folder / "HEAD").is_file():
        try:
            head = folder / (folder / "HEAD").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if (head / "manifest.json").is_file():
            return head
    return None


def _walk(folder: Path, faults: list[InputError], notice: Notice) -> Iterator[tuple[Path, Catalogue | None, list[str]]]:
    """Every folder below one, what it says of itself, and its files; hidden ones are passed over.

    A folder is entered once, so links cannot go round in circles; below one that describes its data nothing is entered.
    """
    seen: set[str] = set()
    linked: list[Path] = [folder]
    while linked:
        start = linked.pop(0)
        for inner, folders, names in os.walk(start, onerror=lambda error: faults.append(_of_walk(error))):
            place = Path(inner)
            real = os.path.realpath(inner)
            if real in seen:
                notice(f"{place}: passed over, read already by another path")
                folders.clear()
                continue
            seen.add(real)
            catalogue = catalogue_of(place) if NAMES & set(names) else None
            if catalogue is not None:
                folders.clear()
                yield place, catalogue, sorted(name for name in names if not name.startswith("."))
                continue
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            linked += [place / name for name in folders if (place / name).is_symlink()]
            nested = [name for name in folders if _version_of(place / name) is not None]
            for name in nested:
                notice(f"{place / name}: passed over, a dataset of datakit inside the input; name it to read it")
            folders[:] = [name for name in folders if name not in nested and not (place / name).is_symlink()]
            yield place, None, sorted(name for name in names if not name.startswith("."))


def _of_walk(error: OSError) -> InputError:
    return _unreadable(Path(str(error.filename)), error)


def _tell_passed(where: str, names: list[str], notice: Notice) -> None:
    if names:
        notice(f"{where}: passed over {_listing(names)} (not {_ACCEPTED})")


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _spool() -> Path:
    """Standard input in a temporary file, removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="datakit-stdin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return path


def _once(found: list[_Found], notice: Notice) -> list[_Found]:
    """The files without those that two paths name alike."""
    seen: set[Path] = set()
    kept = []
    for one in found:
        path = _absolute(one.path)
        if path in seen:
            notice(f"{one.path}: named twice, read once")
            continue
        seen.add(path)
        kept.append(one)
    return kept


def _named(found: list[_Found]) -> list[_Found]:
    """The files with names of their own: where two share one, parent folders are put before it until they differ."""
    deeper = 0
    named = found
    while True:
        shared = {name for name, times in Counter(one.name for one in named).items() if times > 1}
        if not shared:
            return named
        deeper += 1
        named = [
            _prefixed(one, deeper) if again.name in shared or again.name != one.name else one
            for one, again in zip(found, named, strict=True)
        ]
        if deeper > 64:  # the roots are reached: the whole path tells them apart
            return [replace(one, name=_absolute(one.path).as_posix()) for one in found]


def _absolute(path: Path) -> Path:
    """The whole path without `..`, links left as they are."""
    return Path(os.path.normpath(path.absolute()))


def _prefixed(one: _Found, deeper: int) -> _Found:
    parts = _absolute(one.path).parts
    count = len(Path(one.name).parts) + deeper
    return replace(one, name="/".join(parts[-min(count, len(parts) - 1) :]))


def _describe(one: _Found) -> SourceFile:
    form, _ = split_suffixes(one.path.name)
    compression = compression_of(one.path)
    if form is None:
        form = _sniff(one.path, compression)
    if one.describes:
        form = "catalogue"
    return SourceFile(one.path, one.name, form, compression, one.path.stat().st_size, one.layout)


def _sniff(path: Path, compression: Compression) -> Form:
    """The form of standard input, by its first bytes."""
    head, _ = take_head(ByteStream(path, compression), 4096)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return "xlsx" if b"xl/" in head else "docx"
    if head.startswith(b"WARC/"):
        return "warc"
    if re.match(rb"\s*<(?:!doctype html|html)", head.removeprefix(b"\xef\xbb\xbf"), re.IGNORECASE):
        return "html"
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"{": "jsonl", b"[": "json"}.get(first, "txt")  # type: ignore[return-value]
