"""What a proof costs: `python -m benchmarks.masks --data DIR --work WORK [--rows 50000]`.

Three children, each on one core, on the same dialogues (real sentences, 2 to 8 messages) and a tokenizer of 151,665
words (Qwen2.5's, with its template): tokenising the renders once in batch; `datakit masks` from version to report, and
to a committed proof; TRL's own preparation by `SFTTrainer` with `assistant_only_loss`, all its maps. The cost is CPU
seconds, user and system; what each says of itself leaves its imports and the loading of the tokenizer out.
TRL is slow, so it may run on fewer rows (`--trl-rows`); seconds a row are compared. `--turns 2` keeps one question and
one answer of each dialogue: the shorter a row, the less of all costs is tokenising.

`--wall` measures what a user waits for, on all cores of a machine that has nothing else to do: a committed proof
by as many workers as datakit starts by itself, beside TRL's preparation as it is by default (one process), and with
`dataset_num_proc` at the number of cores; each on all rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.corpus import Plan, obtain
from benchmarks.measure import MARK, Sample, describe_machine, run_pinned

TOKENIZER: Final = Path("tokenizers") / "qwen2_5"
JOBS: Final = ("tokenise", "prove", "commit", "trl")
WALL_JOBS: Final = ("proof-all-cores", "trl-default", "trl-all-cores")
MEGABYTES: Final = 1_000  # more than any number of rows asked for: the rows decide
BATCH: Final = 1_000
ENVIRONMENT: Final = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def cpu() -> float:
    """CPU seconds of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Watch:
    """CPU seconds and seconds on the clock since it was made."""

    def __init__(self) -> None:
        self.cpu, self.clock = cpu(), time.monotonic()

    def tell(self, rows: int, **more: Any) -> None:
        """Say what was measured, for the parent."""
        measured = {"rows": rows, "seconds": cpu() - self.cpu, "wall": time.monotonic() - self.clock}
        sys.stdout.write(MARK + json.dumps({**measured, **more}) + "\n")


def tokenise(model: Path, version: Path, rows: int) -> None:
    """Tokenise the renders once, in batches, as `encode_batch` does it: ids and offsets."""
    from datakit.template.model import load_model
    from datakit.template.render import Renderer
    from datakit.versions.store import open_version

    subject = load_model(model)
    renderer = Renderer(subject)
    records = open_version(version).frame("messages").head(rows)
    texts = [
        renderer.render([{"role": m["role"], "content": m["content"]} for m in row]) for row in records["messages"]
    ]
    watch, tokens = Watch(), 0
    for first in range(0, len(texts), BATCH):
        encoded = subject.tokenizer.encode_batch(texts[first : first + BATCH], add_special_tokens=False)
        tokens += sum(len(one) for one in encoded)
    watch.tell(len(texts), tokens=tokens)


def prove(model: Path, version: Path, commit: bool, workers: int | None = 1) -> None:
    """Prove every row."""
    from datakit.masks.proof import ProofSettings
    from datakit.masks.proof import prove as run
    from datakit.template.model import load_model
    from datakit.versions.store import open_version

    subject = load_model(model)
    opened = open_version(version)
    shutil.rmtree(opened.path / "proofs", ignore_errors=True)
    watch = Watch()
    proof = run(opened, subject, ProofSettings(), workers=workers, commit=commit)
    watch.tell(proof.manifest.rows, passed=proof.passed, findings=proof.findings.to_json())


def trl(model: Path, version: Path, rows: int, processes: int | None = None) -> None:
    """What `SFTTrainer` does to the rows before it trains: its maps, the model the smallest there can be."""
    import datasets
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from datakit.versions.store import open_version

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    small = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
        intermediate_size=8,
    )  # fmt: skip
    records = open_version(version).frame("messages").head(rows)["messages"].to_list()
    plain = [{"messages": [{"role": m["role"], "content": m["content"]} for m in row]} for row in records]
    dataset = datasets.Dataset.from_list(plain)
    network = Qwen2ForCausalLM(small)
    settings = SFTConfig(
        output_dir=str(version / "trl"), assistant_only_loss=True, use_cpu=True, bf16=False,
        report_to="none", dataset_num_proc=processes,
    )  # fmt: skip
    watch = Watch()
    SFTTrainer(model=network, args=settings, train_dataset=dataset, processing_class=tokenizer)
    watch.tell(len(plain))


def version_at(work: Path, rows: int, turns: int) -> Path:
    """Where the version of so many rows of at most so many messages is."""
    return work / f"masks-{rows}-{turns}"


def prepare(data: Path, work: Path, rows: int, turns: int) -> None:
    """Make the model's folder and the version where they are not there."""
    from datakit.cleaning.clean import clean

    model, dataset = work / "qwen2.5", version_at(work, rows, turns)
    if not model.exists():
        found = next(iter(data.rglob(str(TOKENIZER / "tokenizer.json"))))
        shutil.copytree(found.parent, model, copy_function=shutil.copyfile)
    plan = Plan(f"masks-{rows}", MEGABYTES, seed=7, dialogues=True, rows=rows)
    obtain(data, work, plan)
    if (dataset / "HEAD").exists():
        return
    raw = work / f"masks-{rows}-{turns}-raw"
    raw.mkdir(exist_ok=True)
    with (work / plan.name / f"{plan.name}.jsonl").open("rb") as source, (raw / "rows.jsonl").open("wb") as target:
        for line in source:
            row = orjson.loads(line)
            target.write(orjson.dumps({"messages": row["messages"][:turns]}) + b"\n")
    clean(raw, dataset, {"clean": {"steps": []}})


