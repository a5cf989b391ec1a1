"""Whatever breaks while people judge and answers are pulled, nothing is lost and nothing is counted twice.

What everybody meant is known mark by mark (annotators_at_work), so that a version is right or it is not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from annotators_at_work import (
    CAREFUL,
    CARELESS,
    Desk,
    Person,
    Said,
    answer,
    chosen_marks,
    marks,
    meant,
    password_of,
    sales_pairs,
    work,
)
from broken_network import Fault, Proxy
from local_argilla import begin, call
from pushed_rows import campaign_recipe
from typer.testing import CliRunner

from annotation import client
from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.campaigns.push import push
from annotation.client import Server
from annotation.judgements import responses
from annotation.judgements.judgements import read
from annotation.judgements.pull import PullResult
from annotation.judgements.pull import pull as pull_campaign
from annotation.server.state import Local
from datakit.cli.app import app
from datakit.errors import Surroundings
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version, is_dataset, open_version, verify

ROWS = 30


@dataclass
class Round:
    """A campaign on a server, its people, and what each of them has said."""

    local: Local
    recipe: Recipe
    version: Version
    better: frozenset[str]
    said: dict[str, Said] = field(default_factory=dict)

    @property
    def people(self) -> Sequence[str]:
        return self.recipe.annotate.annotators

    @property
    def campaign(self) -> Campaign:
        return open_campaign(self.recipe)

    @property
    def judgements(self) -> pl.DataFrame:
        return read(self.campaign)

    def server(self, url: str | None = None) -> Server:
        return Server.connect(url or self.local.url, self.local.api_key)

    @property
    def dataset(self) -> str:
        with self.server() as server:
            space = server.workspace(self.campaign.manifest.workspace)
            return str(server.find_dataset(self.campaign.manifest.dataset_name, space))

    def push(self, **settings: Any) -> None:
        annotate = self.recipe.annotate.model_copy(update=settings)
        self.recipe = self.recipe.model_copy(update={"annotate": annotate})
        with self.server() as server:
            push(self.recipe, server)

    def work(self, who: int, person: Person, seed: int = 0) -> Said:
        """Somebody works through the queue; what they said is remembered, the newest of each item."""
        name = self.people[who]
        said = work(self.local.url, name, password_of(self.campaign, name), self.dataset, person, self.better, seed)
        self.said.setdefault(name, Said()).chosen.update(said.chosen)
        return said

    def pull(self, url: str | None = None, **more: Any) -> PullResult:
        with self.server(url) as server:
            return pull_campaign(self.campaign, server, **more)

    def forget(self) -> None:
        """The campaign as it was before the first pull."""
        shutil.rmtree(self.campaign.judgements_path, ignore_errors=True)
        for name in ("annotators.json", "pull.json"):
            (self.campaign.path / name).unlink(missing_ok=True)

    def check(self) -> None:
        """The latest version is whole and says what everybody meant, each once."""
        version = open_version(self.campaign.judgements_path)
        assert verify(version) == []
        judged = self.judgements
        assert judged.select("item", "question", "annotator").is_unique().all()
        assert chosen_marks(judged, self.version) == meant(self.campaign, self.said)
        ledger = version.ledger()
        counted = {"in": ledger.height, "kept": judged.height}
        assert counted.items() <= version.manifest.counts.rows.items()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Version, frozenset[str]]:
    """A folder with a version of marked pairs, and the marks of the better ones."""
    home = tmp_path_factory.mktemp("faults")
    return home, *sales_pairs(home, ROWS + 10)


def begun(rows: tuple[Path, Version, frozenset[str]], local: Local, workspace: str) -> Round:
    """A campaign that was pushed; nobody has answered. All bear one name, for what people say goes by their items."""
    home, version, better = rows
    people = (f"王小明 {workspace}", f"Ümit 🙂 {workspace}")
    recipe = campaign_recipe(home, name="故障 一", workspace=workspace, annotators=people, rows=ROWS, repeats=0.1)
    apart = recipe.annotate.model_copy(update={"folder": str(home / "campaigns" / workspace)})
    recipe = recipe.model_copy(update={"annotate": apart})
    made = Round(local, recipe, version, better)
    made.push()
    return made


@pytest.fixture(scope="module")
def answered(rows: tuple[Path, Version, frozenset[str]], argilla: Local) -> Round:
    """A campaign that both have answered, on which nothing changes on the server any more."""
    made = begun(rows, argilla, uuid.uuid4().hex[:8])
    made.work(0, CAREFUL)
    made.work(1, CARELESS)
    return made


@pytest.fixture
def played(answered: Round) -> Round:
    """That campaign, never pulled."""
    answered.forget()
    return answered


def test_a_server_that_is_killed_in_the_middle_of_a_pull(
    rows: tuple[Path, Version, frozenset[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between two pages; started again, elsewhere, it has every answer, and the next pull has them too."""
    monkeypatch.setattr(client, "_PAUSES", ())
    monkeypatch.setattr(responses, "_PAGE", 10)
    first = begin(tmp_path / "argilla")
    try:
        round_ = begun(rows, first.local, f"一 {tmp_path.name}")
        round_.work(0, Person(stops=0.5))
        before = round_.pull()
        round_.work(1, CARELESS)
        ask, asked = Server.request, []

        def request(self: Server, method: str, path: str, **more: Any) -> Any:
            if path.endswith("/search"):
                asked.append(path)
                if len(asked) == 3:
                    os.kill(first.local.processes["server"], signal.SIGKILL)
            return ask(self, method, path, **more)

        with monkeypatch.context() as patch, pytest.raises(Surroundings, match="run again"):
            patch.setattr(Server, "request", request)
            round_.pull()
        assert len(asked) == 3 and open_version(round_.campaign.judgements_path).name == before.version.name
        assert verify(before.version) == []
    finally:
        first.stop()
    second = begin(tmp_path / "argilla")
    try:
        round_.local = second.local
        result = round_.pull()
        assert result.statuses == {"submitted": sum(len(one.chosen) for one in round_.said.values())}
        round_.check()
        round_.work(0, CAREFUL)
        assert not round_.pull().unchanged
        round_.check()
    finally:
        second.stop()


