"""A real Argilla for tests: one a test run, started by datakit's own launcher; and who is left when it has ended."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from annotation.server import environment
from annotation.server.launch import Started, start
from annotation.server.state import Local
from datakit.progress import Silent


def installed() -> Path:
    """The user's environment for Argilla, installed the first time (134 MB to download)."""
    place = environment.default_environment()
    environment.make(place, Silent())
    return place


def begin(home: Path) -> Started:
    """A server on a free port that ends with this process, however that ends."""
    return start(home, installed(), port=0, detach=False)


def call(server: Local, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
    """What Argilla's API answers; `path` without /api/v1/. HTTP errors are raised."""
    request = urllib.request.Request(
        f"{server.url}/api/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Argilla-Api-Key": key or server.api_key, "Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as answer:
        return json.loads(answer.read() or b"null")


def living(home: Path) -> list[str]:
    """Processes that work in a home: `pid command`; by /proc, so on Linux alone."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            inside = (process / "cwd").readlink().is_relative_to(home.resolve())
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended meanwhile, or is a zombie
            continue
        if inside:
            found.append(f"{process.name} {words}")
    return found


def all_gone(home: Path, seconds: float = 120) -> bool:
    """Whether nothing works in a home any more; waits for what is ending."""
    until = time.monotonic() + seconds
    while living(home):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
