"""The table of a run, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.jobs import LARGE, Job
from benchmarks.measure import Sample


def find_inner_cpu(sample: Sample) -> float:
    """CPU seconds of a run without start-up, as the child told; of the whole process where it told nothing."""
    return float(sample.told.get("work_cpu_s", sample.cpu - sample.told.get("started_cpu_s", 0.0)))


class Measured(NamedTuple):
    """All samples of one engine at one job on one corpus: its name in `jobs.plans` and its summary."""

    job: Job
    engine: str
    is_peer: bool
    on: str
    corpus: dict[str, Any]
    samples: tuple[Sample, ...]

    @property
    def megabytes(self) -> float:
        """Size of the texts in MB (1,000,000 bytes of UTF-8, the JSON around them not counted)."""
        return float(self.corpus["text_bytes"]) / 1e6

    @property
    def cpu(self) -> float:
        """CPU seconds of the whole process, median."""
        return float(median(sample.cpu for sample in self.samples))

    @property
    def inner_cpu(self) -> float:
        """CPU seconds without start-up (imports; in memory also reading the rows), median; `cpu` where not told."""
        return float(median(find_inner_cpu(sample) for sample in self.samples))

    @property
    def rate(self) -> float:
        """MB/s a CPU second of the whole process."""
        return self.megabytes / self.cpu

    @property
    def inner_rate(self) -> float:
        """MB/s a CPU second without start-up."""
        return self.megabytes / self.inner_cpu

    @property
    def peak_mb(self) -> float:
        """Peak resident memory of the largest process, the largest of the samples."""
        return max(sample.peak_mb for sample in self.samples)


class Ratio(NamedTuple):
    """How many times a peer datakit is, in the same run.

    same_rows: both whole processes on the same small corpus, start-up included, which burdens the fast one.
    at_size: datakit on the large corpus of the same kind (whole process; in memory the work alone)
    against the peer without its start-up, which favours the peer.
    """

    peer: str
    same_rows: float
    at_size: float


def find_ratios(measured: Sequence[Measured], job: Job) -> list[Ratio]:
    """Ratios of datakit to each peer of a job; empty where one side did not run."""
    ours = {m.on: m for m in measured if m.job.name == job.name and not m.is_peer}
    ratios = []
    for them in (m for m in measured if m.job.name == job.name and m.is_peer):
        same, large = ours.get(them.on), ours.get(LARGE.get(them.on, them.on))
        if same and large:
            best = large.inner_rate if job.inner else large.rate
            ratios.append(Ratio(them.engine, same.rate / them.rate, best / them.inner_rate))
    return ratios


def datakit_versions() -> dict[str, str]:
    """Installed versions of datakit and of the libraries that decide its speed."""
    found = {}
    for package in ("datakit", "polars", "numpy", "numba", "orjson", "fasttext-community"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "source tree"
    return found


def _engine_lines(measured: Sequence[Measured]) -> list[str]:
    lines = [
        "| job | engine | corpus | rows | text MB | CPU s (min-max) | MB/s | MB/s without start-up | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for m in measured:
        spread = [sample.cpu for sample in m.samples]
        cpu = f"{m.cpu:.2f} ({min(spread):.2f}-{max(spread):.2f})"
        inner = f"{m.inner_rate:.3g}" if m.samples[0].told else "-"
        size = f"{m.on} | {m.corpus['rows']:,} | {m.megabytes:.1f}"
        lines.append(f"| {m.job.name} | {m.engine} | {size} | {cpu} | {m.rate:.3g} | {inner} | {m.peak_mb:,.0f} |")
    return lines


def _job_lines(measured: Sequence[Measured]) -> list[str]:
    lines = [
        "| job | aim MB/s | reached | peer | aim times | at size | same rows, start-up included |",
        "|---|---|---|---|---|---|---|",
    ]
    for job in dict.fromkeys(m.job for m in measured):
        ours = [m for m in measured if m.job.name == job.name and not m.is_peer]
        last = next((m for m in ours if m.on == job.corpora[-1]), None)
        reached = f"{last.inner_rate if job.inner else last.rate:.3g}" if last else "-"
        start = f"| {job.title} | {job.aim or '-'} | {reached} |"
        ratios = find_ratios(measured, job)
        lines += [
            f"{start} {r.peer} | {dict(job.times).get(r.peer, '-')} | {r.at_size:.3g} | {r.same_rows:.3g} |"
            for r in ratios
        ] or [f"{start} - | - | - | - |"]
    return lines


def render(measured: Sequence[Measured], facts: dict[str, Any]) -> str:
    """The run as Markdown: one line an engine and corpus, then one a comparison, then how it was made."""
    machine = facts["machine"]
    rounds = max((len(m.samples) for m in measured), default=0)
    lines = [*_engine_lines(measured), "", *_job_lines(measured), ""]
    lines.append(
        f"{facts['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"load before {machine['load_before']}, Python {machine['python']}; median of {rounds}."
    )
    lines += ["", f"`{facts['command']}`", ""]
    for name, found in facts["versions"].items():
        lines.append(f"- {name}: " + (", ".join(f"{k} {v}" for k, v in found.items()) or "no environment"))
    return "\n".join(lines) + "\n"


def as_json(measured: Sequence[Measured], facts: dict[str, Any]) -> dict[str, Any]:
    """The run with every sample."""
    rows = [
        {"job": m.job.name, "engine": m.engine, "corpus": m.corpus, "cpu_s": m.cpu, "rate": m.rate,
         "inner_cpu_s": m.inner_cpu, "inner_rate": m.inner_rate, "peak_mb": m.peak_mb,
         "samples": [sample._asdict() for sample in m.samples]}
        for m in measured
    ]  # fmt: skip
    ratios = {job.name: [ratio._asdict() for ratio in find_ratios(measured, job)] for job in {m.job for m in measured}}
    return {**facts, "measured": rows, "ratios": ratios}


def write_results(measured: Sequence[Measured], facts: dict[str, Any], folder: Path) -> None:
    """Write `<date>.json` and `<date>.md`; a number is added where the day already has a run."""
    folder.mkdir(parents=True, exist_ok=True)
    name, number = facts["date"], 1
    while (folder / f"{name}.json").exists():
        number += 1
        name = f"{facts['date']}-{number}"
    (folder / f"{name}.json").write_text(json.dumps(as_json(measured, facts), indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(render(measured, facts), encoding="utf-8")
