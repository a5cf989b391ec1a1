import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.cleaning.normalise import _ABOUT_MARKUP, _is_about_markup, normalise, repair
from datakit.recipe.normalise import Normalise

ALL = Normalise(blanks=True)


def one(text: str, **switches: bool) -> str:
    return normalise(pl.Series([text]), Normalise(**switches))[0][0]


CHANGED = {
    # line ends and blanks
    "a\r\nb\rc": "a\nb\nc",
    "a\u2028b\u2029c\u0085d": "a\nb\nc\nd",
    "a \nb\t\nc  ": "a\nb\nc",
    "\n\n  hello  \n": "hello",
    "  hello": "hello",
    # characters
    "a\x00b\x07c\x7f": "abc",
    "\ufeff你好\u200b，世界\u00ad": "你好，世界",
    "abc\u202edef\u202c\u2066x\u2069": "abcdefx",
    "A\u200dB\u200c": "AB",
    "x\ufe0f": "x",
    "ab\U000e0041\U000e0042": "ab",
    # NFC
    "cafe\u0301": "café",
    "\u1112\u1161\u11ab": "한",
    "e\u200b\u0301": "é",
    # mojibake
    "donâ€™t worry": "don’t worry",
    "Ã©tÃ©": "été",
    "他说：ä½ å¥½ï¼Œä¸–ç•Œ": "他说：你好，世界",
    "我们的产品很好。".encode().decode("latin-1"): "我们的产品很好。",
    "РџСЂРёРІРµС‚, РјРёСЂ": "Привет, мир",
    "ðŸ˜€ ok": "😀 ok",
    "好ï¼Œ": "好，",
    # HTML remnants
    "a&nbsp;b &amp; c": "a b & c",
    "R&amp;amp;D": "R&D",
    "他说&ldquo;好&rdquo;": "他说“好”",
    "if you&#39;re comfortable": "if you're comfortable",
    "1 &lt; 2": "1 < 2",
    "line<br>two<br/>\nthree": "line\ntwo\nthree",
    "<p>Hello</p><p>World</p>": "Hello\nWorld",
    '你好<span style="color:red">世界</span>': "你好世界",
    "The end.</div>": "The end.",
    "The <b>bold</b> one": "The bold one",
}
UNCHANGED = [
    "",
    "   \tindented code\n    stays",
    "    return x",
    "def f():\n\n\n    return 1",
    "a\n\n\n\nb",
    "👨‍👩‍👧 ❤️ 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👍🏽",
    "می‌خواهم",
    "क्‍ष श्री‌मान्",
    "use `&nbsp;` here",
    "In HTML you write &amp; for &",
    "```\n<div>&lt;</div>\n```",
    "a <b> c",
    "x &lt;b&gt; y",
    "AT&T; R&D &unknown;",
    "<think>好</think> <image> <|im_start|> List<String>",
    "<<48/2=24>>24",
    "naïve café… voilà » “sí” — ŠKODA Ü» É…",
    "Ã",
    "3×‘甲’",
    "拼音 dé”—好",
    "①②③ ﬁ Ⅳ ㎡ ½ ™ １２３ ＡＢＣ",
    "　　段首空两格，“引号”、‘单引号’——破折号……省略号；全角：（括号）【方括号】《书名》！？～·",
    "価格は￥１，０００です。ｶﾀｶﾅ",
]


@pytest.mark.parametrize(("text", "expected"), CHANGED.items())
def test_dirt_is_repaired_and_counted(text: str, expected: str) -> None:
    texts, edits = normalise(pl.Series([text]), ALL)
    assert texts[0] == expected
    assert edits[0] > 0


@pytest.mark.parametrize("text", UNCHANGED)
def test_good_text_stays(text: str) -> None:
    texts, edits = normalise(pl.Series([text]), ALL)
    assert texts[0] == text
    assert edits[0] == 0


