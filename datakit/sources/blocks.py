"""Any file as a stream of blocks: decompressed, decoded and cut, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from datakit.errors import InputError, InputPermission
from datakit.recipe.data import DataSettings
from datakit.sources.article import page_text
from datakit.sources.block import MAX_ROW_BYTES, TARGET_BYTES, Block, Document, Notice, Reject
from datakit.sources.discover import SourceFile
from datakit.sources.documents import read_sections, read_text
from datakit.sources.encoding import as_utf8
from datakit.sources.extract import UNPACKED
from datakit.sources.json_array import read_json
from datakit.sources.lines import read_lines
from datakit.sources.sheets import read_workbook
from datakit.sources.stream import ByteStream, CutOff
from datakit.sources.tabular import read_arrow, read_csv, read_parquet, unpacked
from datakit.sources.warc import read_warc

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
        for block in _forms(file, settings, target_bytes, max_row_bytes, notice):
            empty = False
            yield block if file.layout is None else replace(block, layout=file.layout)
    except PermissionError:
        raise InputPermission(str(file.path), "may not be read", "read permission") from None
    except OSError as error:
        raise InputError(
            str(file.path), f"cannot be read ({error.strerror or error})", cure="Check the disk"
        ) from error
    if empty and file.form != "catalogue":
        notice(f"{file.source}: holds no rows")


def _forms(file: SourceFile, settings: DataSettings, target: int, largest: int, notice: Notice) -> Iterator[Block]:
    match file.form:
        case "catalogue":
            return iter(())  # what it says is in the files that it names
        case "parquet" | "arrow":
            return _tables(file, target)
        case "warc":
            return read_warc(
                ByteStream(file.path, file.compression), file.source, target, largest, settings.encoding, notice
            )
        case "html" | "pdf" | "docx" | "xlsx":
            return _documents(file, settings, target, largest, notice)
        case _:
            return _texts(file, settings, target, largest, notice)


def _documents(file: SourceFile, settings: DataSettings, target: int, largest: int, notice: Notice) -> Iterator[Block]:
    """A document, held whole; its text is taken out of it where the block is parsed. Sheets are tables, read here."""
    data = _whole(file, largest if file.form == "html" else UNPACKED * largest)
    if isinstance(data, Reject):
        yield Block(file.source, 1, 0, rejects=(data,), size=data.length or 0)
        return
    form = file.form
    if not data.strip():
        return
    if form == "xlsx":
        yield from read_workbook(data, file.source, target, largest, notice)
    elif form == "html":  # decoded here, where somebody hears of a guess
        page = page_text(data, None, settings.encoding, file.source, notice).encode("utf-8", "replace")
        yield Block(
            file.source, 1, 0, (Document(form, page, encoding="utf-8", largest=largest),), "documents", size=len(data)
        )
    elif form == "pdf" or form == "docx":
        yield Block(file.source, 1, 0, (Document(form, data, largest=largest),), "documents", size=len(data))


def _whole(file: SourceFile, most: int) -> bytes | Reject:
    """The unpacked bytes of a file, or why there are none."""
    held: list[bytes] = []
    size = 0
    try:
        for chunk in ByteStream(file.path, file.compression):
            size += len(chunk)
            if size > most:
                return Reject(1, 0, size, "row_too_long", f"over {most:,} bytes (by clean.max_row_mb)")
            held.append(chunk)
    except CutOff as cut:
        return Reject(1, 0, size, "truncated_file", str(cut))
    return b"".join(held)


def _texts(file: SourceFile, settings: DataSettings, target: int, largest: int, notice: Notice) -> Iterator[Block]:
    text = as_utf8(ByteStream(file.path, file.compression), settings.encoding, file.source, notice)
    source = file.source
    # LLaMA-Factory reads the lines of a txt file that it describes.
    split = settings.split or (None if file.layout is None else "lines")
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
            return read_text(text, source, target, largest, split)


def _tables(file: SourceFile, target: int) -> Iterator[Block]:
    reader: Callable[[Path, str, int], Iterator[Block]] = read_parquet if file.form == "parquet" else read_arrow
    if file.path.stat().st_size == 0:
        return
    try:
        with unpacked(file.path, file.compression) as path:
            yield from reader(path, file.source, target)
    except CutOff as cut:
        yield Block(file.source, 1, 0, rejects=(Reject(1, None, None, "truncated_file", str(cut)),))
