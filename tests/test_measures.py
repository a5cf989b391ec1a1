"""Measures on texts and numbers, each against a count by hand; no model is needed."""

from __future__ import annotations

import math
import random
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datakit.errors import InputError, MissingInput, NoRows
from train.holdout import held_out
from train.measures.checks import is_well_formed, kept, read_checks
from train.measures.distance import divergence, pair_distance
from train.measures.diversity import distinct, distinct_ratio, repeated
from train.measures.judges import RewardJudge, RuleJudge, count_wins
from train.measures.prompts import Prompt, read_prompts
from train.measures.questions import Question, questions_from_terms, read_questions
from train.measures.rewards import length_bias, reward_accuracy
from train.measures.words import terms, units

SALES = ["标准版支持五百个用户同时在线", "合同续费涨幅不超过百分之五", "The warehouse module tracks every batch"]
GENERAL = ["今天天气很好我们去公园散步", "他昨天读完了一本关于历史的书", "She cooked dinner for her family last night"]
CALL = '<tool_call>\n{"name": "quote", "arguments": {"users": 5}}\n</tool_call>'


def ask(text: str = "价格？", answer: str | None = None, **checks: object) -> Prompt:
    return Prompt("x:1", [{"role": "user", "content": text}], None, answer, checks)


# Words.


def test_units_are_chinese_characters_and_words() -> None:
    assert units("用 ERP 系统，v2！") == ["用", "erp", "系", "统", "v2"]
    assert units("，。!? ") == []


def test_terms_are_neighbouring_characters_and_words() -> None:
    assert terms("用ERP系统吗") == ["用", "erp", "系统", "统吗"]
    assert terms("it's 续") == ["it", "s", "续"]


# Variety.


def test_distinct_counts_different_n_grams_over_all() -> None:
    assert distinct(["好的好的好的"]) == 2 / 5  # 好的 的好 好的 的好 好的
    assert distinct(["a b", "a b", "b c"]) == 2 / 3
    assert distinct(["好", ""]) is None


def test_the_ratio_compares_as_many_n_grams_of_each() -> None:
    baseline = ["a b c d e"]
    assert distinct_ratio(["a a a a a"], baseline) == 1 / 4
    assert distinct_ratio(["v w x y z v w x y z"], baseline) == 1.0  # its repetition lies beyond the baseline's size
    assert distinct_ratio([""], baseline) == 0.0  # a model that says nothing has lost all variety
    assert distinct_ratio(["a b"], [""]) is None


def test_repetition_is_counted_within_each_text() -> None:
    assert repeated(["我们很好我们很好", "a b c d"], 4) == pytest.approx((1 / 5 + 0) / 2)
    assert repeated(["短"], 4) is None


@given(st.lists(st.text(alphabet="的好ab ", max_size=20), max_size=5))
def test_shares_stay_shares(texts: list[str]) -> None:
    for value in (distinct(texts), repeated(texts), distinct_ratio(texts, texts)):
        assert value is None or 0 <= value <= 1


# Distances.


