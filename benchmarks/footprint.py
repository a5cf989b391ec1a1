"""What datakit costs beside CPU: `python -m benchmarks.footprint help|install|start|workers|memory --work DIR`.

- help: CPU seconds of `datakit --help`.
- install: seconds and MB of the core wheel in an empty environment; torch must be absent.
- start: first and second `datakit clean recipes/sales/raw` in that environment (run `install` first).
- workers: wall seconds with one worker and with two, on two cores; say so where the machine is not quiet.
- memory: peak resident memory of all processes on growing inputs, and bytes a row between them (slow: 5 GB).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.corpus import Plan, obtain
from benchmarks.measure import Sample, describe_machine, run_pinned, tree_resident_mb
from benchmarks.report import datakit_versions

ROOT = Path(__file__).parents[1]
SALES = ROOT / "recipes" / "sales" / "raw"


def _clean(rows: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "datakit", "clean", str(rows), "-o", str(out), *options]


def _checked(sample: Sample, log: Path) -> Sample:
    if sample.code != 0:
        raise RuntimeError(f"the command failed (exit {sample.code}); its output is in {log}")
    return sample


def _folder_mb(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def measure_help(options: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of `datakit --help`: median of the repeats, after one that warms the disk."""
    log = options.work / "help.log"
    command = [sys.executable, "-m", "datakit", "--help"]
    samples = [_checked(run_pinned(command, [0], log), log) for _ in range(options.repeat + 1)][1:]
    return {"cpu_s": median(sample.cpu for sample in samples), "samples": [sample.cpu for sample in samples]}


def measure_install(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and growth in MB of `pip install WHEEL` in an empty environment (pip's cache as it is here)."""
    wheels, fresh = options.work / "wheel", options.work / "fresh"
    shutil.rmtree(wheels, ignore_errors=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True)
    venv.create(fresh, with_pip=True, clear=True)
    before = _folder_mb(fresh)
    began = time.monotonic()
    pip = [str(fresh / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", str(next(wheels.glob("*.whl")))], check=True)
    seconds = time.monotonic() - began
    listed = json.loads(subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True).stdout)
    names = sorted(package["name"] for package in listed)
    return {
        "seconds": seconds,
        "mb": _folder_mb(fresh) - before,
        "packages": len(names),
        "torch": "torch" in names,
        "names": names,
    }


def measure_start(options: argparse.Namespace) -> dict[str, Any]:
    """The first run on the worked example in the fresh environment and the next one, each to a folder of its own.

    Raises FileNotFoundError where the environment or the example's raw folder is not there.
    """
    # The console script, not `python -m`: that would import the repository instead of the installed wheel.
    datakit = options.work / "fresh" / "bin" / "datakit"
    for needed, cure in ((datakit, "run `install` first"), (SALES, "make it: python recipes/sales/plant.py")):
        if not needed.exists():
            raise FileNotFoundError(f"{needed}: not there; {cure}")
    found = {}
    for compiled in (options.work / "fresh").rglob("__pycache__/kernels-*"):
        shutil.rmtree(compiled)  # left by an earlier call: the first run must not find them
    for name in ("first", "next"):
        out, log = options.work / f"start-{name}", options.work / f"start-{name}.log"
        shutil.rmtree(out, ignore_errors=True)
        cores = sorted(os.sched_getaffinity(0))
        command = [str(datakit), "clean", str(SALES), "-o", str(out)]
        sample = _checked(run_pinned(command, cores, log), log)
        found[name] = {"wall_s": sample.wall, "cpu_s": sample.cpu, "peak_mb": sample.peak_mb}
    return found


def measure_workers(options: argparse.Namespace) -> dict[str, Any]:
    """Wall seconds with one and with two workers, taking turns, and how many times two are faster.

    Raises RuntimeError where fewer than two cores are there.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise RuntimeError("two workers need two cores; this process may use one")
    plan = Plan(f"text-{options.mb:g}mb", options.mb, seed=3)
    obtain(options.data, options.work, plan)
    out, log = options.work / "workers", options.work / "workers.log"
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeat):
        for workers, seconds in walls.items():
            shutil.rmtree(out, ignore_errors=True)
            command = _clean(options.work / plan.name, out, "--workers", str(workers))
            seconds.append(_checked(run_pinned(command, cores, log), log).wall)
    one, two = median(walls[1]), median(walls[2])
    return {"mb": options.mb, "one_s": one, "two_s": two, "times": one / two, "samples": walls}


def watch_memory(command: Sequence[str], log: Path) -> dict[str, Any]:
    """Run a command and look ten times a second: the peak of all its processes together, in MB, and its cost.

    Raises RuntimeError where it fails.
    """
    with log.open("wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        peak = 0.0
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, tree_resident_mb(child.pid))
            time.sleep(0.1)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command}: exit {child.returncode}, see {log}")
    return {
        "peak_all_mb": max(peak, usage.ru_maxrss * 1024 / 1e6),
        "peak_largest_process_mb": usage.ru_maxrss * 1024 / 1e6,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.monotonic() - began,
    }


def measure_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory on a quarter of --mb and on all of it, and the bytes a row that lie between.

    The bytes a row are those of the index only where both inputs fill the fixed buffers: from about 4 GB on.
    """
    found: dict[str, Any] = {}
    for size in (options.mb / 4, options.mb):
        plan = Plan(f"text-{size:g}mb", size, seed=3)
        summary = obtain(options.data, options.work, plan)
        out = options.work / "memory"
        shutil.rmtree(out, ignore_errors=True)
        command = _clean(options.work / plan.name, out)
        watched = watch_memory(command, options.work / "memory.log")
        shutil.rmtree(out, ignore_errors=True)
        found[plan.name] = {"rows": summary["rows"], "file_mb": summary["file_bytes"] / 1e6, **watched}
    small, large = found.values()
    growth = (large["peak_all_mb"] - small["peak_all_mb"]) * 1e6
    return {**found, "bytes_a_row": growth / (large["rows"] - small["rows"])}


MEASURES = {
    "help": measure_help,
    "install": measure_install,
    "start": measure_start,
    "workers": measure_workers,
    "memory": measure_memory,
}
SIZES = {"workers": 200.0, "memory": 5_000.0}


def main() -> None:
    """Measure what the command line names; print it and write it to results/<measure>-<date>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=list(MEASURES))
    parser.add_argument("--work", type=Path, required=True, help="folder for corpora, environments and output")
    parser.add_argument("--data", type=Path, help="folder with the public data sets (needed to build a corpus)")
    parser.add_argument("--mb", type=float, help="size of the texts (default: workers 200, memory 5000)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.absolute()
    options.mb = options.mb or SIZES.get(options.measure, 0.0)
    machine = describe_machine()
    found = MEASURES[options.measure](options)
    facts = {"date": date.today().isoformat(), "machine": machine, "versions": datakit_versions()}
    text = json.dumps({**facts, options.measure: found}, indent=2) + "\n"
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{options.measure}-{facts['date']}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
