"""How long our Argilla searches: `python -m benchmarks.annotate_search --work WORK --environment ENV`.

A real server is started once to make its database, then stopped; 100,000 records (`--records`) are written straight
into the database (one third Chinese, two thirds English, words drawn by Zipf's law, some 1,100 characters each;
metadata; a suggestion; responses of three users to 30 % of the records each). Then the same questions are put to the
engine alone, in Argilla's environment, and over HTTP to the server, 50 records a page as the web page asks for them.
`ENV` is the environment that `datakit annotate serve` made; WORK an empty folder for 1 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ENGINE: Final = Path(__file__).parents[1] / "annotation" / "server" / "inside"
PAGE: Final = 50
USERS: Final = ("ann", "bob", "cy")
FIELDS: Final = {"prompt": "text", "dialogue": "chat"}
LABELS: Final = ("A", "B", "tie", "both_bad")
SEED: Final = 7


class Words:
    """Texts of invented words: Chinese of one to three signs, English of two to nine letters, drawn by Zipf's law."""

    def __init__(self, seed: int = SEED) -> None:
        self.random = random.Random(seed)
        signs = [chr(0x4E00 + at) for at in range(3500)]
        weights = [1 / (at + 3) for at in range(3500)]
        lengths = self.random.choices((1, 2, 2, 2, 3), k=20_000)
        self.chinese = ["".join(self.random.choices(signs, weights, k=length)) for length in lengths]
        letters = "etaoinshrdlucmfwypvbgkqjxz"
        self.english = [
            "".join(self.random.choices(letters, range(26, 0, -1), k=self.random.randint(2, 9))) for _ in range(30_000)
        ]
        self._weights = {
            len(words): list(itertools.accumulate(1 / (at + 2) for at in range(len(words))))
            for words in (self.chinese, self.english)
        }

    def text(self, chinese: bool) -> str:
        """A text; its length is log-normal."""
        words = self.chinese if chinese else self.english
        count = max(5, int(self.random.lognormvariate(4.5, 0.6) * (1.6 if chinese else 0.7)))
        drawn = self.random.choices(words, cum_weights=self._weights[len(words)], k=count)
        if not chinese:
            return " ".join(drawn).capitalize() + "."
        return "".join(word + ("，" if at % 9 == 8 else "") for at, word in enumerate(drawn)) + "。"


def questions(words: Words) -> dict[str, dict[str, Any]]:
    """What is asked, as the body of a search over HTTP."""
    zh, en = words.chinese, words.english

    def text(query: str, field: str | None = None, *filters: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"query": {"text": {"q": query, "field": field}}}
        return {**body, "filters": {"and": list(filters)}} if filters else body

    def terms(values: list[str], **scope: str) -> dict[str, Any]:
        return {"type": "terms", "scope": scope, "values": values}

    long = {"type": "range", "scope": {"entity": "metadata", "metadata_property": "length"}, "ge": 900}
    pending = [
        terms(["pending"], entity="response", property="status"),
        terms(["pending"], entity="record", property="status"),
    ]
    two = [word for word in zh if len(word) == 2]
    sort = {"scope": {"entity": "metadata", "metadata_property": "length"}, "order": "desc"}
    return {
        "queue: a user's pending page": {"filters": {"and": pending}},
        "queue: submitted page": {"filters": {"and": [terms(["submitted"], entity="response", property="status")]}},
        "queue: pending, with text": text(two[5], None, *pending),
        "text: two signs, common": text(two[0]),
        "text: two signs, rare": text(two[-1]),
        "text: one sign, common": text("一"),
        "text: phrase of six signs": text("".join(two[:3])),
        "text: English, common": text(en[0]),
        "text: English, rare": text(en[-1]),
        "text: two common words": text(f"{en[0]} {en[1]}"),
        "text: either of four": text(f"{en[0]} | {two[0]} | {en[3]} | {two[3]}"),
        "text: prefix of two letters": text(f"{en[2][:2]}*"),
        "text: all but": text(f"-{en[0]}"),
        "text: in one field": text(two[1], "dialogue"),
        "text: with metadata": text(two[2], None, terms(["topic3"], entity="metadata", metadata_property="topic")),
        "filter: metadata range": {"filters": {"and": [long]}},
        "filter: response value": {"filters": {"and": [terms(["B"], entity="response", question="preference")]}},
        "sort: metadata, downwards": {"sort": [sort]},
        "sort: latest first": {"sort": [{"scope": {"entity": "record", "property": "inserted_at"}, "order": "desc"}]},
    }


# The database


