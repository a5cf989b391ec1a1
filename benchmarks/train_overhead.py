"""What `datakit train` costs over a bare TRL script: `python -m benchmarks.train_overhead --work WORK [--stage dpo]`.

Both train the same model (5.6 million weights, made from a configuration by a seed and saved) on the same ids and
labels, those of a committed proof of recipes/sales, with the same settings of TRL: 200 steps of one row, a line logged
a step, five evaluations and five checkpoints. One row a step is the hardest case for us: what we do a step weighs most.
The bare script is what a user of TRL would write: load, train, save. That both did the same work is checked: their
logged losses must be equal, bit for bit.

Children take turns, each on one core with one thread. Two figures, both in CPU seconds, user and system:

    loop    `Trainer.train()`: steps, evaluations and checkpoints; of ours also the callbacks: log, live view, rollback
            gate, checks of weights, seals
    whole   the process: of ours also the check of the version, the look-up of the proof, the plan, the probe step, the
            exit measures and the page; each is told apart. The exit measures (perplexity, KL and sampled answers of two
            models) are work that the bare script leaves undone: the figure without them is shown too. The proof was
            committed before

datakit tells glibc to keep freed buffers (`train/buffers.py`), which TRL does not. So that this does not hide a cost,
the bare script is also run with the same two bounds set by its environment (`bare_kept`), and the overhead is that over
`bare_kept`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.measure import MARK, Sample, describe_machine, run_pinned

ROOT: Final = Path(__file__).resolve().parents[1]
STEPS: Final = 200
ROWS: Final = 1  # a step
HELD: Final = 0.02  # share of the rows that are evaluated
RATE: Final = {"sft": 3e-4, "dpo": 1e-5}
ENVIRONMENT: Final = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
KEPT: Final = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}  # as train/buffers.py
_EXIT: Final = "exit measures and page"
ARMS: Final = {"datakit": {}, "bare_kept": KEPT, "bare": {}}

RECIPE: Final = """
[data]
output = "clean"
[model]
base = "model"
[train]
runs = "runs"
[train.STAGE]
adaptation = "full"
learning_rate = RATE
batch = 1
holdout = 0.02
[train.STAGE.trl]
max_steps = 200
lr_scheduler_type = "constant"
[gates.sft.entry]
rows = 1
[gates.dpo.entry]
rows = 1
previous_passed = false
[gates.dpo.rollback]
kl_token = false
win_rate = false
distinct_2_ratio = false
[evaluate]
samples = 16
max_new_tokens = 32
"""


def cpu() -> float:
    """CPU seconds of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Parts:
    """CPU seconds by part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside to a part."""
        before = cpu()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + cpu() - before

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls are counted to a part."""

        def call(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return call


def prepare(work: Path, stage: str) -> None:
    """Make the model, the version and its committed proof where they are not there."""
    from datakit.cleaning.clean import clean
    from datakit.progress import Silent
    from datakit.recipe.load import load_recipe
    from datakit.template.model import load_model
    from datakit.versions.store import open_version
    from train.data import proof_of
    from train.stages import STAGES

    work.mkdir(parents=True, exist_ok=True)
    recipe = work / f"overhead-{stage}.toml"
    recipe.write_text(RECIPE.replace("STAGE", stage).replace("RATE", str(RATE[stage])), encoding="utf-8")
    if not (work / "model").exists():
        _make_model(work / "model")
    if not (work / "clean" / "HEAD").exists():
        raw, plan = ROOT / "recipes" / "sales" / "raw", ROOT / "recipes" / "sales.toml"
        clean([str(raw)], work / "clean", load_recipe(plan))
    settings, row = load_recipe(recipe), STAGES[stage]  # type: ignore[index]
    proof = proof_of(open_version(work / "clean"), load_model(work / "model"), settings, row, Silent())
    (work / f"proof-{stage}").unlink(missing_ok=True)
    assert proof.path is not None
    (work / f"proof-{stage}").symlink_to(proof.path.resolve())


def _make_model(folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = ROOT / "recipes" / "sales" / "model"
    tokenizer = AutoTokenizer.from_pretrained(source)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(7)
    model = LlamaForCausalLM(config)
    assert model.num_parameters() >= 5_000_000
    model.save_pretrained(folder)
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)


def ours(work: Path, stage: str) -> None:
    """`datakit train STAGE`, in this process, its parts told apart."""
    parts = Parts()
    with parts.part("import"):
        import transformers
        import trl  # noqa: F401

        import train.probe
        import train.run
        from datakit.cli.app import main as datakit
    transformers.Trainer.train = parts.counted("loop", transformers.Trainer.train)
    for module, name, part in (
        (train.run, "prepare", "version, proof, plan"),
        (train.run, "_trainer", "model and trainer"),
        (train.probe, "probe", "probe step"),
        (train.run, "_save", "save"),
        (train.run, "_finished", _EXIT),
    ):
        setattr(module, name, parts.counted(part, getattr(module, name)))
    os.chdir(work)
    sys.argv = ["datakit", "train", stage, f"overhead-{stage}.toml", "--no-resume", "--json"]
    try:
        datakit()
    except SystemExit as left:
        if left.code not in (0, 1):  # 1: a gate says no to a model of noise, after the work was done
            raise
    run = max((work / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    shutil.rmtree(run)
    _tell(parts, [row["loss"] for row in history if "loss" in row])


def bare(work: Path, stage: str) -> None:
    """What a user of TRL would write."""
    parts = Parts()
    with parts.part("import"):
        import transformers
        import trl
        from datasets import Dataset
    with parts.part("model and trainer"):
        rows, held = _rows(work, stage)
        folder = work / "model"
        transformers.set_seed(42)
        model, reference = (
            transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32") if wanted else None
            for wanted in (True, stage == "dpo")
        )
        trainer_class, config_class = _trl(trl, stage)
        config = config_class(
            output_dir=str(work / "bare"), max_steps=STEPS, learning_rate=RATE[stage], per_device_train_batch_size=ROWS,
            lr_scheduler_type="constant", warmup_steps=0.05, seed=42, use_cpu=True,
            bf16=False, gradient_checkpointing=False, logging_steps=1, logging_nan_inf_filter=False, report_to="none",
            save_strategy="steps", save_steps=0.2, save_total_limit=3, eval_strategy="steps", eval_steps=0.2,
            disable_tqdm=True, max_length=None,
        )  # fmt: skip
        trainer = trainer_class(
            model, **({"ref_model": reference} if reference is not None else {}), args=config,
            train_dataset=Dataset.from_polars(rows), eval_dataset=Dataset.from_polars(held),
            processing_class=transformers.AutoTokenizer.from_pretrained(folder),
        )  # fmt: skip
        trainer.remove_callback(transformers.PrinterCallback)
    with parts.part("loop"):
        trainer.train()
    with parts.part("save"):
        trainer.save_model(str(work / "bare-model"))
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    shutil.rmtree(work / "bare")
    _tell(parts, losses)


def _rows(work: Path, stage: str) -> Any:
    """The rows that are trained and those for evaluation, by the same rule as ours."""
    import polars as pl

    from train.holdout import held_out
    from train.stages import STAGES

    row = STAGES[stage]  # type: ignore[index]
    frame = pl.read_parquet(work / f"proof-{stage}" / "data" / f"{row.kind}-*.parquet")
    return (frame.filter(side).select(row.columns) for side in (~held_out(HELD), held_out(HELD)))


def _trl(trl: Any, stage: str) -> tuple[Any, Any]:
    if stage == "sft":
        return trl.SFTTrainer, trl.SFTConfig

    class Tokenised(trl.DPOTrainer):  # type: ignore[misc]
        """The rows are tokenised already."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return Tokenised, trl.DPOConfig


