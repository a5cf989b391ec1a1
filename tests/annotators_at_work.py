"""People of known quality who judge pairs on a real Argilla, through its interface and as themselves.

Every answer of a pair bears a mark, 〔3f2a9c1b〕, and the planted truth names the marks of the better ones. People see
what the page shows, fields A and B, and nothing of our files: what comes back of their judgements is right only where
places were turned back into answers rightly.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import polars as pl

from annotation.campaigns.campaign import Campaign
from datakit.cleaning.clean import clean
from datakit.versions.store import Version

SALES: Final = Path(__file__).parents[1] / "recipes" / "sales" / "raw" / "preference.jsonl"
_MARK: Final = re.compile("〔([0-9a-f]{8})〕")
_AT_ONCE: Final = 100  # the most that the server takes in one call


@dataclass(frozen=True)
class Person:
    """How somebody judges.

    right: how often they see which answer is better. left: how often they choose the left one without a look. discards:
    share of the items that they decline. twice: share that they send twice. edits: share that they answer wrongly first
    and mend when they are through. stops: share of the queue after which they give up.
    """

    right: float = 0.95
    left: float = 0.0
    discards: float = 0.0
    twice: float = 0.0
    edits: float = 0.0
    stops: float = 1.0


CAREFUL, CARELESS, LEFT = Person(), Person(right=0.55), Person(right=0.9, left=0.6)


@dataclass
class Said:
    """What somebody said in the end: item to the mark of the chosen answer; declined: items; edited, twice: items."""

    chosen: dict[str, str] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    edited: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)


class Desk:
    """An annotator who has signed in with their own password; a context manager."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1/", timeout=300, trust_env=False)
        token = self._told(self.http.post("token", data={"username": name, "password": password}))["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def call(self, method: str, path: str, **more: Any) -> Any:
        """What the server says; HTTP errors are raised."""
        return self._told(self.http.request(method, path, **more))

    @staticmethod
    def _told(answer: httpx.Response) -> Any:
        answer.raise_for_status()
        return answer.json()

    def queue(self, dataset: str) -> Iterator[list[dict[str, Any]]]:
        """The records that wait for this person, page by page, until none is left; each page has to be answered."""
        while found := self.records(dataset, "pending"):
            yield found

    def records(self, dataset: str, status: str) -> list[dict[str, Any]]:
        """At most 100 records with this person's answers: pending, draft, submitted or discarded."""
        scope = {"entity": "response", "property": "status"}
        asked = {"filters": {"type": "and", "and": [{"type": "terms", "scope": scope, "values": [status]}]}}
        place, params = f"me/datasets/{dataset}/records/search", {"limit": _AT_ONCE, "include": "responses"}
        return [one["record"] for one in self.call("POST", place, params=params, json=asked)["items"]]

    def send(self, answers: Sequence[Mapping[str, Any]]) -> list[str]:
        """Answers, at most 100 a call; the ids of the server's responses."""
        ids = []
        for start in range(0, len(answers), _AT_ONCE):
            items = self.call("POST", "me/responses/bulk", json={"items": answers[start : start + _AT_ONCE]})["items"]
            assert all(one["error"] is None for one in items), items
            ids += [one["item"]["id"] for one in items]
        return ids


def answer(record: Mapping[str, Any], value: str | None, status: str | None = None) -> dict[str, Any]:
    """One answer of a call: a value of the preference, submitted by default; None declines the record."""
    values = {"values": {"preference": {"value": value}}} if value is not None else {}
    return {"record_id": record["id"], "status": status or ("submitted" if values else "discarded"), **values}


def marks(record: Mapping[str, Any]) -> list[str]:
    """The marks of what is shown as A and as B."""
    return [_MARK.findall(record["fields"][name])[0] for name in ("answer_a", "answer_b")]


def work(
    url: str, name: str, password: str, dataset: str, person: Person, better: Collection[str], seed: int = 0
) -> Said:
    """Judge what waits in a dataset until nothing does, or until this person has had enough.

    What somebody says of a record follows from the seed, how they judge, the item and what is shown, not from the
    order of the queue, which is another one on every server.
    """
    said, later = Said(), []
    with Desk(url, name, password) as desk:
        everything = int(desk.call("GET", f"me/datasets/{dataset}/metrics")["responses"]["total"])
        for records in desk.queue(dataset):
            answers = []
            for record in records:
                if len(said.chosen) + len(said.declined) >= person.stops * everything:
                    break
                value, first = _judged(record, person, better, seed, said)
                answers.append(answer(record, first))
                if first != value:
                    later.append(answer(record, value))
                elif record["external_id"] in said.twice:
                    later.append(answers[-1])
            if not answers:
                break
            desk.send(answers)
        desk.send(later)
    return said


def _judged(
    record: Mapping[str, Any], person: Person, better: Collection[str], seed: int, said: Said
) -> tuple[str | None, str | None]:
    """What this person thinks of a record in the end, and what they say at first."""
    shown, item = marks(record), record["external_id"]
    chance = random.Random(hashlib.blake2b(f"{seed} {person} {shown} {item}".encode()).digest())
    if chance.random() < person.discards:
        said.declined.add(item)
        return None, None
    right = next(place for place, mark in enumerate(shown) if mark in better)
    place = right if chance.random() < person.right else 1 - right
    place = 0 if chance.random() < person.left else place
    said.chosen[item] = shown[place]
    if chance.random() < person.edits:
        said.edited.add(item)
        return "AB"[place], "AB"[1 - place]
    if chance.random() < person.twice:
        said.twice.add(item)
    return "AB"[place], "AB"[place]


def sales_pairs(folder: Path, count: int, seed: int = 1) -> tuple[Version, frozenset[str]]:
    """A version of the sales recipe's pairs, each many times under numbers and marks of its own; the better marks.

    Which answer is the better one is drawn: in half of the rows it is the one that the data call `rejected`.
    """
    known = clean(SALES, folder / "sales").version.frame("preference").rows(named=True)
    chance, better = random.Random(seed), set()
    folder.joinpath("raw").mkdir()
    with (folder / "raw" / "pairs.jsonl").open("wb") as file:
        for number in range(count):
            row = known[number % len(known)]
            said = [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]]
            said[-1]["content"] += f"（第{number}问）"
            mine = [f"{chance.getrandbits(32):08x}" for _ in range(2)]
            better.add(chance.choice(mine))
            sides = zip(("chosen", "rejected"), mine, strict=True)
            answers = {side: f"{row[side][0]['content']}〔{mark}〕" for side, mark in sides}
            file.write(orjson.dumps({"prompt": said, **answers}) + b"\n")
    return clean(folder / "raw", folder / "clean", {"clean": {"steps": []}}).version, frozenset(better)


