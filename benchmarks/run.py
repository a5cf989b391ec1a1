"""Run datakit and its peers side by side: `python -m benchmarks.run --data DIR --venvs DIR --work DIR`.

Each run is a child process pinned to one core and measured from outside: CPU seconds, user and system, of
the whole process and all it starts. Engines take turns within a round, and the rounds repeat, so that a busy
machine burdens all alike; the table shows medians. Results go to benchmarks/results/<date>.json and .md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.corpus import obtain
from benchmarks.jobs import JOBS, Engine, Job, Setting, plans
from benchmarks.measure import Sample, describe_machine, run_pinned
from benchmarks.peers.install import PEERS, interpreter, versions
from benchmarks.report import Measured, datakit_versions, render, write_results

RESULTS = Path(__file__).parent / "results"


class Entry(NamedTuple):
    """One line of the table to come: an engine of a job on a corpus."""

    job: Job
    engine: Engine
    corpus: str


def choose_entries(names: list[str], corpora: list[str], venvs: Path | None) -> list[Entry]:
    """What will run, in the order of one round; peers without an environment are left out and named on stderr."""
    entries: list[Entry] = []
    for job in JOBS:
        if names and job.name not in names:
            continue
        for engine in job.engines:
            if engine.peer and (venvs is None or not interpreter(venvs, engine.peer).exists()):
                sys.stderr.write(f"{job.name}: no environment for {engine.name}, left out\n")
                continue
            on = job.corpora[:1] if engine.peer else job.corpora
            entries.extend(Entry(job, engine, corpus) for corpus in on if not corpora or corpus in corpora)
    return entries


def run_entry(entry: Entry, rows: Path, options: argparse.Namespace) -> Sample:
    """One measured run with an empty output folder.

    Raises RuntimeError where the command fails; its output stays in the log it names.
    """
    out = options.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    log = options.work / f"{entry.job.name}-{entry.engine.name}-{entry.corpus}.log"
    setting = Setting(rows.resolve(), out.resolve(), (options.venvs or Path()).absolute())
    sample = run_pinned(entry.engine.command(setting), [options.core], log, entry.engine.environment)
    shutil.rmtree(out, ignore_errors=True)
    if sample.code != 0:
        raise RuntimeError(f"{entry.job.name} {entry.engine.name} on {entry.corpus}: exit {sample.code}, see {log}")
    return sample


def warm_up(entries: list[Entry], options: argparse.Namespace) -> None:
    """Run each of datakit's jobs once on a tiny corpus, unmeasured: kernels are compiled once a machine, not a run."""
    planned = plans(options.sample_mb, options.mb)
    for entry in {entry.job.name: entry for entry in entries if not entry.engine.peer}.values():
        plan = planned["warm-dialogue" if entry.corpus == "dialogue" else "warm"]
        obtain(options.data, options.work, plan)
        try:
            run_entry(entry, options.work / plan.name, options)
        except RuntimeError as fault:
            sys.stderr.write(f"warming up: {fault}\n")


def run_rounds(entries: list[Entry], options: argparse.Namespace) -> list[Measured]:
    """All samples, engines taking turns; an entry that fails is dropped after its first failure and named."""
    planned = plans(options.sample_mb, options.mb)
    summaries = {name: obtain(options.data, options.work, planned[name]) for name in {e.corpus for e in entries}}
    samples: dict[Entry, list[Sample]] = {entry: [] for entry in entries}
    failed: dict[Entry, str] = {}
    for turn in range(options.repeat):
        for entry in entries:
            if entry in failed:
                continue
            rows = options.work / planned[entry.corpus].name
            try:
                samples[entry].append(run_entry(entry, rows, options))
            except RuntimeError as fault:
                failed[entry] = str(fault)
                sys.stderr.write(f"{fault}\n")
                continue
            latest = samples[entry][-1]
            sys.stderr.write(f"round {turn + 1} {entry.job.name} {entry.engine.name} {entry.corpus}: "
                             f"{latest.cpu:.2f} CPU s\n")  # fmt: skip
    return [
        Measured(
            entry.job,
            entry.engine.name,
            bool(entry.engine.peer),
            entry.corpus,
            summaries[entry.corpus],
            tuple(samples[entry]),
        )
        for entry in entries
        if entry not in failed
    ]


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the public data sets (needed to build a corpus)")
    parser.add_argument("--venvs", type=Path, help="folder with the peers' environments; without: datakit alone")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpora, output and logs")
    parser.add_argument("--jobs", nargs="*", default=[], choices=[job.name for job in JOBS], metavar="JOB",
                        help=", ".join(job.name for job in JOBS))  # fmt: skip
    parser.add_argument("--corpora", nargs="*", default=[], help="only on these, e.g. sample english")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the table shows their median")
    parser.add_argument("--sample-mb", type=float, default=4.0, help="size of the corpora that peers run on too")
    parser.add_argument("--mb", type=float, default=100.0, help="size of the corpora that datakit runs on alone")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)), help="the core of all runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for <date>.json and .md")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for; print the table and write it."""
    options = parse_options()
    options.work.mkdir(parents=True, exist_ok=True)
    entries = choose_entries(options.jobs, options.corpora, options.venvs)
    machine = describe_machine()
    warm_up(entries, options)
    measured = run_rounds(entries, options)
    facts: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine,
        "command": shlex.join(["python", "-m", "benchmarks.run", *sys.argv[1:]]),
        "versions": {"datakit": datakit_versions()}
        | ({name: versions(options.venvs, name) for name in PEERS} if options.venvs else {}),
    }
    sys.stdout.write(render(measured, facts))
    write_results(measured, facts, options.results)


if __name__ == "__main__":
    main()