def rate(sample: Sample, clock: str = "seconds") -> float:
    """Microseconds a row, of CPU or of the `wall` clock, by what the child says of its work."""
    return float(1e6 * sample.told[clock] / sample.told["rows"])


def main() -> None:
    """Measure what the command line asks for; the figures go to stdout and to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", nargs="?", choices=(*JOBS, *WALL_JOBS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help="folder with the public data sets and the tokenizer")
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus and the version")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=8, help="messages of a dialogue, at most")
    parser.add_argument("--trl-rows", type=int, default=5_000, help="rows that TRL prepares; 0: leave it out")
    parser.add_argument("--wall", action="store_true", help="what a user waits for, on all cores")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the table shows medians")
    options = parser.parse_args()
    if options.job is not None:
        _child(options)
        return
    prepare(options.data, options.work, options.rows, options.turns)
    jobs = WALL_JOBS if options.wall else JOBS if options.trl_rows else JOBS[:-1]
    samples: dict[str, list[Sample]] = {job: [] for job in jobs}
    for _ in range(options.repeat):  # in turns, so that a busy machine burdens all alike
        for job in jobs:
            samples[job].append(_run(job, options))
    _report(samples, options)


def _child(options: argparse.Namespace) -> None:
    model, version = options.work / "qwen2.5", version_at(options.work, options.rows, options.turns)
    todo: dict[str, Callable[[], None]] = {
        "tokenise": lambda: tokenise(model, version, options.rows),
        "prove": lambda: prove(model, version, commit=False),
        "commit": lambda: prove(model, version, commit=True),
        "trl": lambda: trl(model, version, options.trl_rows),
        "proof-all-cores": lambda: prove(model, version, commit=True, workers=None),
        "trl-default": lambda: trl(model, version, options.rows),
        "trl-all-cores": lambda: trl(model, version, options.rows, len(os.sched_getaffinity(0))),
    }
    todo[options.job]()


def _run(job: str, options: argparse.Namespace) -> Sample:
    command = [sys.executable, "-m", "benchmarks.masks", job, "--work", str(options.work), "--rows", str(options.rows),
               "--turns", str(options.turns), "--trl-rows", str(options.trl_rows)]  # fmt: skip
    log = options.work / f"{job}.log"
    cores = sorted(os.sched_getaffinity(0))
    environment = {"HF_HUB_OFFLINE": "1"} if options.wall else ENVIRONMENT
    sample = run_pinned(command, cores if options.wall else cores[:1], log, environment)
    if sample.code or not sample.told:
        raise SystemExit(f"{job} failed: {log.read_text(encoding='utf-8')[-2000:]}")
    clock = "wall" if options.wall else "seconds"
    sys.stderr.write(f"{job}: {rate(sample, clock):.0f} us a row, {sample.peak_mb:.0f} MB\n")
    return sample


def _table(samples: dict[str, list[Sample]]) -> str:
    """CPU a row on one core, beside tokenising once."""
    medians = {job: statistics.median(map(rate, found)) for job, found in samples.items()}
    peaks = {job: max(sample.peak_mb for sample in found) for job, found in samples.items()}
    once = medians["tokenise"]
    lines = ["| job | us of CPU a row | times tokenising | peak MB |", "|---|---:|---:|---:|"]
    lines += [f"| {job} | {cost:.0f} | {cost / once:.2f} | {peaks[job]:.0f} |" for job, cost in medians.items()]
    if "trl" in medians:
        lines.append(f"\nTRL against a proof: {medians['trl'] / medians['prove']:.2f} times")
    return "\n".join(lines)


def _wall_table(samples: dict[str, list[Sample]]) -> str:
    """Time on the clock a row on all cores, beside a committed proof."""
    medians = {job: statistics.median(rate(one, "wall") for one in found) for job, found in samples.items()}
    proof = medians[WALL_JOBS[0]]
    lines = ["| job | us a row | times a proof | runs |", "|---|---:|---:|---|"]
    for job, cost in medians.items():
        runs = ", ".join(f"{rate(one, 'wall'):.0f}" for one in samples[job])
        lines.append(f"| {job} | {cost:.0f} | {cost / proof:.2f} | {runs} |")
    return "\n".join(lines)


def _report(samples: dict[str, list[Sample]], options: argparse.Namespace) -> None:
    text = _wall_table(samples) if options.wall else _table(samples)
    sys.stdout.write(text + "\n")
    result = {
        "command": "python -m benchmarks.masks", "rows": options.rows, "turns": options.turns,
        "trl_rows": options.trl_rows, "wall": options.wall,
        "machine": describe_machine(),
        "samples": {job: [sample._asdict() for sample in found] for job, found in samples.items()},
    }  # fmt: skip
    out = Path(__file__).parent / "results" / f"masks-{'wall-' if options.wall else ''}{options.turns}-{date.today()}"
    out.with_suffix(".json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
