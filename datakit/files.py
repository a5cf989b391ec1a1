"""Files written whole or not at all, and their checksums."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from datakit.errors import Surroundings

_PIECE = 1 << 20  # bytes read at a time


def checksum(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """blake2b of a file's bytes, 32 hex digits; `progress` hears the bytes of every piece read."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            if progress is not None:
                progress(len(piece))
    return digest.hexdigest()


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small text file beside its place, flush it to disk, and rename it there.

    Raises:
        Surroundings: the disk is full or does not answer.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_faults(path):
        try:
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a full or failing disk while writing `path` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, Surroundings) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            raise
        raise Surroundings(
            str(path), error.strerror or "the disk failed", cure="Make room or choose another disk, then run again"
        ) from error


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
