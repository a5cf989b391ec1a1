"""Arrow IPC streams read one record batch at a time: polars itself reads them only whole.

Layout (Arrow columnar format, "IPC streaming format"): messages of 0xFFFFFFFF, int32 metadata length, metadata
(a flatbuffer, padded to 8 bytes) and body; the schema first, then dictionaries and record batches.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

_CONTINUATION: Final = b"\xff\xff\xff\xff"
_END: Final = _CONTINUATION + b"\0\0\0\0"
_MAX_METADATA: Final = 64 << 20  # bytes; more is damage
_SCHEMA, _RECORD_BATCH = 1, 3  # MessageHeader of the Arrow format; 2 is a dictionary batch


def is_arrow_stream(path: Path) -> bool:
    """Whether the file is an IPC stream and not an IPC file (which begins with ARROW1)."""
    with path.open("rb") as file:
        return file.read(4) == _CONTINUATION


def stream_batches(path: Path) -> Iterator[pl.DataFrame]:
    """The record batches of a stream, one frame each.

    Raises:
        polars.exceptions.ComputeError: the stream is damaged; the batches before it have come.
    """
    preamble: list[bytes] = []  # schema and dictionaries: every batch needs them
    with path.open("rb") as file:
        while (message := _message(file)) is not None:
            kind, raw = message
            if not preamble and kind != _SCHEMA:
                raise pl.exceptions.ComputeError("the Arrow stream does not begin with a schema")
            if kind != _RECORD_BATCH:
                preamble.append(raw)
                continue
            yield pl.read_ipc_stream(io.BytesIO(b"".join([*preamble, raw, _END])))


def _message(file: BinaryIO) -> tuple[int, bytes] | None:
    """The next message's header type and bytes; None at the end of the stream."""
    head = file.read(8)
    if not head or head == _END:
        return None
    size = struct.unpack("<i", head[4:])[0] if len(head) == 8 else 0
    if head[:4] != _CONTINUATION or not 0 < size <= _MAX_METADATA:
        raise pl.exceptions.ComputeError("the Arrow stream is cut off or damaged")
    metadata = file.read(size)
    try:
        kind, length = _header(metadata)
    except struct.error:
        raise pl.exceptions.ComputeError("the Arrow stream is cut off or damaged") from None
    body = file.read(length) if 0 <= length < 1 << 40 else b""
    if len(body) != length:
        raise pl.exceptions.ComputeError("the Arrow stream is cut off")
    return kind, head + metadata + body


def _header(metadata: bytes) -> tuple[int, int]:
    """Header type and body length of a Message flatbuffer (its fields 1 and 3)."""
    table = struct.unpack_from("<I", metadata, 0)[0]
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    fields = struct.unpack_from("<H", metadata, vtable)[0] // 2 - 2

    def place(number: int) -> int:
        return struct.unpack_from("<H", metadata, vtable + 4 + 2 * number)[0] if number < fields else 0

    kind = metadata[table + place(1)] if place(1) and table + place(1) < len(metadata) else 0
    length = struct.unpack_from("<q", metadata, table + place(3))[0] if place(3) else 0
    return kind, length
