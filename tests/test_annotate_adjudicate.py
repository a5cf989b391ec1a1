"""The second round: only what people disagree on, blind, of others; and its verdict holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from campaign_rows import campaign_of, judge
from mask_rows import version_of
from train_rows import pairs
from typer.testing import CliRunner

from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.decisions.adjudicate import adjudicate, disagreements
from annotation.decisions.evidence import read_evidence
from annotation.decisions.resolve import resolve
from annotation.server.state import Local
from datakit.cli.app import app
from datakit.errors import UsageFault
from datakit.recipe.load import recipe_from
from datakit.recipe.recipe import Recipe
from datakit.recipe.resolve import ResolveSettings

WORDS: dict[str, Any] = {"f": "first", "s": "second", "t": "tie", "b": "both_bad", "x": None}


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Lines 1 to 8: agreed, 2 to 1, all different, too few votes, a tie by all, bad by all, nobody, discarded."""
    campaign = campaign_of(
        version_of(pairs(8), tmp_path), tmp_path / "sales", "preference", gold=["first"], repeats=[1]
    )
    said = {1: "fff", 2: "ssf", 3: "fst", 4: "f--", 5: "ttt", 6: "bbb", 7: "---", 8: "xxf"}
    judge(
        campaign,
        {
            who: {str(line): WORDS[words[place]] for line, words in said.items() if words[place] != "-"}
            for place, who in enumerate(("a01", "a02", "a03"))
        },
    )
    return campaign


def recipe(**adjudicate: Any) -> Recipe:
    resolve = {"margin": 0.2, "adjudicate": {"annotators": ["dora"], **adjudicate}}
    tables = {
        "kind": "preference",
        "workspace": "sales",
        "annotators": ["ann", "bob"],
        "gold": "gold.jsonl",
        "repeats": 0.1,
    }
    return recipe_from({"annotate": {**tables, "resolve": resolve}})


@dataclass
class Pushed:
    """A push that makes the campaign on disk, as the real one would."""

    source: Any
    folder: Path
    calls: list[tuple[Recipe, list[tuple[str, int]]]] = field(default_factory=list)

    def __call__(self, recipe: Recipe, *, rows: Sequence[tuple[str, int]]) -> Pushed:
        self.calls.append((recipe, list(rows)))
        return self

    def to_json(self) -> dict[str, Any]:
        return {"calls": len(self.calls)}


def lines(campaign: Campaign, **settings: Any) -> dict[int, str]:
    found = disagreements(read_evidence(campaign), ResolveSettings.model_validate(settings))
    return {one.line: one.reason for one in found}


def test_only_disagreements_go_to_the_second_round(campaign: Campaign) -> None:
    split = {3: "annotation_split", 4: "annotation_no_quorum"}
    assert lines(campaign) == {2: "annotation_disagreement", **split}
    assert lines(campaign, adjudicate={"below": 0.3}) == split
    assert lines(campaign, margin=0.5) == {2: "annotation_low_margin", **split}
    assert lines(campaign, quorum=1, adjudicate={"below": 0}) == {3: "annotation_split"}


def test_the_second_round_is_a_campaign_of_its_own_and_tells_nothing(campaign: Campaign, tmp_path: Path) -> None:
    push = Pushed(campaign.source_version(), tmp_path)
    result = adjudicate(campaign, recipe(), push)
    ((asked, rows),) = push.calls
    assert [line for _, line in rows] == [2, 3, 4] and result.items == 3
    settings = asked.annotate
    assert (settings.name, settings.workspace, settings.annotators) == (
        "sales-adjudication",
        "w-adjudication",
        ("dora",),
    )
    assert (settings.overlap, settings.gold, settings.repeats, settings.rows) == (1, None, 0.0, 3)
    assert settings.seed != campaign.manifest.settings["seed"]  # sides are drawn anew
    assert settings.dataset == str(campaign.source_path)
    assert result.to_json() == {
        "campaign": "sales-adjudication",
        "items": 3,
        "reasons": {"annotation_disagreement": 1, "annotation_split": 1, "annotation_no_quorum": 1},
        "pushed": {"calls": 1},
    }


def second(campaign: Campaign, said: dict[str, Any], line: Sequence[int] = (2, 3, 4)) -> Campaign:
    folder = campaign.path.with_name("sales-adjudication")
    round_two = campaign_of(campaign.source_version(), folder, "preference", lines=line, overlap=1)
    judge(round_two, {"a01": said})
    return round_two