def _tell(parts: Parts, losses: list[float]) -> None:
    sys.stdout.write("\n" + MARK + json.dumps({"parts": parts.seconds, "losses": losses}) + "\n")


def main() -> None:
    """Measure; the figures go to stdout and to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arm", nargs="?", choices=sorted(ARMS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, required=True, help="folder for model, version and runs")
    parser.add_argument("--stage", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--plain", action="store_true", help="also the bare script with glibc as it is")
    parser.add_argument("--repeat", type=int, default=7, help="rounds; the table shows medians")
    options = parser.parse_args()
    work = options.work.resolve()
    if options.arm is not None:
        (ours if options.arm == "datakit" else bare)(work, options.stage)
        return
    prepare(work, options.stage)
    arms = [arm for arm in ARMS if options.plain or arm != "bare"]
    samples: dict[str, list[Sample]] = {arm: [] for arm in arms}
    for number in range(options.repeat):  # in turns, and each round begins with another
        for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
            samples[arm].append(_run(arm, work, options.stage))
    every = [sample.told["losses"] for found in samples.values() for sample in found]
    if any(losses != every[0] or len(losses) != STEPS for losses in every):
        raise SystemExit("the arms did not train the same: their losses differ")
    _report(samples, options)


def _run(arm: str, work: Path, stage: str) -> Sample:
    command = [sys.executable, "-m", "benchmarks.train_overhead", arm, "--work", str(work), "--stage", stage]
    log = work / f"{arm}.log"
    sample = run_pinned(command, sorted(os.sched_getaffinity(0))[:1], log, ENVIRONMENT | ARMS[arm])
    if sample.code or not sample.told:
        raise SystemExit(f"{arm} failed: {log.read_text(encoding='utf-8')[-3000:]}")
    sys.stderr.write(f"{arm}: whole {sample.cpu:.2f}, {sample.told['parts']}\n")
    return sample


def _report(samples: dict[str, list[Sample]], options: argparse.Namespace) -> None:
    parts = list(dict.fromkeys(part for found in samples.values() for part in found[0].told["parts"]))
    medians = {
        arm: {
            "whole": statistics.median(sample.cpu for sample in found),
            "whole, exit measures aside": statistics.median(
                sample.cpu - sample.told["parts"].get(_EXIT, 0.0) for sample in found
            ),
        }
        | {
            part: statistics.median(sample.told["parts"][part] for sample in found)
            for part in parts
            if part in found[0].told["parts"]
        }
        for arm, found in samples.items()
    }
    lines = [
        f"| CPU seconds | {' | '.join(medians)} | datakit over bare_kept |",
        f"|---|{'---:|' * (len(medians) + 1)}",
    ]
    compared = ("loop", "whole, exit measures aside", "whole")  # of the rest, libraries are loaded here or there
    for part in (*compared, *(part for part in parts if part != "loop")):
        figures = [medians[arm].get(part) for arm in medians]
        over = (figures[0] or 0) / figures[1] - 1 if figures[1] and part in compared else None
        cells = [("" if figure is None else f"{figure:.2f}") for figure in figures]
        lines.append(f"| {part} | {' | '.join(cells)} | {'' if over is None else f'{over:+.1%}'} |")
    text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    out = Path(__file__).parent / "results" / f"train-overhead-{options.stage}-{date.today()}"
    result = {
        "command": f"python -m benchmarks.train_overhead --stage {options.stage} --repeat {options.repeat}"
        + " --plain" * options.plain,
        "machine": describe_machine(), "steps": STEPS, "rows_a_step": ROWS, "medians": medians,
        "samples": {
            arm: [{**sample._asdict(), "told": sample.told["parts"]} for sample in found]
            for arm, found in samples.items()
        },
    }  # fmt: skip
    out.with_suffix(".json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
