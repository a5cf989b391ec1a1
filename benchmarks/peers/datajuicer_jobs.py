"""data-juicer's job: `python datajuicer_jobs.py clean IN_FOLDER OUT_FOLDER`.

Runs in data-juicer's environment; imports nothing of datakit. Eight filters, exact and MinHash
deduplication by character 5-grams (by words, its default, loses Chinese rows), one process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import data_juicer.ops.base_op  # type: ignore[import-not-found]
from data_juicer.config import init_configs  # type: ignore[import-not-found]
from data_juicer.core import DefaultExecutor  # type: ignore[import-not-found]

RECIPE = """\
project_name: benchmark
dataset_path: {rows}
export_path: {out}/kept.jsonl
np: 1
text_keys: text
open_tracer: false
use_cache: false
process:
  - word_repetition_filter:
  - character_repetition_filter:
  - words_num_filter:
      min_num: 1  # words are cut at spaces: the default 10 would drop the Chinese rows and their work
  - alphanumeric_filter:
  - special_characters_filter:
  - average_line_length_filter:
  - maximum_line_length_filter:
  - text_length_filter:
  - document_deduplicator:
  - document_minhash_deduplicator:
      tokenization: character
      window_size: 5
      num_permutations: 128
      jaccard_threshold: 0.8
"""


def _free_nothing(clear_model_zoo: bool = True) -> None:
    """Do nothing: stands in for a function that imports, and where it is missing installs, torch after each step."""


def main() -> None:
    """Run the recipe, then print what start-up cost: `BENCH {"started_cpu_s": ...}`."""
    started = sum(os.times()[:4])
    rows, out = Path(sys.argv[2]), Path(sys.argv[3])
    data_juicer.ops.base_op.free_models = _free_nothing
    recipe = out / "recipe.yaml"
    source = next(rows.glob("*.jsonl"))
    recipe.write_text(RECIPE.format(rows=source, out=out), encoding="utf-8")
    DefaultExecutor(init_configs(["--config", str(recipe)])).run()
    sys.stdout.write("BENCH " + json.dumps({"started_cpu_s": started}) + "\n")


if __name__ == "__main__":
    main()