def test_the_adjudicator_has_the_last_word(campaign: Campaign) -> None:
    second(campaign, {"2": "first", "3": "second", "4": "tie"})
    result = resolve(campaign, ResolveSettings())
    found = {row["line"]: (row["decision"], row["reason"]) for row in result.version.ledger().iter_rows(named=True)}
    assert found[2] == ("kept", None) and found[3] == ("edited", None) and found[4] == ("dropped", "annotation_tie")
    assert found[1] == ("kept", None) and result.adjudicated == 3
    row = result.version.frame("preference").filter(pl.col("line") == 2).row(0, named=True)
    told = orjson.loads(row["meta"])["annotation"]
    # The first round's votes are still told beside the verdict that was given against them.
    assert told["method"] == "adjudicated" and told["votes"] == {"preference": {"first": 1, "second": 2}}
    assert told["verdicts"] == {"preference": "first"} and row["margin"] == 1.0
    parents = result.version.manifest.parents
    assert [parent.rpartition("@")[0] for parent in parents] == [
        "clean",
        "sales/judgements",
        "sales-adjudication/judgements",
    ]


def test_what_the_adjudicator_left_open_is_as_the_first_round_has_it(campaign: Campaign) -> None:
    second(campaign, {"2": None, "3": ("draft", "first")})
    result = resolve(campaign, ResolveSettings())
    found = dict(result.version.ledger().select("line", "reason").iter_rows())
    assert result.adjudicated == 0 and found[3] == "annotation_split" and found[2] is None


def test_a_second_round_about_another_version_is_none(campaign: Campaign, tmp_path: Path) -> None:
    other = version_of(pairs(3), tmp_path / "other")
    campaign_of(other, campaign.path.with_name("sales-adjudication"), "preference")
    with pytest.raises(UsageFault, match=f"about clean@{other.name}; expected clean@"):
        resolve(campaign, ResolveSettings())


def test_adjudicating_again_adds_only_what_is_new(campaign: Campaign, tmp_path: Path) -> None:
    second(campaign, {"2": "first"}, line=(2,))
    push = Pushed(campaign.source_version(), tmp_path)
    for _ in range(2):
        adjudicate(campaign, recipe(), push)
    assert [[line for _, line in rows] for _, rows in push.calls] == [[2, 3, 4], [2, 3, 4]]


def test_nobody_disagrees(tmp_path: Path) -> None:
    campaign = campaign_of(version_of(pairs(1), tmp_path), tmp_path / "c", "preference", overlap=1)
    judge(campaign, {"a01": {"1": "first"}})
    push = Pushed(None, tmp_path)
    assert adjudicate(campaign, recipe(), push).to_json() == {
        "campaign": "c-adjudication", "items": 0, "reasons": {}, "pushed": None,
    }  # fmt: skip
    assert push.calls == []


def test_a_dry_run_needs_no_server(campaign: Campaign, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'[annotate]\nname = "sales"\nfolder = "{campaign.path.parent}"\n', encoding="utf-8")
    said = CliRunner().invoke(app, ["annotate", "adjudicate", str(path), "--dry-run"])
    assert said.exit_code == 0 and "sales-adjudication would ask about 3 rows" in said.stdout
    assert open_campaign(campaign.path).name == "sales"


def test_the_second_round_reaches_a_server_and_grows(
    campaign: Campaign, workspace: str, argilla: Local, tmp_path: Path
) -> None:
    from functools import partial

    from local_argilla import call

    from annotation.campaigns.push import push
    from annotation.client import Server

    (tmp_path / "guide.md").write_text("选更好的回答。", encoding="utf-8")
    asked = recipe_from(
        {
            "annotate": {
                "name": "sales",
                "folder": str(campaign.path.parent),
                "guideline": str(tmp_path / "guide.md"),
                "workspace": workspace,
                "resolve": {"adjudicate": {"annotators": [f"dora {workspace}"], "below": 0.3}},
            }
        }
    )
    with Server.connect(argilla.url, argilla.api_key) as server:
        send = partial(push, server=server)
        first = adjudicate(campaign, asked, send).to_json()
        assert first["campaign"] == "sales-adjudication" and first["pushed"]["pushed"] == 2 == first["items"]
        again = adjudicate(campaign, asked, send).to_json()["pushed"]
        assert (again["pushed"], again["already"]) == (0, 2)
        below = asked.annotate.resolve.adjudicate.model_copy(update={"below": 0.5})
        resolving = asked.annotate.resolve.model_copy(update={"adjudicate": below})
        wider = asked.model_copy(update={"annotate": asked.annotate.model_copy(update={"resolve": resolving})})
        more = adjudicate(campaign, wider, send).to_json()["pushed"]
        assert (more["pushed"], more["already"]) == (1, 2)
    round_two = open_campaign(campaign.path.with_name("sales-adjudication"))
    assert sorted(round_two.items()["line"]) == [2, 3, 4] and set(round_two.items()["role"]) == {"ask"}
    assert round_two.overlap == 1 and round_two.source == campaign.source
    dataset = more["url"].split("/")[-2]
    records = call(argilla, "GET", f"datasets/{dataset}/records?limit=100&include=responses&include=suggestions")[
        "items"
    ]
    assert len(records) == 3
    for record in records:  # no vote, no verdict, nothing that tells who said what before
        assert not record.get("responses") and not record.get("suggestions") and not record["metadata"]
