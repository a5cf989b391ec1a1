"""datakit's kernels on texts in memory: `python -m benchmarks.inmemory signatures|scores IN_FOLDER`.

Prints `BENCH {"started_cpu_s": ..., "work_cpu_s": ...}`: start-up holds imports, reading the rows and one
call on a few rows (which loads the compiled kernels from their cache), work the call on all of them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl


def find_job(name: str) -> Callable[[pl.Series], object]:
    """The function of datakit that a job measures; only its room is imported."""
    if name == "signatures":
        from datakit.kernels.minhash import sign_bands

        return sign_bands
    from datakit.cleaning.rules import measure

    return measure


def main() -> None:
    """Run the job once on the texts of the folder."""
    job = find_job(sys.argv[1])
    texts = pl.read_ndjson(next(Path(sys.argv[2]).glob("*.jsonl")))["text"].rechunk()
    job(texts.head(10))
    started = time.process_time()
    job(texts)
    told = {"started_cpu_s": started, "work_cpu_s": time.process_time() - started}
    sys.stdout.write("BENCH " + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
