from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datakit

PARENT = """
import os, time
from datakit.engine.local import Workers

def process(_):
    return os.getpid()

if __name__ == "__main__":
    with Workers(2) as workers:
        for worker in workers.run_in_order(process, range(100)):
            print(worker, flush=True)
            time.sleep(0.2)
"""


def runs(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    here = {**os.environ, "PYTHONPATH": str(Path(datakit.__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=here)
    assert parent.stdout is not None
    workers = {int(parent.stdout.readline()) for _ in range(4)}
    parent.stdout.close()
    assert all(map(runs, workers))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 10
    while any(map(runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, workers))
