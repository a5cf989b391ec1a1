"""The sales example's campaign as its documentation shows it: a folder, a server, and three people who answer.

Each sees which answer is the better one as often as their share says; what they say of a pair follows from their name
and the pair alone, so that every run of the documentation prints the same.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from annotators_at_work import Desk, answer, password_of

from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.campaigns.markdown import faithful

ROOT: Final = Path(__file__).parents[1]
RIGHT: Final[Mapping[str, float]] = {"小陈": 0.97, "小林": 0.93, "小周": 0.85}


class Walk:
    """A folder in which commands are run as a reader would, on a server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir()
        shutil.copy(ROOT / "recipes" / "sales.toml", folder / "recipes")  # its paths go up from where it lies
        (folder / "recipes" / "sales").symlink_to(ROOT / "recipes" / "sales")
        apart = ("ARGILLA_API_URL", "ARGILLA_API_KEY")
        self.environment = {name: value for name, value in os.environ.items() if name not in apart}
        self.environment["DATAKIT_ARGILLA_HOME"] = str(folder / "server")

    def run(self, words: Sequence[str]) -> str:
        """What a command prints; it has to succeed."""
        python = words[0] == "python"
        serve = list(words[1:3]) == ["annotate", "serve"]
        more = ["--yes", "--port", "0"] if serve else []  # nobody can be asked, and 6900 may be another's
        command = [sys.executable, *([] if python else ["-m", "datakit"]), *words[1:], *more]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def url(self) -> str:
        return str(orjson.loads((self.folder / "server" / "state.json").read_bytes())["url"])

    def campaign(self, name: str = "sales") -> Campaign:
        return open_campaign(self.folder / "campaigns" / name)

    def answer_everything(self, name: str = "sales") -> None:
        """Everybody of a campaign works through what waits for them there."""
        campaign = self.campaign(name)
        better = expected(campaign)
        for person in orjson.loads((campaign.path / "passwords.json").read_bytes()):
            with Desk(self.url, person, password_of(campaign, person)) as desk:
                (dataset,) = desk.call("GET", "me/datasets")["items"]
                for records in desk.queue(dataset["id"]):
                    desk.send([answer(record, opinion(record, better, person)) for record in records])


def expected(campaign: Campaign) -> dict[str, str]:
    """What is to be said of a pair: its better text to `better`, the texts of one that has none to tie or both_bad."""
    rows = campaign.source_version().frame("preference").rows(named=True)
    found = {faithful(row["chosen"][-1]["content"]): "better" for row in rows}
    for line in (ROOT / "recipes" / "sales" / "gold.jsonl").read_bytes().splitlines():
        gold = orjson.loads(line)
        side = {"first": "chosen", "second": "rejected"}.get(gold["expected"])
        found |= (
            {faithful(gold[side]): "better"}
            if side
            else dict.fromkeys((gold["chosen"], gold["rejected"]), gold["expected"])
        )
    return found


def opinion(record: Mapping[str, Any], better: Mapping[str, str], name: str) -> str:
    """What somebody says of a record, A, B, tie or both_bad, by what stands on the page."""
    texts = {place: record["fields"][f"answer_{place.lower()}"] for place in "AB"}
    words = {place: better.get(text) for place, text in texts.items()}
    said = next((place for place, word in words.items() if word == "better"), words["A"] or "both_bad")
    chance = random.Random(f"{name} {sorted(texts.values())} {texts['A']}")
    if chance.random() < RIGHT.get(name, 1.0):
        return said
    return chance.choice(["tie", {"A": "B", "B": "A"}.get(said, "A")])
