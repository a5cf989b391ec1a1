"""What docx and xlsx files have in common: a zip of parts, looked through before any library opens it."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Final

from datakit.sources.block import Broken

_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an encrypted document, or one of before Office 2007
_PIECE: Final = 1 << 20
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def open_package(data: bytes, largest: int) -> zipfile.ZipFile:
    """The parts of an Office document, each of which is as long as the zip's directory says.

    Args:
        data: the file.
        largest: bytes that all parts together may unpack to.

    Raises:
        Broken: it is encrypted, damaged, or unpacks to more (`encrypted`, `broken_document`, `row_too_long`).
    """
    if data.startswith(_OLE):
        raise Broken("encrypted", "protected by a password, or a file of before Office 2007: save it as a new one")
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
        size = sum(part.file_size for part in package.infolist())
        if size > largest:
            raise Broken("row_too_long", f"unpacks to {size:,} bytes, the limit is {largest:,} (8 x clean.max_row_mb)")
        for part in package.infolist():
            with package.open(part) as file:  # reads no further than the size that is claimed, then checks the sum
                while file.read(_PIECE):
                    pass
    except _DAMAGE as error:
        raise Broken("broken_document", f"the zip that it should be is damaged ({error})") from None
    return package
