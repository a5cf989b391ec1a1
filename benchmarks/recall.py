"""Near-duplicate recall of `datakit clean`: `python -m benchmarks.recall --data DIR --work DIR`.

Cleans 20,000 English and 20,000 Chinese rows with the exact and near steps and holds the written ledger
against all pairs of exact Jaccard similarity (oracle.py, which shares no code with datakit). A pair is
caught when at least one of its two rows was removed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.corpus import Plan, obtain
from benchmarks.measure import describe_machine
from benchmarks.oracle import are_variants, find_all_pairs
from benchmarks.report import datakit_versions
from benchmarks.shingles import cut_shingles, jaccard

THRESHOLD = 0.8
AIM = 0.995
BINS = ((0.8, 0.9), (0.9, 1.0), (1.0, 1.01))
STEPS = 'clean.steps=["exact", "near"]'


def clean_rows(rows: Path, out: Path) -> pl.DataFrame:
    """The ledger that `datakit clean` wrote for a folder of rows, sorted by line."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "datakit", "clean", str(rows), "-o", str(out), "--set", STEPS, "--json"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return pl.read_parquet(Path(json.loads(answer)["path"]) / "ledger.parquet").sort("line")


def judge_pairs(texts: list[str], removed: list[bool]) -> dict[str, Any]:
    """Recall over all pairs from the threshold on, in all and by bins; variants are counted apart."""
    tally = {f"{low:g}-{min(high, 1):g}": [0, 0] for low, high in BINS}
    variants = variants_caught = 0
    for left, right, similarity in find_all_pairs(texts, THRESHOLD).iter_rows():
        caught = removed[left] or removed[right]
        if are_variants(texts[left], texts[right]):
            variants += 1
            variants_caught += caught
            continue
        for low, high in BINS:
            if low <= similarity < high:
                bin_ = tally[f"{low:g}-{min(high, 1):g}"]
                bin_[0] += 1
                bin_[1] += caught
    pairs, found = (sum(bin_[i] for bin_ in tally.values()) for i in (0, 1))
    return {
        "pairs": pairs,
        "caught": found,
        "recall": found / pairs if pairs else 1.0,
        "bins": {name: {"pairs": total, "caught": hit} for name, (total, hit) in tally.items()},
        "variant_pairs": variants,
        "variant_pairs_with_a_row_removed": variants_caught,
    }


def judge_removals(texts: list[str], ledger: pl.DataFrame) -> dict[str, Any]:
    """What each removed row's named twin is by the oracle: present, kept, and similar enough."""
    kept = ledger["decision"].is_in(["kept", "edited"]).to_list()
    dropped = ledger.filter(pl.col("decision") == "dropped")
    without = not_kept = below = variants = 0
    largest_error = 0.0
    for row in dropped.iter_rows(named=True):
        if row["twin_line"] is None:
            without += 1
            continue
        text, twin = texts[row["line"] - 1], texts[row["twin_line"] - 1]
        true = jaccard(cut_shingles(text), cut_shingles(twin))
        not_kept += not kept[row["twin_line"] - 1]
        below += true < THRESHOLD
        variants += are_variants(text, twin)
        if row["similarity"] is not None:
            largest_error = max(largest_error, abs(true - row["similarity"]))
    return {
        "removed": len(dropped),
        "by_reason": dict(dropped.group_by("reason").len().sort("reason").iter_rows()),
        "without_named_twin": without,
        "twin_not_kept": not_kept,
        "below_threshold": below,
        "variants_removed": variants,
        "largest_error_of_similarity": largest_error,
    }


def measure_language(language: str, options: argparse.Namespace) -> dict[str, Any]:
    """Recall and removals in one language."""
    share = 1.0 if language == "en" else 0.0
    plan = Plan(f"recall-{language}-{options.rows}", sys.maxsize, 7, share_english=share, rows=options.rows)
    obtain(options.data, options.work, plan)
    rows = options.work / plan.name
    texts = pl.read_ndjson(rows / f"{plan.name}.jsonl")["text"].to_list()
    ledger = clean_rows(rows, options.work / f"{plan.name}-clean")
    if ledger.height != len(texts):
        raise RuntimeError(f"{plan.name}: {len(texts)} rows in, {ledger.height} in the ledger")
    removed = (ledger["decision"] == "dropped").to_list()
    return {"rows": len(texts), **judge_pairs(texts, removed), "removals": judge_removals(texts, ledger)}


def main() -> None:
    """Measure both languages; print and write the figures; exit 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the public data sets (needed to build a corpus)")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpora and versions")
    parser.add_argument("--rows", type=int, default=20_000, help="rows a language")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    found = {language: measure_language(language, options) for language in ("en", "zh")}
    facts = {"date": date.today().isoformat(), "machine": describe_machine(), "versions": datakit_versions()}
    text = json.dumps({**facts, "threshold": THRESHOLD, "recall": found}, indent=2, ensure_ascii=False) + "\n"
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"recall-{facts['date']}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    faults = ("without_named_twin", "twin_not_kept", "below_threshold", "variants_removed")
    missed = any(m["recall"] < AIM or any(m["removals"][fault] for fault in faults) for m in found.values())
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
