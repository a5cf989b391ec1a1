"""A campaign from end to end on a real Argilla, as a user runs it: what was planted in the people comes out of the files.

300 pairs of the sales recipe, of which in half the answer that the data call rejected is the better one; 30 hidden gold
items, 30 swapped repeats; a careful annotator, a careless one and one who leans to the left, who see only the page.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from annotators_at_work import (
    CAREFUL,
    CARELESS,
    LEFT,
    SALES,
    Person,
    Said,
    chosen_marks,
    marks_of,
    meant,
    password_of,
    pseudonyms_of,
    sales_pairs,
    truth_of,
    work,
)
from tiny_weights import quiet, tiny_weights
from train_rows import OPEN_GATES
from typer.testing import CliRunner

from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.server.state import Local
from datakit.cli.app import app
from datakit.versions.store import Version, open_version, verify

ASKED, GOLD, REPEATS = 300, 30, 30
RIGHT = {CAREFUL: 0.95, CARELESS: 0.55, LEFT: 0.4 * 0.9 + 0.6 * 0.5}
LEANS = 0.6 + 0.4 * 0.5  # of the left-biased one's answers, those that are the left one


def told(*words: object) -> dict[str, Any]:
    """What a command says with --json."""
    with quiet():
        said = CliRunner().invoke(app, ["annotate", *map(str, words), "--json"])
    assert said.exit_code == 0, (said.output, said.exception)
    found: dict[str, Any] = orjson.loads(said.stdout)
    return found


def toml(table: dict[str, Any], inside: str = "") -> str:
    """A nested mapping as TOML."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in plain.items()]
    rest = [toml(value, f"{inside}{key}.") for key, value in table.items() if isinstance(value, dict)]
    head = [f"[{inside[:-1]}]"] if inside and lines else []
    return "\n".join([*head, *lines, *rest]) + "\n"


@dataclass(frozen=True)
class Ran:
    """A campaign that was pushed, answered and pulled; people and said by name, pseudonyms in order of their work."""

    recipe: Path
    url: str
    version: Version
    better: frozenset[str]
    people: dict[str, Person]
    said: dict[str, Said]
    pushed: dict[str, Any]
    pulled: dict[str, Any]

    @property
    def campaign(self) -> Campaign:
        return open_campaign(Path(self.pushed["folder"]))

    @property
    def judgements(self) -> pl.DataFrame:
        return open_version(self.campaign.judgements_path).frame("judgements")

    def right(self, version: Version) -> float:
        """The share of the asked rows whose better answer is the chosen one of a resolved version."""
        rows = marks_of(version)
        return int(rows["chosen"].is_in(list(self.better)).sum()) / ASKED


