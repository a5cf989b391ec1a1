"""Text from web pages against people's: F1 of words, page by page.

    python -m benchmarks.articles DATA

DATA is a copy of scrapinghub/article-extraction-benchmark (MIT): html/*.html.gz and ground-truth.json. As there, a page
counts by the words that both texts have, in any order; here the mean of the pages' F1 is given.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from datakit.sources.article import read_article

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Result:
    """mean, median and least F1 of pages, 0 to 1; pages: how many; seconds: CPU time."""

    mean: float
    median: float
    least: float
    pages: int
    seconds: float


def f1(found: str, truth: str) -> float:
    """F1 of the words of two texts, as bags."""
    one, other = Counter(_WORD.findall(found)), Counter(_WORD.findall(truth))
    size = one.total() + other.total()
    return 2 * (one & other).total() / size if size else 1.0


def measure(folder: Path) -> Result:
    """The figures of the benchmark in a folder."""
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    pages = {name: gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()) for name in truth}
    began = time.process_time()
    texts = {name: read_article(page).text for name, page in pages.items()}
    seconds = time.process_time() - began
    scores = sorted(f1(text, truth[name]["articleBody"]) for name, text in texts.items())
    return Result(sum(scores) / len(scores), scores[len(scores) // 2], scores[0], len(scores), seconds)


if __name__ == "__main__":
    found = measure(Path(sys.argv[1]))
    sys.stdout.write(
        f"{found.pages} pages: F1 of words {found.mean:.3f} (median {found.median:.3f}, least {found.least:.2f}), "
        f"{found.seconds:.1f} s\n"
    )