def test_each_part_switches_alone() -> None:
    text = "cafe\u0301 \u200b a&nbsp;b\r\ndonâ€™t "
    nothing = dict.fromkeys(Normalise.model_fields, False)
    assert one(text, **nothing) == text
    assert one(text, **(nothing | {"unicode": True})) == unicodedata.normalize("NFC", text)
    assert one(text, **(nothing | {"characters": True})) == text.replace("\u200b", "")
    assert one(text, **(nothing | {"lines": True})) == text.replace("\r\n", "\n")
    assert one(text, **(nothing | {"blanks": True})) == text.rstrip()
    assert one(text, **(nothing | {"html": True})) == text.replace("&nbsp;", " ")
    assert one(text, **(nothing | {"mojibake": True})) == text.replace("â€™", "’")


def test_series_keeps_nulls_name_and_the_callers_texts() -> None:
    texts = pl.Series("content", ["a ", None, "好"])
    repaired, edits = normalise(texts, ALL)
    assert repaired.to_list() == ["a", None, "好"]
    assert repaired.name == "content"
    assert texts.to_list() == ["a ", None, "好"]
    assert edits.to_list() == [1, 0, 0]
    assert edits.dtype == pl.UInt32
    empty, none = normalise(pl.Series("content", [], dtype=pl.String), ALL)
    assert len(empty) == len(none) == 0


def test_nested_entities_come_to_rest() -> None:
    text = "R&" + "amp;" * 200 + "D"
    assert one(text) == "R&D"
    hostile = "<<<<b></b>b></b>b></b>b></b>" * 30
    assert one(one(hostile)) == one(hostile)


CHINESE = st.text(
    st.one_of(
        st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF),
        st.sampled_from(
            "，。、；：？！“”‘’（）【】《》〈〉「」『』—…·～￥％＋－＝／０１２３４５６７８９ＡＢｃａｂ　〇①②Ⅳ㎡℃×÷"
        ),
        st.sampled_from("abcXYZ0123456789,.!?:;()[]\"'%+-=/*_#@"),
    ),
    min_size=1,
)


@settings(max_examples=300, deadline=None)
@given(CHINESE)
def test_good_chinese_never_changes(text: str) -> None:
    # NFC itself rewrites nothing in this alphabet; ~ and & are left out, blanks at the ends are dirt.
    assert repair(text, ALL) == (text, 0)


DIRT = st.sampled_from(
    [
        "&amp;",
        "&lt;",
        "br>",
        "<br>",
        "<b>",
        "</b>",
        "<p>",
        "</p>",
        "&nbsp;",
        "&",
        "amp;",
        "lt;",
        "Ã",
        "3×‘甲’",
        "拼音 dé”—好",
        "©",
        "â",
        "€",
        "™",
        "ä",
        "½",
        " ",
        "\n",
        "\t",
        "\r",
        "\u200b",
        "\u200d",
        "\ufe0f",
        "❤",
        "e",
        "\u0301",
        "你",
        "`",
        "{",
        "ï",
        "¿",
        "<div a=1>",
        "\u0085",
        "\x00",
        "ا",
        "🏴",
        "\U000e0067",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(DIRT, max_size=14).map("".join)))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once, repairs = normalise(pl.Series([text]), ALL)
    assert (repairs[0] > 0) == (once[0] != text)
    twice, edits = normalise(once, ALL)
    assert twice[0] == once[0]
    assert edits[0] == 0
    assert unicodedata.is_normalized("NFC", once[0]) or once[0] == text


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(DIRT, max_size=14).map("".join)))
def test_the_sieve_lets_nothing_through(text: str) -> None:
    """What the regular expression passes over, the repair would not have changed."""
    assert normalise(pl.Series([text]), ALL)[0][0] == repair(text, ALL)[0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", " ", ")", ";", "\n", "{", "`", "XML", "XHTML", "ſ", "def f(", "标签", "<BODY", "<p>"])
    )
)
def test_the_words_of_markup_miss_nothing(parts: list[str]) -> None:
    text = "".join(parts)
    assert _is_about_markup(text) == (_ABOUT_MARKUP.search(text) is not None)
