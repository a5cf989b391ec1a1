"""Starts redis and Argilla's server, and ends them whatever happens: standard library alone, 10 MB.

Standard input brings one line of JSON (`Supervisor`). Where `watched` is true it is then the lifeline: when it ends,
whoever started us is gone, and so are we. Standard output gets one line of JSON: the state, as soon as the server
answers, or {"found", "cure"} where it cannot be started.

Nobody is left behind: redis, server and worker form one process group. A signal ends them in order (server, worker,
redis); if one of them dies the rest is killed; and if we are killed, the server, whose standard input is a pipe of
ours, kills the group. The lock on the home is ours and goes with us.
"""

from __future__ import annotations

import ctypes
import fcntl
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ANSWERS: Final = 600.0  # seconds a start may take: a machine that is asleep or full is no fault
STOPS: Final = 20.0  # seconds in which the server ends its requests and the worker its job
_SOCKET_PATH: Final = 100  # longest path of a socket: 104 on macOS, 108 on Linux
_LOG: Final = 10 << 20  # bytes at which a log is put aside
_REDIS: Final = ("--port", "0", "--unixsocketperm", "700", "--appendonly", "yes", "--save", "", "--loglevel", "warning")
_KILL_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of Linux


class Fault(Exception):
    """The server cannot be started, or has died."""

    def __init__(self, found: str, cure: str = "") -> None:
        self.found, self.cure = found, cure
        super().__init__(found)


