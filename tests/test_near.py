"""Near duplicates: the search and the decision against all pairs, in exact Jaccard similarity."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datakit.cleaning import near
from datakit.kernels import bands, jaccard
from datakit.kernels.buffers import to_buffer
from datakit.kernels.minhash import EMPTY_KEY, shingles, sign_bands
from datakit.kernels.variants import blank, blank_hash
from datakit.recipe.near import NearSettings

SETTINGS = NearSettings()


def find(texts, rank=None, keys=None, apart=None, eligible=None, batch=None, **values):
    """The result for texts whose order is their rank, unless one is given."""
    series = pl.Series(texts, dtype=pl.String)
    size = batch or max(1, len(texts))
    if keys is None:
        keys = np.concatenate([sign_bands(series.slice(at, size)) for at in range(0, max(1, len(texts)), size)])
    chosen = NearSettings(**values)
    ranks = np.arange(len(texts)) if rank is None else np.asarray(rank)
    columns = list(np.ascontiguousarray(keys.T))
    blanks = blank_hash(series, chosen.keep_apart)

    def fetch(rows):
        assert len(rows) <= jaccard.FETCH_ROWS
        assert (np.diff(rows) > 0).all()
        return to_buffer(series.gather(rows))

    return near.find_near_duplicates(columns, blanks, ranks, fetch, chosen, apart=apart, eligible=eligible)


def fetch_from(texts):
    """What gives the texts of the asked rows."""
    series = pl.Series(texts, dtype=pl.String)
    return lambda rows: to_buffer(series.gather(rows))


def kept_texts(texts, **values):
    dropped = find(texts, **values).decisions.dropped
    return [text for text, gone in zip(texts, dropped, strict=True) if not gone]


def similarity(left, right):
    one, other = set(shingles(left)), set(shingles(right))
    return len(one & other) / max(1, len(one | other))


def all_pairs(texts, floor):
    """Every pair of rows at or above the floor, by an inverted index over shingles."""
    sets = [set(shingles(text)) for text in texts]
    holders = defaultdict(list)
    for row, shingle_set in enumerate(sets):
        for shingle in shingle_set:
            holders[shingle].append(row)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for rows in holders.values():
        for pair in combinations(rows, 2):
            shared[pair] += 1
    found = {}
    for (a, b), common in shared.items():
        value = common / (len(sets[a]) + len(sets[b]) - common)
        if value >= floor:
            found[a, b] = value
    return found


def are_variants(left, right, keep_apart=()):
    one, other = blank(left, keep_apart), blank(right, keep_apart)
    return one[0] == other[0] and one[1] != other[1]


def planted(language, count, seed=1):
    """Texts with near duplicates of all degrees: scattered edits and replaced blocks, clusters of 2 to 6."""
    rng = random.Random(seed)
    if language == "en":
        stock = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 8))) for _ in range(3000)]
        glue = " "
    else:
        stock = [chr(code) for code in rng.sample(range(0x4E00, 0x9FA5), 2500)]
        glue = ""
    texts = []
    while len(texts) < count:
        base = rng.choices(stock, k=rng.randint(30, 150))
        texts.append(glue.join(base))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
            edited = list(base)
            if rng.random() < 0.5:
                for _ in range(rng.randint(1, max(1, len(base) // 30))):
                    edited[rng.randrange(len(base))] = rng.choice(stock)
            else:
                size = rng.randint(1, max(1, len(base) // 5))
                at = rng.randrange(len(base) - size)
                edited[at : at + size] = rng.choices(stock, k=rng.randint(0, size))
            texts.append(glue.join(edited))
    rng.shuffle(texts)
    return texts[:count]


def check_sound(texts, result, rank=None, threshold=0.8):
    """No removal below the threshold, each with a better kept twin; every number as it is by definition."""
    ranks = np.arange(len(texts)) if rank is None else np.asarray(rank)
    dropped, twin, values = result.decisions
    for row in np.flatnonzero(dropped):
        assert not dropped[twin[row]]
        assert ranks[twin[row]] < ranks[row]
        assert values[row] == similarity(texts[row], texts[twin[row]]) >= threshold
        assert not are_variants(texts[row], texts[twin[row]])
    assert (twin[~dropped] == -1).all()
    assert np.isnan(values[~dropped]).all()
    for (a, b), value in zip(result.pairs, result.similarities, strict=True):
        assert ranks[a] < ranks[b]
        assert value == similarity(texts[a], texts[b]) >= SETTINGS.record_from


@pytest.mark.parametrize("language", ["en", "zh"])
def test_recall_and_soundness_against_all_pairs(language):
    check_recall(planted(language, 2500), language)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_recall_on_twenty_thousand_rows(language):
    check_recall(planted(language, 20_000, seed=7), language)


def check_recall(texts, language):
    result = find(texts)
    check_sound(texts, result)
    truth = {
        pair: value for pair, value in all_pairs(texts, 0.8).items() if not are_variants(*(texts[i] for i in pair))
    }
    assert len(truth) > len(texts) / 10
    dropped = result.decisions.dropped
    missed = sum(not dropped[a] and not dropped[b] for a, b in truth)
    assert missed / len(truth) <= 0.005, language
    recorded = {tuple(sorted(pair)) for pair in result.pairs.tolist()}
    assert len(recorded & truth.keys()) / len(truth) >= 0.995


def greedy_by_definition(texts, keys, threshold=0.8):
    """The rows dropped, by the definition: over all pairs that share a band key and are no variants."""
    kept = []
    for row, text in enumerate(texts):
        for other in kept:
            shared = (keys[row] == keys[other]) & (keys[row] != EMPTY_KEY)
            if shared.any() and similarity(text, texts[other]) >= threshold and not are_variants(text, texts[other]):
                break
        else:
            kept.append(row)
    return np.isin(np.arange(len(texts)), kept, invert=True)


def chained(rng, count):
    """Texts that drift apart step by step, with numbers in some, so that chains and variants abound."""
    texts = []
    words = [f"w{chr(97 + i)}" for i in range(12)]
    current = rng.choices(words, k=24)
    for _ in range(count):
        if rng.random() < 0.1 or not texts:
            current = rng.choices(words, k=rng.randint(12, 30))
        else:
            current[rng.randrange(len(current))] = rng.choice([*words, "7", "8 9", "10"])
        texts.append(" ".join(current))
    rng.shuffle(texts)
    return texts


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32), st.integers(1, 90), st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 7, 1 << 20])
)
def test_search_finds_the_greedy_set_of_all_candidates(seed, count, columns, values, block):
    # Few keys make buckets of any size, so windows, rounds and rows whose twin is dropped later all occur.
    rng = random.Random(seed)
    texts = chained(rng, count)
    keys = np.array([[rng.randrange(values) for _ in range(columns)] for _ in texts], dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "BLOCK", block)
        patch.setattr(bands, "SMALL", rng.choice([1, 4, 16]))
        result = find(texts, keys=keys)
    assert result.counts.skipped == 0
    assert result.decisions.dropped.tolist() == greedy_by_definition(texts, keys).tolist()
    check_sound(texts, result)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 150), st.integers(1, 40))
def test_result_does_not_depend_on_order_or_batches(seed, count, batch):
    rng = random.Random(seed)
    texts = chained(rng, count)
    first = find(texts)
    order = list(range(count))
    rng.shuffle(order)
    second = find([texts[row] for row in order], rank=order, batch=batch)
    assert second.decisions.dropped.tolist() == first.decisions.dropped[order].tolist()
    twins = [order[twin] if twin >= 0 else -1 for twin in second.decisions.twin]
    assert twins == first.decisions.twin[order].tolist()
    assert np.array_equal(second.decisions.similarity, first.decisions.similarity[order], equal_nan=True)
    assert [[order[a], order[b]] for a, b in second.pairs] == first.pairs.tolist()
    assert second.counts == first.counts


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 150))
def test_running_again_over_the_kept_rows_drops_nothing(seed, count):
    texts = chained(random.Random(seed), count)
    once = kept_texts(texts)
    assert kept_texts(once) == once


def test_no_chains():
    # a ~ b ~ c, but a and c are below the threshold: b goes, c stays.
    words = [f"w{i:02}x" for i in range(60)]
    middle = [*words[:-4], "p", "q", "r", "s"]
    last = ["t", "u", "v", "w", *middle[4:]]
    texts = [" ".join(text).replace("0", "o") for text in (words, middle, last)]
    assert similarity(texts[0], texts[1]) >= 0.8 <= similarity(texts[1], texts[2])
    assert similarity(texts[0], texts[2]) < 0.8
    keys = np.zeros((3, 1), dtype=np.uint64)
    assert find(texts, keys=keys).decisions.dropped.tolist() == [False, True, False]


def test_best_rank_is_kept_and_named():
    text = " ".join(f"w{chr(97 + i)}" for i in range(26))
    result = find([text + " one", text, text + " two"], rank=[2, 5, 0])
    assert result.decisions.dropped.tolist() == [True, True, False]
    assert result.decisions.twin.tolist() == [2, 2, -1]


def test_twin_is_the_most_similar_kept_row():
    pairs = np.array([[0, 2], [1, 2], [0, 3], [1, 3], [2, 4]])
    values = np.array([0.8, 0.9, 0.85, 0.85, 0.99])
    decisions = near.decide(pairs, values, np.arange(5))
    assert decisions.dropped.tolist() == [False, False, True, True, False]
    assert decisions.twin.tolist() == [-1, -1, 1, 0, -1]
    assert decisions.similarity[[2, 3]].tolist() == [0.9, 0.85]


TEN_REPLIES = ["好的", "谢谢", "多少钱", "可以", "再见", "Yes, sure", "The answer is 42", "No", "OK!", "Thank you"]
FOUR_SENTENCES = [
    "我们的企业版支持五十人同时在线协作，数据保存在国内机房。",
    "您可以先申请十四天的免费试用，期间所有功能都会开放。",
    "专业版按年付费可以享受八折优惠，另外赠送一次上门培训。",
    "如果贵公司有私有化部署的需求，我们会安排工程师与您对接。",
]


@pytest.mark.parametrize(
    "texts",
    [
        TEN_REPLIES,
        FOUR_SENTENCES,
        ["报价 128 元", "报价 256 元"],
        ["3x+5=20", "7x+9=88"],
        ["1+1=2", "3*7=21"],
        ["报价 12,800 元", "报价 9800 元", "报价 12.8 元", "报价 一万二 元"],
        ["版本于 2024-03-18 发布", "版本于 2024-03-19 发布"],
        ["气温 -5 度", "气温 5 度"],
        ["x² + y", "x³ + y"],
        ["？？？", "！！！", "...", "😀", "😀😀"],
        ["", "", " ", "\n"],
    ],
)
def test_what_peers_merge_stays_apart(texts):
    assert kept_texts(texts) == texts


def test_long_variants_stay_apart_and_their_copies_do_not():
    body = "尊敬的客户您好，您购买的企业版软件报价为 {} 元，有效期至月底，如有疑问请联系我们的客服人员，谢谢您的支持。"
    texts = [body.format(price) for price in ("12,800", "12.8", "9800", "三百", "９８００")]
    texts.append(texts[0] + "！！！")
    result = find(texts)
    assert result.decisions.dropped.tolist() == [False, False, False, False, True, True]
    assert result.decisions.twin.tolist() == [-1, -1, -1, -1, 2, 0]
    assert result.counts.variants == 6
    assert result.counts.candidates == 2


def test_terms_to_keep_apart_make_variants():
    body = "您好，我们的{}支持多人协作与权限管理，数据安全可靠，欢迎您联系客服人员申请免费试用，期待与您的合作，"
    body += "祝您工作顺利。"
    texts = [body.format(name) for name in ("基础版", "专业版", "旗舰版", "ＰＲＯ版", "lite版")]
    assert len(kept_texts(texts)) < 5
    keep_apart = ("基础版", "专业版", "旗舰版", "pro版", "Lite版")
    assert kept_texts(texts, keep_apart=keep_apart) == texts
    assert kept_texts([*texts, texts[0] + "。"], keep_apart=keep_apart) == texts


@pytest.mark.parametrize(
    ("text", "words", "values"),
    [
        ("12,800 元", ["#", "元"], ["12,800"]),
        ("v2 and 3x", ["v#", "and", "#x"], ["2", "3"]),
        ("2024-03-18 10:30", ["#", "#"], ["2024-03-18", "10:30"]),
        ("a -5 b-5", ["a", "#", "b", "#"], ["-5", "5"]),
        ("约三百二十个", ["约", "#", "个"], ["三百二十"]),
        ("１２．５万", ["#"], ["12.5万"]),
        ("x²", ["x#"], ["2"]),
        ("1, 2. 3", ["#", "#", "#"], ["1", "2", "3"]),
        ("无", ["无"], []),
    ],
)
def test_values_are_blanked(text, words, values):
    assert blank(text) == (words, values)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from(list("ab 5-.,３三元²−专业版é\u0301Σ_/:")), max_size=9), min_size=2, max_size=60),
    st.sampled_from([(), ("专业版", "é", "aB")]),
)
def test_blank_hashes_are_equal_exactly_where_the_blanked_texts_are(texts, keep_apart):
    hashes = blank_hash(pl.Series(texts), keep_apart)
    wanted = [blank(text, keep_apart) for text in texts]
    for column in (0, 1):
        parts = [tuple(found[column]) for found in wanted]
        assert len(set(parts)) == len(set(hashes[:, column].tolist()))
        assert len(set(parts)) == len(set(zip(parts, hashes[:, column].tolist(), strict=True)))


def test_a_guard_keeps_rows_apart():
    body = " ".join(f"w{chr(97 + i)}" for i in range(26))
    texts = [body + tail for tail in ("", " one", " two", " three")]
    result = find(texts, apart=lambda pairs: (pairs == 3).any(axis=1))
    assert result.decisions.dropped.tolist() == [False, True, True, False]
    assert result.counts.apart == 3
    assert len(result.pairs) == 6


def test_rows_that_take_no_part_are_neither_dropped_nor_twins():
    body = " ".join(f"w{chr(97 + i)}" for i in range(26))
    texts = [body, body + " one", body + " two"]
    result = find(texts, eligible=np.array([False, True, True]))
    assert result.decisions.dropped.tolist() == [False, False, True]
    assert result.decisions.twin.tolist() == [-1, -1, 1]


def test_empty_input():
    result = find([])
    assert result.decisions.dropped.size == 0
    assert result.pairs.shape == (0, 2)
    assert find([], keys=np.zeros((0, 20), dtype=np.uint64)).counts.candidates == 0


def test_verification_in_blocks_is_the_same_as_in_memory():
    texts = planted("en", 400)
    texts[7] = "ﬁne ligature " + texts[7]  # a text that Python folds
    texts[8] = ""
    rng = np.random.default_rng(4)
    pairs = np.sort(rng.integers(0, 400, (3000, 2)), axis=1)
    whole = jaccard.Verifier(fetch_from(texts), 0.0, 512).similarities(pairs)
    for room in (0.001, 0.05, 0.5):
        assert np.array_equal(jaccard.Verifier(fetch_from(texts), 0.0, room).similarities(pairs), whole)
        assert np.array_equal(jaccard.Verifier(fetch_from(texts), 0.0, room, threads=2).similarities(pairs), whole)
    floored = jaccard.Verifier(fetch_from(texts), 0.6, 0.05).similarities(pairs)
    assert np.array_equal(floored, np.where(whole >= 0.6, whole, jaccard.BELOW))
    assert whole.tolist() == [similarity(texts[a], texts[b]) for a, b in pairs]


def test_rows_longer_than_the_memory_bound_are_still_compared():
    text = " ".join(f"w{i}" for i in range(200_000))
    assert jaccard.Verifier(fetch_from([text, text + " end"]), 0.6, 1).similarities(np.array([[0, 1]]))[0] > 0.99


def test_a_hundred_thousand_variants_list_no_pair():
    rng = random.Random(1)
    body = "尊敬的客户您好，您购买的企业版软件报价为 {} 元，有效期至 {} 号，如有疑问请联系我们的客服人员谢谢。"
    result = find([body.format(rng.randrange(10**6), row) for row in range(100_000)])
    assert result.counts.candidates == 0
    assert not result.decisions.dropped.any()


def test_a_hundred_thousand_rows_of_one_template_collapse_by_few_comparisons():
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghij", k=5)) for _ in range(3000)]
    tail = " ".join(f"x{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(80))
    texts = [f"dear {rng.choice(words)} {rng.choice(words)} {tail}" for _ in range(100_000)]
    result = find(texts)
    assert result.decisions.dropped.sum() == len(texts) - 1
    assert result.counts.candidates < 20 * len(texts)


def test_an_exhausted_budget_is_told_and_the_most_similar_pairs_are_found(monkeypatch):
    monkeypatch.setattr(near, "LEAST_PAIRS", 20_000)
    monkeypatch.setattr(near, "BLOCK", 4_000)
    monkeypatch.setattr(near, "PAIRS_A_ROW", 1)
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghij", k=5)) for _ in range(3000)]
    tail = " ".join(f"x{chr(97 + i)}" for i in range(26))
    # Just below the threshold to each other: nothing may go but the planted copies.
    texts = [f"{rng.choice(words)} {rng.choice(words)} {tail} {rng.choice(words)}" for _ in range(2000)]
    copies = [text + " end" for text in texts[:100]]
    result = find([*texts, *copies])
    check_sound([*texts, *copies], result)
    assert result.counts.skipped > 0
    assert result.counts.verified < 60_000
    assert result.decisions.dropped[2000:].sum() >= 98


def test_s_curve():
    curve = dict(near.s_curve(20, 6, [0.0, 0.5, 0.8, 1.0]))
    assert curve[0.0] == 0
    assert curve[1.0] == 1
    assert curve[0.5] == pytest.approx(0.27, abs=0.01)
    assert curve[0.8] == pytest.approx(0.9977, abs=0.0001)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bands": 20, "rows": 7}, "bands x rows is 20 x 7 = 140; a signature has 128 values"),
        ({"threshold": 0.5, "record_from": 0.6}, "record_from is 0.6, above the threshold 0.5"),
        ({"threshold": 0}, "greater than 0"),
        ({"threshold": 1.1}, "less than or equal to 1"),
        ({"keep_apart": ("a", " ")}, "a term to keep apart is empty"),
        ({"permutations": 256}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        NearSettings(**values)


GUIDE = Path(__file__).parent.parent / "docs" / "dedup.md"


def test_the_guide_shows_the_computed_s_curve():
    rows = re.findall(r"^\| (\d+) × (\d+)[^|]*\|(.*)\|$", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 4
    points = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95]
    for count, width, cells in rows:
        curve = near.s_curve(int(count), int(width), points)
        assert [cell.strip() for cell in cells.split("|")] == [f"{value:.4f}" for _, value in curve]


def test_the_code_in_the_guide_runs():
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert code
    for block in code:
        exec(compile(block, str(GUIDE), "exec"), {})
