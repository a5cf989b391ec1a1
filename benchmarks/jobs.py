"""The jobs and their engines: what runs, on which corpus, and what it is compared with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.corpus import Plan
from benchmarks.peers.install import ENVIRONMENT, interpreter

PEER_SCRIPTS = Path(__file__).parent / "peers"


class Setting(NamedTuple):
    """Where a run happens: the rows' folder, an empty folder for output, the environments, the repository's python."""

    rows: Path
    out: Path
    venvs: Path
    workers: int = 1


class Engine(NamedTuple):
    """One side of a comparison: its command, and the environment it needs; `peer` names its venv, "" for datakit."""

    name: str
    command: Callable[[Setting], list[str]]
    peer: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables; for datakit as many threads as the pinned cores give by themselves."""
        return dict(ENVIRONMENT) if self.peer else {}


class Job(NamedTuple):
    """A row of the table. corpora: datakit runs on each, the peers only on the first (they are slow).

    inner: whether the rate is that of the work in memory, without start-up, as the job's title says.
    aim: MB/s of text a CPU second; times: how many times the peer of that name.
    """

    name: str
    title: str
    corpora: tuple[str, ...]
    engines: tuple[Engine, ...]
    inner: bool = False
    aim: float = 0.0
    times: tuple[tuple[str, float], ...] = ()


def plans(sample_mb: float, full_mb: float) -> dict[str, Plan]:
    """The corpora by name: tiny ones to warm up on, small ones that peers finish, large ones for datakit alone."""
    return {
        "warm": Plan("warm", 0.3, seed=6),
        "warm-dialogue": Plan("warm-dialogue", 0.3, seed=6, dialogues=True),
        "sample": Plan(f"sample-{sample_mb:g}mb", sample_mb, seed=1),
        "english": Plan(f"english-{sample_mb:g}mb", sample_mb, seed=2, share_english=1.0),
        "full": Plan(f"text-{full_mb:g}mb", full_mb, seed=3),
        "english-full": Plan(f"english-{full_mb:g}mb", full_mb, seed=4, share_english=1.0),
        "dialogue": Plan(f"dialogue-{full_mb:g}mb", full_mb, seed=5, dialogues=True),
    }


def peer(name: str, job: str, venv: str) -> Engine:
    """A peer's job, run by its script in its own environment."""

    def command(setting: Setting) -> list[str]:
        script = PEER_SCRIPTS / f"{venv}_jobs.py"
        return [str(interpreter(setting.venvs, venv)), str(script), job, str(setting.rows), str(setting.out)]

    return Engine(name, command, venv)


def kernel(job: str) -> Engine:
    """A kernel of datakit on texts in memory."""
    return Engine("datakit", lambda setting: [sys.executable, "-m", "benchmarks.inmemory", job, str(setting.rows)])


def clean(*options: str) -> Engine:
    """`datakit clean` with these options, from jsonl to the written version."""

    def command(setting: Setting) -> list[str]:
        out = setting.out / "clean"
        workers = ["--workers", str(setting.workers)]
        return [sys.executable, "-m", "datakit", "clean", str(setting.rows), "-o", str(out), *workers, *options]

    return Engine("datakit", command)


LARGE: Final = {"sample": "full", "english": "english-full"}
"""The large corpus of the same kind of rows as each of those that peers run on."""

NEAR_ONLY: Final = ("--set", 'clean.steps=["exact", "near"]')

JOBS: Final = (
    Job("signatures", "MinHash signatures from text, in memory", ("english", "english-full", "full"),
        (kernel("signatures"), peer("datatrove", "signatures", "datatrove"),
         peer("datasketch", "signatures", "datasketch")), inner=True, aim=150, times=(("datatrove", 300),)),
    Job("near", "exact + near duplicates, reading and writing included", ("full",),
        (clean(*NEAR_ONLY), peer("text-dedup", "minhash", "textdedup")), aim=40, times=(("text-dedup", 15),)),
    Job("near-english", "the same on English rows", ("english", "english-full"),
        (clean(*NEAR_ONLY), peer("datatrove", "minhash", "datatrove"))),
    Job("scores", "Gopher, C4 and FineWeb scores, in memory", ("english", "english-full", "full"),
        (kernel("scores"), peer("datatrove", "filters", "datatrove")), inner=True, aim=50, times=(("datatrove", 300),)),
    Job("clean", "datakit clean, everything on; data-juicer: 8 filters + exact + MinHash", ("sample", "full"),
        (clean(), peer("data-juicer", "clean", "datajuicer")), aim=8, times=(("data-juicer", 40),)),
    Job("clean-english", "datakit clean on English rows; datatrove: 4 filters + MinHash", ("english", "english-full"),
        (clean(), peer("datatrove", "clean", "datatrove")), aim=8, times=(("datatrove", 100),)),
    Job("dialogues", "datakit clean on dialogues (messages)", ("dialogue",), (clean(),), aim=6),
)  # fmt: skip
