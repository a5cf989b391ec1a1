"""Any file as a stream of blocks: decompressed, decoded and cut, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from datakit.errors import InputError, InputPermission
from datakit.recipe.data import DataSettings
from datakit.sources.block import MAX_ROW_BYTES, TARGET_BYTES, Block, Notice, Reject
from datakit.sources.discover import SourceFile
from datakit.sources.documents import read_sections, read_text
from datakit.sources.encoding import as_utf8
from datakit.sources.json_array import read_json
from datakit.sources.lines import read_lines
from datakit.sources.stream import ByteStream, CutOff
from datakit.sources.tabular import read_arrow, read_csv, read_parquet, unpacked

__all__ = ["Block", "Reject", "read_blocks"]

RECORD_KEYS: Final = frozenset(
    {"messages", "conversations", "conversation", "dialog", "dialogue", "prompt", "chosen", "completion", "history"}
)
"""Keys whose list of objects is part of one record, not a list of rows."""


def read_blocks(
    file: SourceFile,
    settings: DataSettings,
    target_bytes: int = TARGET_BYTES,
    max_row_bytes: int = MAX_ROW_BYTES,
    notice: Notice = lambda text: None,
) -> Iterator[Block]:
    """Blocks of about `target_bytes`, in the order of the file; together they cover every row once.

    Args:
        file: what `discover` found.
        settings: the [data] table: `split` and `encoding` are used here.
        target_bytes: size of a block before it is parsed.
        max_row_bytes: a longer row is rejected as `row_too_long` without being held in memory.
        notice: hears of encodings other than UTF-8, empty files and the like.

    Raises:
        InputError: the file cannot be opened any more. Damage inside it never raises: it is a rejected row.
    """
    try:
        empty = True
        for block in (
            _tables(file, target_bytes)
            if file.form in ("parquet", "arrow")
            else _texts(file, settings, target_bytes, max_row_bytes, notice)
        ):
            empty = False
            yield block
    except PermissionError:
        raise InputPermission(str(file.path), "may not be read", "read permission") from None
    except OSError as error:
        raise InputError(
            str(file.path), f"cannot be read ({error.strerror or error})", cure="Check the disk"
        ) from error
    if empty:
        notice(f"{file.source}: holds no rows")


def _texts(file: SourceFile, settings: DataSettings, target: int, largest: int, notice: Notice) -> Iterator[Block]:
    text = as_utf8(ByteStream(file.path, file.compression), settings.encoding, file.source, notice)
    source = file.source
    match file.form:
        case "jsonl":
            return read_lines(text, source, target, largest)
        case "json":
            return read_json(text, source, target, largest, RECORD_KEYS, notice)
        case "csv" | "tsv":
            delimiter = "\t" if file.form == "tsv" else None
            return read_csv(text, source, target, largest, delimiter, notice)
        case "md":
            return read_sections(text, source, target, largest)
        case _:
            return read_text(text, source, target, largest, settings.split)


def _tables(file: SourceFile, target: int) -> Iterator[Block]:
    reader: Callable[[Path, str, int], Iterator[Block]] = read_parquet if file.form == "parquet" else read_arrow
    if file.path.stat().st_size == 0:
        return
    try:
        with unpacked(file.path, file.compression) as path:
            yield from reader(path, file.source, target)
    except CutOff as cut:
        yield Block(file.source, 1, 0, rejects=(Reject(1, None, None, "truncated_file", str(cut)),))
