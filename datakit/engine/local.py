"""Run a function over many inputs in worker processes of this machine, with bounded memory, in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any, TypeVar

from datakit.errors import Surroundings

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Worker processes for the time of a with-statement; none with a count of 1, where all runs in this process.

    Args:
        count: processes.
        preload: modules that every worker will need; they are imported once, and workers start with them.
    """

    def __init__(self, count: int, preload: Sequence[str] = ()) -> None:
        self.count = max(1, count)
        self._preload = list(preload)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.count > 1:
            self._pool = _start_pool(self.count, self._preload)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def run_in_order(self, function: Callable[[T], R], inputs: Iterable[T]) -> Iterator[R]:
        """The results of `function` over `inputs`, in their order.

        At most two inputs a worker wait or run at any time, so that a fast reader cannot fill the memory.

        Raises:
            Surroundings: a worker was killed (out of memory, mostly).
        """
        if self._pool is None:
            yield from map(function, inputs)
            return
        waiting: deque[Future[R]] = deque()
        with _killed_workers():
            for value in inputs:
                waiting.append(self._pool.submit(function, value))
                if len(waiting) >= 2 * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def run_apart(function: Callable[..., R], *arguments: Any, preload: Sequence[str] = ()) -> R:
    """The result of one call in a process of its own: the memory that it took is free again, fragments and all.

    Raises:
        Surroundings: the process was killed (out of memory, mostly).
    """
    with _start_pool(1, preload) as pool, _killed_workers():
        return pool.submit(function, *arguments).result()


def _start_pool(count: int, preload: Sequence[str]) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(count, mp_context=_context(list(preload)), initializer=_live_and_die_by_the_parent)
    with _one_thread_each():
        for _ in range(count):
            pool.submit(_nothing)  # starts the processes now, beside whatever comes before the work
    return pool


@contextmanager
def _killed_workers() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise Surroundings(
            "worker process",
            "killed by the system",
            cure="Most often memory ran out: run again with fewer --workers",
        ) from error


def start_server(preload: Sequence[str]) -> None:
    """Start the server that workers will be forked from, so that it imports `preload` beside whatever comes before.

    Nothing is lost where no worker is wanted in the end, or where there is no such server: it is only early.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
        with _one_thread_each():
            forkserver.ensure_running()


def _context(preload: list[str]) -> BaseContext:
    """How processes start.

    Threads of polars do not survive a fork of this process. A server that has only imported the modules has none, and
    its forks start with the modules at hand. Where there is no such server, each worker imports anew.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    return context


def _nothing() -> None:
    """What a process is started with."""


def _live_and_die_by_the_parent() -> None:
    """Ctrl-C reaches the whole process group; only the parent reacts and ends the workers.

    A parent that is killed cannot end them, and they would wait for work for ever: so they watch it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


class _one_thread_each:  # noqa: N801 - used as a with-statement, reads as a phrase
    """Workers started inside start with one polars thread each: the processes are the parallelism."""

    def __enter__(self) -> None:
        self._before = os.environ.get("POLARS_MAX_THREADS")
        os.environ["POLARS_MAX_THREADS"] = "1"

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            os.environ.pop("POLARS_MAX_THREADS", None)
        else:
            os.environ["POLARS_MAX_THREADS"] = self._before
