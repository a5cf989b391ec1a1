import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.cleaning.language import MODEL, detect, judge
from datakit.recipe.language import Language

KNOWN = {
    "zh": [
        "好的",
        "多少钱",
        "請問這個產品多少錢？",
        "请安装 PostgreSQL Enterprise Server 12",
        "我们公司用の产品",
        "谢谢！OK 👍",
        "报价 128 元",
    ],
    "ja": ["こんにちは世界", "東京都に住んでいます。", "カタカナ"],
    "ko": ["안녕하세요", "회사 소개 부탁드립니다"],
    "en": [
        "OK, noted.",
        "Thanks!",
        "The answer is 42",
        "Send it to me by Friday please",
        "SURE, SEND ME THE QUOTE",
        "Deal.",
        "The word 你好 means hello in Chinese.",
        "See https://www.beispiel.de/strasse/und/noch/mehr/woerter for the details of our offer",
    ],
    "fr": ["Bonjour, comment allez-vous aujourd'hui ?"],
    "de": ["Guten Tag, wie geht es Ihnen heute?"],
    "es": ["¿Dónde está la biblioteca más cercana?"],
    "ru": ["Привет, как дела сегодня?"],
    "ar": ["مرحبا، كيف حالك اليوم؟"],
    "und": ["", "12345 !!!", "👍👍", "https://a.b/c", None],
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in KNOWN.items() for text in texts])
def test_known_texts(code: str, text: str | None) -> None:
    found = detect(pl.Series([text], dtype=pl.String))
    assert found["language"].to_list() == [code]
    assert 0 <= found["confidence"][0] <= 1


def test_order_and_types_hold_in_a_mixed_batch() -> None:
    texts = [text for texts in zip(*(values[:1] * 40 for values in KNOWN.values()), strict=True) for text in texts]
    found = detect(pl.Series(texts, dtype=pl.String))
    assert found["language"].to_list() == list(KNOWN) * 40
    assert found.schema == pl.Schema({"language": pl.String(), "confidence": pl.Float32()})
    assert detect(pl.Series([], dtype=pl.String)).height == 0


def test_only_a_bounded_sample_is_read() -> None:
    english = "This is a perfectly ordinary sentence about selling software to companies. " * 20
    assert detect(pl.Series([english + "你好" * 5000]))["language"].to_list() == ["en"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_any_text_has_a_language(texts: list[str]) -> None:
    found = detect(pl.Series(texts, dtype=pl.String))
    assert found.height == len(texts)
    assert found.null_count().sum_horizontal().item() == 0


def test_judge_drops_only_what_is_surely_foreign() -> None:
    texts = pl.Series(
        [
            "Bonjour, comment allez-vous aujourd'hui mon ami ?",
            "Merci",
            "我们明天见面谈合同",
            "ok",
            "12345",
            "These are the terms of our offer.",
        ]
    )
    found = detect(texts)
    verdict = judge(found, texts, ["zh", "en"], Language())
    assert verdict.select("row", "reason", "threshold").rows() == [(0, "language", 0.5)]
    assert verdict["value"][0] > 0.5
    assert judge(found, texts, [], Language()).height == 0
    assert judge(found, texts, ["fr"], Language())["row"].to_list() == [5]
    assert judge(found, texts, ["fr"], Language(letters=5))["row"].to_list() == [2, 5]


def test_the_model_ships_with_its_notice() -> None:
    notice = (MODEL.parent / "NOTICE").read_text(encoding="utf-8")
    assert "CC-BY-SA-3.0" in notice
    assert "fasttext.cc" in notice
    assert MODEL.stat().st_size == 938_013


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    detect(pl.Series(["Hello there, how are you?"]))
    assert capfd.readouterr() == ("", "")
