"""Run a function over many inputs in worker processes of this machine, with bounded memory, in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from threading import Thread
from typing import TypeVar

from datakit.errors import Surroundings

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_order(function: Callable[[T], R], inputs: Iterable[T], workers: int) -> Iterator[R]:
    """The results of `function` over `inputs`, in their order.

    With one worker everything runs in this process. With more, at most two inputs a worker wait or run at any
    time, so that a fast reader cannot fill the memory.

    Raises:
        Surroundings: a worker was killed (out of memory, mostly).
    """
    if workers <= 1:
        yield from map(function, inputs)
        return
    # Threads of polars and numba do not survive a fork; each worker is a fresh interpreter with one thread of its own.
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_live_and_die_by_the_parent
        ) as pool,
    ):
        waiting: deque[Future[R]] = deque()
        try:
            for value in inputs:
                waiting.append(pool.submit(function, value))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise Surroundings(
                "worker process",
                "killed by the system",
                cure="Most often memory ran out: run again with fewer --workers",
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