def seed(database: Path, dataset: str, users: list[str], count: int) -> None:
    """Writes records, responses and suggestions straight into Argilla's tables."""
    words = Words()
    connection = sqlite3.connect(database)
    [question] = connection.execute("SELECT id FROM questions WHERE dataset_id = ?", (dataset,)).fetchone()
    with connection:
        for at in range(count):
            _write_record(connection, words, dataset, question, users, at)
    connection.close()


def _write_record(
    connection: sqlite3.Connection, words: Words, dataset: str, question: str, users: list[str], at: int
) -> None:
    draw, record = words.random, uuid.UUID(int=words.random.getrandbits(128), version=4).hex
    moment = f"2026-11-{1 + at * 20 // 100_000 % 20:02d} 10:{at // 60 % 60:02d}:{at % 60:02d}.{at % 1000:06d}"
    chinese = at % 3 == 0
    messages = [{"role": "user", "content": words.text(chinese)}, {"role": "assistant", "content": words.text(chinese)}]
    fields = {"prompt": words.text(chinese), "dialogue": messages}
    metadata = {"topic": f"topic{draw.randrange(12)}", "length": draw.randrange(1000), "score": draw.random()}
    completed = draw.random() < 0.2
    connection.execute(
        "INSERT INTO records (id, fields, metadata, status, external_id, dataset_id, inserted_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record, json.dumps(fields), json.dumps(metadata), "completed" if completed else "pending", f"item{at}",
            dataset, moment, moment,
        ),
    )  # fmt: skip
    for user in users:
        if draw.random() < 0.3:
            values = json.dumps({"preference": {"value": draw.choice(LABELS)}})
            status = draw.choice(("submitted", "submitted", "submitted", "draft", "discarded"))
            connection.execute(
                'INSERT INTO responses (id, "values", status, record_id, user_id, inserted_at, updated_at)'
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (uuid.UUID(int=draw.getrandbits(128), version=4).hex, values, status, record, user, moment, moment),
            )
    connection.execute(
        "INSERT INTO suggestions (id, value, score, agent, type, record_id, question_id, inserted_at, updated_at)"
        " VALUES (?, ?, ?, 'judge', 'model', ?, ?, ?, ?)",
        (
            uuid.UUID(int=draw.getrandbits(128), version=4).hex, json.dumps(draw.choice(LABELS)),
            json.dumps(draw.random()), record, question, moment, moment,
        ),
    )  # fmt: skip


# The engine alone: runs in Argilla's environment


async def measure_engine(dataset_id: str, user_id: str, rounds: int) -> dict[str, Any]:
    """Seconds of the first text search, which indexes what is due, and of each question."""
    import search
    from argilla_server import models
    from argilla_server.api.handlers.v1.datasets.records import _to_search_engine_filter, _to_search_engine_sort
    from argilla_server.api.schemas.v1.records import SearchRecordsQuery
    from argilla_server.database import AsyncSessionLocal

    engine = await search.DatakitSearchEngine.new_instance()
    async with AsyncSessionLocal() as db:
        dataset = await models.Dataset.get(db, uuid.UUID(dataset_id))
        user = await models.User.get(db, uuid.UUID(user_id))
    started = time.monotonic()
    await engine.ping()
    prepared = time.monotonic() - started
    started = time.monotonic()
    await engine.search(dataset, "anything")
    indexed = time.monotonic() - started
    asked = {}
    for name, body in questions(Words()).items():
        query = SearchRecordsQuery.model_validate(body)
        asked[name] = {
            "query": query.query.text if query.query else None,
            "filter": _to_search_engine_filter(query.filters, user) if query.filters else None,
            "sort": _to_search_engine_sort(query.sort, user) if query.sort else None,
        }
    answers: dict[str, Any] = {name: {"seconds": []} for name in asked}
    for _, (name, how) in itertools.product(range(rounds), asked.items()):
        started = time.monotonic()
        found = await engine.search(dataset, limit=PAGE, user_id=user.id, **how)
        answers[name]["seconds"].append(time.monotonic() - started)
        answers[name]["found"] = found.total
    return {"prepared": prepared, "indexed": indexed, "answers": answers}


def inside(arguments: argparse.Namespace) -> None:
    """The part that runs in Argilla's environment; prints JSON."""
    os.environ.update(ARGILLA_HOME_PATH=arguments.inside, HF_HUB_DISABLE_TELEMETRY="1")
    sys.path.insert(0, str(ENGINE))
    measured = asyncio.run(measure_engine(arguments.dataset, arguments.user, arguments.rounds))
    sys.stdout.write(json.dumps(measured))


# The server


