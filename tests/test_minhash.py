"""Units, shingles, hashes and signatures: the kernels against plain Python and against datasketch."""

from __future__ import annotations

import random

import datasketch
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.kernels import minhash
from datakit.kernels.buffers import to_buffer
from datakit.kernels.jaccard import shingle_sets

ODD_TEXTS = [
    "", " ", "\t\n\u3000", "？？？", "！！！", "...", "…", "? !", "😀", "😀😀 👩‍👩‍👧", "ok", "好的",
    "ﬁx the ﬂow of ﬃ", "ｶﾞｷﾞｸﾞ ﾊﾟ ｱｲｳ", "e\u0301te\u0301 a\u0323\u0301", "ΑΣΑΣ σς Σ",
    "İstanbul ISTANBUL ıi", "㍿ 日本 ㌔", "x² ½ ① Ⅳ ℃", "한국어 \u1112\u1161\u11ab\u1100", "a_b c__d",
    "ＡＢＣ　ｄｅｆ １２３", "नमस्ते दुनिया", "ไทยภาษา", "שָׁלוֹם עולם", "\u200bzero\u200bwidth",
    "a\x00b", "々〆〇ヶー", "\U0001f1e8\U0001f1f3", "𝒜𝓑 𝟙𝟚", "中a文b", "a中 b", "\u3042\u3099",
    "´`¨", "\ufffd", "\ue000 \U000f0000", "ǅ ǆ Ǆ ẞ ß", "K Å Ω",
]  # fmt: skip


def corpus(count: int, seed: int = 5) -> list[str]:
    """Texts English, Chinese and mixed, of 0 to 60 units, with odd characters strewn in."""
    rng = random.Random(seed)
    english = [
        "the",
        "quick",
        "Brown",
        "don't",
        "price",
        "of",
        "e-mail",
        "v2",
        "12,800",
        "naïve",
        "ﬁne",
        "A.I.",
        "it's",
        "\n",
    ]
    chinese = list("我们的产品报价为元请联系客服谢谢，。！？企业版专业版每天三百ｶﾞ﹏")
    texts = list(ODD_TEXTS)
    while len(texts) < count:
        kind = rng.choice(["en", "zh", "mixed", "odd"])
        size = rng.choice([1, 2, 3, 4, 5, 6, 8, 9, 20, 60])
        if kind == "en":
            texts.append(" ".join(rng.choices(english, k=size)))
        elif kind == "zh":
            texts.append("".join(rng.choices(chinese, k=size)))
        elif kind == "mixed":
            texts.append(rng.choice(["", " "]).join(rng.choices(english + chinese, k=size)))
        else:
            texts.append("".join(rng.choices([*ODD_TEXTS, *english, *chinese, "\u0301", "\u3099"], k=size)))
    return texts


def of_datasketch(text: str) -> np.ndarray:
    made = datasketch.MinHash(num_perm=128, seed=1, hashfunc=minhash.hashfunc)
    for shingle in minhash.shingles(text):
        made.update(shingle)
    return np.asarray(made.hashvalues)


def test_permutations_are_those_of_datasketch() -> None:
    theirs = datasketch.MinHash(num_perm=128, seed=1, scheme="affine32").permutations
    assert np.array_equal(minhash.permutations(), theirs)
    assert minhash.permutations().dtype == np.uint32


def test_signatures_are_those_of_datasketch_on_a_thousand_texts() -> None:
    texts = corpus(1000)
    ours = minhash.sign(pl.Series(texts)).values
    theirs = np.array([of_datasketch(text) for text in texts])
    differing = [texts[row] for row in np.flatnonzero((ours != theirs).any(axis=1))]
    assert differing == []
    assert ours.dtype == np.uint32
    assert ours.shape == (1000, 128)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=8))
def test_kernel_hashes_are_those_of_python_on_any_text(texts: list[str]) -> None:
    hashes, bounds = shingle_sets(to_buffer(pl.Series(texts)))
    for text, (start, stop) in zip(texts, bounds, strict=True):
        wanted = sorted({minhash.hash64(shingle) for shingle in minhash.shingles(text)})
        assert hashes[start:stop].tolist() == wanted


