"""`inspect`: what files hold, before any cleaning: kinds, languages, lengths, turns, and what is odd about them.

Of large input a sample is read, the beginning of every file, and that is said. What is held are a few numbers a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning import language
from datakit.cleaning.views import whole_texts
from datakit.formats.columns import column_report
from datakit.formats.read import Parsed, parse
from datakit.kernels.buffers import to_buffer
from datakit.progress import Progress, Silent
from datakit.recipe.recipe import Recipe
from datakit.records import Kind
from datakit.segments import to_segments
from datakit.sources.block import Block
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import SourceFile, discover

SAMPLE_MB: Final = 64
"""What is read of large input unless all is asked for: seconds, not minutes."""

_BLOCK: Final = 4 << 20
_LEAST: Final = 1 << 20  # bytes that are read of every file, however many there are
_QUANTILES: Final = {"least": 0.0, "p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}
_MARKS: Final = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass
class FileFound:
    """One file. read: bytes that were read, all of them unless it is a sample; kinds, reasons: rows."""

    source: str
    bytes: int
    read: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    oddities: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that were read, rejected ones included."""
        return self.kinds.total() + self.reasons.total()


@dataclass
class Inspection:
    """What was found.

    files: each one. sampled: whether something was left unread. languages: kind to language to rows; lengths, turns:
    kind to least, p50, p95, p99 and most, in characters and messages; repeated: rows that an equal one came before.
    """

    files: list[FileFound]
    sampled: bool
    languages: dict[str, dict[str, int]]
    lengths: dict[str, dict[str, float]]
    turns: dict[str, dict[str, float]]
    repeated: int

    @property
    def kinds(self) -> Counter[str]:
        """Rows by kind."""
        return sum((file.kinds for file in self.files), Counter())

    @property
    def reasons(self) -> Counter[str]:
        """Rows that cannot be read, by reason."""
        return sum((file.reasons for file in self.files), Counter())

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        files = [
            {
                "source": file.source,
                "bytes": file.bytes,
                "read": file.read,
                "rows": file.rows,
                "kinds": dict(file.kinds),
                "rejected": dict(file.reasons),
                "oddities": file.oddities,
            }
            for file in self.files
        ]
        return {
            "sampled": self.sampled,
            "files": files,
            "rows": sum(file.rows for file in self.files),
            "kinds": dict(self.kinds),
            "rejected": dict(self.reasons),
            "languages": self.languages,
            "lengths": self.lengths,
            "turns": self.turns,
            "repeated": self.repeated,
        }


@dataclass
class _Seen:
    """Numbers of the rows so far: by kind their lengths, turns and languages; and every id as a number."""

    lengths: dict[str, list[NDArray[np.uint32]]] = field(default_factory=dict)
    turns: dict[str, list[NDArray[np.uint32]]] = field(default_factory=dict)
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    ids: list[NDArray[np.uint64]] = field(default_factory=list)

    def take(self, frame: pl.DataFrame, kind: Kind) -> None:
        whole = frame["text"] if kind == "text" else whole_texts(to_segments(frame, kind), frame.height)
        self.lengths.setdefault(kind, []).append(whole.str.len_chars().to_numpy())
        tags = language.detect(whole, to_buffer(whole))["language"].fill_null(language.UNDETERMINED)
        self.languages.setdefault(kind, Counter()).update(dict(tags.value_counts().iter_rows()))
        turns = _turns(frame, kind)
        if turns is not None:
            self.turns.setdefault(kind, []).append(turns)
        self.ids.append(np.fromiter((int(found, 16) for found in frame["id"].to_list()), np.uint64, frame.height))


def inspect(
    paths: Sequence[str | Path], recipe: Recipe, *, whole: bool = False, progress: Progress | None = None
) -> Inspection:
    """Look at files or folders as `datakit clean` would read them; nothing is written.

    Args:
        paths: files, folders, globs, or "-" for standard input.
        recipe: its [data] table says how files are read.
        whole: read everything, however much it is.
        progress: hears of progress and notices.

    Raises:
        InputError: nothing is there, or it may not be read.
    """
    listener = progress or Silent()
    files = discover(paths, listener.notice)
    total = sum(file.bytes for file in files)
    share = 1.0 if whole or not total else min(1.0, (SAMPLE_MB << 20) / total)
    seen, found, done = _Seen(), [], 0
    for file in files:
        found.append(_file(file, recipe, share, seen))
        done += file.bytes
        listener.advance("inspecting", done, total, "B")
    ids = np.concatenate([np.zeros(0, dtype=np.uint64), *seen.ids])
    return Inspection(
        files=found,
        sampled=any(one.read < one.bytes for one in found),
        languages={kind: dict(counts.most_common()) for kind, counts in seen.languages.items()},
        lengths={kind: _quantiles(parts) for kind, parts in seen.lengths.items()},
        turns={kind: _quantiles(parts) for kind, parts in seen.turns.items()},
        repeated=int(ids.size - np.unique(ids).size),
    )


