"""Annotators whose quality was planted are found out; what they answered is made the best of."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from judged_campaigns import CARELESS, GOOD, LEFT, Person, judge
from rating_tables import DAWID_SKENE_1979, grid

from annotation.measures.agreement import agreement
from annotation.measures.dawid_skene import dawid_skene
from annotation.measures.judged import judged, level_of, plain_values
from annotation.measures.quality import annotator_quality, gold_hits, known_truth
from annotation.measures.shares import against_half, wilson
from datakit.errors import InputError


@pytest.fixture(scope="module")
def campaign():
    return judge()


def test_what_was_planted_is_recovered(campaign) -> None:
    found = annotator_quality(campaign.judgements, campaign.items)
    good, careless, left = (found[person.name] for person in (GOOD, CARELESS, LEFT))
    assert good.gold is not None and careless.gold is not None and left.gold is not None
    assert good.gold.low > careless.gold.high and good.gold.of == 60
    assert careless.gold.low < CARELESS.right < careless.gold.high
    # The left-biased one takes A unseen at 0.6, and at half of the rest.
    assert left.left is not None and left.left.p is not None and left.left.p < 1e-6
    assert left.left.low < 0.6 + 0.4 / 2 < left.left.high and left.left.of == 420
    for straight in (good, careless):
        assert straight.left is not None and straight.left.p is not None and straight.left.p > 0.01
        assert straight.left.low < 0.5 < straight.left.high
    # The same answer twice: both right or both wrong, when sides are swapped.
    assert good.consistency is not None and good.consistency.low < 0.95**2 + 0.05**2 < good.consistency.high
    assert careless.consistency is not None and careless.consistency.high < good.consistency.low
    assert left.consistency is not None and left.consistency.high < good.consistency.low
    assert (good.seconds, careless.seconds) == (20.0, 4.0)  # nights are pauses, no pace
    assert (good.items, good.discarded) == (420, 0)


def test_dawid_skene_finds_the_skills_and_beats_the_majority(campaign) -> None:
    asked = judged(campaign.judgements)
    assert asked["item"].n_unique() == 300  # neither gold nor repeats
    found = dawid_skene(asked.drop("question"), smoothing=1)
    accuracy = found.accuracy()
    assert accuracy["a01"] == pytest.approx(0.95, abs=0.05)
    assert accuracy["a02"] == pytest.approx(0.55, abs=0.08)
    assert accuracy["a03"] == pytest.approx(0.4 * 0.9 + 0.6 * 0.5, abs=0.08)
    best = found.posterior.sort("probability").group_by("item", maintain_order=True).last()
    ours = _right(best.select("item", "value"), campaign.truth)
    votes = asked.group_by("item", "value").len().sort("len").group_by("item", maintain_order=True).last()
    majority = _right(votes.select("item", "value"), campaign.truth)
    assert ours > majority + 0.05
    assert ours > 0.92


@pytest.mark.parametrize("seed", [7, 8, 9, 10, 11])
def test_what_is_known_of_gold_makes_dawid_skene_sure(seed: int) -> None:
    # Without gold three annotators are a gamble: at seed 8 the estimate falls far below the majority.
    made = judge(seed=seed)
    answers = judged(made.judgements, ("ask", "gold"))
    known = known_truth(answers, made.items)
    assert known.height == 60
    found = dawid_skene(answers, known=known)
    gold = found.posterior.join(known, on=["item", "question", "value"])
    assert gold["probability"].to_list() == [1.0] * 60
    asked = judged(made.judgements)
    best = found.posterior.join(asked, on="item", how="semi").sort("probability").group_by("item").last()
    votes = asked.group_by("item", "value").len().sort("len").group_by("item").last()
    ours = _right(best.select("item", "value"), made.truth)
    assert ours > 0.9 and ours > _right(votes.select("item", "value"), made.truth) + 0.05
    quality = annotator_quality(made.judgements, made.items)
    assert quality["a01"].estimated == pytest.approx(0.95, abs=0.08)
    assert quality["a02"].estimated == pytest.approx(0.55, abs=0.08)
    assert quality["a03"].estimated == pytest.approx(0.66, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("people", "gold", "mean", "worst", "below"),
    [
        ((GOOD, CARELESS, LEFT), 0, 0.83, 0.67, 10),
        ((GOOD, CARELESS, LEFT), 30, 0.95, 0.84, 0),
        (
            tuple(Person(name, right) for name, right in zip("abcde", (0.95, 0.6, 0.6, 0.7, 0.7), strict=True)),
            0,
            0.94,
            0.88,
            0,
        ),
    ],
    ids=["three", "three and gold", "five"],
)
def test_the_manuals_figures(people, gold: int, mean: float, worst: float, below: int) -> None:
    found = []
    for seed in range(30):
        made = judge(people, asked=300, gold=gold, repeats=0, seed=seed)
        answers, asked = judged(made.judgements, ("ask", "gold")), judged(made.judgements)
        posterior = dawid_skene(answers, known=known_truth(answers, made.items)).posterior
        best = posterior.join(asked, on="item", how="semi").sort("probability").group_by("item").last()
        votes = asked.group_by("item", "value").len().sort("len").group_by("item").last()
        found.append([_right(chosen.select("item", "value"), made.truth) for chosen in (best, votes)])
    ours, majority = np.array(found).T
    assert (ours.mean(), ours.min()) == (pytest.approx(mean, abs=0.01), pytest.approx(worst, abs=0.01))
    assert int((ours < majority).sum()) == below


def test_a_known_value_that_nobody_gave_is_a_class() -> None:
    table = grid(["1212", "1212"])
    found = dawid_skene(table, known=pl.DataFrame({"item": ["u000", "elsewhere"], "value": ["3", "1"]}))
    assert found.classes == ("1", "2", "3")
    assert found.posterior.filter(pl.col("item") == "u000")["probability"].to_list() == [0.0, 0.0, 1.0]


def _right(chosen: pl.DataFrame, truth: dict[str, str]) -> float:
    return float(np.mean([truth[item] == value for item, value in chosen.iter_rows()]))


def test_agreement_recovers_what_was_planted(campaign) -> None:
    found = agreement(judged(campaign.judgements), level_of(campaign.judgements))
    # Two who are right by p and q, apart from each other, agree by p q + (1 - p)(1 - q).
    low, high = found.interval["cohen"]["a01|a02"]
    planted = 0.95 * 0.55 + 0.05 * 0.45
    assert low < 2 * planted - 1 < high
    assert found.items == 300 and found.krippendorff["ordinal"] is None


def test_dawid_and_skene_1979_gives_the_published_estimates() -> None:
    # The first anaesthetist looked three times; they go by one name.
    columns = ["".join(word[place] for word in DAWID_SKENE_1979) for place in range(7)]
    table = grid(columns).with_columns(pl.col("annotator").replace_strict(dict(zip("abcdefg", "1112345", strict=True))))
    found = dawid_skene(table, smoothing=0)
    assert found.converged and found.classes == ("1", "2", "3", "4")
    assert found.prior == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.006)
    first = [[0.89, 0.11, 0, 0], [0.07, 0.88, 0.05, 0], [0, 0.34, 0.66, 0], [0, 0, 0.56, 0.44]]
    assert found.confusion["1"] == pytest.approx(np.array(first), abs=0.006)


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.lists(st.text(st.sampled_from("123."), min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    st.sampled_from([0.0, 4.0]),
)
@settings(max_examples=80, deadline=None)
def test_dawid_skene_always_gives_probabilities(lines: list[str], smoothing: float) -> None:
    table = grid(lines)
    if not table.height:
        return
    found = dawid_skene(table, smoothing=smoothing)
    sums = found.posterior.group_by("item").agg(pl.col("probability").sum())
    assert sums["probability"].to_list() == pytest.approx([1.0] * sums.height)
    assert found.posterior["probability"].is_between(0, 1 + 1e-12).all()
    assert float(found.prior.sum()) == pytest.approx(1)
    for matrix in found.confusion.values():
        assert matrix.sum(axis=1) == pytest.approx(np.ones(len(found.classes)))
    again = dawid_skene(table.reverse(), smoothing=smoothing)
    assert again.posterior["probability"].to_list() == pytest.approx(found.posterior["probability"].to_list(), abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # crowd-kit calls pandas as it was
def test_dawid_skene_matches_crowd_kit() -> None:
    crowdkit = pytest.importorskip(
        "crowdkit.aggregation", reason="crowd-kit (749 MB with what it needs) is not installed"
    )
    asked = judged(judge(seed=3).judgements)
    frame = asked.select(task="item", worker="annotator", label="value").to_pandas()
    theirs = crowdkit.DawidSkene(n_iter=1000, tol=1e-9).fit_predict_proba(frame)
    ours = dawid_skene(asked.drop("question"), smoothing=0).posterior.pivot("value", index="item", values="probability")
    assert ours.sort("item")["first"].to_list() == pytest.approx(theirs.sort_index()["first"].to_list(), abs=1e-3)


def test_one_answer_is_not_infallible() -> None:
    # c answered one item, against two who agree everywhere else: two who proved themselves weigh more than one.
    found = dawid_skene(grid(["1212121212", "1212121212", "2........."]))
    first = found.posterior.filter(pl.col("item") == "u000")
    assert first.row(0)[1] == "1" and first.row(0)[2] > 0.8


def test_dawid_skene_wants_answers_among_the_classes() -> None:
    with pytest.raises(InputError, match="no row has a value"):
        dawid_skene(grid(["..."]))
    with pytest.raises(InputError, match="'3'"):
        dawid_skene(grid(["123"]), classes=["1", "2"])
    assert dawid_skene(grid(["12", "12"]), classes=["2", "1", "0"]).classes == ("2", "1", "0")


def test_shares_are_the_textbooks() -> None:
    # Wilson's interval of 8 of 10 (Brown, Cai, DasGupta 2001); the exact test of 8 of 10 against a half: 2 · 56/1024.
    share = wilson(8, 10)
    assert share is not None
    assert (share.low, share.high) == (pytest.approx(0.490, abs=1e-3), pytest.approx(0.943, abs=1e-3))
    exact = against_half(8, 10)
    assert exact is not None and exact.p == pytest.approx(112 / 1024)
    assert (exact.low, exact.high) == (pytest.approx(0.4439, abs=1e-4), pytest.approx(0.9748, abs=1e-4))
    assert wilson(0, 0) is against_half(0, 0) is None
    none, every = against_half(0, 10), against_half(10, 10)
    assert none is not None and every is not None
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 10)) and every.low == pytest.approx(0.025 ** (1 / 10))
    assert none.p == every.p == pytest.approx(2 / 1024)
    half = against_half(5, 10)
    assert half is not None and half.p == 1.0


@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
@settings(max_examples=60, deadline=None)
def test_an_interval_and_its_test_say_the_same(pair: tuple[int, int]) -> None:
    share = against_half(*pair)
    assert share is not None and share.p is not None
    assert share.low <= share.value <= share.high
    if not math.isclose(share.p, 0.05, abs_tol=1e-6):
        assert (share.p < 0.05) == (not share.low <= 0.5 <= share.high)


def test_only_what_was_submitted_counts(campaign) -> None:
    judgements = campaign.judgements
    spoilt = judgements.filter(pl.col("annotator") == "a01").with_columns(
        pl.lit("a04").alias("annotator"), pl.lit("discarded").alias("status"), pl.lit(None, pl.String).alias("value")
    )
    found = annotator_quality(pl.concat([judgements, spoilt]), campaign.items)
    assert list(found) == ["a01", "a02", "a03", "a04"]
    a04 = found["a04"]
    assert (a04.items, a04.discarded) == (0, 420)
    assert a04.gold is a04.left is a04.consistency is a04.estimated is a04.seconds is None
    assert found["a01"] == annotator_quality(judgements, campaign.items)["a01"]
    assert annotator_quality(judgements.clear(), campaign.items) == {}


def test_gold_of_several_questions_stands_by_name(campaign) -> None:
    row = campaign.judgements.filter(pl.col("role") == "gold").head(1)
    both = pl.concat(
        [
            row.with_columns(question=pl.lit(name), kind=pl.lit("rating"), value=pl.lit(value))
            for name, value in (("文风", "4"), ("事实", "2"), ("other", "1"))
        ]
    )
    items = campaign.items.with_columns(expected=pl.lit('{"文风": 4, "事实": 3}'))
    assert gold_hits(both, items)["hit"].to_list() == [True, False]


def test_values_are_plain() -> None:
    values = pl.Series(
        ['"first"', "4", '["短","礼貌"]', '["礼貌","短"]', "[]", "[1,2,1]", '[{"start":0,"end":2,"label":"x"}]', None]
    )
    assert plain_values(values).to_list() == [
        "first",
        "4",
        "短 + 礼貌",
        "短 + 礼貌",
        "(none)",
        "[1,2,1]",
        '[{"end":2,"label":"x","start":0}]',
        None,
    ]
    one = judge([Person("a01", 1.0)], asked=3, gold=0, repeats=0).judgements
    assert judged(one.with_columns(kind=pl.lit("rewriting"))).height == 0
    assert level_of(one) == "nominal" and level_of(one.with_columns(kind=pl.lit("rating"))) == "ordinal"