def drawn(source: list[str], count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [chance.choice(source) for _ in range(count)]


@pytest.mark.parametrize("source", [SALES, GENERAL])
@pytest.mark.parametrize("count", [120, 800])
def test_two_samples_of_one_source_are_not_apart(source: list[str], count: int) -> None:
    found = divergence(drawn(source, count, 1), drawn(source, count, 2))
    assert found is not None and found < 0.02


def test_two_languages_of_a_trade_are_apart() -> None:
    found = divergence(drawn(SALES, 120, 1), drawn(GENERAL, 120, 2))
    assert found is not None and found > 0.9


def test_a_mixture_lies_between() -> None:
    half = divergence(drawn(SALES + GENERAL, 200, 1), drawn(GENERAL, 200, 2))
    whole = divergence(drawn(SALES, 200, 1), drawn(GENERAL, 200, 2))
    assert half is not None and whole is not None and 0.1 < half < whole - 0.1


def test_small_samples_of_many_words_are_not_taken_for_other_words() -> None:
    """A thousand words of two thousand: the plain divergence of two such samples is above a half."""
    chance = random.Random(3)
    words = [f"w{number}" for number in range(2_000)]
    one, other = ([" ".join(chance.choices(words, k=10)) for _ in range(100)] for _ in range(2))
    found = divergence(one, other)
    assert found is not None and found < 0.15


def test_too_little_text_has_no_distance() -> None:
    assert divergence(SALES, GENERAL) is None
    assert divergence([], drawn(GENERAL, 120, 1)) is None


def test_pairs_are_as_far_apart_as_their_median() -> None:
    assert pair_distance([("abcd", "abcd"), ("abcd", "wxyz"), ("abcd", "abce")]) == pytest.approx(1 - 1 / 3)
    assert pair_distance([("好", "好")]) == 0.0
    assert pair_distance([("", "")]) == 0.0
    assert pair_distance([]) is None


# Checks.


@pytest.mark.parametrize(
    ("answer", "check", "holds"),
    [
        ("可以试用三十天", {"include": ["试用"]}, True),
        ("可以", {"include": ["试用"]}, False),
        ("我们最好", {"exclude": ["最好"]}, False),
        ("合计 300 元", {"matches": r"\d+ 元$"}, True),
        ('{"price": 3}', {"json": True}, True),
        ("{price: 3}", {"json": True}, False),
        ("plain words", {"json": False}, True),
        ("标准版支持 ERP 系统", {"language": "zh"}, True),
        ("标准版支持", {"language": "en"}, False),
        ("It runs on 标准版 too", {"language": "en"}, True),
        ("", {"language": "en"}, False),
        ("短", {"min_characters": 2}, False),
        ("短", {"max_characters": 1}, True),
    ],
)
def test_each_check_decides(answer: str, check: dict[str, object], holds: bool) -> None:
    assert kept(answer, read_checks(orjson.dumps(check).decode(), "x:1")) == float(holds)


def test_a_share_of_the_checks_is_kept() -> None:
    assert kept("可以试用", {"include": ["试用"], "min_characters": 9}) == 0.5
    assert kept("anything", {}) == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"includes": []}', "Did you mean 'include'"),
        ('{"json": "yes"}', "a bool"),
        ('{"matches": "("}', "no regular expression"),
        ('{"language": "fr"}', "zh or en"),
        ("[1]", "an object"),
    ],
)
def test_a_check_that_is_none_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=r"x:1.*") as raised:
        read_checks(text, "x:1")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "ended", "checks", "well"),
    [
        ("好的。", True, {}, True),
        ("好的。", False, {}, False),
        (" \n", True, {}, False),
        (CALL, True, {}, True),
        (CALL.replace("5}", "5"), True, {}, False),
        ('<tool_call>{"name": "quote"}</tool_call>', True, {}, False),
        ("好的。", True, {"json": True}, False),
        ("好的。", True, {"include": ["试用"]}, True),  # what it says is no question of format
    ],
)
def test_form(answer: str, ended: bool, checks: dict[str, object], well: bool) -> None:
    assert is_well_formed(answer, ended, checks) is well


# Questions.


def written(folder: Path, *rows: object) -> str:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    return str(path)


def test_questions_of_both_forms_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"question": "一周有几天？", "options": ["五天", "七天"], "answer": "七天"},
        {"text": "It takes ____ weeks.", "options": ["three", "ninety"], "answer": "three"},
    )
    assert read_questions([path]) == [
        Question("一周有几天？\n", ("五天", "七天"), "", 1),
        Question("It takes ", ("three", "ninety"), " weeks.", 0),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"{", "no JSON"),
        ({"question": "q", "text": "____", "options": ["a", "b"], "answer": "a"}, "neither or both"),
        ({"text": "no blank", "options": ["a", "b"], "answer": "a"}, "no blank"),
        ({"text": "____ and ____", "options": ["a", "b"], "answer": "a"}, "or several"),
        ({"question": "q", "options": ["a"], "answer": "a"}, "at least two"),
        ({"question": "q", "options": ["a", "a"], "answer": "a"}, "different"),
        ({"question": "q", "options": ["a", "b"], "answer": "c"}, "one of 'options'"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, row: object, words: str) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl:1") as raised:
        read_questions([written(tmp_path, row)])
    assert words in str(raised.value)


def test_files_without_questions_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no such file"):
        read_questions([tmp_path / "none.jsonl"])
    with pytest.raises(NoRows, match="holds no question"):
        read_questions([written(tmp_path)])


def test_texts_with_a_term_become_questions() -> None:
    texts = ["续费时标准版最高涨百分之五。\nNothing here.", "The standard edition comes with 标准版 papers."]
    asked = questions_from_terms(texts, ["标准版", "企业版", "旗舰版", "standard edition", "版"], seed=1)
    assert [one.options[one.answer] for one in asked] == ["标准版", "standard edition"]
    for one in asked:
        assert 2 <= len(one.options) <= 4 and len(set(one.options)) == len(one.options)
    assert (asked[0].before, asked[0].after) == ("续费时", "最高涨百分之五。")
    assert "标准版" not in asked[1].options  # it stands in the sentence already: no wrong option
    assert asked == questions_from_terms(texts, ["standard edition", "版", "旗舰版", "企业版", "标准版"], seed=1)
    assert questions_from_terms(texts, ["标准版"]) == []


