"""What people decided is trained on, and a trained adapter leads back to the raw line that they judged."""

from __future__ import annotations

from pathlib import Path

import orjson
import polars as pl
import pytest
from campaign_rows import campaign_of, everybody, judge
from mask_rows import version_of
from tiny_weights import quiet
from train_rows import pairs, recipe_of
from typer.testing import CliRunner

from annotation.campaigns.campaign import Campaign
from annotation.decisions.resolve import resolve
from datakit.cli.app import app
from datakit.recipe.resolve import ResolveSettings
from train.lineage import descent, lineage
from train.run import train
from train.runs import Run


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """24 pairs, judged by three of one mind: of every even line the second answer is the better one."""
    campaign = campaign_of(version_of(pairs(24), tmp_path), tmp_path / "campaigns" / "sales", "preference")
    items = [str(line) for line in range(1, 25)]
    judge(campaign, everybody(("a01", "a02", "a03"), items, lambda who, item: "first" if int(item) % 2 else "second"))
    return campaign


def test_dpo_takes_the_pairs_and_the_adapter_leads_back_to_the_raw_line(campaign: Campaign, tmp_path: Path) -> None:
    version = resolve(campaign, ResolveSettings()).version
    recipe = recipe_of(version, tmp_path, train={"dpo": {"epochs": 1}})
    with quiet():
        result = train("dpo", recipe, recipe_path=tmp_path / "sales.toml")
    assert result.passed and result.model is not None and result.run is not None
    assert result.rows.given == 24 == result.rows.trained + sum(result.rows.left_out.values())
    found = lineage(Run.open(result.run), "rows.jsonl:2")
    assert found["row"]["decision"] == "edited" and found["row"]["file"] == found["files"][0]["blake2b"]
    clean, judgements = campaign.source, version.manifest.parents[1]
    assert [(link["version"], link["decisions"]) for link in found["versions"][:2]] == [
        (version.reference, {"edited": 1}),
        (clean, {"kept": 1}),
    ]
    assert found["versions"][2]["version"] == judgements == f"sales/{judgements.rpartition('/')[2]}"
    assert found["versions"][2]["path"] is not None
    said = CliRunner().invoke(app, ["runs", "lineage", str(result.run), "--row", "rows.jsonl:2"])
    assert f"from {clean}: 1 kept" in said.stdout and said.exit_code == 0


def test_a_parent_that_is_gone_is_named_all_the_same(campaign: Campaign, tmp_path: Path) -> None:
    version = resolve(campaign, ResolveSettings()).version
    (tmp_path / "clean").rename(tmp_path / "elsewhere")
    assert [known is None for _, known in descent(version)] == [False, True, False]


def test_reward_takes_the_pairs_of_a_ranking(tmp_path: Path) -> None:
    rows = [{"prompt": f"第{n}号多少钱？", "answers": [f"您好，{n}千元。", f"{n}千。", "不知道。"]} for n in range(12)]
    campaign = campaign_of(version_of(rows, tmp_path), tmp_path / "c", "ranking", overlap=1)
    judge(campaign, {"a01": {str(line): [1, 2, 3] for line in range(1, 13)}})
    version = resolve(campaign, ResolveSettings()).version
    assert version.frame("preference")["margin"].to_list() == [1.0] * 12
    recipe = recipe_of(version, tmp_path, train={"reward": {"epochs": 1}})
    with quiet():
        result = train("reward", recipe, recipe_path=tmp_path / "r.toml")
    assert result.rows.given == 12 == result.rows.trained + sum(result.rows.left_out.values())


def test_the_command_makes_a_whole_version_that_loads(campaign: Campaign, tmp_path: Path) -> None:
    from datasets import load_dataset

    out = tmp_path / "sales-pairs"
    said = CliRunner().invoke(app, ["annotate", "resolve", str(campaign.path), "-o", str(out), "--json"])
    assert said.exit_code == 0, said.stdout
    found = orjson.loads(said.stdout)
    assert found["rows"] == {"in": 24, "kept": 12, "edited": 12, "dropped": 0, "rejected": 0}
    assert (found["method"], found["agreement"], found["confidence"]) == ("majority", 1.0, 1.0)
    assert CliRunner().invoke(app, ["versions", "verify", str(out)]).exit_code == 0
    loaded = load_dataset(str(out), "preference", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 24
    table = pl.read_parquet(out / found["version"] / "data" / "preference-*.parquet")
    assert loaded["id"][:] == table["id"].to_list()
    shown = CliRunner().invoke(app, ["annotate", "resolve", str(campaign.path), "-o", str(out)])
    assert "this version was there already" in shown.stdout
