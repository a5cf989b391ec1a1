"""The bytes of a file, decompressed while they are read: memory stays bounded whatever a file unpacks to."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compression = Literal["none", "gz", "zst"]

CHUNK: Final = 1 << 20  # bytes of unpacked data at a time
_PACKED: Final = 1 << 18  # bytes of packed data at a time

MAGIC: Final[dict[Compression, bytes]] = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd"}


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def unpack(self, packed: bytes) -> bytes: ...
    @property
    def hungry(self) -> bool: ...


class _Gzip:
    """One member of a gzip file, at most CHUNK bytes out at a time."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._full = False

    def unpack(self, packed: bytes) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + packed, CHUNK)
        self._full = len(out) == CHUNK  # more may wait inside, even where the tail is empty
        return out

    @property
    def hungry(self) -> bool:
        return not self._inner.unconsumed_tail and not self._full

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _Zstd:
    """One frame of a zstd file, at most CHUNK bytes out at a time."""

    def __init__(self) -> None:
        self._inner: Any = zstd.ZstdDecompressor()

    def unpack(self, packed: bytes) -> bytes:
        out: bytes = self._inner.decompress(packed, CHUNK)
        return out

    @property
    def hungry(self) -> bool:
        return bool(self._inner.needs_input)

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)


class CutOff(Exception):
    """A compressed file is truncated or damaged; everything that could be unpacked came before."""


class ByteStream:
    """The unpacked bytes of a file in chunks of at most 1 MiB.

    Iterating raises CutOff after the last bytes that could be unpacked, where the file is damaged.
    """

    def __init__(self, path: Path, compression: Compression) -> None:
        self.path, self.compression = path, compression

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            if self.compression == "none":
                while piece := file.read(CHUNK):
                    yield piece
                return
            pieces = iter(lambda: file.read(_PACKED), b"")
            try:
                yield from self._members(pieces)
            except (zlib.error, zstd.ZstdError) as error:
                raise CutOff(f"the {self.compression} data is damaged ({error})") from None

    def _members(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Every gzip member or zstd frame, one after the other."""
        packed = next(pieces, b"")
        while packed:
            if not packed.startswith(MAGIC[self.compression]) and not _skippable(packed):
                raise CutOff(f"{len(packed):,} bytes or more after the end of the {self.compression} data")
            member: _Decompressor = _Gzip() if self.compression == "gz" else _Zstd()
            while not member.eof:
                if not packed and member.hungry:
                    packed = next(pieces, b"")
                    if not packed:
                        raise CutOff(f"the {self.compression} data ends before its end mark")
                if out := member.unpack(packed):
                    yield out
                packed = b""
            packed = self._rest(member.unused_data, pieces)

    def _rest(self, packed: bytes, pieces: Iterator[bytes]) -> bytes:
        """What follows a member, its padding with NUL bytes removed, at least 4 bytes where there are as many."""
        while True:
            packed = packed.lstrip(b"\0") if self.compression == "gz" else packed
            if len(packed) >= 4:
                return packed
            more = next(pieces, b"")
            if not more:
                return packed
            packed += more


def _skippable(packed: bytes) -> bool:
    """Whether a zstd skippable frame begins here."""
    return packed[1:4] == b"\x2a\x4d\x18" and packed[0] & 0xF0 == 0x50


def take_head(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """At least `size` first bytes if there are as many, and the chunks that follow; CutOff comes with the latter."""
    rest = iter(chunks)
    head: list[bytes] = []
    held = 0
    try:
        while held < size:
            head.append(next(rest))
            held += len(head[-1])
    except StopIteration:
        rest = iter(())
    except CutOff as cut:
        rest = _raising(cut)
    return b"".join(head), rest


def _raising(cut: CutOff) -> Iterator[bytes]:
    raise cut
    yield b""


def compression_of(path: Path) -> Compression:
    """How a file is packed: by its first bytes, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(4)
    for compression, magic in MAGIC.items():
        if head.startswith(magic):
            return compression
    return "none"
