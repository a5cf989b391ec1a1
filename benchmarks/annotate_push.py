"""What a push costs beside the SDK alone: `python -m benchmarks.annotate_push --work WORK [--records 1000]`.

One server, started here. In each round two jobs send the same records (the pairs of the sales recipe, each many times
under numbers of its own): `datakit annotate push` as a whole, that is reading the version, drawing rows and sides,
writing the campaign, making workspace and dataset, asking what is there, and sending; and the SDK's bare
`dataset.records.log` of `rg.Record`s that were made beforehand, into a dataset that was made beforehand. Which comes
first changes from round to round. Wall clock, CPU of this process, CPU of both ends (this process and the server's):
medians, after a round that does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from annotation.campaigns.campaign import open_campaign
from annotation.campaigns.push import push
from annotation.client import Server
from annotation.server import environment
from annotation.server.launch import start
from datakit.cleaning.clean import clean
from datakit.progress import Silent
from datakit.recipe.load import load_recipe
from datakit.recipe.recipe import Recipe

SALES: Final = Path(__file__).parents[1] / "recipes" / "sales.toml"


def make_version(work: Path, count: int) -> Path:
    """A dataset of `count` pairs made of those of the sales recipe."""
    pairs = clean(SALES.parent / "sales" / "raw" / "preference.jsonl", work / "pairs").version.frame("preference")
    raw = work / "raw.jsonl"
    with raw.open("wb") as file:
        for number, row in zip(range(count), _endlessly(pairs), strict=False):
            said = [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]]
            said[-1]["content"] += f"（第{number}问）"
            answers = {side: row[side][0]["content"] for side in ("chosen", "rejected")}
            file.write(orjson.dumps({"prompt": said, **answers}) + b"\n")
    clean(raw, work / "clean", {"clean": {"steps": []}})
    return work / "clean"


def _endlessly(pairs: pl.DataFrame) -> Any:
    while True:
        yield from pairs.iter_rows(named=True)


def recipe_of(work: Path, dataset: Path, name: str, count: int) -> Recipe:
    """The campaign of the sales recipe on the benchmark's rows: no gold and no repeats, so that both send the same."""
    recipe = load_recipe(SALES)
    update = {
        **{"name": name, "folder": str(work / "campaigns"), "dataset": str(dataset), "rows": count},
        **{"gold": None, "gold_share": 0.0, "repeats": 0.0, "annotators": (), "workspace": "benchmark"},
        "select": recipe.annotate.select.model_copy(update={"stratify": None}),
    }
    return recipe.model_copy(update={"annotate": recipe.annotate.model_copy(update=update)})


class Peer:
    """The SDK's own way, on what a campaign sent."""

    def __init__(self, server: Server, recipe: Recipe) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import argilla
        self.sdk = argilla
        self.client = argilla.Argilla(api_url=server.url, api_key=server.http.headers["X-Argilla-Api-Key"])
        workspace = server.workspace(str(recipe.annotate.workspace))
        dataset = server.find_dataset(str(recipe.annotate.name), workspace)
        pages = server.pages(f"api/v1/datasets/{dataset}/records")
        self.records = {record["external_id"]: record["fields"] for page in pages for record in page}
        self.like = self.client.datasets(recipe.annotate.name, workspace="benchmark")

    def job(self, name: str) -> Callable[[], None]:
        """A dataset like the campaign's and the records for it; what comes back logs them."""
        rg = self.sdk
        dataset = rg.Dataset(name, workspace="benchmark", settings=self.like.settings, client=self.client).create()
        records = [rg.Record(id=item, fields=fields) for item, fields in self.records.items()]
        return lambda: dataset.records.log(records)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(job: Callable[[], Any], pid: int) -> dict[str, float]:
    """Seconds of a job: by the clock, of our CPU, and of ours and the server's."""
    clock, cpu, theirs = time.perf_counter(), time.process_time(), cpu_of(pid)
    with contextlib.redirect_stderr(io.StringIO()):  # the SDK draws a bar
        job()
    ours = time.process_time() - cpu
    return {"wall": time.perf_counter() - clock, "cpu": ours, "cpu of both": ours + cpu_of(pid) - theirs}


def run(work: Path, server: Server, pid: int, count: int, rounds: int) -> dict[str, Any]:
    """Medians of both jobs, and every round."""
    dataset = make_version(work, count)
    warm = recipe_of(work, dataset, "warm", count)
    push(warm, server)
    peer = Peer(server, warm)
    peer.job("warm-sdk")()
    assert len(peer.records) == count
    found: dict[str, list[dict[str, float]]] = {"push": [], "sdk": []}
    for number in range(rounds):
        recipe = recipe_of(work, dataset, f"push-{number}", count)
        jobs = {"push": lambda recipe=recipe: push(recipe, server), "sdk": peer.job(f"sdk-{number}")}
        for name in ("push", "sdk") if number % 2 else ("sdk", "push"):
            found[name].append(measure(jobs[name], pid))  # type: ignore[arg-type]
        assert open_campaign(recipe).items().height == count
    units = list(found["push"][0])
    medians = {name: {unit: statistics.median(one[unit] for one in found[name]) for unit in units} for name in found}
    ratio = {unit: medians["push"][unit] / medians["sdk"][unit] for unit in units}
    return {"records": count, "rounds": rounds, "medians": medians, "push / sdk": ratio, "all": found}


def main() -> None:
    """Start a server, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    place = environment.default_environment()
    environment.make(place, Silent())
    started = start(asked.work / "argilla", place, port=0, detach=False)
    try:
        with Server.connect(started.local.url, started.local.api_key) as server:
            found = run(asked.work, server, started.local.processes["server"], asked.records, asked.rounds)
    finally:
        started.stop()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
