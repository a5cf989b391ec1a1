"""What a folder says of itself: which of its files are data, and what is in them.

Three kinds are known: `datasets.save_to_disk` (state.json, and dataset_dict.json above it), a repository of the Hugging
Face hub (README.md with `configs`), LLaMA-Factory's data folder (dataset_info.json).
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from datakit.sources.layout import Layout, layout_of

STATE, SPLITS, INFO, CARD = "state.json", "dataset_dict.json", "dataset_info.json", "README.md"
NAMES: Final = frozenset({STATE, SPLITS, INFO, CARD})
"""Files that may describe the folder they lie in."""

_ELSEWHERE: Final = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_LARGEST: Final = 16 << 20  # bytes; a longer description is none
_SHOWN: Final = 6


@dataclass
class Catalogue:
    """The data of a folder.

    kind: what described it, for people; files: in their order, each with its layout; described_by: the file that says
    so, where it decides how rows are read; left_out: sentences on what is named and not read; complete: whether what it
    does not name is no data.
    """

    kind: str
    files: list[tuple[Path, Layout | None]] = field(default_factory=list)
    described_by: Path | None = None
    left_out: list[str] = field(default_factory=list)
    complete: bool = True


def catalogue_of(folder: Path) -> Catalogue | None:
    """What the folder says of itself; None where it says nothing that is understood."""
    for name, read in ((SPLITS, _splits), (STATE, _saved), (INFO, _llamafactory), (CARD, _hub)):
        path = folder / name
        if path.is_file() and path.stat().st_size <= _LARGEST:
            try:
                found = read(path)
            except (
                OSError,
                ValueError,
                TypeError,
                AttributeError,
                LookupError,
            ):  # no such description, whatever else it may be
                found = None
            if found is not None:
                return found
    return None


def _splits(path: Path) -> Catalogue | None:
    whole = Catalogue("datasets on disk")
    for split in orjson.loads(path.read_bytes())["splits"]:
        part = _saved(_inside(path.parent, split) / STATE)
        if part is not None:
            whole.files += part.files
    return whole


def _saved(path: Path) -> Catalogue | None:
    files = orjson.loads(path.read_bytes())["_data_files"]
    return Catalogue("a dataset on disk", [(_inside(path.parent, one["filename"]), None) for one in files])


def _inside(folder: Path, name: str) -> Path:
    """A path below a folder.

    Raises:
        ValueError: it leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} leads out of {folder}")
    return path


def _llamafactory(path: Path) -> Catalogue | None:
    entries = orjson.loads(path.read_bytes())
    if not entries or not all(type(entry) is dict for entry in entries.values()):
        return None
    if not all("file_name" in entry or any(key in entry for key in _ELSEWHERE) for entry in entries.values()):
        return None
    found = Catalogue("LLaMA-Factory's dataset_info.json", described_by=path, complete=False)
    remote, absent, seen = [], [], set()
    for name, entry in entries.items():
        if "file_name" not in entry:
            remote.append(name)
            continue
        try:
            place = _inside(path.parent, entry["file_name"])
            layout = layout_of(name, entry)
        except (ValueError, TypeError) as error:
            found.left_out.append(f"'{name}' is left out: {error}")
            continue
        parts = _parts(place)
        if not parts:
            absent.append(f"{name} ({entry['file_name']})")
        for part in parts:
            if part in seen:
                found.left_out.append(f"'{name}' is left out: {part.name} is read by an entry before it")
            else:
                seen.add(part)
                found.files.append((part, layout))
    found.left_out += _named("entries whose file is not here are left out", absent)
    found.left_out += _named("entries on a hub are left out, nothing is downloaded", remote)
    return found


def _parts(place: Path) -> list[Path]:
    """A file, or the files of a folder."""
    if place.is_dir():
        return sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    return [place] if place.is_file() else []


def _named(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}"] if names else []


def _hub(path: Path) -> Catalogue | None:
    patterns = list(dict.fromkeys(_patterns(path.read_text(encoding="utf-8"))))
    files: dict[Path, None] = {}
    missing = []
    for pattern in patterns:
        matches = sorted(path.parent.glob(pattern)) if glob.has_magic(pattern) else [path.parent / pattern]
        parts = [part for match in matches for part in _parts(match)]
        files |= dict.fromkeys(parts)
        missing += [] if parts else [pattern]
    if not files:
        return None
    left_out = _named("paths of its configs are not here", missing)
    return Catalogue("the configs of its README.md", [(file, None) for file in files], left_out=left_out)


_FRONT: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_CONFIGS: Final = re.compile(r"^configs:[ \t]*\r?\n((?:[ \t-].*\r?\n?|\r?\n)*)", re.MULTILINE)
_LINE: Final = re.compile(r"^[ \t]*(?P<dash>(?:-[ \t]+)*)(?:(?P<key>[\w-]+):(?:[ \t]+|$))?(?P<value>.*?)[ \t]*\r?$")


def _patterns(card: str) -> Iterator[str]:
    """The paths and globs that the `configs` of a dataset card name.

    The front matter is YAML, of which cards use a small part: keys, lists by dashes or in brackets, plain or quoted
    words (huggingface.co/docs/hub/datasets-manual-configuration).
    """
    front = _FRONT.match(card)
    block = _CONFIGS.search(front[1]) if front else None
    key = ""
    for line in block[1].splitlines() if block else ():
        found = _LINE.match(line)
        if found is None or line.lstrip().startswith("#"):
            continue
        key = found["key"] or key
        if key not in ("data_files", "path", "data_dir"):
            continue
        for word in found["value"].strip("[]").split(","):
            name = word.strip().strip("\"'").removeprefix("./")
            if name:
                yield f"{name.rstrip('/')}/**" if key == "data_dir" else name