@pytest.fixture(scope="module")
def ran(argilla: Local, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARGILLA_API_URL", argilla.url)
        patch.setenv("ARGILLA_API_KEY", argilla.api_key)
        yield _run(argilla, tmp_path_factory.mktemp("销售 campaign"))


def _run(argilla: Local, home: Path) -> Ran:
    version, better = sales_pairs(home, ASKED + GOLD)
    own = uuid.uuid4().hex[:8]  # users and workspaces are the whole server's; what is drawn goes by the campaign's name
    people = {f"陈静 {own}": CAREFUL, f"careless é {own}": CARELESS, f"李左🙂 {own}": LEFT}
    truth = truth_of(version, better)
    gold = random.Random(1).sample(truth.rows(named=True), GOLD)
    lines = [{"source": row["source"], "line": row["line"], "expected": row["truth"]} for row in gold]
    (home / "gold.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    table = {
        **{
            "workspace": f"销售 {own}",
            "folder": "campaigns",
            "dataset": "clean",
            "guideline": str(SALES.parents[1] / "guideline.md"),
        },
        **{"rows": ASKED, "overlap": len(people), "annotators": list(people), "language": "zh"},
        **{"gold": "gold.jsonl", "gold_share": GOLD / ASKED, "repeats": REPEATS / ASKED},
        "resolve": {"adjudicate": {"annotators": [f"dora {own}"]}},
    }
    recipe = home / "sales.toml"
    recipe.write_text(toml({"annotate": table}), encoding="utf-8")
    pushed = told("push", recipe)
    campaign = open_campaign(Path(pushed["folder"]))
    dataset = pushed["url"].split("/")[-2]
    said = {
        name: work(argilla.url, name, password_of(campaign, name), dataset, person, better)
        for name, person in people.items()
    }
    return Ran(recipe, argilla.url, version, better, people, said, pushed, told("pull", recipe))


def test_every_answer_comes_back_as_it_was_meant(ran: Ran) -> None:
    """Mark by mark: what somebody chose on the page is the answer that the judgement names."""
    items = ASKED + GOLD + REPEATS
    assert (ran.pushed["items"], ran.pushed["pushed"], ran.pushed["left_out"]) == (items, items, {})
    assert ran.pulled["answers"] == {"in": 3 * items, "kept": 3 * items, "dropped": 0, "rejected": 0}
    assert ran.pulled["statuses"] == {"submitted": 3 * items} and ran.pulled["annotators"] == 3
    found = chosen_marks(ran.judgements, ran.version)
    assert found == meant(ran.campaign, ran.said) and len(found) == 3 * items
    assert verify(open_version(ran.campaign.judgements_path)) == []
    again = told("pull", ran.recipe)
    assert again["unchanged"] and again["version"] == ran.pulled["version"] and again["read"] == "nothing"


def test_progress_and_report(ran: Ran) -> None:
    found = told("progress", ran.recipe)
    items = ASKED + GOLD + REPEATS
    assert found["items"] == {"total": items, "done": items, "begun": 0}
    assert found["answers"] == {"left": 0, "submitted": 3 * items}
    leaning = [name for name, one in found["annotators"].items() if one["leans"]]
    assert leaning == ["a03"] and all(one["gold"]["of"] == GOLD for one in found["annotators"].values())
    assert found["pace"]["answers_an_hour"] > 0
    page = told("report", ran.recipe)
    assert Path(page["path"]).stat().st_size == page["bytes"] > 10_000
    text = Path(page["path"]).read_text(encoding="utf-8")
    assert "a01" in text and not any(name in text for name in ran.people), "the page bears no names"


def test_agreement_and_quality_recover_what_was_planted(ran: Ran) -> None:
    found = told("agreement", ran.recipe, "--by", "pair")
    assert (found["items"], found["annotators"]) == (ASKED, 3)
    who = {ran.people[name]: pseudonym for name, pseudonym in pseudonyms_of(ran.campaign).items()}
    assert who == {CAREFUL: "a01", CARELESS: "a02", LEFT: "a03"}, "by their first answers"
    for one, other in ((CAREFUL, CARELESS), (CAREFUL, LEFT), (CARELESS, LEFT)):
        # Two who are right by p and q, apart from each other, agree by p q + (1 - p)(1 - q); either answer is as likely.
        p, q = RIGHT[one], RIGHT[other]
        planted = 2 * (p * q + (1 - p) * (1 - q)) - 1
        low, high = found["interval"]["cohen"][f"{who[one]}|{who[other]}"]
        assert low < planted < high
    quality = {person: found["quality"][pseudonym] for person, pseudonym in who.items()}
    for person, right in RIGHT.items():
        gold = quality[person]["gold"]
        assert gold["of"] == GOLD and gold["interval"][0] < right < gold["interval"][1]
        assert quality[person]["estimated"] == pytest.approx(right, abs=0.08)
    assert min(quality, key=lambda person: quality[person]["gold"]["value"]) == CARELESS
    leaning = [person for person in quality if quality[person]["left"]["p"] < 0.01]
    assert leaning == [LEFT]
    low, high = quality[LEFT]["left"]["interval"]
    assert low < LEANS < high
    assert max(quality, key=lambda person: quality[person]["consistency"]["value"]) == CAREFUL


def test_resolve_beats_the_majority_and_the_second_round_decides(ran: Ran) -> None:
    out = ran.recipe.parent
    majority = told("resolve", ran.recipe, "-o", out / "majority")
    method = 'annotate.resolve.method="dawid_skene"'
    likely = told("resolve", ran.recipe, "-o", out / "likely", "--set", method)
    shares = [ran.right(open_version(Path(one["path"]))) for one in (majority, likely)]
    assert 0.75 < shares[0] < 0.9 < shares[1], f"right: majority {shares[0]:.3f}, Dawid–Skene {shares[1]:.3f}"
    assert majority["rows"]["in"] == ASKED == majority["rows"]["kept"] + majority["rows"]["edited"]

    asked = told("adjudicate", ran.recipe)
    second = open_campaign(Path(asked["pushed"]["folder"]))
    assert asked["reasons"] == {"annotation_disagreement": asked["items"]} and 100 < asked["items"] < ASKED
    dataset = asked["pushed"]["url"].split("/")[-2]
    (name,) = asked["pushed"]["annotators"]
    dora = work(ran.url, name, password_of(second, name), dataset, Person(right=1.0), ran.better)
    assert len(dora.chosen) == asked["items"]
    assert told("pull", second.path)["answers"]["kept"] == asked["items"]
    judged = told("resolve", ran.recipe, "-o", out / "majority")
    assert judged["adjudicated"] == asked["items"] and judged["version"] != majority["version"]
    version = open_version(Path(judged["path"]))
    assert verify(version) == [] and ran.right(version) > 0.93
    rows = marks_of(version).join(second.items().select("source", "line"), on=["source", "line"])
    assert rows.height == asked["items"] and set(rows["chosen"]) <= ran.better, "whatever dora said, holds"
    _train(version, out)


def _train(version: Version, home: Path) -> None:
    """`datakit train dpo` takes what came of it all."""
    recipe = home / "train.toml"
    train = {"runs": "runs", "dpo": {"learning_rate": 1e-3, "epochs": 1, "batch": 32}}
    evaluate = {"samples": 4, "max_new_tokens": 8}
    tables = {"data": {"output": str(version.path)}, "model": {"base": str(tiny_weights())}, "evaluate": evaluate}
    tables |= {"masks": {"max_length": 512}}
    recipe.write_text(toml({**tables, "gates": {"dpo": OPEN_GATES["dpo"]}, "train": train}), encoding="utf-8")
    with quiet():
        said = CliRunner().invoke(app, ["train", "dpo", str(recipe), "--json"])
    assert said.exit_code == 0, (said.output, said.exception)
    found = orjson.loads(said.stdout)
    assert found["model"] is not None and found["rows"]["in"] == ASKED
    assert found["rows"]["trained"] + sum(found["rows"]["left_out"].values()) == ASKED
