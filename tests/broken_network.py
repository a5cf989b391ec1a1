"""A TCP proxy before a real server that cuts, hangs or refuses, once or for good, at a byte of the answers."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["cut", "hang", "none"]
_RESET = struct.pack("ii", 1, 0)  # closing sends a reset


class Proxy:
    """Forwards to a server until `after` bytes of answers have passed.

    Attributes:
        url: of the proxy.
        passed: bytes of answers that came through.
    """

    def __init__(self, url: str, fault: Fault = "none", after: int = 0, *, for_good: bool = False) -> None:
        place = urlsplit(url)
        self._to = (place.hostname or "", place.port or 80)
        self._fault, self._after, self._for_good = fault, after, for_good
        self._over, self._healthy, self.passed = threading.Event(), False, 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        self._begin(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._door.close()
        for thread in self._threads:
            thread.join()

    def _begin(self, work: object, *words: object) -> None:
        thread = threading.Thread(target=work, args=words, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._door.settimeout(0.05)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                client, _ = self._door.accept()
                self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server:
            client.settimeout(0.05)
            server.settimeout(0.05)
            up = threading.Thread(target=self._forward, args=(client, server), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                for data in self._read(server):
                    whole = self._let_through(len(data))
                    client.sendall(data[:whole])
                    if whole < len(data):
                        if self._fault == "hang":
                            self._over.wait()
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        break
            self._close(server)
            self._close(client)
            up.join()

    def _let_through(self, size: int) -> int:
        """How many bytes of some more may pass."""
        with self._lock:
            self.passed += size
            if self._fault == "none" or self._healthy or self.passed <= self._after:
                return size
            self._healthy = not self._for_good
            return max(0, size - (self.passed - self._after))

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for data in self._read(client):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _read(self, one: socket.socket) -> Iterator[bytes]:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                data = one.recv(65_536)
                if not data:
                    return
                yield data

    @staticmethod
    def _close(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
