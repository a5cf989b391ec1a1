"""Which rows are judged, which answer stands where, and where hidden items and repeats lie."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pushed_rows import pairs, version_of, write_gold

from annotation.campaigns.choose import draw
from annotation.campaigns.disagreement import differ
from annotation.campaigns.gold import read_gold
from annotation.campaigns.items import item_id
from annotation.campaigns.questions import questions_of
from annotation.campaigns.sides import arrange, orders, swapped
from datakit.errors import InputError, MissingInput, UsageFault
from datakit.recipe.annotate import AnnotateSettings, SelectSettings
from datakit.versions.store import Version

ITEMS = st.lists(st.text("0123456789abcdef", min_size=1, max_size=8), unique=True, max_size=60)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    rows = pairs(100)
    return version_of(tmp_path_factory.mktemp("choose"), rows[:70], rows[70:])


def keys(version: Version, seed: int = 1, **select: object) -> list[tuple[str, int]]:
    drawn = draw(version, ("preference",), SelectSettings.model_validate(select), seed)
    return list(drawn.select("source", "line").iter_rows())


def test_a_draw_takes_every_row_once_and_hangs_on_the_seed_alone(version: Version, tmp_path: Path) -> None:
    rows = pairs(100)
    parallel = version_of(tmp_path, rows[:70], rows[70:])
    assert len(set(keys(version))) == 100
    assert keys(version) == keys(parallel) != keys(version, seed=2)
    assert keys(version) != sorted(keys(version)), "drawn, not in the order of files"


def test_a_proportional_draw_keeps_the_shares_in_every_prefix(version: Version) -> None:
    strata = draw(version, ("preference",), SelectSettings(stratify="meta.channel"), 7)["stratum"].to_list()
    for length in range(1, 101):
        assert abs(strata[:length].count("phone") - length / 4) <= 1


def test_an_equal_draw_takes_as_many_from_each_stratum(version: Version) -> None:
    select = SelectSettings(stratify="meta.channel", balance="equal")
    strata = draw(version, ("preference",), select, 7)["stratum"].to_list()
    assert Counter(strata[:40]) == {"phone": 20, "chat": 20}
    assert Counter(strata) == {"phone": 25, "chat": 75}, "a small stratum runs out, the others go on"


@pytest.mark.parametrize("column", ["source", "kind", "language", "meta.judge_b"])
def test_strata_are_sources_kinds_scores_and_metas(version: Version, column: str) -> None:
    strata = draw(version, ("preference",), SelectSettings(stratify=column), 7)["stratum"]
    assert strata.null_count() == 0 or column == "language"
    assert strata.n_unique() == {"source": 2, "kind": 1}.get(column, strata.n_unique())


def test_rows_near_a_threshold(version: Version) -> None:
    scores = pl.read_parquet(version.path / "scores.parquet").select("source", "line", "characters")
    middle = float(scores["characters"].median() or 0)  # type: ignore[arg-type]
    found = keys(version, near={"score": "characters", "threshold": middle, "width": 2})
    within = scores.filter((pl.col("characters").cast(pl.Float64) - middle).abs() <= 2)
    assert sorted(found) == sorted(within.select("source", "line").iter_rows())
    assert 0 < len(found) < 100


def test_rows_on_which_judges_disagree(version: Version, tmp_path: Path) -> None:
    disputed = keys(version, judges={"columns": ["meta.judge_a", "meta.judge_b"]})
    rows = pairs(100)
    wanted = [("a.jsonl", n + 1) if n < 70 else ("b.jsonl", n - 69) for n in range(100) if n % 5 == 0]
    assert sorted(disputed) == sorted(wanted)
    verdicts = [{"source": s, "line": n, "judge": judge, "verdict": value} for s, n, judge, value in (
        ("a.jsonl", 3, "rm", 0.9), ("a.jsonl", 3, "llm", 0.2), ("a.jsonl", 4, "rm", 0.9), ("a.jsonl", 4, "llm", 0.8),
        ("b.jsonl", 9, "rm", 0.9),
    )]  # fmt: skip
    file = write_gold(tmp_path / "verdicts.jsonl", verdicts)
    assert keys(version, judges={"file": file, "spread": 0.3}) == [("a.jsonl", 3)]
    assert len(rows) == 100


def test_what_a_recipe_may_not_say(version: Version, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"annotate\.select\.stratify: no such column: town"):
        keys(version, stratify="town")
    with pytest.raises(UsageFault, match=r"no such column: quality"):
        keys(version, near={"score": "quality", "threshold": 1, "width": 1})
    with pytest.raises(MissingInput):
        keys(version, judges={"file": str(tmp_path / "none.jsonl")})
    with pytest.raises(UsageFault, match=r"bad\.jsonl:1: no verdict"):
        keys(version, judges={"file": write_gold(tmp_path / "bad.jsonl", [{"source": "a", "judge": "x"}])})
    with pytest.raises(ValueError, match="two columns or more"):
        SelectSettings.model_validate({"judges": {"columns": ["meta.judge_a"]}})
    with pytest.raises(ValueError, match='kind "labels" needs 2 labels'):
        AnnotateSettings(kind="labels", labels=("one",))
    with pytest.raises(ValueError, match='judged = "dialogue" is for ratings and labels'):
        AnnotateSettings(kind="preference", judged="dialogue")


@given(st.lists(st.one_of(st.none(), st.floats(-9, 9), st.sampled_from(["first", "second", "3"])), max_size=6))
def test_verdicts_differ_as_a_slow_oracle_says(verdicts: list[object]) -> None:
    said = [verdict for verdict in verdicts if verdict is not None]
    numbers = [float(v) for v in said if not isinstance(v, str) or v == "3"]  # type: ignore[arg-type]
    if len(numbers) == len(said):
        expected = any(abs(a - b) > 1.5 for a, b in itertools.combinations(numbers, 2))
    else:
        expected = any(type(a) is not type(b) or a != b for a, b in itertools.combinations(said, 2))
    assert differ(verdicts, 1.5) == expected


@given(ITEMS, st.integers(0, 9), st.randoms())
def test_sides_are_balanced_and_the_same_whatever_the_order(items: list[str], seed: int, chance: object) -> None:
    drawn = dict(zip(items, orders(items, 2, seed), strict=True))
    assert set(map(tuple, drawn.values())) <= {(0, 1), (1, 0)}
    assert abs(sum(order == [1, 0] for order in drawn.values()) - len(items) / 2) <= 0.5
    shuffled = list(items)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dict(zip(shuffled, orders(shuffled, 2, seed), strict=True)) == drawn


@given(ITEMS, st.sampled_from([1, 3, 5]), st.integers(0, 9))
def test_orders_of_more_answers_are_permutations(items: list[str], answers: int, seed: int) -> None:
    for order in orders(items, answers, seed):
        assert sorted(order) == list(range(answers))
        assert sorted(swapped(order)) == sorted(order) and (answers == 1 or swapped(order) != order)


def test_three_answers_stand_in_every_order_about_as_often() -> None:
    drawn = Counter(map(tuple, orders([f"{n}" for n in range(6000)], 3, 1)))
    assert len(drawn) == 6
    assert all(850 < count < 1150 for count in drawn.values())  # 5 standard deviations of a fair draw


def test_half_of_the_pairs_is_swapped_and_which_one_nobody_can_tell() -> None:
    items = [item_id("one", 1, "ask", "rows.jsonl", line) for line in range(1, 401)]
    swaps = [order == [1, 0] for order in orders(items, 2, 1)]
    assert sum(swaps) == 200
    runs = 1 + sum(a != b for a, b in itertools.pairwise(swaps))
    assert 150 < runs < 250  # of a random sequence 201, standard deviation 10
    by_id = [swap for _, swap in sorted(zip(items, swaps, strict=True))]
    assert 150 < 1 + sum(a != b for a, b in itertools.pairwise(by_id)) < 250, "ids tell nothing of sides"


@settings(max_examples=60)
@given(st.integers(1, 80), st.integers(0, 10), st.integers(0, 9), st.data())
def test_repeats_lie_far_from_what_they_repeat(asks: int, hidden: int, seed: int, data: st.DataObject) -> None:
    items = [f"ask{n}" for n in range(asks)]
    gold = [f"gold{n}" for n in range(hidden)]
    again = data.draw(st.lists(st.sampled_from(items), unique=True))
    line = arrange(items, gold, [(f"again {item}", item) for item in again], seed)
    assert sorted(line) == sorted([*items, *gold, *(f"again {item}" for item in again)])
    for item in again:
        assert abs(line.index(item) - line.index(f"again {item}")) >= (asks + hidden) // 2


def test_hidden_items_and_repeats_lie_anywhere() -> None:
    items, gold = [f"ask{n}" for n in range(200)], [f"gold{n}" for n in range(40)]
    lines = [arrange(items, gold, [(f"r{n}", f"ask{n}") for n in range(40)], seed) for seed in range(30)]
    places = [line.index(f"gold{n}") / len(line) for line in lines for n in range(40)]
    assert 0.45 < sum(places) / len(places) < 0.55
    earlier = [line.index(f"r{n}") < line.index(f"ask{n}") for line in lines for n in range(40)]
    assert 0.4 < sum(earlier) / len(earlier) < 0.6


def test_gold_is_named_by_row_or_brings_its_own_record(tmp_path: Path) -> None:
    questions = questions_of(AnnotateSettings(), "zh")
    own = {"prompt": "多少钱？", "chosen": "一千元。", "rejected": "不知道。", "expected": "first"}
    path = write_gold(tmp_path / "gold.jsonl", [{"source": "a.jsonl", "line": 3, "expected": "both_bad"}, own])
    named, brought = read_gold(Path(path), "gold.jsonl", questions)
    assert (named.key, named.expected, named.record) == (("a.jsonl", 3), '"both_bad"', None)
    assert (brought.key, brought.kind) == (("gold.jsonl", 2), "preference")
    assert brought.record is not None and brought.record["chosen"][0]["content"] == "一千元。"


@pytest.mark.parametrize(
    ("settings", "row", "said"),
    [
        ({}, {"source": "a", "line": 1, "expected": "A"}, "'A' is no value of the question preference"),
        ({}, {"source": "a", "line": 1}, 'no "expected" value'),
        ({}, {"nothing": 1, "expected": "tie"}, "columns that fit no format"),
        ({"kind": "rating"}, {"source": "a", "line": 1, "expected": 6}, "6 is no value"),
        ({"kind": "rating", "aspects": ("a", "b")}, {"source": "a", "line": 1, "expected": 4}, "of each of: a, b"),
        ({"kind": "labels", "labels": ("x", "y")}, {"source": "a", "line": 1, "expected": "z"}, "'z' is no value"),
        ({"kind": "ranking"}, {"source": "a", "line": 1, "expected": [1, 2]}, "no value of the question ranking"),
    ],
)
def test_bad_gold_is_named(tmp_path: Path, settings: dict[str, object], row: dict[str, object], said: str) -> None:
    questions = questions_of(AnnotateSettings.model_validate(settings), "zh")
    path = write_gold(tmp_path / "gold.jsonl", [row])
    with pytest.raises(InputError) as caught:
        read_gold(Path(path), "gold.jsonl", questions)
    assert said in str(caught.value) and "gold.jsonl:1" in str(caught.value)


def test_a_row_is_gold_once(tmp_path: Path) -> None:
    row = {"source": "a", "line": 1, "expected": "tie"}
    path = write_gold(tmp_path / "gold.jsonl", [row, row])
    with pytest.raises(InputError, match="named twice"):
        read_gold(Path(path), "gold.jsonl", questions_of(AnnotateSettings(), "en"))
    assert orjson.loads(Path(path).read_bytes().splitlines()[0]) == row
