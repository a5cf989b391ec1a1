"""text-dedup's job: `python textdedup_jobs.py minhash IN_FOLDER OUT_FOLDER`.

Runs in text-dedup's environment; imports nothing of datakit. Its MinHash script with its fast hash, one
process, 128 permutations, threshold 0.8, reading jsonl and writing the kept rows.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from text_dedup.minhash import main as find_duplicates  # type: ignore[import-not-found]


def main() -> None:
    """Run the job, then print what start-up cost: `BENCH {"started_cpu_s": ...}`."""
    started = sum(os.times()[:4])
    rows, out = Path(sys.argv[2]), Path(sys.argv[3])
    source = next(rows.glob("*.jsonl"))
    options = f"""--path json --data_files {source} --split train --cache_dir {out}/cache --output {out}/kept
        --column text --num_proc 1 --ngram 5 --min_length 1 --num_perm 128 --threshold 0.8
        --hash_func xxh3 --hash_bits 32"""
    find_duplicates(options.split(), standalone_mode=False)
    sys.stdout.write("BENCH " + json.dumps({"started_cpu_s": started}) + "\n")


if __name__ == "__main__":
    main()
