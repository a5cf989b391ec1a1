"""How many processes clean an input, and what they start with. Light, so that they can start before all else loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from datakit.engine.local import Workers, available_cores, run_apart, start_server
from datakit.files import size_of

R = TypeVar("R")

_PRELOAD: Final = ("datakit.cleaning.ready",)
_BYTES_A_WORKER: Final = 32 << 20  # as a worker's start costs about as much as cleaning 8 MB
_WORKER_MEMORY: Final = 300  # MB that a worker takes with small batches: polars, numba and the kernels loaded


def worker_count(size: int, memory_mb: int) -> int:
    """Processes for so many bytes of input: no more than there are cores, and memory for."""
    return max(1, min(available_cores(), size // _BYTES_A_WORKER, memory_mb // _WORKER_MEMORY - 2))


def start_pool(count: int) -> Workers:
    """Workers for one pass: what they have taken of the memory is free for the next."""
    return Workers(count, _PRELOAD)


def run_aside(count: int, function: Callable[..., R], *arguments: Any) -> R:
    """The result of a call that needs all rows: in a process of its own where there are workers at all."""
    return run_apart(function, *arguments, preload=_PRELOAD) if count > 1 else function(*arguments)


def start_early(paths: Iterable[str], memory_mb: int, count: int | None = None) -> None:
    """Start what workers are forked from, if an input of this size, or `count`, calls for more than one."""
    size = sum(size_of(path) for path in map(Path, paths) if path.exists())
    if (count or worker_count(size, memory_mb)) > 1:
        start_server(_PRELOAD)
