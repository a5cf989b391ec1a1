"""Start a server and stop it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from annotation.server.environment import python_of, redis_of
from annotation.server.state import Local, holder, local, make_home
from datakit.errors import Surroundings, UsageFault

PORT: Final = 6900
"""Argilla's own."""

_SUPERVISE: Final = Path(__file__).resolve().parent / "inside" / "supervise.py"
_STOPS: Final = 60.0  # seconds for an orderly end; after that it is killed
_TAIL: Final = 6  # lines of the log that an error shows


@dataclass(frozen=True)
class Started:
    """A server that answers, and the supervisor's process, whose parent we are."""

    local: Local
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Wait until it ends.

        Raises:
            Surroundings: it ended without having been asked to.
        """
        if self.process.wait() != 0:
            raise Surroundings(
                f"the server in {self.local.home}", "died", cure=f"{_last_words(self.local.home)}\nStart it again"
            )

    def stop(self) -> None:
        """End server, worker and redis, and wait for it."""
        _end(self.process)


def start(home: Path, environment: Path, *, port: int = PORT, redis: str | None = None, detach: bool = True) -> Started:
    """Start a server and wait until it answers.

    Args:
        home: where its data are; made where it is missing.
        environment: a whole environment, see annotation/server/environment.py.
        port: of 127.0.0.1; 0 takes any that is free.
        redis: URL of a redis to use instead of one of its own.
        detach: let it live on when we end; else it ends with us, however we end.

    Raises:
        UsageFault: the home is in use or cannot be used, the port is taken, there is no redis.
        Surroundings: it does not start.
    """
    home = home.absolute()
    make_home(home)
    redis_server = None if redis else redis_of(environment)
    if redis is None and redis_server is None:
        raise UsageFault(
            "redis-server", "is not installed", cure="Install it (apt, brew), or give the URL of one with --redis"
        )
    process = subprocess.Popen(
        [str(python_of(environment)), "-I", "-S", str(_SUPERVISE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=home,
        start_new_session=True,
    )
    told = {
        "home": str(home),
        "port": port,
        "redis": redis,
        "redis_server": str(redis_server) if redis_server else None,
        "watched": not detach,
    }
    try:
        answer = _ask(process, told)
        if "url" not in answer:
            raise _fault(home, answer)
        running = local(home)
        if running is None:
            raise Surroundings(f"the server in {home}", "ended as soon as it stood", cure=_last_words(home))
    except BaseException:  # Ctrl-C during the start, too
        _end(process)
        raise
    return Started(running, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a supervisor to end, wait for it, and close what connects us."""
    process.terminate()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _ask(process: subprocess.Popen[bytes], told: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not told["watched"]:
        with suppress(BrokenPipeError):
            process.stdin.close()
    found: dict[str, Any] = json.loads(line) if line else {"found": "the supervisor ended without a word", "cure": ""}
    return found


def _fault(home: Path, answer: dict[str, Any]) -> UsageFault | Surroundings:
    """What kept a server from starting: a wrong call where there is a cure for it in the options, else the machine."""
    found, cure = answer["found"], answer["cure"]
    if "--" in cure:
        running = local(home)
        where = f"{home} (pid {running.pid}, {running.url})" if running and "--home" in cure else str(home)
        return UsageFault(where, found, cure=cure)
    return Surroundings(str(home), found, cure=f"{cure}\n{_last_words(home)}")


def _last_words(home: Path) -> str:
    with suppress(OSError):
        lines = (home / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-_TAIL:])
    return ""


def stop(home: Path) -> bool:
    """End the server of a home, orderly if it can, and wait for it; whether there was one."""
    home = home.absolute()
    until, signalled = time.monotonic() + _STOPS, 0
    while (pid := holder(home)) is not None:
        if pid and pid != signalled:
            _signal(pid, signal.SIGTERM)
            signalled = pid
        elif pid and time.monotonic() > until:
            _signal(pid, signal.SIGKILL)  # server, worker and redis end with it
        time.sleep(0.05)
    return bool(signalled)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
