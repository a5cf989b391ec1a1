"""CPU seconds and peak memory of a child process with all it starts, on chosen cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MARK = "BENCH "
"""A child may print one line of JSON after this mark: what it measured itself."""


class Sample(NamedTuple):
    """One run: cpu (user + system) and wall in seconds, peak_mb of the largest process, what the child said.

    told: the object after the mark in the child's output, {} where it printed none. code: its exit status.
    """

    cpu: float
    wall: float
    peak_mb: float
    code: int
    told: dict[str, Any]


def run_pinned(
    command: Sequence[str], cores: Sequence[int], log: Path, environment: Mapping[str, str] | None = None
) -> Sample:
    """One run of a command on these cores; its output goes to `log`.

    CPU seconds include every descendant that was waited for, as workers are. The peak is that of the
    largest single process, the figure that Linux keeps (`ru_maxrss`).
    """
    with log.open("wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            # taskset would be one more program to need; the cores are inherited by all that the child starts.
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it again
    return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, child.returncode, _told(log))


def _told(log: Path) -> dict[str, Any]:
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        if line.startswith(MARK):
            return dict(json.loads(line.removeprefix(MARK)))
    return {}


def tree_resident_mb(pid: int) -> float:
    """Resident memory of a process and its descendants now, in MB; pages they share count once a process."""
    total = 0
    waiting = [pid]
    while waiting:
        current = Path("/proc") / str(waiting.pop())
        try:
            total += int((current / "statm").read_text().split()[1])
            for task in (current / "task").iterdir():
                waiting.extend(int(child) for child in (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while it was looked at
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in GB and Python of this machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {
        "cpu": f"{fields.get('model name', '?')} (family {fields.get('cpu family')}, model {fields.get('model')})",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory, 1),
        "python": sys.version.split()[0],
        "load_before": round(os.getloadavg()[0], 2),
    }
