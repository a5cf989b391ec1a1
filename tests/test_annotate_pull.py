"""Pull against a real Argilla: what people said comes back in terms of answers, once, and stays."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from annotators_at_work import Desk, answer, password_of
from local_argilla import call
from pushed_rows import campaign_recipe, dialogues, pairs, version_of

from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.campaigns.push import push
from annotation.client import Server
from annotation.decisions.resolve import resolve
from annotation.judgements.annotators import read_annotators
from annotation.judgements.judgements import LEDGER, SCHEMA, read
from annotation.judgements.pull import CURSOR, PullResult
from annotation.judgements.pull import pull as pull_campaign
from annotation.server.state import Local
from datakit.errors import UsageFault
from datakit.recipe.recipe import Recipe
from datakit.recipe.resolve import ResolveSettings
from datakit.versions.store import open_version, verify


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pull")
    version_of(folder, pairs(16), dialogues(6))
    return folder


@pytest.fixture(scope="module")
def server(argilla: Local) -> Iterator[Server]:
    with Server.connect(argilla.url, argilla.api_key) as connected:
        yield connected


class Round:
    """A campaign on the server with two people, and what they do there."""

    def __init__(self, home: Path, server: Server, workspace: str, **settings: Any) -> None:
        self.server = server
        self.people = [f"中文名 {workspace}", f"ümlaut🙂 {workspace}"]
        chosen = {"rows": 8, "overlap": 2, "batch": 6, **settings}
        self.recipe: Recipe = campaign_recipe(
            home, name=f"对话 {workspace}", workspace=workspace, annotators=self.people, **chosen
        )
        push(self.recipe, server)
        self.campaign: Campaign = open_campaign(self.recipe)
        space = server.workspace(workspace)
        self.dataset = str(server.find_dataset(self.campaign.manifest.dataset_name, space))
        self.items = self.campaign.items().rows_by_key("item", named=True, unique=True)

    def records(self) -> dict[str, dict[str, Any]]:
        """External id to record."""
        pages = self.server.pages(f"api/v1/datasets/{self.dataset}/records", {"include": "responses"})
        return {record["external_id"]: record for page in pages for record in page}

    def desk(self, who: int) -> Desk:
        return Desk(self.server.url, self.people[who], password_of(self.campaign, self.people[who]))

    def say(self, who: int, said: dict[str, str | None]) -> list[str]:
        """Item to a value of the preference, or None to discard; ids of responses."""
        records = self.records()
        with self.desk(who) as desk:
            return desk.send([answer(records[item], value) for item, value in said.items()])

    def send(self, who: int, said: dict[str, dict[str, Any]], status: str = "submitted") -> None:
        """Item to question to value."""
        records = self.records()
        with self.desk(who) as desk:
            desk.send(
                [
                    {
                        "record_id": records[item]["id"],
                        "status": status,
                        "values": {q: {"value": v} for q, v in values.items()},
                    }
                    for item, values in said.items()
                ]
            )

    def pull(self, **more: Any) -> PullResult:
        return pull_campaign(open_campaign(self.recipe), self.server, **more)

    def user(self, who: int) -> str:
        users = self.server.request("GET", "api/v1/users")["items"]
        return next(str(user["id"]) for user in users if user["username"] == self.people[who])


@pytest.fixture
def played(home: Path, server: Server, workspace: str) -> Round:
    return Round(home, server, workspace, kind="preference")


def said_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return sorted(frame.select("item", "question", "annotator", "status", "value", "gone").rows(), key=str)


def test_what_was_shown_comes_back_as_what_was_meant(played: Round) -> None:
    items = list(played.items)
    played.say(1, dict.fromkeys(items, "A"))  # the second one in the recipe is the first to answer
    played.say(0, {items[0]: "B", items[1]: "tie", items[2]: "both_bad", items[3]: None})
    result = played.pull()
    frame = read(played.campaign)
    assert frame.schema == SCHEMA and result.version.ledger().schema == LEDGER
    assert result.answers == {"in": 12, "kept": 12, "dropped": 0, "rejected": 0} and result.annotators == 2
    assert result.statuses == {"discarded": 1, "submitted": 11} and result.changed == 12 and not result.unchanged
    for row in frame.filter(pl.col("annotator") == "a01").iter_rows(named=True):
        item = played.items[row["item"]]
        assert {name: row[name] for name in ("id", "source", "line", "role", "order")} == {
            name: item[name] for name in ("id", "source", "line", "role", "order")
        }
        assert row["shown"] == '"A"' and row["value"] == ('"first"' if item["order"] == [0, 1] else '"second"')
    assert {tuple(item["order"]) for item in played.items.values()} == {(0, 1), (1, 0)}
    second = dict(frame.filter(pl.col("annotator") == "a02").select("item", "value").iter_rows())
    first = '"second"' if played.items[items[0]]["order"] == [0, 1] else '"first"'
    assert second == {items[0]: first, items[1]: '"tie"', items[2]: '"both_bad"', items[3]: None}
    assert set(frame["guideline"]) == {played.campaign.manifest.guidelines[0].hash}
    assert frame["answered_at"].str.contains(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$").all()
    assert not verify(result.version)
    assert orjson.loads(orjson.dumps(result.to_json()))["answers"]["kept"] == 12


def test_names_stay_in_one_file_that_nobody_else_may_read(played: Round) -> None:
    for who in (0, 1):
        played.say(who, dict.fromkeys(list(played.items)[:2], "A"))
    played.pull()
    path = played.campaign.path / "annotators.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    known = read_annotators(played.campaign.path)
    assert {who.name: who.pseudonym for who in known.values()} == dict(zip(played.people, ("a01", "a02"), strict=True))
    files = [one for one in played.campaign.judgements_path.rglob("*") if one.is_file()]
    for file in [*files, played.campaign.path / CURSOR]:
        text = read(played.campaign).write_json().encode() if file.suffix == ".parquet" else file.read_bytes()
        for user, who in known.items():
            assert who.name.encode() not in text and user.encode() not in text, file
            assert who.name.encode() not in file.read_bytes() and user.encode() not in file.read_bytes(), file


def test_nothing_new_is_nothing_read(played: Round) -> None:
    played.say(0, dict.fromkeys(list(played.items)[:5], "A"))
    first = played.pull()
    asked: list[str] = []
    played.server.http.event_hooks = {"request": [lambda request: asked.append(request.url.path)]}
    try:
        again = played.pull()
        assert again.unchanged and again.read == "nothing" and again.version.name == first.version.name
        assert len(asked) == 4 and not any("records" in path for path in asked)
        asked.clear()
        full = played.pull(full=True)
        assert full.unchanged and full.read == "everything" and full.version.name == first.version.name
        played.say(0, {list(played.items)[6]: "B"})
        asked.clear()
        more = played.pull()
        assert more.read == "answered" and more.changed == 1 and not more.unchanged
        assert not any(path.endswith("/records") for path in asked)
    finally:
        played.server.http.event_hooks = {"request": []}
    log = (played.campaign.judgements_path / "log.jsonl").read_bytes().splitlines()
    assert len(log) == 2  # pulls that brought nothing are no versions


def test_many_early_pulls_and_one_late_one_are_the_same_version(played: Round, tmp_path: Path) -> None:
    late = tmp_path / "campaigns" / played.campaign.path.name
    shutil.copytree(played.campaign.path, late)
    items = list(played.items)
    for who, some in ((1, items[:3]), (0, items[2:6]), (1, items[3:8]), (0, items[:2])):
        played.say(who, dict.fromkeys(some, "A"))
        early = played.pull()
    once = pull_campaign(Campaign(late, played.campaign.manifest), played.server)
    whole = pull_campaign(Campaign(late, played.campaign.manifest), played.server, full=True)
    assert once.version.manifest.fingerprint == early.version.manifest.fingerprint
    assert whole.unchanged and said_of(read(late)) == said_of(read(played.campaign))
    assert (late / "annotators.json").read_bytes() == (played.campaign.path / "annotators.json").read_bytes()


def test_an_answer_sent_twice_edited_or_unfinished_is_one_judgement(played: Round) -> None:
    twice, edited, draft, *_ = played.items
    ids = [played.say(0, {twice: "A"})[0] for _ in range(3)]
    assert len(set(ids)) == 1
    played.say(0, {edited: "A"})
    played.send(0, {draft: {"preference": "B"}}, status="draft")
    first = played.pull()
    assert first.statuses == {"draft": 1, "submitted": 2}
    played.say(0, {edited: None})
    played.say(0, {draft: "A"})
    played.say(0, {twice: "A"})  # once more the same
    second = played.pull()
    assert second.changed == 2 and second.answers["in"] == 3 and second.statuses == {"discarded": 1, "submitted": 2}
    assert open_version(f"{played.campaign.judgements_path}@{first.version.name}").frame("judgements").height == 3
    played.say(0, {twice: "A"})
    assert played.pull().unchanged  # said once more, and nothing new


def test_what_left_the_server_stays_here(played: Round) -> None:
    deleted, taken_back, left, *_ = played.items
    played.say(0, {deleted: "A", taken_back: "B", left: "tie"})
    played.say(1, {deleted: "B", left: "A"})
    before = said_of(played.pull().version.frame("judgements"))
    records = played.records()
    response = next(iter(records[taken_back]["responses"]))["id"]
    played.server.request("DELETE", f"api/v1/records/{records[deleted]['id']}")
    with played.desk(0) as desk:
        desk.call("DELETE", f"responses/{response}")
    played.server.request("DELETE", f"api/v1/users/{played.user(1)}")
    said: list[str] = []
    result = played.pull(progress=Heard(said))
    after = said_of(read(played.campaign))
    assert result.read == "everything" and result.gone == {"annotator": 2, "record": 1, "response": 1}
    assert len(said) == 3 and not any(name in words for name in played.people for words in said)
    assert [row[:3] + row[4:5] for row in after] == [row[:3] + row[4:5] for row in before]  # nothing lost or twice
    status = {(row[0], row[2]): (row[3], row[5]) for row in after}
    assert status == {
        (deleted, "a01"): ("submitted", "record"),
        (deleted, "a02"): ("submitted", "annotator"),
        (left, "a02"): ("submitted", "annotator"),
        (taken_back, "a01"): ("withdrawn", "response"),
        (left, "a01"): ("submitted", None),
    }
    again, full = played.pull(), played.pull(full=True)
    assert again.unchanged and full.unchanged and full.version.name == result.version.name


def test_records_and_people_who_come_back_are_not_counted_twice(played: Round) -> None:
    item, other, *_ = played.items
    played.say(0, {item: "A", other: "A"})
    played.pull()
    played.server.request("DELETE", f"api/v1/records/{played.records()[item]['id']}")
    played.server.request("DELETE", f"api/v1/users/{played.user(0)}")
    played.pull()
    assert push(played.recipe, played.server).pushed == 1  # brings the record back, and makes the account anew
    played.say(0, {item: "B"})
    result = played.pull()
    frame = read(played.campaign)
    assert frame.height == 2 and set(frame["annotator"]) == {"a01"}
    assert dict(frame.select("item", "shown").iter_rows()) == {item: '"B"', other: '"A"'}
    assert result.answers == {"in": 3, "kept": 2, "dropped": 1, "rejected": 0}
    assert result.reasons == {"duplicate_response": 1}
    assert played.pull(full=True).unchanged


def test_every_judgement_names_the_guideline_that_its_author_saw(played: Round, home: Path) -> None:
    first, second, *_ = played.items
    played.say(0, {first: "A", second: "A"})
    recipe = campaign_recipe(home, name=str(played.recipe.annotate.name), guideline="# 新指南\n")
    changed = recipe.annotate.guideline
    push(
        played.recipe.model_copy(update={"annotate": played.recipe.annotate.model_copy(update={"guideline": changed})}),
        played.server,
    )
    before = played.pull()
    assert len(set(before.version.frame("judgements")["guideline"])) == 1
    played.say(0, {second: "A"})  # the same answer, by the new rules
    played.pull()
    old, new = (guideline.hash for guideline in open_campaign(played.recipe).manifest.guidelines)
    assert dict(read(played.campaign).select("item", "guideline").iter_rows()) == {first: old, second: new}


@pytest.mark.parametrize(
    ("kind", "settings", "said", "expected"),
    [
        ("rating", {"aspects": ["helpful", "礼貌"]}, None, None),
        ("ranking", {"answers": 2, "rows": 4}, {"ranking": [{"value": "B", "rank": 1}, {"value": "A", "rank": 2}]}, None),
        ("labels", {"labels": ["价格", "other"], "multiple": True}, {"labels": ["价格", "other"]}, '["other","价格"]'),
        ("labels", {"labels": ["价格", "other"], "multiple": False}, {"labels": "价格"}, '"价格"'),
        ("rewriting", {}, {"rewriting": "改好了：€5 <b>🙂</b>\n"}, '"改好了：€5 <b>🙂</b>\\n"'),
        (
            "spans",
            {"labels": ["价格"]},
            {"spans": [{"start": 3, "end": 5, "label": "价格"}, {"start": 0, "end": 2, "label": "价格"}]},
            '[{"end":2,"label":"价格","start":0},{"end":5,"label":"价格","start":3}]',
        ),
    ],
)  # fmt: skip
def test_every_kind_of_question_comes_back(
    home: Path,
    server: Server,
    workspace: str,
    kind: str,
    settings: dict[str, Any],
    said: dict[str, Any] | None,
    expected: str | None,
) -> None:
    played = Round(home, server, workspace, **{"kind": kind, "rows": 4, **settings})
    names = [question["name"] for question in played.campaign.questions]
    answers = said or {name: 4 - place for place, name in enumerate(names)}
    played.send(0, dict.fromkeys(played.items, answers))
    result = played.pull()
    frame = read(played.campaign)
    assert result.answers["kept"] == len(played.items) * len(names) == frame.height
    for row in frame.iter_rows(named=True):
        if kind == "ranking":
            assert row["shown"] == "[2,1]" and row["value"] == ("[2,1]" if row["order"] == [0, 1] else "[1,2]")
        else:
            assert row["value"] == (expected or str(answers[row["question"]]))


def test_the_command_pulls_and_its_exit_codes_tell(played: Round, argilla: Local, tmp_path: Path) -> None:
    played.say(0, dict.fromkeys(list(played.items)[:3], "A"))
    done = datakit("pull", played.campaign.path, "--server", argilla.url, "--json", key=argilla.api_key)
    assert done.returncode == 0, done.stderr
    told = orjson.loads(done.stdout)
    assert told["answers"]["kept"] == 3 and not told["unchanged"] and told["read"] == "answered"
    plain = datakit("pull", played.campaign.path, "--server", argilla.url, key=argilla.api_key)
    assert plain.returncode == 0 and "nothing has changed" in plain.stdout and "3 submitted" in plain.stdout
    nowhere = datakit("pull", tmp_path, "--server", argilla.url, key=argilla.api_key)
    assert nowhere.returncode == 2 and "no campaign here" in nowhere.stderr
    wrong = datakit("pull", played.campaign.path, "--server", argilla.url, key="nobody.apikey")
    assert wrong.returncode == 2 and "does not know this key" in wrong.stderr
    dead = datakit("pull", played.campaign.path, "--server", "http://127.0.0.1:9", key="k")
    assert dead.returncode == 4 and "does not answer" in dead.stderr and "run again" in dead.stderr


def test_a_server_without_the_campaign_says_so(played: Round, argilla: Local) -> None:
    call(argilla, "DELETE", f"datasets/{played.dataset}")
    with pytest.raises(UsageFault, match="no dataset '对话"):
        played.pull()


def test_a_dataset_that_was_made_anew_loses_no_judgement(played: Round, argilla: Local) -> None:
    items = list(played.items)
    played.say(0, dict.fromkeys(items, "A"))
    played.pull()
    call(argilla, "DELETE", f"datasets/{played.dataset}")
    push(played.recipe, played.server)
    assert played.pull().gone == {"record": len(items)}
    assert set(read(played.campaign)["status"]) == {"submitted"}


def test_without_the_server_everything_that_resolve_needs_is_in_our_files(played: Round, tmp_path: Path) -> None:
    for who in (0, 1):
        played.say(who, dict.fromkeys(played.items, "A"))
    played.pull()
    moved = tmp_path / "elsewhere"
    shutil.copytree(Path(str(played.recipe.annotate.folder)).parent, moved)
    campaign = open_campaign(moved / "campaigns" / played.campaign.path.name)
    made = resolve(campaign, ResolveSettings(), tmp_path / "resolved")
    rows = made.version.frame("preference")
    assert rows.height == len(played.items)
    order = {(item["source"], item["line"]): item["order"] for item in played.items.values()}
    ledger = {row["line"]: row["decision"] for row in made.version.ledger().iter_rows(named=True)}
    assert all(ledger[line] == ("kept" if order[source, line] == [0, 1] else "edited") for source, line in order)


class Heard:
    """A progress that keeps the notices."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def advance(self, stage: str, done: float, total: float, unit: str) -> None:
        pass

    def figures(self, stage: str, values: Any) -> None:
        pass

    def notice(self, text: str) -> None:
        self.said.append(text)


def datakit(*arguments: str | Path, key: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ARGILLA_API_KEY": key}
    command = [sys.executable, "-m", "datakit", "annotate", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)
