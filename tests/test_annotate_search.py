"""The search engine inside Argilla: its contract case by case, a death in the middle, a real server, odd queries."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import search_cases as cases
from hypothesis import given
from hypothesis import strategies as st
from local_argilla import call, installed

from annotation.server.environment import python_of

if TYPE_CHECKING:
    from annotation.server.state import Local

ROOT = Path(__file__).parents[1]
ENGINES = ROOT / "annotation" / "server" / "inside"

needs_elasticsearch = pytest.mark.skipif(
    not os.environ.get("ARGILLA_ELASTICSEARCH"), reason="ARGILLA_ELASTICSEARCH names no Elasticsearch to compare with"
)


def inside(*arguments: str) -> subprocess.CompletedProcess[str]:
    """search_answers.py, run in Argilla's environment."""
    script = Path(__file__).with_name("search_answers.py")
    command = [str(python_of(installed())), str(script), *arguments, "--engines-folder", str(ENGINES)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def asked(engine: str) -> dict[str, Any]:
    """All answers of an engine."""
    done = inside(engine)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    """What our engine answers."""
    return asked("datakit")


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """What Elasticsearch answers."""
    return asked("elasticsearch")


def check(case: cases.Case, answer: dict[str, Any], expected: str) -> None:
    """The records found are those expected, in their order where the case has one."""
    names = expected.split()
    found = answer["found"] if case.ordered else sorted(answer["found"])
    assert found == (names if case.ordered else sorted(names)), case.why
    assert answer["total"] == (len(names) if case.total is None else case.total)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_search(case: cases.Case, ours: dict[str, Any]) -> None:
    check(case, ours[case.name], case.found)


@pytest.mark.parametrize("name", [*cases.CHECKS, *cases.OWN_CHECKS])
def test_behaviour(name: str, ours: dict[str, Any]) -> None:
    assert ours[name] == {**cases.CHECKS, **cases.OWN_CHECKS}[name]


@needs_elasticsearch
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_search_of_elasticsearch(case: cases.Case, theirs: dict[str, Any]) -> None:
    check(case, theirs[case.name], case.found if case.elasticsearch is None else case.elasticsearch)


@needs_elasticsearch
@pytest.mark.parametrize("name", cases.CHECKS)
def test_behaviour_of_elasticsearch(name: str, theirs: dict[str, Any]) -> None:
    assert theirs[name] == cases.CHECKS[name]


def test_names_of_cases_are_unique() -> None:
    names = [*(case.name for case in cases.CASES), *cases.CHECKS, *cases.OWN_CHECKS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("where", ["before", "inside"])
def test_killed_between_the_row_and_its_index(where: str, tmp_path: Path) -> None:
    died = inside("datakit", "--home", str(tmp_path), "--die", where)
    assert died.returncode == -signal.SIGKILL, died.stderr[-3000:]
    after = inside("datakit", "--home", str(tmp_path), "--after-death")
    # One record more, one less, and the rest unharmed.
    assert json.loads(after.stdout) == {"遗言": 1, "refund": 0, "quality": 1, "*": len(cases.ROWS)}


# A real server


def new_dataset(argilla: Local, workspace: str) -> str:
    """The id of a published dataset with a text, a label and a topic."""
    [place] = [one["id"] for one in call(argilla, "GET", "me/workspaces")["items"] if one["name"] == workspace]
    dataset: str = call(argilla, "POST", "datasets", {"name": "d", "workspace_id": place})["id"]
    parts: list[tuple[str, dict[str, Any]]] = [
        ("fields", {"required": True, "settings": {"type": "text", "use_markdown": False}}),
        ("questions", {"required": True, "settings": cases.QUESTIONS["label"]}),
        ("metadata-properties", {"settings": {"type": "terms"}}),
    ]
    for path, body in parts:
        call(argilla, "POST", f"datasets/{dataset}/{path}", {"name": path, "title": path, **body})
    call(argilla, "PUT", f"datasets/{dataset}/publish")
    return dataset


def found(argilla: Local, dataset: str, **query: Any) -> list[str]:
    """The external ids that the web page would show, sorted."""
    answer = call(argilla, "POST", f"me/datasets/{dataset}/records/search?limit=100", query)
    names = sorted(item["record"]["external_id"] for item in answer["items"])
    assert answer["total"] == len(names)
    return names


def test_search_on_a_real_server(argilla: Local, workspace: str) -> None:
    dataset = new_dataset(argilla, workspace)
    texts = {"one": "客户要求退款，请尽快处理", "two": "The customer wants a refund", "three": "质量很好 refunds"}
    items = [{"external_id": name, "fields": {"fields": text}, "metadata": {"metadata-properties": "t" + name[1]}}
             for name, text in texts.items()]  # fmt: skip
    records = call(argilla, "POST", f"datasets/{dataset}/records/bulk", {"items": items})["items"]
    assert found(argilla, dataset, query={"text": {"q": "退款"}}) == ["one"]
    assert found(argilla, dataset, query={"text": {"q": "refund*"}}) == ["three", "two"]
    scope = {"entity": "metadata", "metadata_property": "metadata-properties"}
    topic = {"type": "terms", "scope": scope, "values": ["tw"]}
    assert found(argilla, dataset, filters={"and": [topic]}) == ["two"]
    call(argilla, "PATCH", f"records/{records[0]['id']}", {"fields": {"fields": "改过的文字"}})
    assert found(argilla, dataset, query={"text": {"q": "退款"}}) == []
    assert found(argilla, dataset, query={"text": {"q": "文字"}}) == ["one"]
    call(argilla, "DELETE", f"records/{records[0]['id']}")
    assert found(argilla, dataset, query={"text": {"q": "文字"}}) == []
    assert found(argilla, dataset) == ["three", "two"]
    call(argilla, "DELETE", f"datasets/{dataset}")


def test_answers_and_searches_at_once(argilla: Local, workspace: str) -> None:
    dataset = new_dataset(argilla, workspace)
    items = [{"external_id": f"r{at}", "fields": {"fields": f"第{at}条 refund"}} for at in range(24)]
    records = call(argilla, "POST", f"datasets/{dataset}/records/bulk", {"items": items})["items"]
    pending = {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]}

    def answer(record: dict[str, Any]) -> None:
        response = {"status": "submitted", "values": {"questions": {"value": "A"}}}
        call(argilla, "POST", f"records/{record['id']}/responses", response)

    def search(_: Any) -> None:
        call(argilla, "POST", f"me/datasets/{dataset}/records/search", {"query": {"text": {"q": "refund"}}})
        call(argilla, "POST", f"me/datasets/{dataset}/records/search", {"filters": {"and": [pending]}})

    with ThreadPoolExecutor(8) as threads:  # an error of the server is raised here
        results = [threads.submit(work, record) for record in records for work in (answer, search)]
        for result in results:
            result.result()
    assert found(argilla, dataset, filters={"and": [pending]}) == []
    assert call(argilla, "GET", f"me/datasets/{dataset}/metrics")["responses"]["submitted"] == len(items)


# Any query at all


@pytest.fixture(scope="module")
def query() -> Any:
    """The engine's module `query`, without the rest of its package, which needs Argilla."""
    package = types.ModuleType("search_alone")
    package.__path__ = [str(ENGINES / "search")]
    sys.modules["search_alone"] = package
    return importlib.import_module("search_alone.query")


@pytest.fixture(scope="module")
def index(query: Any) -> sqlite3.Connection:
    """An FTS5 index as the engine makes it, with three documents."""
    tokens = importlib.import_module("search_alone.tokens")
    connection = sqlite3.connect(":memory:")
    signs = tokens.INNER_SIGNS.replace("'", "''")
    connection.execute(
        f"""CREATE VIRTUAL TABLE t USING fts5(a, b, b_role, every, tokenize = "ascii tokenchars '{signs}'")"""
    )
    for text in ("don't 退款 x", "refund a_b 3.14", ""):
        row = (tokens.indexed([text]), tokens.indexed([text, text]), tokens.keyword("user"), tokens.ALWAYS)
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
    yield connection
    connection.close()


WRITING = st.text(st.sampled_from("""ab退款 "'|+-*()~\\.,_:3"""), max_size=40) | st.text(max_size=40)


@given(text=WRITING)
def test_no_query_is_an_error(text: str, query: Any, index: sqlite3.Connection) -> None:
    columns = query.Columns(["a", "b"], ["b_role"])
    expression = query.expression_of(text, columns)
    if expression is not None:
        index.execute("SELECT rowid FROM t WHERE t MATCH ?", (expression,)).fetchall()


@given(words=st.lists(st.sampled_from(["refund", "退款", "don't", "nothing", "a_b", "x"]), min_size=1, max_size=120))
def test_long_chains_of_words(words: list[str], query: Any, index: sqlite3.Connection) -> None:
    documents = [{"don't", "退款", "x"}, {"refund", "a_b"}, set()]
    for sign, holds in ((" ", all), (" | ", any)):
        expression = query.expression_of(sign.join(words), query.Columns(["a", "b"]))
        rows = index.execute("SELECT rowid FROM t WHERE t MATCH ?", (expression,)).fetchall()
        expected = [at for at, held in enumerate(documents, 1) if holds(word in held for word in words)]
        assert [rowid for (rowid,) in rows] == expected


@given(text=st.text())
def test_a_text_is_found_by_its_own_tokens(text: str, query: Any) -> None:
    tokens = importlib.import_module("search_alone.tokens")
    cut = tokens.tokens_of(text)
    assert tokens.tokens_of(text.upper().lower()) == tokens.tokens_of(text.upper())
    assert all(token and '"' not in token and not token.isspace() for token in cut)
    assert tokens.indexed([text]).split(" ") == cut or not cut