class Supervisor:
    """One server.

    Args:
        told: `home`; `port` (0: any); `redis_server` (path) or `redis` (URL); `watched`.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told, self.home = told, Path(told["home"])
        self.log_path = self.home / "server.log"
        self.page = self.home / "page"
        self.run: Path | None = None
        self.redis: subprocess.Popen[bytes] | None = None
        self.server: subprocess.Popen[bytes] | None = None
        self.asked = False
        self._reader, self._writer = os.pipe()

    def serve(self) -> None:
        """Start all, say so, and end all when a signal comes, the lifeline ends, or one of them dies."""
        self._take_signals()
        lock = self._take_home()
        try:
            with self._open_log() as log:
                try:
                    self._start(log)
                    self._await_end()
                except Fault as fault:
                    log.write(f"supervisor: {fault.found}\n".encode())
                    raise
        finally:
            (self.home / "state.json").unlink(missing_ok=True)
            self._end()
            for folder in (self.run, self.page):
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def _take_signals(self) -> None:
        def ask(*_: object) -> None:
            self.asked = True

        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, ask)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _take_home(self) -> int:
        """The number of the lock's file; it is held as long as we live. Who looks holds it for a moment."""
        lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(20):
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                return lock
            time.sleep(0.05)
        raise Fault("a server is running there", "Stop it with `datakit annotate stop`, or choose another --home")

    def _open_log(self) -> Any:
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return self.log_path.open("ab")

    def _start(self, log: Any) -> None:
        began = time.monotonic()
        listening = self._listen()
        port = listening.getsockname()[1]
        self.run = self._make_run_folder()
        redis = self.told["redis"] or self._start_redis(log)
        self._start_server(log, listening, redis)
        listening.close()
        self._await_answer(port)
        assert self.server is not None and self.server.stdout is not None
        state = {
            "format": 1,
            "pid": os.getpid(),
            "url": f"http://127.0.0.1:{port}",
            "home": str(self.home),
            "run": str(self.run),
            "processes": {
                "supervisor": os.getpid(),
                "server": self.server.pid,
                "worker": json.loads(self.server.stdout.readline())["worker"],
                **({"redis": self.redis.pid} if self.redis else {}),
            },
            "started": time.time(),
            "seconds": round(time.monotonic() - began, 2),
        }
        aside = self.home / f".state.{os.getpid()}"
        aside.write_text(json.dumps(state), encoding="utf-8")
        aside.replace(self.home / "state.json")
        say(state)

    def _listen(self) -> socket.socket:
        """Hold the port from the first moment, so that nobody takes it while Argilla is being imported."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", self.told["port"]))
            listening.listen(128)
        except OSError as error:
            raise Fault(
                f"port {self.told['port']} cannot be had ({error.strerror})", "Choose another with --port; 0 takes any"
            ) from error
        return listening

    def _make_run_folder(self) -> Path:
        """A folder for redis' socket, whose path must be short; Argilla's copy of its page (14 MB) is in the home."""
        state = self.home / "run"
        with suppress(OSError):  # left by one that was killed
            shutil.rmtree(state.readlink(), ignore_errors=True)
            state.unlink()
        shutil.rmtree(self.page, ignore_errors=True)
        self.page.mkdir()
        folder = tempfile.mkdtemp(prefix="datakit-argilla-")
        if len(folder) > _SOCKET_PATH - len("/redis.sock"):
            Path(folder).rmdir()
            folder = tempfile.mkdtemp(prefix="datakit-argilla-", dir="/tmp")
        state.symlink_to(folder)
        return Path(folder)

    def _start_redis(self, log: Any) -> str:
        """Start redis on a socket that only this user can open; the URL comes back.

        Who can write to Argilla's queue can run code in its worker: no port is opened. Jobs that wait are kept
        (appendonly), so that a kill loses none of them.
        """
        assert self.run is not None
        place = self.run / "redis.sock"
        folder = self.home / "redis"
        folder.mkdir(exist_ok=True)
        self.redis = subprocess.Popen(
            [self.told["redis_server"], "--unixsocket", str(place), *_REDIS],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        until = time.monotonic() + ANSWERS
        while not _pong(place):
            self._check(until, self.redis, "redis")
            self._pause(0.02)
        return f"unix://{place}"

    def _start_server(self, log: Any, listening: socket.socket, redis: str) -> None:
        boot = Path(__file__).resolve().with_name("boot.py")
        self.server = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore::DeprecationWarning", str(boot)],
            cwd=self.home,
            env={**os.environ, "TMPDIR": str(self.page)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[listening.fileno()],
            process_group=self.redis.pid if self.redis else 0,
        )
        told = {
            "home": str(self.home),
            "socket": listening.fileno(),
            "redis": redis,
            "secrets": str(self.home / "secrets.json"),
        }
        assert self.server.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: found by its exit code
            self.server.stdin.write(json.dumps(told).encode() + b"\n")
            self.server.stdin.flush()

    def _await_answer(self, port: int) -> None:
        assert self.server is not None
        until = time.monotonic() + ANSWERS
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/api/v1/version")
                if connection.getresponse().status == 200:
                    return
            connection.close()
            self._check(until, self.server, "Argilla's server")
            self._pause(0.05)

    def _check(self, until: float, process: subprocess.Popen[bytes], name: str) -> None:
        """Raise where we were asked to stop, a process has died, or too much time has gone by."""
        if self.asked or self._orphaned():
            raise Fault("stopped before it was ready")
        if process.poll() is not None:
            raise Fault(f"{name} ended with {process.returncode}", f"Its last words are in {self.log_path}")
        if time.monotonic() > until:
            raise Fault(f"{name} does not answer after {ANSWERS:.0f} s", f"See {self.log_path}")

    def _orphaned(self) -> bool:
        """Whether whoever started us, and wanted us to end with him, is gone."""
        if not self.told["watched"]:
            return False
        ready, _, _ = select.select([0], [], [], 0)
        return bool(ready) and not os.read(0, 1)

    def _pause(self, seconds: float | None) -> None:
        """Sleep until a signal comes or the lifeline ends."""
        lifeline = [0] if self.told["watched"] else []
        ready, _, _ = select.select([self._reader, *lifeline], [], [], seconds)
        if self._reader in ready:
            os.read(self._reader, 1024)

    def _await_end(self) -> None:
        """Return when we are asked to stop; raise when the server or redis dies unasked."""
        while not (self.asked or self._orphaned()):
            for name, process in (("Argilla's server", self.server), ("redis", self.redis)):
                if process is not None and process.poll() is not None:
                    raise Fault(f"{name} ended with {process.returncode}", f"Its last words are in {self.log_path}")
            self._pause(None)

    def _end(self) -> None:
        """End server and worker, then redis; kill what does not."""
        orderly = self.server is None or (self.server.poll() is None and _ends(self.server, STOPS))
        if orderly and self.redis is not None:
            _ends(self.redis, STOPS)
        leader = self.redis or self.server
        if leader is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(leader.pid, signal.SIGKILL)
        for process in (self.server, self.redis):
            if process is not None:
                process.wait()


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Ask a process to end; whether it did, without a fault."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(seconds) == 0
    return False


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent dies."""
    ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)


def _pong(place: Path) -> bool:
    """Whether redis answers, its data loaded."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(1)
        client.connect(str(place))
        client.sendall(b"PING\r\n")
        return client.recv(64).startswith(b"+PONG")
    return False


def say(words: dict[str, Any]) -> None:
    """One line to whoever started us, if he still listens."""
    with suppress(OSError):
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> int:
    """Serve as we are told; 0 where it ended because that was asked, 1 after a fault."""
    try:
        Supervisor(json.loads(_first_line())).serve()
    except Fault as fault:
        say({"found": fault.found, "cure": fault.cure})
        return 1
    except OSError as error:
        say({"found": f"{error.filename or 'the system'}: {error.strerror}", "cure": ""})
        return 1
    return 0


def _first_line() -> bytes:
    """The first line of standard input, and not a byte more: what follows is the lifeline."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


if __name__ == "__main__":
    raise SystemExit(main())
