"""The gate on people's scores reads a campaign's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaign_rows import campaign_of, judge
from mask_rows import plain_rows, version_of
from tiny_weights import quiet, tiny_weights
from train_rows import OPEN_GATES, recipe_of

from annotation.campaigns.campaign import Campaign
from annotation.decisions.resolve import resolve
from datakit.errors import InputError, UnknownVersion
from datakit.gates import judge as verdicts
from datakit.recipe.gates import gate_of
from datakit.recipe.load import load_recipe
from datakit.recipe.resolve import ResolveSettings
from train.measures.human import human_score


def rated(folder: Path, scores: dict[str, int], *, rows: int = 40) -> Campaign:
    """A campaign in which a01 and a02 have rated items; an aspect is as the item's score, the other one is 5."""
    version = version_of(plain_rows(rows), folder)
    campaign = campaign_of(
        version, folder / "ratings", "rating", gold=[{"helpful": 1, "polite": 1}], repeats=[1], overlap=2
    )
    said: dict[str, dict[str, Any]] = {
        who: {item: {"helpful": score, "polite": 5} for item, score in scores.items()} for who in ("a01", "a02")
    }
    for answers in said.values():
        answers |= {"g0": {"helpful": 1, "polite": 1}, "r1": {"helpful": 1, "polite": 1}}
    judge(campaign, said)
    return campaign


def test_judgements_and_what_was_resolved_from_them_say_the_same(tmp_path: Path) -> None:
    campaign = rated(tmp_path, {"1": 1, "2": 3, "3": 5})
    found = human_score(str(campaign.judgements_path))
    assert (found.value, found.samples) == (pytest.approx(4.0), 3)  # 3, 4 and 5: gold items and repeats do not count
    version = resolve(campaign, ResolveSettings()).version
    assert human_score(str(version.path)) == found == human_score(f"{version.path.parent}@{version.name}")


def test_the_gate_passes_above_its_threshold_and_wants_thirty_answers(tmp_path: Path) -> None:
    recipe = recipe_of(version_of(plain_rows(2), tmp_path / "v"), tmp_path)
    gate = gate_of("sft", recipe.gates, recipe.brief)
    (criterion,) = (one for one in gate.exit if one.metric == "human_score")
    for many, score, status in ((30, 3, "passed"), (30, 2, "failed"), (29, 5, "unknown")):
        campaign = rated(tmp_path / f"{many}-{score}", {str(n): score for n in range(1, many + 1)})
        found = human_score(str(campaign.judgements_path))
        (verdict,) = verdicts([criterion], {"human_score": found.value}, samples={"human_score": found.samples or 0})
        assert verdict.status == status and verdict.stops == (status == "failed"), (many, score)


def test_evaluation_measures_it_where_the_recipe_names_ratings(tmp_path: Path) -> None:
    from train.evaluate import evaluate

    campaign = rated(tmp_path, {str(n): 4 for n in range(1, 4)})
    tables: dict[str, Any] = {"evaluate": {"samples": 2, "max_new_tokens": 4}, "gates": OPEN_GATES}
    for human in (None, str(campaign.judgements_path)):
        named = {**tables["evaluate"], **({"human": human} if human else {})}
        recipe = recipe_of(campaign.source_version(), tmp_path, evaluate=named)
        with quiet():
            measured = evaluate(str(tiny_weights()), recipe, stage="sft")
        assert measured.found.metrics["human_score"] == (pytest.approx(4.5) if human else None)
        assert measured.found.samples.get("human_score") == (3 if human else None)


def test_the_path_is_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[evaluate]\nhuman = "campaigns/x/resolved"\n', encoding="utf-8")
    assert load_recipe(tmp_path / "r.toml").evaluate.human == str(tmp_path / "campaigns/x/resolved")


def test_what_is_no_rating_is_told(tmp_path: Path) -> None:
    version = version_of(plain_rows(2), tmp_path)
    with pytest.raises(InputError, match="holds no ratings"):
        human_score(str(version.path))
    with pytest.raises(UnknownVersion, match="no dataset here"):
        human_score(str(tmp_path / "nowhere"))
    campaign = rated(tmp_path / "wide", {"1": 9})
    with pytest.raises(InputError, match="a score of 7; expected 1 to 5"):
        human_score(str(campaign.judgements_path))
