"""Connections to Argilla's SQLite database for the engine, each in a thread of its own beside the server's loop."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from . import schema

T = TypeVar("T")

THREADS = 2  # searches at once; more would only share the same cores
PAGES_KEPT = 16_384  # KiB of pages that each connection keeps in memory


class Store:
    """One database file. Every process has one, also after a fork: SQLite's connections must not cross it.

    A read never waits for a writer, nor a writer for a read (write-ahead log); our own writes are short transactions
    that wait for the server's as the server's wait for ours.
    """

    _open: Store | None = None
    _guard = threading.Lock()

    def __init__(self, path: str, patience: float) -> None:
        self.path = path
        self.patience = patience  # seconds to wait for another writer
        self.process = os.getpid()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="search")
        self._indexer = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._local = threading.local()
        self._prepared = False

    @classmethod
    def of_process(cls, path: str, patience: float) -> Store:
        """The store of this process, made on first use."""
        with cls._guard:
            if cls._open is None or cls._open.process != os.getpid() or cls._open.path != path:
                cls._open = cls(path, patience)
            return cls._open

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, done in a thread with that thread's connection; the loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._with_connection, work)

    async def make_up(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same in a thread of its own, one after the other: a long indexing holds up no search that needs none."""
        return await asyncio.get_running_loop().run_in_executor(self._indexer, self._with_connection, work)

    def _with_connection(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.path, self.patience)
        with self._guard:
            if not self._prepared:
                connection.execute("PRAGMA journal_mode = WAL")
                schema.prepare(connection)
                self._prepared = True
        return work(connection)


def connect(path: str, patience: float) -> sqlite3.Connection:
    """A connection that begins transactions only where it is told to."""
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    connection.execute(f"PRAGMA cache_size = -{PAGES_KEPT}")
    return connection
