"""Make a seeded corpus from real text: `python -m benchmarks.corpus --data DIR --out DIR --mb 8`.

Writes `<out>/<name>/<name>.jsonl` and beside that folder `<name>.truth.parquet` (every planted pair with
its lines, kinds and exact Jaccard similarity) and `<name>.json` (rows, bytes, seed). The rows stand alone
in their folder so that a cleaner can be given the folder. Memory does not grow with --mb but for the truth.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
import polars as pl

from benchmarks.passages import Pool, read_pools
from benchmarks.planting import Planted, compare, plant

MEAN_BYTES = 1_400  # 1.7 KB with the last paragraph, which runs over: the mean of the rows the peers were measured on
SIGMA = 0.7  # spread of the log-normal lengths
SHARE_ENGLISH = 2 / 3
BLOCK = 2_000  # base documents shuffled together
LATE = 0.25  # share of planted documents that appear one block later, so that twins are far apart too
TRUTH_SCHEMA = {"left": pl.Int64, "right": pl.Int64, "left_kind": pl.String, "right_kind": pl.String,
                "language": pl.String, "jaccard": pl.Float64}  # fmt: skip


class Plan(NamedTuple):
    """What to build: size of the texts in MB (1,000,000 bytes of UTF-8; the file is larger by its JSON)."""

    name: str
    megabytes: float
    seed: int
    dialogues: bool = False
    share_english: float = SHARE_ENGLISH
    rows: int = sys.maxsize  # stop at this many, if the size is not reached before


class Row(NamedTuple):
    """A document on its way to its line: cluster is the number of its cluster, member its position there."""

    cluster: int
    member: int
    language: str
    planted: Planted


class Composer:
    """Draws documents and dialogues from the pools; the same seed draws the same ones."""

    def __init__(self, pools: dict[str, Pool], rng: Random) -> None:
        """Draw from these pools (by language) with this generator."""
        self.pools = pools
        self.rng = rng

    def draw_bytes(self, mean: float) -> float:
        """A length in bytes, log-normal with this mean."""
        return self.rng.lognormvariate(math.log(mean) - SIGMA * SIGMA / 2, SIGMA)

    def draw_prose(self, language: str, size: float) -> str:
        """Paragraphs of 2 to 6 whole sentences, neighbours in runs of up to 3, until `size` bytes are reached."""
        sentences, rng = self.pools[language].sentences, self.rng
        paragraphs: list[str] = []
        written = 0
        while written < size:
            paragraph: list[str] = []
            for _ in range(rng.randint(1, 2)):
                start = rng.randrange(len(sentences))
                paragraph.extend(sentences[start : start + rng.randint(2, 3)])
            paragraphs.append((" " if language == "en" else "").join(paragraph))
            written += len(paragraphs[-1].encode())
        return "\n".join(paragraphs)

    def draw_dialogue(self, language: str) -> tuple[str, ...]:
        """2 to 8 messages: real user turns, each answered by one sentence or by some paragraphs."""
        parts: list[str] = []
        for _ in range(self.rng.randint(1, 4)):
            parts.append(self.rng.choice(self.pools[language].turns))
            parts.append(self.draw_prose(language, self.draw_bytes(400)))
        return tuple(parts)


def _clusters(composer: Composer, plan: Plan) -> Iterator[tuple[str, list[Planted]]]:
    while True:
        # The share is one of rows; bytes follow, since both languages draw lengths in bytes.
        language = "en" if composer.rng.random() < plan.share_english else "zh"
        if plan.dialogues:
            parts = composer.draw_dialogue(language)
        else:
            parts = (composer.draw_prose(language, composer.draw_bytes(MEAN_BYTES)),)
        draw_filler = partial(composer.draw_prose, language, max(len(part.encode()) for part in parts))
        yield language, plant(parts, draw_filler, language, composer.rng)


def _order(composer: Composer, plan: Plan) -> Iterator[tuple[list[Row], list[dict[str, Any]]]]:
    """Endless blocks of rows in their final order, each with the pairs of its clusters (members by number)."""
    rng = composer.rng
    source = _clusters(composer, plan)
    late: list[Row] = []
    number = 0
    while True:
        block, late = late, []
        pairs: list[dict[str, Any]] = []
        for _ in range(BLOCK):
            language, cluster = next(source)
            for member, planted in enumerate(cluster):
                row = Row(number, member, language, planted)
                (late if member and rng.random() < LATE else block).append(row)
            for pair in compare(cluster) if len(cluster) > 1 else ():
                pairs.append({"left": (number, pair.left), "right": (number, pair.right), "language": language,
                              "left_kind": cluster[pair.left].kind, "right_kind": cluster[pair.right].kind,
                              "jaccard": pair.jaccard})  # fmt: skip
            number += 1
        rng.shuffle(block)
        yield block, pairs


def _encode(row: Row, line: int, dialogues: bool) -> bytes:
    key = f"{row.language}-{line:08d}"
    if not dialogues:
        return orjson.dumps({"id": key, "text": row.planted.parts[0]}) + b"\n"
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": part} for i, part in enumerate(row.planted.parts)]
    return orjson.dumps({"id": key, "messages": messages}) + b"\n"


def _place(pairs: list[dict[str, Any]], lines: dict[tuple[int, int], int]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        if pair["left"] in lines and pair["right"] in lines:
            yield {**pair, "left": lines[pair["left"]], "right": lines[pair["right"]]}


def _write(plan: Plan, composer: Composer, path: Path) -> tuple[int, int, pl.DataFrame]:
    """Rows and text bytes written, and the planted pairs among them."""
    lines: dict[tuple[int, int], int] = {}
    truth: list[pl.DataFrame] = []
    waiting: list[dict[str, Any]] = []
    limit = plan.megabytes * 1e6
    line = text_bytes = 0
    with path.open("wb", buffering=1 << 20) as file:
        for block, pairs in _order(composer, plan):
            for row in block:
                if text_bytes >= limit or line == plan.rows:
                    break
                line += 1
                lines[row.cluster, row.member] = line
                file.write(_encode(row, line, plan.dialogues))
                text_bytes += sum(len(part.encode()) for part in row.planted.parts)
            # A pair is whole once both members are out: at the latest after the next block.
            waiting, ready = pairs, waiting
            truth.append(pl.DataFrame(list(_place(ready, lines)), schema=TRUTH_SCHEMA))
            oldest = min((pair["left"][0] for pair in pairs), default=0)
            lines = {key: value for key, value in lines.items() if key[0] >= oldest}
            if text_bytes >= limit or line == plan.rows:
                truth.append(pl.DataFrame(list(_place(waiting, lines)), schema=TRUTH_SCHEMA))
                return line, text_bytes, pl.concat(truth)
    raise AssertionError("the blocks never end")


def build(data: Path, out: Path, plan: Plan) -> dict[str, Any]:
    """The summary of what was written: {"name", "kind", "rows", "text_bytes", "file_bytes", "pairs", "seed"}.

    Raises FileNotFoundError where `data` lacks the real text.
    """
    composer = Composer(read_pools(data), Random(plan.seed))
    path = out / plan.name / f"{plan.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, text_bytes, pairs = _write(plan, composer, path)
    pairs.write_parquet(out / f"{plan.name}.truth.parquet")
    summary = {"name": plan.name, "kind": "dialogue" if plan.dialogues else "text", "rows": rows,
               "text_bytes": text_bytes, "file_bytes": path.stat().st_size, "pairs": len(pairs),
               "pairs_from_0.8": int((pairs["jaccard"] >= 0.8).sum()), "seed": plan.seed}  # fmt: skip
    (out / f"{plan.name}.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def obtain(data: Path | None, out: Path, plan: Plan) -> dict[str, Any]:
    """The summary of the corpus of this plan below `out`, built from `data` where it is not there yet.

    Raises FileNotFoundError where it is not there and no data folder is given.
    """
    written = out / f"{plan.name}.json"
    if written.exists():
        return dict(json.loads(written.read_text(encoding="utf-8")))
    if data is None:
        raise FileNotFoundError(f"{written}: this corpus is not built yet; give --data DIR (benchmarks/README.md)")
    return build(data, out, plan)


def main() -> None:
    """Build the corpus that the command line asks for, and print its summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--mb", type=float, default=8.0, help="size of the texts in MB")
    parser.add_argument("--kind", choices=("text", "dialogue"), default="text")
    parser.add_argument("--english", type=float, default=SHARE_ENGLISH, help="share of English rows, 0 to 1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", help="file name without its ending (default: kind-mb)")
    options = parser.parse_args()
    name = options.name or f"{options.kind}-{options.mb:g}mb"
    plan = Plan(name, options.mb, options.seed, options.kind == "dialogue", options.english)
    summary = build(options.data, options.out, plan)
    print(json.dumps(summary, indent=2))  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