def _cuts(whole: int, count: int) -> list[int]:
    return [1 + whole * place // count for place in range(count)]


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_a_connection_that_is_cut_is_made_again(played: Round, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Cut once, at bytes all over the answers: what may be asked again is, and the version is the right one."""
    monkeypatch.setattr(client, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(responses, "_PAGE", 10)
    with Proxy(played.local.url) as proxy:
        right = played.pull(proxy.url).version.name
    played.check()
    for after in _cuts(proxy.passed, count):
        played.forget()
        with Proxy(played.local.url, "cut", after) as broken:
            assert played.pull(broken.url).version.name == right
    played.check()


@pytest.mark.parametrize(("fault", "count"), [("cut", 6), ("hang", 4), pytest.param("cut", 60, marks=pytest.mark.slow)])
def test_a_network_that_stays_broken_leaves_what_was_there(
    played: Round, monkeypatch: pytest.MonkeyPatch, fault: Fault, count: int
) -> None:
    """Cut or silent for good, at bytes all over the answers: no version comes of it, and the next pull is whole."""
    monkeypatch.setattr(client, "_PAUSES", (0.0,))
    monkeypatch.setattr(responses, "_PAGE", 10)
    with Proxy(played.local.url) as proxy:
        right = played.pull(proxy.url).version.name
    monkeypatch.setattr(client, "_TIMEOUT", 1.0 if fault == "hang" else 120.0)
    for after in _cuts(proxy.passed - 1, count):
        played.forget()
        with Proxy(played.local.url, fault, after, for_good=True) as broken, pytest.raises(Surroundings):
            played.pull(broken.url)
        assert not is_dataset(played.campaign.judgements_path)
    monkeypatch.undo()
    assert played.pull().version.name == right
    played.check()


_KILLED = """
import os, signal, sys
from pathlib import Path
from annotation.judgements import pull
from annotation.campaigns.campaign import open_campaign
from annotation.client import Server
name, when, folder, url, key = sys.argv[1:]
real = getattr(pull, name)
def last(*words, **more):
    if when == "after":
        real(*words, **more)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(pull, name, last)
pull.pull(open_campaign(Path(folder)), Server.connect(url, key))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("name", "when", "there"),
    [
        ("write_annotators", "after", False),
        ("describe_parts", "before", False),  # data and ledger are written, the manifest is not
        ("commit", "before", False),
        ("commit", "after", True),
        ("write_whole", "after", True),  # the cursor, which is the last
    ],
)
def test_a_pull_that_is_killed(played: Round, name: str, when: str, there: bool) -> None:
    """Killed where it writes: a version is there whole or not at all, and the next pull makes the same one."""
    right = played.pull().version.name
    played.forget()
    words = [name, when, str(played.campaign.path), played.local.url, played.local.api_key]
    done = subprocess.run([sys.executable, "-c", _KILLED, *words], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert is_dataset(played.campaign.judgements_path) is there
    if there:
        played.check()
    result = played.pull()
    assert (result.version.name, result.unchanged) == (right, there)
    assert result.read == ("nothing" if name == "write_whole" else "answered")
    played.check()
    assert list(played.campaign.judgements_path.glob(".*")) == [], "nothing half-written is left"


def test_two_who_pull_at_once(played: Round) -> None:
    """Each of them gets through or is told to run again; what stands then is whole, and the next pull is as ever."""
    key = {**os.environ, "ARGILLA_API_KEY": played.local.api_key}
    command = [sys.executable, "-m", "datakit", "annotate", "pull", str(played.campaign.path), "--server"]
    both = [
        subprocess.Popen(
            [*command, played.local.url], env=key, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ended = [(*one.communicate(), one.returncode) for one in both]
    assert {code for *_, code in ended} <= {0, 4} and any(code == 0 for *_, code in ended), ended
    played.check()
    result = played.pull()
    assert verify(result.version) == []
    assert result.statuses == {"submitted": sum(len(one.chosen) for one in played.said.values())}
    played.check()


def test_people_who_answer_while_it_is_read(
    rows: tuple[Path, Version, frozenset[str]], argilla: Local, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulled again and again while two people work: every version is whole, and the last one has it all."""
    monkeypatch.setattr(responses, "_PAGE", 7)
    round_ = begun(rows, argilla, workspace)
    busy = Person(edits=0.2, twice=0.2, discards=0.1)
    at_work = [threading.Thread(target=round_.work, args=(who, busy, who)) for who in (0, 1)]
    for thread in at_work:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in at_work):
        judged = round_.pull().version.frame("judgements")
        assert judged.select("item", "question", "annotator").is_unique().all() and judged.height >= seen
        seen = judged.height
    for thread in at_work:
        thread.join()
    round_.pull()
    round_.check()


def test_everything_at_once(
    rows: tuple[Path, Version, frozenset[str]], argilla: Local, workspace: str, tmp_path: Path
) -> None:
    """One campaign with all that goes wrong in one: nothing that was said is lost, and each counts once."""
    round_ = begun(rows, argilla, workspace)
    anna, bo = round_.people
    said = round_.work(0, Person(edits=0.2, twice=0.2, stops=0.6))
    assert said.edited and said.twice and 10 < len(said.chosen) < ROWS, "she gives up after a while"
    first = round_.pull()
    round_.check()

    # The guideline changes in mid-campaign: who answers from now on answers by the new one.
    guideline = tmp_path / "new.md"
    guideline.write_text("# 新指南\n\n短的更好。\n", encoding="utf-8")
    round_.push(guideline=str(guideline))
    old, new = (one.hash for one in round_.campaign.manifest.guidelines)
    declined = round_.work(1, Person(discards=0.3)).declined
    assert declined
    second = round_.pull()
    round_.check()
    assert second.statuses == {
        "discarded": len(declined),
        "submitted": len(said.chosen) + len(round_.said[bo].chosen),
    }
    by = dict(round_.judgements.group_by("annotator").agg(pl.col("guideline").unique()).iter_rows())
    assert by == {"a01": [old], "a02": [new]}

    # A response is edited between two pulls: the newest counts, by the guideline of its time.
    with Desk(argilla.url, anna, password_of(round_.campaign, anna)) as desk:
        record = desk.records(round_.dataset, "submitted")[0]
        item, shown = record["external_id"], marks(record)
        other = 1 - shown.index(round_.said[anna].chosen[item])
        desk.send([answer(record, "AB"[other])] * 2)
    round_.said[anna].chosen[item] = shown[other]
    third = round_.pull()
    assert (third.changed, third.statuses) == (1, second.statuses)
    round_.check()
    edited = round_.judgements.filter((pl.col("item") == item) & (pl.col("annotator") == "a01"))
    assert edited["guideline"].to_list() == [new]

    # A record is deleted, pushed and answered again: one judgement a person, the newest.
    call(argilla, "DELETE", f"records/{record['id']}")
    gone = round_.pull()
    assert gone.gone == {"record": 2}, "hers and his"
    round_.check()
    round_.push()
    round_.work(0, Person(right=1.0, stops=1.0), seed=5)
    round_.pull()
    round_.check()
    assert round_.judgements.filter((pl.col("annotator") == "a01") & (pl.col("item") == item))["gone"].to_list() == [
        None
    ]

    # An annotator leaves: the account is deleted, and all its answers on the server with it.
    users = {user["username"]: user["id"] for user in call(argilla, "GET", "users")["items"]}
    call(argilla, "DELETE", f"users/{users[bo]}")
    left = round_.pull()
    assert left.gone == {"annotator": len(round_.said[bo].chosen) + len(declined) - 1, "record": 1}
    assert left.statuses["discarded"] == len(declined)
    round_.check()
    names = orjson.loads((round_.campaign.path / "annotators.json").read_bytes())
    assert sorted(who["name"] for who in names.values()) == sorted([anna, bo])

    # Every version that ever was is still whole, and no name is in any of them.
    for version in (first, second, third, gone, left):
        assert verify(version.version) == []
    for path in round_.campaign.judgements_path.rglob("*"):
        assert path.is_dir() or not any(name.encode() in path.read_bytes() for name in (anna, bo))


def test_without_the_server_agreement_and_resolve_work_and_pull_says_so(
    played: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.pull()
    nobody = "http://127.0.0.1:9"
    monkeypatch.setenv("ARGILLA_API_URL", nobody)
    monkeypatch.setenv("ARGILLA_API_KEY", "any")
    for words in (["agreement"], ["progress", "--offline"], ["report"], ["resolve"]):
        said = CliRunner().invoke(app, ["annotate", *words, str(played.campaign.path), "--json"])
        assert said.exit_code == 0, (words, said.output, said.exception)
    command = [sys.executable, "-m", "datakit", "annotate", "pull", str(played.campaign.path), "--server", nobody]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and "does not answer" in done.stderr and "run again" in done.stderr
    played.check()
