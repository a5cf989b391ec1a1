"""Measures of agreement against published tables, hand-made ones, an oracle, and their own laws."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from rating_tables import FLEISS_1971, KRIPPENDORFF_2011, counted, grid

from annotation.judgements.judgements import SCHEMA
from annotation.measures.agreement import agreement
from annotation.measures.cohen import cohen, weighted_cohen
from annotation.measures.judged import judged
from annotation.measures.krippendorff import LEVELS, krippendorff
from annotation.measures.ratings import paired, read_ratings, tally
from annotation.measures.table import read_table
from datakit.errors import InputError

PANDALM = Path(__file__).parents[2] / "shared" / "data" / "pandalm" / "testset-v1.json"

letters = st.sampled_from("1234.")
grids = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.text(letters, min_size=width, max_size=width), min_size=2, max_size=5)
)


def test_fleiss_1971_gives_the_published_kappa() -> None:
    found = agreement(counted(FLEISS_1971), resamples=0)
    assert (found.items, found.compared, found.answers) == (30, 30, 180)
    assert found.fleiss == pytest.approx(0.430, abs=5e-4)
    assert found.percent == pytest.approx(0.555, abs=1e-3)  # the paper's mean over patients


def test_krippendorff_2011_gives_the_published_alphas() -> None:
    found = agreement(grid(KRIPPENDORFF_2011), resamples=0)
    assert (found.items, found.compared, found.answers) == (12, 11, 41)  # the last unit has one answer
    assert found.krippendorff["nominal"] == pytest.approx(0.743, abs=5e-4)
    assert found.krippendorff["ordinal"] == pytest.approx(0.815, abs=5e-4)
    assert found.krippendorff["interval"] == pytest.approx(0.849, abs=5e-4)


@pytest.mark.skipif(not PANDALM.is_file(), reason="shared/data/pandalm is not here: PandaLM's 999 × 3 answers")
def test_pandalm_gives_the_known_figures() -> None:
    table = read_table(PANDALM, columns={"item": "idx"}, wide=["annotator1", "annotator2", "annotator3"])
    found = agreement(table)
    assert (found.items, found.compared, found.answers) == (999, 999, 2997)
    assert found.fleiss == pytest.approx(0.8642, abs=5e-5)
    assert found.percent == pytest.approx(0.9199, abs=5e-5)
    assert list(found.cohen.values()) == pytest.approx([0.852, 0.879, 0.862], abs=5e-4)
    low, high = found.interval["fleiss"]
    assert 0.83 < low < 0.8642 < high < 0.90


def test_a_small_table_by_hand() -> None:
    # Five items, two annotators: they differ on the last. a says y, n: 3, 2; b says y, n: 2, 3.
    found = agreement(grid(["yynny", "yynnn"], ["安娜", "Ben"]), resamples=0)
    assert found.percent == pytest.approx(4 / 5)
    assert found.cohen == {"Ben|安娜": pytest.approx((0.8 - 12 / 25) / (1 - 12 / 25))}
    assert found.fleiss == pytest.approx((0.8 - 0.5) / (1 - 0.5))
    # Do = 2 unequal of 10; De = 2 · 5 · 5 of 10 · 9.
    assert found.krippendorff == {"nominal": pytest.approx(1 - 0.2 / (50 / 90)), "ordinal": None, "interval": None}
    assert found.weighted == {}


def test_weights_by_hand() -> None:
    # Off by one on one item of four; a: 1 2 3 3, b: 1 2 3 2.
    ratings = read_ratings(grid(["1233", "1232"]))
    pair = paired(ratings, 0, 1)
    assert ratings.scale is not None
    # Mean distance of any two of theirs: |a - b| over 4 × 4 pairs: from 1: 0+1+2+1, from 2: 1+0+1+0, from 3: 2+1+0+1 twice.
    assert weighted_cohen(pair, ratings.scale, "linear") == pytest.approx(1 - (1 / 4) / (14 / 16))
    assert weighted_cohen(pair, ratings.scale, "quadratic") == pytest.approx(1 - (1 / 4) / (20 / 16))
    assert cohen(pair, 3) == pytest.approx((3 / 4 - 5 / 16) / (1 - 5 / 16))


@given(grids)
@settings(max_examples=150, deadline=None)
def test_alpha_is_the_oracles(lines: list[str]) -> None:
    oracle = pytest.importorskip("krippendorff", reason="the oracle (GPL-3, a dev dependency) is not installed")
    ratings = read_ratings(grid(lines)) if any(set(line) - {"."} for line in lines) else None
    data = [[float("nan") if letter == "." else float(letter) for letter in line] for line in lines]
    units = [[value for value in unit if not math.isnan(value)] for unit in zip(*data, strict=True)]
    pairable = {value for unit in units if len(unit) > 1 for value in unit}
    if ratings is None:
        return
    for level in LEVELS:
        ours = krippendorff(tally(ratings), level, ratings.scale)
        if len(pairable) < 2:  # the oracle refuses what has no variation
            assert math.isnan(ours)
        else:
            theirs = oracle.alpha(reliability_data=data, level_of_measurement=level)
            assert ours == pytest.approx(theirs, abs=1e-9)


@given(grids)
@settings(max_examples=100, deadline=None)
def test_counting_pairs_one_by_one_comes_to_the_same(lines: list[str]) -> None:
    columns = ["".join(letter for letter in unit if letter != ".") for unit in zip(*lines, strict=True)]
    every = [pair for unit in columns for pair in combinations(unit, 2)]
    found = agreement(grid(lines), resamples=0)
    assert found.percent == (pytest.approx(np.mean([a == b for a, b in every])) if every else None)
    for (first, one), (second, other) in combinations(zip("abcde", lines, strict=False), 2):
        both = [(x, y) for x, y in zip(one, other, strict=True) if "." not in (x, y)]
        expected = _cohen_slowly(both)
        if set(one) != {"."} and set(other) != {"."}:
            kappa = found.cohen[f"{first}|{second}"]
            assert kappa == (None if expected is None else pytest.approx(expected))


def _cohen_slowly(both: list[tuple[str, str]]) -> float | None:
    if not both:
        return None
    observed = sum(x == y for x, y in both) / len(both)
    expected = sum(x == y for x, _ in both for _, y in both) / len(both) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


@given(grids, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_neither_order_nor_spelling_changes_anything(lines: list[str], random: object) -> None:
    table = grid(lines)
    rows = list(range(table.height))
    random.shuffle(rows)  # type: ignore[attr-defined]
    said = agreement(table, resamples=20).to_json()
    shuffled = table[rows] if rows else table
    assert agreement(shuffled, resamples=20).to_json() == said
    spelt = table.with_columns(pl.col("value").cast(pl.String).replace({"1": "1.0"}))
    again = agreement(spelt, resamples=20).to_json()
    spelling: dict[str, list[str]] = {"categories": [], "notes": []}  # both name values
    assert {**again, **spelling} == {**said, **spelling}


def test_sixty_raters_with_gaps_match_the_oracle() -> None:
    oracle = pytest.importorskip("krippendorff", reason="the oracle (GPL-3, a dev dependency) is not installed")
    random = np.random.default_rng(3)
    data = np.where(random.random((60, 200)) < 0.9, np.nan, random.normal(1e6, 1, (60, 200)).round(1))
    rows = [
        (f"{u:03}", f"{a:02}", float(data[a, u])) for a in range(60) for u in range(200) if not np.isnan(data[a, u])
    ]
    found = agreement(pl.DataFrame(rows, schema=["item", "annotator", "value"], orient="row"), resamples=0)
    for level in LEVELS:
        theirs = oracle.alpha(reliability_data=data, level_of_measurement=level)
        assert found.krippendorff[level] == pytest.approx(theirs, abs=1e-7)


def test_without_an_order_only_nominal_is_defined_and_an_order_can_be_given() -> None:
    table = pl.DataFrame({"item": ["1", "1", "2", "2"], "annotator": ["a", "b"] * 2, "value": ["差", "中", "好", "好"]})
    plain = agreement(table, resamples=0)
    assert plain.krippendorff["ordinal"] is None and plain.weighted == {}
    ordered = agreement(table, resamples=0, order=["差", "中", "好"])
    numbers = table.with_columns(pl.col("value").replace_strict({"差": "1", "中": "2", "好": "3"}))
    assert ordered.krippendorff["ordinal"] == agreement(numbers, resamples=0).krippendorff["ordinal"]
    assert ordered.krippendorff["interval"] is None
    assert ordered.weighted == agreement(numbers, resamples=0).weighted
    with pytest.raises(InputError, match="'中'"):
        agreement(table, order=["差", "好"])


# Degenerate tables: each is defined, and says why.


def test_nobody_has_answered() -> None:
    nothing = pl.DataFrame({"item": ["1"], "annotator": ["a"], "value": [None]}, schema_overrides={"value": pl.String})
    for table in (nothing, nothing.clear()):
        found = agreement(table).to_json()
        assert (found["items"], found["compared"], found["annotators"]) == (0, 0, 0)
        assert found["percent"] is None and found["fleiss"] is None and found["cohen"] == {}
        assert found["krippendorff"] == dict.fromkeys(LEVELS)
        assert found["notes"] == ["nobody has answered yet"]


def test_one_annotator() -> None:
    found = agreement(grid(["1212"]))
    assert found.percent is found.fleiss is found.alpha is None
    assert found.cohen == {} and "nobody to agree with" in found.notes[0]


def test_no_overlap() -> None:
    found = agreement(grid(["12..", "..12"]))
    assert found.percent is found.fleiss is found.alpha is None
    assert found.cohen == {"a|b": None} and found.interval["cohen"] == {"a|b": None}
    assert found.notes[0] == "no item has answers of two annotators"


def test_one_value_only() -> None:
    found = agreement(grid(["1111", "1111"]))
    assert found.percent == 1.0 and found.interval["percent"] == (1.0, 1.0)
    assert found.fleiss is found.alpha is found.cohen["a|b"] is None
    assert found.weighted["linear"] == {"a|b": None}
    assert "cannot be told from chance" in found.notes[0]


def test_one_item_has_a_value_and_no_interval() -> None:
    found = agreement(grid(["1", "2"]))
    assert (found.percent, found.fleiss, found.alpha, found.cohen["a|b"]) == (0.0, -1.0, 0.0, 0.0)
    assert found.interval == {
        "percent": None,
        "cohen": {"a|b": None},
        "fleiss": None,
        "krippendorff": dict.fromkeys(LEVELS),
    }


def test_a_rater_with_one_answer_counts_where_they_answered() -> None:
    alone, with_third = agreement(grid(["1212", "1211"])), agreement(grid(["1212", "1211", "1..."]))
    assert with_third.percent is not None and alone.percent is not None
    assert (alone.percent, with_third.percent) == (3 / 4, 5 / 6)
    assert with_third.cohen["a|c"] is None  # one and the same value by both, on one item


def test_items_with_one_answer_change_nothing_but_their_count() -> None:
    few, more = agreement(grid(["1212", "1211"])), agreement(grid(["1212333", "1211..."]))
    assert (few.items, more.items, more.compared) == (4, 7, 4)
    assert (few.percent, few.fleiss, few.krippendorff, few.interval) == (
        more.percent,
        more.fleiss,
        more.krippendorff,
        more.interval,
    )


def test_who_answers_twice_is_named() -> None:
    table = pl.DataFrame({"item": ["对话-1"] * 2, "annotator": ["安娜"] * 2, "value": ["A", "B"]})
    with pytest.raises(InputError, match=r"1 answers to what .* item '对话-1', annotator '安娜'"):
        agreement(table)
    both = agreement(table.with_columns(question=pl.Series(["style", "facts"])))
    assert both.answers == 2


def test_intervals_keep_their_word() -> None:
    # Of many tables drawn with a true agreement of 0.82, about 95 % of the intervals hold it.
    random = np.random.default_rng(11)
    held = 0
    for seed in range(120):
        truth = random.integers(0, 2, 150)
        lines = ["".join(map(str, np.where(random.random(150) < 0.9, truth, 1 - truth))) for _ in range(2)]
        low, high = agreement(grid(lines), seed=seed, resamples=200).interval["percent"]
        held += low <= 0.9 * 0.9 + 0.1 * 0.1 <= high
    assert 0.90 <= held / 120 <= 0.99


def test_intervals_depend_on_nothing_but_the_seed() -> None:
    table = grid(["1212112212", "1211112222"])
    assert agreement(table, seed=1).interval == agreement(table, seed=1).interval
    assert agreement(table, seed=1).interval != agreement(table, seed=2).interval


def test_resampling_patterns_is_resampling_items() -> None:
    table = grid(["112211221122", "112211121222"])
    low, high = agreement(table, resamples=4000).interval["percent"]
    equal = np.array([a == b for a, b in zip("112211221122", "112211121222", strict=True)])
    drawn = equal[np.random.default_rng(0).integers(0, 12, (20_000, 12))].mean(axis=1)
    assert [low, high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.09)  # a step of 1/12


def test_by_question_pair_week_and_stratum() -> None:
    table = pl.DataFrame(
        [
            ("i1", "a", "1", "style", "faq", "2026-11-22T10:00:00Z"),
            ("i1", "b", "1", "style", "faq", "2026-11-23T10:00:00Z"),  # the week after: the item belongs there
            ("i2", "a", "1", "style", "quote", "2026-11-22T10:00:00Z"),
            ("i2", "b", "2", "style", "quote", "2026-11-22T11:00:00Z"),
            ("i1", "a", "2", "facts", "faq", "2026-11-30T10:00:00Z"),
            ("i1", "b", "2", "facts", "faq", "2026-11-30T10:00:00Z"),
            ("i2", "c", "2", "facts", None, "2026-11-30T10:00:00Z"),
        ],
        schema=["item", "annotator", "value", "question", "stratum", "answered_at"],
        orient="row",
    )
    found = agreement(table, resamples=0, by=("question", "pair", "week", "stratum"))
    by = {name: {part: inner.percent for part, inner in parts.items()} for name, parts in found.by.items()}
    assert by == {
        "question": {"facts": 1.0, "style": 0.5},
        "pair": {"a|b": pytest.approx(2 / 3), "a|c": None, "b|c": None},
        "week": {"2026-W47": 0.0, "2026-W48": 1.0, "2026-W49": 1.0},
        "stratum": {"faq": 1.0, "quote": 0.0},
    }
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["by"]["week"]["2026-W47"]["percent"] == 0.0
    assert agreement(table.drop("stratum"), resamples=0, by=("stratum",)).to_json()["by"] == {"stratum": {}}


def test_chance_is_that_of_what_people_could_say() -> None:
    """Two who are blind and nearly always right, of pairs whose first answer always is the better one."""
    rows = []
    for number in range(40):
        for who, wrong in (("a01", number < 2), ("a02", number > 37)):
            value, shown = ("second", "BA") if wrong else ("first", "AB")
            rows.append(
                {
                    **{"item": f"{number}", "question": "preference", "kind": "preference", "role": "ask"},
                    **{
                        "annotator": who,
                        "status": "submitted",
                        "value": f'"{value}"',
                        "shown": f'"{shown[number % 2]}"',
                    },
                }
            )
    judgements = pl.DataFrame(rows, schema=SCHEMA)
    meant, said = (agreement(judged(judgements, as_shown=way), resamples=0) for way in (False, True))
    assert meant.percent == said.percent == 0.9
    assert meant.alpha is not None and meant.alpha < 0, "as if they had agreed by chance"
    assert said.alpha == pytest.approx(0.8, abs=0.01)