def over_http(client: Any, dataset: str, rounds: int) -> dict[str, Any]:
    """Seconds of each question as the web page asks it: with responses and suggestions."""
    path = f"/api/v1/me/datasets/{dataset}/records/search"
    how = {"limit": PAGE, "offset": 0, "include": ["responses", "suggestions"]}
    asked = questions(Words())
    answers: dict[str, Any] = {name: {"seconds": []} for name in asked}
    for _, (name, body) in itertools.product(range(rounds), asked.items()):
        started = time.monotonic()
        answer = client.post(path, params=how, json=body)
        answers[name]["seconds"].append(time.monotonic() - started)
        answers[name]["found"] = answer.raise_for_status().json()["total"]
    return answers


def furnish(client: Any) -> tuple[str, dict[str, Any]]:
    """A workspace with three annotators and a published dataset: the dataset's id, the users by name."""

    def post(path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = client.post(f"/api/v1/{path}", json=body).raise_for_status().json()
        return answer

    workspace = post("workspaces", name="bench")["id"]
    users = {}
    for name in USERS:
        users[name] = post("users", first_name=name, username=name, password="bench-password", role="annotator")
        post(f"workspaces/{workspace}/users", user_id=users[name]["id"])
    overlap = {"strategy": "overlap", "min_submitted": 3}
    dataset = post("datasets", name="bench", workspace_id=workspace, distribution=overlap)["id"]
    for name, kind in FIELDS.items():
        settings = {"type": kind, "use_markdown": False}
        post(f"datasets/{dataset}/fields", name=name, title=name, required=name == "prompt", settings=settings)
    options = [{"value": label, "text": label} for label in LABELS]
    settings = {"type": "label_selection", "options": options}
    post(f"datasets/{dataset}/questions", name="preference", title="p", required=True, settings=settings)
    for name, kind in (("topic", "terms"), ("length", "integer"), ("score", "float")):
        settings = {"type": kind}
        post(
            f"datasets/{dataset}/metadata-properties",
            name=name,
            title=name,
            settings=settings,
            visible_for_annotators=True,
        )
    client.put(f"/api/v1/datasets/{dataset}/publish").raise_for_status()
    return dataset, users


def table(engine: dict[str, Any], http: dict[str, Any]) -> Iterator[str]:
    """The figures as a table of Markdown, in milliseconds."""
    yield "| question | records found | engine p50 | engine max | HTTP p50 | HTTP max |\n|---|--:|--:|--:|--:|--:|"
    for name, answer in engine.items():
        over = http[name]["seconds"]
        pick: list[Callable[[list[float]], float]] = [statistics.median, max]
        figures = [f"{1000 * of(seconds):.0f}" for seconds in (answer["seconds"], over) for of in pick]
        yield f"| {name} | {answer['found']:,} | {' | '.join(figures)} |"


def measure(arguments: argparse.Namespace) -> None:
    """The whole benchmark; prints what it found."""
    import httpx

    from annotation.server.environment import python_of
    from annotation.server.launch import start

    home = arguments.work / "argilla-search"
    running = start(home, arguments.environment, port=0, detach=False)
    try:
        with httpx.Client(base_url=running.local.url, headers={"X-Argilla-Api-Key": running.local.api_key}) as client:
            dataset, users = furnish(client)
    finally:
        running.stop()
    started = time.monotonic()
    identities = [uuid.UUID(user["id"]).hex for user in users.values()]
    seed(home / "argilla.db", uuid.UUID(dataset).hex, identities, arguments.records)
    say = [f"{arguments.records:,} records, {os.cpu_count()} processors; seeded in {time.monotonic() - started:.0f} s"]
    command = [str(python_of(arguments.environment)), __file__, "--inside", str(home), "--dataset", dataset]
    command += ["--user", users["ann"]["id"], "--rounds", str(arguments.rounds)]
    engine = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    say.append(f"tables checked in {engine['prepared']:.1f} s, texts indexed in {engine['indexed']:.0f} s")
    running = start(home, arguments.environment, port=0, detach=False)
    say.append(
        f"server up in {running.local.seconds:.1f} s; database {(home / 'argilla.db').stat().st_size / 1e6:.0f} MB"
    )
    try:
        headers = {"X-Argilla-Api-Key": users["ann"]["api_key"]}
        with httpx.Client(base_url=running.local.url, headers=headers, timeout=60) as client:
            http = over_http(client, dataset, arguments.rounds)
        say.append(f"memory { ({name: size >> 20 for name, size in running.local.memory().items()}) } MiB")
    finally:
        running.stop()
    sys.stdout.write("\n".join(["; ".join(say), "", *table(engine["answers"], http)]) + "\n")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="an empty folder")
    parser.add_argument("--environment", type=Path, help="Argilla's environment")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--dataset", help=argparse.SUPPRESS)
    parser.add_argument("--user", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    (inside if arguments.inside else measure)(arguments)


if __name__ == "__main__":
    main()
