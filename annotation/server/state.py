"""What stands in a server's home, and whether a server runs there.

- secrets.json: {"auth_secret", "username", "password", "api_key"} of the owner; mode 0600
- state.json: url, pid, processes; written when the server answers, removed when it ends
- lock: held by the supervisor as long as it lives; its pid
- argilla.db: all of Argilla's data (SQLite; with -wal and -shm beside it while a server runs)
- redis/: background jobs that wait
- run: a link to the folder of redis' socket; page/: the web page as it is served; both end with the server
- server.log: what the processes say
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from datakit.errors import OutputError, UsageFault
from datakit.files import disk_faults

HOME: Final = "DATAKIT_ARGILLA_HOME"
"""The environment variable that names a home instead of the user's data folder."""

_SECRETS: Final = ("auth_secret", "username", "password", "api_key")


@dataclass(frozen=True)
class Local:
    """A server that runs on this machine.

    Attributes:
        url: where it answers, e.g. http://127.0.0.1:6900.
        api_key: the owner's key.
        username: the owner, who signs in with `password`.
        pid: the supervisor, which ends all when it is asked to.
        processes: process ids by name: supervisor, server, worker, and redis where it is ours.
        seconds: how long the start took.
    """

    url: str
    api_key: str
    username: str
    password: str
    home: Path
    pid: int
    processes: Mapping[str, int]
    seconds: float

    def memory(self) -> dict[str, int]:
        """Bytes of each process; pages that several share are divided among them (on macOS they count for each)."""
        return {name: _memory(pid) for name, pid in self.processes.items()}


def default_home() -> Path:
    """Where a server keeps its data: $DATAKIT_ARGILLA_HOME, else the user's data folder."""
    if named := os.environ.get(HOME):
        return Path(named)
    return user_folder("XDG_DATA_HOME", ".local/share", "Library/Application Support") / "datakit" / "argilla"


def user_folder(variable: str, linux: str, mac: str) -> Path:
    """A folder of the user, by the XDG variable, else where this system keeps such things."""
    if named := os.environ.get(variable):
        return Path(named)
    return Path.home() / (mac if sys.platform == "darwin" else linux)


def local(home: Path | None = None) -> Local | None:
    """The server that answers in a home (by default the user's), or None.

    Raises:
        UsageFault: it runs, but its secrets are damaged.
    """
    home = (home or default_home()).absolute()
    try:
        state = json.loads((home / "state.json").read_bytes())
    except (OSError, ValueError):
        return None
    if holder(home) != state["pid"]:  # left by one that was killed
        return None
    known = read_secrets(home)
    return Local(
        url=state["url"],
        api_key=known["api_key"],
        username=known["username"],
        password=known["password"],
        home=home,
        pid=state["pid"],
        processes=state["processes"],
        seconds=state["seconds"],
    )


def holder(home: Path) -> int | None:
    """The process id of the supervisor that lives in a home (it may still be starting or ending), or None."""
    import fcntl

    try:
        lock = os.open(home / "lock", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(lock, 20) or 0)  # 0: it has the lock this moment
    finally:
        os.close(lock)
    return None


def make_home(home: Path) -> dict[str, str]:
    """Make a home and its secrets where they are missing; the secrets come back.

    Raises:
        OutputError: the folder cannot be made or written to.
        UsageFault: the secrets are damaged, or others may read them.
        Surroundings: the disk is full.
    """
    try:
        with disk_faults(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_secrets(home / "secrets.json")
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise OutputError(
            str(home), f"cannot be written to ({error.strerror})", "a folder of yours", "Choose another --home"
        ) from error
    return read_secrets(home)


def _make_secrets(path: Path) -> None:
    if path.exists():
        return
    made = {
        "auth_secret": secrets.token_hex(32),
        "username": "owner",
        "password": secrets.token_urlsafe(15),
        "api_key": secrets.token_urlsafe(48),
    }
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(made, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # somebody else was faster: his are in force
            path.hardlink_to(aside)
    finally:
        aside.unlink(missing_ok=True)


def read_secrets(home: Path) -> dict[str, str]:
    """The secrets of a home.

    Raises:
        UsageFault: they are damaged, or others may read them.
    """
    path = home / "secrets.json"
    anew = "Remove the file: the next start makes a new key and password for the owner; annotators keep theirs"
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise UsageFault(str(path), f"others may read it (mode {mode:o})", "mode 600", f"{anew}. Or chmod 600 it")
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) and found[name] for name in _SECRETS):
        raise UsageFault(str(path), "damaged", f"JSON with {', '.join(_SECRETS)}", anew)
    return {name: found[name] for name in _SECRETS}


def _memory(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
    told: Any = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(told.stdout.strip() or 0) << 10
