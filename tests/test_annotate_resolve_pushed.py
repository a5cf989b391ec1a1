"""A campaign as `push` makes it on a real server, judged, is resolved: gold, repeats and rows left out among its items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from campaign_rows import judge
from local_argilla import call
from pushed_rows import campaign_recipe, dialogues, pairs, version_of, write_gold

from annotation.campaigns.campaign import open_campaign
from annotation.campaigns.push import push
from annotation.client import Server
from annotation.decisions.resolve import resolve
from annotation.server.state import Local
from datakit.recipe.resolve import ResolveSettings
from datakit.versions.store import verify

ANSWERS: dict[str, Any] = {
    "preference": "second",
    "rating": {"clear": 5, "polite": 4},
    "ranking": [2, 1],
    "labels": "price",
    "spans": [{"start": 0, "end": 2, "label": "price"}],
    "rewriting": "您好，请稍等。",
}
TABLES: dict[str, dict[str, Any]] = {
    "rating": {"aspects": ["clear", "polite"]},
    "ranking": {"answers": 2},
    "labels": {"labels": ["price", "other"]},
    "spans": {"labels": ["price"]},
}


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_a_pushed_campaign_is_resolved(kind: str, argilla: Local, workspace: str, tmp_path: Path) -> None:
    same = {"prompt": [{"role": "user", "content": "?"}], "chosen": "same", "rejected": "same"}
    source = version_of(tmp_path, [*pairs(10), same], dialogues(10))
    more = TABLES.get(kind, {})
    if kind == "preference":
        gold = write_gold(tmp_path / "gold.jsonl", [{"source": "a.jsonl", "line": 3, "expected": "first"}])
        more = {"gold": gold, "gold_share": 0.1, "repeats": 0.2}
    recipe = campaign_recipe(
        tmp_path, name=f"c-{workspace}", kind=kind, workspace=workspace, rows=20, overlap=2, **more
    )
    with Server.connect(argilla.url, argilla.api_key) as server:
        pushed = push(recipe, server)
    campaign = open_campaign(recipe)
    items = campaign.items()
    asked = items.filter(pl.col("role") == "ask")
    judge(campaign, {who: dict.fromkeys(items["item"], ANSWERS[kind]) for who in ("a01", "a02")})
    result = resolve(campaign, ResolveSettings())
    assert verify(result.version) == []
    rows = result.version.manifest.counts.rows
    left = campaign.left_out().filter(pl.col("role") == "ask").height
    assert rows["in"] == asked.height + left == rows["kept"] + rows["edited"] + rows["dropped"] + rows["rejected"]
    assert (rows["dropped"], rows["rejected"]) == (0, left) and rows["kept"] + rows["edited"] == asked.height > 0
    ledger = result.version.ledger().filter(pl.col("decision") != "rejected")
    assert (
        ledger.select("source", "line")
        .sort("source", "line")
        .equals(asked.select("source", "line").sort("source", "line"))
    )
    if kind == "preference":
        assert {"gold", "repeat"} <= set(items["role"]) and rows["rejected"] == 1 and rows["edited"] == asked.height
        before = {row["id"]: row for row in source.frame("preference").iter_rows(named=True)}
        for row in result.version.frame("preference").iter_rows(named=True):
            assert row["chosen"] == before[row["id"]]["rejected"]
            assert orjson.loads(row["meta"])["annotation"]["guidelines"] == [campaign.manifest.guidelines[0].hash]
    assert len(call(argilla, "GET", f"datasets/{pushed.url.split('/')[-2]}/records?limit=100")["items"]) == items.height