def _file(file: SourceFile, recipe: Recipe, share: float, seen: _Seen) -> FileFound:
    one = FileFound(file.source, file.bytes)
    keys: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    unknown: Counter[tuple[str, ...]] = Counter()
    most = max(_LEAST, int(share * file.bytes))
    whole = True
    for block in _blocks(file, recipe, one):
        if share < 1 and one.read >= most:
            whole = False
            break
        one.read += len(block)
        parsed = parse(block, recipe.data)
        unknown += parsed.unknown
        one.reasons.update(dict(parsed.rejected["reason"].value_counts().iter_rows()))
        for kind, frame in _frames(parsed):
            one.kinds[kind] += frame.height
            seen.take(frame, kind)
            _count_meta(frame, keys, filled)
    # What a compressed file unpacks to is not its size on disk.
    one.read = file.bytes if whole else min(one.read, file.bytes - 1)
    one.oddities += _oddities(file, one, keys, filled, unknown)
    return one


def _blocks(file: SourceFile, recipe: Recipe, one: FileFound) -> Iterator[Block]:
    largest = int(recipe.clean.max_row_mb * 1e6)
    said = one.oddities.append
    prefix = f"{file.source}: "
    yield from read_blocks(file, recipe.data, _BLOCK, largest, lambda text: said(text.removeprefix(prefix)))


def _frames(parsed: Parsed) -> Iterator[tuple[Kind, pl.DataFrame]]:
    for kind, frame in parsed.frames.items():
        if frame.height:
            yield kind, frame


def _count_meta(frame: pl.DataFrame, keys: Counter[str], filled: Counter[str]) -> None:
    """Columns that are no content: how often each is there, and how often it says something."""
    for text in frame["meta"].to_list():
        meta = orjson.loads(text) if text else {}
        keys.update(meta.keys())
        filled.update(name for name, value in meta.items() if value not in (None, "", [], {}))


def _oddities(
    file: SourceFile, one: FileFound, keys: Counter[str], filled: Counter[str], unknown: Counter[tuple[str, ...]]
) -> Iterator[str]:
    mark = next((name for mark, name in _MARKS.items() if _begins(file, mark)), None)
    if mark is not None:
        yield f"begins with a byte order mark ({mark})"
    if len(one.kinds) > 1:
        yield f"mixed kinds: {_counted(one.kinds)}"
    if one.reasons:
        yield f"cannot be read: {_counted(one.reasons)}"
    for columns, rows in unknown.most_common(1):
        yield f"columns that fit no format ({rows:,} {'row' if rows == 1 else 'rows'}): {', '.join(columns)}"
        if not one.kinds:
            yield f"they may mean, in a recipe's [data]: {column_report(one.source, columns, rows).recipe_line}"
    empty = [name for name in keys if not filled[name]]
    if empty:
        yield f"empty columns: {', '.join(sorted(empty))}"
    if not one.rows and file.form != "catalogue":
        yield "no rows"


def _begins(file: SourceFile, mark: bytes) -> bool:
    if not Path(file.path).is_file():
        return False
    with Path(file.path).open("rb") as opened:
        return opened.read(len(mark)) == mark


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def _turns(frame: pl.DataFrame, kind: Kind) -> NDArray[np.uint32] | None:
    """Messages a record; None of plain texts."""
    if kind == "text":
        return None
    counted: NDArray[np.uint32] = frame["messages" if kind == "messages" else "prompt"].list.len().to_numpy()
    return counted


def _quantiles(parts: Sequence[NDArray[np.uint32]]) -> dict[str, float]:
    values = np.concatenate(parts)
    found = np.quantile(values, list(_QUANTILES.values()), method="nearest")
    return dict(zip(_QUANTILES, found.tolist(), strict=True))