def marks_of(version: Version) -> pl.DataFrame:
    """source, line, chosen, rejected: the marks of a version's pairs."""
    side = {name: pl.col(name).list.last().struct.field("content") for name in ("chosen", "rejected")}
    found = {name: text.str.extract(_MARK.pattern) for name, text in side.items()}
    return version.frame("preference").select("source", "line", **found)


def truth_of(version: Version, better: Collection[str]) -> pl.DataFrame:
    """source, line, truth: which answer of every pair is better, `first` (chosen) or `second`."""
    first = pl.col("chosen").is_in(list(better))
    truth = pl.when(first).then(pl.lit("first")).otherwise(pl.lit("second"))
    return marks_of(version).select("source", "line", truth=truth)


def chosen_marks(judgements: pl.DataFrame, version: Version) -> dict[tuple[str, str], str]:
    """(Item, pseudonym) to the mark of the answer that each submitted judgement means, by its row alone."""
    judged = judgements.filter(pl.col("status") == "submitted").join(marks_of(version), on=["source", "line"])
    columns = {'"first"': "chosen", '"second"': "rejected"}
    return {(row["item"], row["annotator"]): row[columns[row["value"]]] for row in judged.iter_rows(named=True)}


def pseudonyms_of(campaign: Campaign) -> dict[str, str]:
    """Name to pseudonym, of everybody who has answered."""
    known = orjson.loads((campaign.path / "annotators.json").read_bytes()).values()
    return {who["name"]: who["pseudonym"] for who in known}


def meant(campaign: Campaign, said: Mapping[str, Said]) -> dict[tuple[str, str], str]:
    """(Item, pseudonym) to the mark of what everybody chose, by name."""
    known = pseudonyms_of(campaign)
    return {(item, known[name]): mark for name, one in said.items() for item, mark in one.chosen.items()}


def password_of(campaign: Campaign, name: str) -> str:
    """What `push` wrote down for somebody."""
    return str(orjson.loads((campaign.path / "passwords.json").read_bytes())[name])