def test_prompts_are_read_with_their_checks(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "价格？", "answer": "一千元", "checks": {"include": ["元"]}}, {"prompt": "Hi"})
    first, second = read_prompts([path])
    assert (first.messages, first.answer, first.checks) == (
        [{"role": "user", "content": "价格？"}],
        "一千元",
        {"include": ["元"]},
    )
    assert (second.messages[0]["content"], second.answer, second.checks) == ("Hi", None, {})


def test_a_prompt_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl:2"):
        read_prompts([written(tmp_path, {"prompt": "Hi"}, {"prompt": " "})])


# Judges.


def test_the_rule_judge_goes_by_its_rules_in_order() -> None:
    judge = RuleJudge(["六折", "(?i)guarantee"])
    prompts = [ask(answer="一年一万两千元", include=["元"])] * 6
    pairs = [
        ("今天六折，一万两千元", "不知道"),  # prohibited, though nearer
        ("We guarantee it 元", "元"),
        ("一千元", "不知道"),  # the check
        ("一年一万两千元", "三元"),  # nearer to the reference
        ("三元", "四元"),
        ("元", "元"),
    ]
    said = judge.compare(prompts, *map(list, zip(*pairs, strict=True)))
    assert said == ["second", "second", "first", "first", "tie", "tie"]
    assert judge.can_judge([ask()]) and not RuleJudge([]).can_judge([ask()])
    assert RuleJudge([]).can_judge([ask(answer="x")])


def test_a_judge_that_goes_by_place_has_only_ties() -> None:
    class First:
        def compare(self, prompts, firsts, seconds):  # type: ignore[no-untyped-def]
            return ["first"] * len(prompts)

    wins = count_wins(First(), [ask()] * 4, ["a"] * 4, ["b"] * 4)
    assert (wins.won, wins.tied, wins.lost, wins.turned, wins.rate) == (0, 4, 0, 4, 0.5)


def test_wins_and_ties_make_the_rate() -> None:
    judge = RewardJudge(lambda prompts, answers: [float(len(text)) for text in answers])
    wins = count_wins(judge, [ask()] * 4, ["aaa", "aaa", "a", "bb"], ["a", "b", "bbb", "aa"])
    assert (wins.won, wins.tied, wins.lost, wins.turned) == (2, 1, 1, 0)
    assert wins.rate == 2.5 / 4
    assert count_wins(judge, [], [], []).rate is None


def test_scores_that_are_no_numbers_win_nothing() -> None:
    judge = RewardJudge(lambda prompts, answers: [math.nan for _ in answers])
    assert count_wins(judge, [ask()], ["a"], ["b"]).rate == 0.5


# Rewards.


def test_reward_accuracy_counts_equal_scores_as_wrong() -> None:
    assert reward_accuracy([2, 1, 0, math.nan], [1, 1, 3, 0]) == 1 / 4
    assert reward_accuracy([], []) is None


def test_length_bias_is_the_rank_correlation_with_length() -> None:
    lengths = [5, 9, 2, 30]
    assert length_bias([0.1, 0.5, 0.0, 99.0], lengths) == 1.0
    assert length_bias([-0.1, -0.5, 0.0, -99.0], lengths) == 1.0
    assert length_bias([1.0, 1.0, 1.0, 1.0], lengths) is None
    assert math.isnan(length_bias([1.0, math.nan, 0.0, 2.0], lengths) or 0)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 5)), min_size=3, max_size=12))
def test_length_bias_agrees_with_polars(rows: list[tuple[int, int]]) -> None:
    frame = pl.DataFrame(rows, schema=["score", "length"], orient="row")
    expected = frame.select(pl.corr("score", "length", method="spearman")).item()
    found = length_bias([float(score) for score, _ in rows], [length for _, length in rows])
    if found is None:
        assert expected is None or math.isnan(expected)
    else:
        assert found == pytest.approx(abs(expected))


# Holding out.


def test_held_out_rows_are_chosen_by_their_id_alone() -> None:
    chance = random.Random(0)
    frame = pl.DataFrame({"id": [f"{chance.getrandbits(64):016x}" for _ in range(4_000)]})
    kept_back = {share: set(frame.filter(held_out(share))["id"]) for share in (0.0, 0.1, 0.3, 1.0)}
    assert not kept_back[0.0] and len(kept_back[1.0]) == 4_000
    assert kept_back[0.1] < kept_back[0.3]
    assert 0.08 < len(kept_back[0.1]) / 4_000 < 0.12
    assert set(frame.reverse().head(100).filter(held_out(0.3))["id"]) <= kept_back[0.3]
