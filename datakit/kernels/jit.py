"""The one decorator of all numba kernels: cached on disk, running without the GIL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` with numba at its first call; the type that mypy sees is the function's own.

    The machine code is cached on disk, so only the first run on a machine pays for it. `nogil` lets threads run
    kernels side by side.
    """
    settings = vars(config)  # numba reads its cache folder here, at the moment a function is decorated
    before = settings["CACHE_DIR"]
    settings["CACHE_DIR"] = str(cache_folder())
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    finally:
        settings["CACHE_DIR"] = before


def inner(function: F) -> F:
    """Compile a function that only kernels call, and not on its own.

    Without a way in from Python and without a cache file, as its machine code is part of each kernel's: compiling takes
    two thirds of the time.
    """
    options: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(F, numba.njit(**options)(function))


@cache
def cache_folder() -> Path:
    """Where the machine code lies: beside the package, or in the user's cache where that is read-only.

    The folder is named by all sources of the room and by numba's version. numba itself looks only at the file of the
    outermost kernel, and would go on running code whose inner kernels, in other files, have changed: after an upgrade,
    for example. Two versions of numba that share a folder trip over each other's code.
    """
    room = Path(__file__).parent
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=6)
    for path in sorted(room.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"kernels-{digest.hexdigest()}"
    beside = room / "__pycache__"
    if os.access(beside if beside.is_dir() else room, os.W_OK):
        return beside / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "datakit" / name


def is_prepared() -> bool:
    """Whether some kernels were compiled on this machine before."""
    folder = cache_folder()
    return folder.is_dir() and any(folder.rglob("*.nbi"))
