"""Votes, points and shares: what counts, and that nothing hangs on the order of rows."""

from __future__ import annotations

import math
from typing import Any

import orjson
import polars as pl
import pytest
from campaign_rows import JUDGEMENTS
from hypothesis import given
from hypothesis import strategies as st

from annotation.decisions.points import POINTS, points_of
from annotation.decisions.tally import SHARES, agreement_of, decide, likely_shares, weighted_shares
from annotation.decisions.verdicts import Pair, verdict_on
from annotation.decisions.votes import accuracy_weights, discards_of, votes_of
from datakit.recipe.resolve import ResolveSettings


def judgement(item: str, annotator: str, value: Any, **more: Any) -> dict[str, Any]:
    plain = None if value is None else orjson.dumps(value).decode()
    base = {"role": "ask", "question": "preference", "kind": "preference", "status": "submitted", "answered_at": "1"}
    return {**base, "item": item, "annotator": annotator, "value": plain, "response": annotator + item, **more}


def judged(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=JUDGEMENTS)


def said(*rows: dict[str, Any], **options: Any) -> list[tuple[str, str, str]]:
    return list(votes_of(judged(*rows), **options).select("item", "annotator", "value").iter_rows())


def test_an_annotator_has_one_vote_an_item() -> None:
    rows = [
        judgement("i", "a", "first", answered_at="1"),
        judgement("r", "a", "second", role="repeat", of="i", answered_at="9"),
        judgement("r", "b", "tie", role="repeat", of="i"),
        judgement("i", "c", "second", answered_at="1", response="x"),
        judgement("i", "c", "first", answered_at="2", response="y"),
        judgement("g", "a", "first", role="gold"),
        judgement("i", "d", "first", status="draft"),
        judgement("i", "e", None, status="discarded"),
    ]
    assert said(*rows) == [("i", "a", '"first"'), ("i", "b", '"tie"'), ("i", "c", '"first"')]
    assert said(judgement("i", "a", "both_bad"), both_bad_ties=True) == [("i", "a", '"tie"')]
    assert discards_of(judged(*rows)) == {"i": 1}
    # Who discarded the repeat but judged the item has judged it.
    assert discards_of(judged(rows[0], judgement("r", "a", None, role="repeat", of="i", status="discarded"))) == {}


VALUES = st.sampled_from(["first", "second", "tie", "both_bad"])
TABLE = st.dictionaries(st.tuples(st.sampled_from("ijk"), st.sampled_from("abcd")), VALUES, min_size=1)


@given(TABLE, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(table: dict[tuple[str, str], str], random: Any) -> None:
    rows = [judgement(item, who, value) for (item, who), value in table.items()]
    points = points_of(votes_of(judged(*rows)), "preference")
    random.shuffle(rows)
    again = points_of(votes_of(judged(*rows)), "preference")
    assert points.equals(again)
    weights = {"a": 0.1, "b": 0.7, "c": 0.2, "d": 0.0}
    for shares in (weighted_shares, lambda points: weighted_shares(points, weights), likely_shares):
        assert decide(shares(points)) == decide(shares(again))


@given(TABLE)
def test_shares_add_up_and_the_winner_has_the_largest(table: dict[tuple[str, str], str]) -> None:
    points = points_of(votes_of(judged(*(judgement(*key, value) for key, value in table.items()))), "preference")
    for shares in (weighted_shares(points), weighted_shares(points, {"a": 0.3}), likely_shares(points)):
        assert dict(shares.schema) == dict(SHARES)
        for (item, _), found in decide(shares).items():
            decision = found[""]
            mine = [value for (where, _), value in table.items() if where == item]
            assert sum(decision.shares.values()) == pytest.approx(1, abs=5e-6)
            assert decision.confidence == max(decision.shares.values()) and 0 <= decision.lead <= 1
            assert shares is not None and decision.value in {*mine, *table.values()}
    counted = {key: decision[""] for key, decision in decide(weighted_shares(points)).items()}
    for (item, question), decision in counted.items():
        mine = [value for (where, _), value in table.items() if where == item]
        assert decision.confidence == pytest.approx(mine.count(decision.value) / len(mine))
        pairs = [(x, y) for place, x in enumerate(mine) for y in mine[place + 1 :]]
        if pairs:
            agree = sum(x == y for x, y in pairs) / len(pairs)
            assert agreement_of(points)[item, question] == pytest.approx(agree)


def test_rankings_are_every_two_answers() -> None:
    votes = votes_of(judged(judgement("i", "a", [1, 2, 1], kind="ranking")))
    assert dict(points_of(votes, "ranking").select("point", "value").iter_rows()) == {
        "0,1": "first", "0,2": "tie", "1,2": "second",
    }  # fmt: skip


def test_who_names_no_label_says_no_to_all() -> None:
    votes = votes_of(judged(judgement("i", "a", ["x"], kind="labels"), judgement("i", "b", [], kind="labels")))
    found = points_of(votes, "labels", multiple=True)
    assert dict(found.select("annotator", "value").iter_rows()) == {"a": "yes", "b": "no"}
    assert verdict_on("labels", decide(weighted_shares(found))["i", "preference"]).lead == 0


def test_weights_by_gold_are_nought_at_chance_and_the_odds_above() -> None:
    gold = pl.DataFrame(
        [*[("good", n < 90) for n in range(98)], *[("coin", n % 2 == 0) for n in range(98)], *[("bad", False)] * 98],
        schema=["annotator", "hit"], orient="row",
    )  # fmt: skip
    weights = accuracy_weights(gold, ["good", "coin", "bad", "new"], 2)
    assert weights["good"] == pytest.approx(math.log(0.91 / 0.09), abs=0.01) and weights["coin"] == 0 == weights["bad"]
    assert weights["new"] == 0  # together they are right less often than a coin
    assert accuracy_weights(gold, ["coin"], 4)["coin"] == pytest.approx(math.log(3), abs=0.01)
    perfect = accuracy_weights(gold.filter("hit"), ["good", "new"], 2)
    assert 0 < perfect["new"] < perfect["good"] < math.inf


def test_votes_without_weight_share_alike() -> None:
    rows = [("i", "q", "", "a", "x"), ("i", "q", "", "b", "y")]
    points = pl.DataFrame(rows, schema=POINTS, orient="row")
    assert decide(weighted_shares(points, {"c": 1.0}))["i", "q"][""].shares == {"x": 0.5, "y": 0.5}


def test_the_widest_pair_leads_and_then_those_furthest_apart() -> None:
    rows = [
        judgement("i", who, ranks, kind="ranking")
        for who, ranks in (("a", [1, 2, 3]), ("b", [1, 2, 3]), ("c", [2, 1, 3]))
    ]
    points = points_of(votes_of(judged(*rows)), "ranking")
    verdict = verdict_on("ranking", decide(weighted_shares(points))["i", "preference"])
    assert verdict.value == (Pair(0, 2, 1.0), Pair(1, 2, 1.0), Pair(0, 1, pytest.approx(1 / 3, abs=1e-6)))


@pytest.mark.parametrize("weights", [{"a": -1}, {"a": float("nan")}, {"a": 0}])
def test_weights_must_weigh_something(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        ResolveSettings(weights=weights)
