"""Passwords of the people whom a campaign lets onto a server, in one file that only its owner reads."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson

from datakit.files import write_whole

FILE: Final = "passwords.json"

_BYTES: Final = 12  # 96 bits, 16 characters; the server asks for 8


def prepare(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name to password of people who are about to be made; written before the server hears of them.

    Whoever has one in the file keeps it: a push that was killed in between has perhaps made them with it.
    """
    known = read(folder)
    wanted = {name: known.get(name) or secrets.token_urlsafe(_BYTES) for name in names}
    if not wanted.keys() <= known.keys():
        text = orjson.dumps(known | wanted, option=orjson.OPT_INDENT_2).decode()
        write_whole(folder / FILE, text + "\n", mode=0o600)
    return wanted


def read(folder: Path) -> dict[str, str]:
    """Name to password of everybody whom a campaign made."""
    path = folder / FILE
    return dict(orjson.loads(path.read_bytes())) if path.is_file() else {}