@pytest.mark.slow
def test_kernel_hashes_are_those_of_python_on_every_character() -> None:
    # Each character between letters, and after a base letter, so that what joins its neighbours shows.
    texts = [f"a{chr(code)}b {chr(code)} か{chr(code)}" for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    hashes, bounds = shingle_sets(to_buffer(pl.Series(texts)))
    wrong = []
    for text, (start, stop) in zip(texts, bounds, strict=True):
        if hashes[start:stop].tolist() != sorted({minhash.hash64(shingle) for shingle in minhash.shingles(text)}):
            wrong.append(text)
    assert wrong == []


def test_units_are_word_runs_and_single_han_or_kana() -> None:
    assert minhash.units("The price, 12,800元！") == ["the", "price", "12", "800", "元"]
    assert minhash.units("ＡＩ产品v2かな") == ["ai", "产", "品", "v2", "か", "な"]
    assert minhash.units("？！") == []


def test_shingles_are_five_units_and_short_texts_are_one() -> None:
    assert minhash.shingles("a b c d e f") == [b"a b c d e", b"b c d e f"]
    assert minhash.shingles("好的 OK") == ["好 的 ok".encode()]
    assert minhash.shingles("？ ？？") == [b"???"]
    assert minhash.shingles("  \n") == []


def test_hashes_of_distinct_shingles_differ() -> None:
    rng = random.Random(3)
    shingles = {f"{a} {b}".encode() for a in range(300) for b in range(300)}
    shingles |= {"".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(2)).encode() for _ in range(9999)}
    assert len({minhash.hash64(shingle) for shingle in shingles}) == len(shingles)
    counts = np.bincount(np.array([minhash.hashfunc(shingle) >> 24 for shingle in shingles]), minlength=256)
    assert counts.min() > 0.7 * counts.mean()  # spread evenly over the 32 bits


def test_band_keys_are_equal_exactly_where_the_values_are() -> None:
    texts = corpus(600)
    values = minhash.sign(pl.Series(texts)).values
    keys = minhash.sign_bands(pl.Series(texts), bands=20, rows=6)
    assert keys.shape == (600, 20)
    empty = np.array([not minhash.shingles(text) for text in texts])
    assert np.array_equal(empty, (keys == minhash.EMPTY_KEY).all(axis=1))
    assert not (keys[~empty] == minhash.EMPTY_KEY).any()
    for band in range(20):
        part = [row.tobytes() for row in values[~empty, band * 6 : band * 6 + 6]]
        theirs = keys[~empty, band].tolist()
        assert len(set(part)) == len(set(theirs)) == len(set(zip(part, theirs, strict=True)))
    assert len(np.unique(keys[~empty])) == sum(len(set(keys[~empty, band].tolist())) for band in range(20))


def test_batches_do_not_change_signatures() -> None:
    texts = pl.Series(corpus(300))
    whole = minhash.sign_bands(texts)
    parts = np.concatenate([minhash.sign_bands(texts.slice(start, 7)) for start in range(0, 300, 7)])
    assert np.array_equal(whole, parts)


def test_nulls_and_no_rows() -> None:
    assert (minhash.sign_bands(pl.Series(["a", None], dtype=pl.String))[1] == minhash.EMPTY_KEY).all()
    assert minhash.sign_bands(pl.Series([], dtype=pl.String)).shape == (0, 20)
    assert minhash.sign(pl.Series([], dtype=pl.String)).values.shape == (0, 128)


def test_signatures_estimate_the_jaccard_similarity() -> None:
    rng = random.Random(2)
    words = [f"w{rng.randrange(500)}" for _ in range(400)]
    other = [*words[:300], *(f"x{rng.randrange(500)}" for _ in range(100))]
    left, right = (set(minhash.shingles(" ".join(text))) for text in (words, other))
    values = minhash.sign(pl.Series([" ".join(words), " ".join(other)])).values
    assert abs((values[0] == values[1]).mean() - len(left & right) / len(left | right)) < 0.12


def test_datasketch_indexes_take_our_rows() -> None:
    texts = corpus(200)
    texts.append(texts[150] + " !")
    values = minhash.sign(pl.Series(texts)).values
    drawn = minhash.permutations()
    wrapped = [datasketch.MinHash(hashvalues=row, permutations=drawn, scheme="affine32", seed=1) for row in values]
    index = datasketch.MinHashLSH(threshold=0.8, num_perm=128)
    for row, made in enumerate(wrapped[:200]):
        index.insert(row, made)
    assert 150 in index.query(wrapped[200])
    theirs = datasketch.MinHash(num_perm=128, hashfunc=minhash.hashfunc)
    for shingle in minhash.shingles(texts[150]):
        theirs.update(shingle)
    assert 150 in index.query(theirs)
