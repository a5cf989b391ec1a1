"""The head of a safetensors file: what weights it holds, and whether all of them are there, without loading any.

8 bytes of length (little-endian), then JSON: name → dtype, shape and data_offsets, counted from behind it
(huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

import orjson

from datakit.errors import InputError

_LENGTH: Final = struct.Struct("<Q")
_LONGEST: Final = 100_000_000  # bytes of JSON; safetensors itself takes no longer one


def read_head(file: Path) -> dict[str, dict[str, Any]]:
    """The weights of a file by name, each with dtype, shape and data_offsets.

    Raises:
        InputError: it has no such head, or is shorter than its head says.
    """
    with file.open("rb") as opened:
        start = opened.read(_LENGTH.size)
        length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
        head = opened.read(min(length, _LONGEST))
    try:
        weights = {name: entry for name, entry in orjson.loads(head).items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in weights.values()]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise InputError(str(file), f"cannot be read ({error})", cure="Restore the model's folder") from None
    whole, found = _LENGTH.size + length + max(ends, default=0), file.stat().st_size
    if found < whole:
        raise InputError(
            str(file), f"cut short, {found:,} bytes", f"{whole:,}, as its head says", "Restore the model's folder"
        )
    return weights
