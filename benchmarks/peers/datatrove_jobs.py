"""datatrove's jobs: `python datatrove_jobs.py signatures|filters|minhash|clean IN_FOLDER OUT_FOLDER`.

Runs in datatrove's environment; imports nothing of datakit. One process, English settings, its defaults:
5-grams, 14 buckets of 8 hashes (arXiv 2406.17557, appendix E.1), and the four filters of its FineWeb example.

- signatures: stage 1 of MinHash, reading and writing included.
- filters: each of the four filters judges every document, as datakit scores every row.
- minhash: all four stages.
- clean: what a user would run: the filters one after the other (dropped rows go no further), then MinHash.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor  # type: ignore[import-not-found]
from datatrove.pipeline.dedup import (  # type: ignore[import-not-found]
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig  # type: ignore[import-not-found]
from datatrove.pipeline.filters import (  # type: ignore[import-not-found]
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader  # type: ignore[import-not-found]
from datatrove.pipeline.writers.jsonl import JsonlWriter  # type: ignore[import-not-found]
from datatrove.utils.text import split_into_sentences, split_into_words  # type: ignore[import-not-found]

CONFIG = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)


def make_filters() -> list[Any]:
    """The four filters with their defaults."""
    return [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter(), FineWebQualityFilter()]


def run_pipeline(steps: list[Any], out: Path, name: str, tasks: int = 1) -> None:
    """Run one pipeline in this process."""
    LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=1, logging_dir=str(out / "logs" / name)).run()


def run_signatures(rows: Path, out: Path) -> None:
    """Stage 1 of MinHash."""
    run_pipeline([JsonlReader(str(rows)), MinhashDedupSignature(str(out / "signatures"), config=CONFIG)], out, "1")


def run_minhash(rows: Path, out: Path) -> None:
    """All four stages; the kept rows are written as gzipped jsonl, its writer's default."""
    run_signatures(rows, out)
    signatures, buckets, remove = str(out / "signatures"), str(out / "buckets"), str(out / "remove")
    run_pipeline([MinhashDedupBuckets(signatures, buckets, config=CONFIG)], out, "2", tasks=CONFIG.num_buckets)
    run_pipeline([MinhashDedupCluster(buckets, remove, config=CONFIG)], out, "3")
    writer = JsonlWriter(str(out / "kept"))
    run_pipeline([JsonlReader(str(rows)), MinhashDedupFilter(remove), writer], out, "4")


def run_filters(rows: Path, out: Path) -> None:
    """Each filter on each document; their verdicts are written as one line a document."""
    filters = make_filters()
    with (out / "verdicts.jsonl").open("w", encoding="utf-8") as verdicts:
        for document in JsonlReader(str(rows))():
            # A filter may change the text (C4 drops lines), so that each judges a copy.
            found = [str(judge.filter(copy.copy(document))) for judge in filters]
            verdicts.write(json.dumps(found) + "\n")


def run_clean(rows: Path, out: Path) -> None:
    """The filters in a row, then MinHash."""
    filtered = out / "filtered"
    run_pipeline([JsonlReader(str(rows)), *make_filters(), JsonlWriter(str(filtered))], out, "0")
    run_minhash(filtered, out)


JOBS = {"signatures": run_signatures, "filters": run_filters, "minhash": run_minhash, "clean": run_clean}


def main() -> None:
    """Run the job, then print what start-up cost: `BENCH {"started_cpu_s": ...}`."""
    split_into_words("It imports spaCy at its first text.")  # which counts as start-up too
    split_into_sentences("And its sentence splitter.")
    started = sum(os.times()[:4])
    job, rows, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    JOBS[job](rows, out)
    sys.stdout.write("BENCH " + json.dumps({"started_cpu_s": started}) + "\n")


if __name__ == "__main__":
    main()
