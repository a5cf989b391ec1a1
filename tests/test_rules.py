"""What each rule catches and what it leaves alone; thresholds, switches, languages, order."""

import base64
import random
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from datakit.cleaning.rules import LANGUAGES, REASONS, RULES, effective_rules, judge, measure
from datakit.recipe.rules import LanguageRules, RulesSettings
from datakit.records import KINDS

SHIPPED = RulesSettings()
ANSWERS = ("messages", "preference", "unpaired", "prompt")

CHINESE = (
    "采购企业软件之前，先要弄清楚自己的业务流程。销售团队每天怎样记录客户，主管怎样查看进度，财务在哪一步开票，这些问题的答案"
    "决定了系统要不要定制。第二步是估算总成本：除了许可费，还有实施、培训和三年的维护。很多公司只比较第一年的报价，结果在第二年"
    "发现接口和数据迁移都要另外付钱。第三步是试用。请不要只看演示，让两三位真正的用户带着自己的数据用两个星期，再听他们的意见。"
    "最后谈合同的时候，把服务水平、数据归属和退出条款写清楚。如果供应商不愿意承诺响应时间，或者导出数据要收费，就应该谨慎。"
    "我们建议把候选名单控制在三家以内，每家都用同样的场景打分，这样讨论才有依据，也方便向管理层说明为什么选择这一家。"
)

ENGLISH = (
    "Before a company buys new software, it should write down how the work is done today. Sales people keep notes "
    "about customers, managers look at the numbers every week, and the finance team sends the bills at the end of "
    "the month. Each of these steps decides which functions are needed. The second question is what the system will "
    "cost over three years, because training, support and moving old data often come to more than the licence.\n"
    "A trial with real users is better than any demonstration. Ask two or three of them to work with their own data "
    "for two weeks, and then listen to what they have to say. Put service levels, ownership of data and the way out "
    "into the contract. A vendor that will not promise an answer within a day deserves some care."
)

JSON_REPLY = (
    'Here is the order as JSON:\n\n```json\n{"id": 17, "items": [{"sku": "A-1", "qty": 2}, {"sku": "B-9", "qty": 1}], '
    '"paid": true}\n```\n\nWhat it says:\n- two pieces of A-1\n- one piece of B-9\n- it is paid'
)

KEPT_AS_ANSWERS = {
    "a good Chinese answer": CHINESE,
    "a good English answer": ENGLISH,
    "two sentences": "Yes, we ship to Canada. It takes five days.",
    "json and a list": JSON_REPLY,
    "a word": "好的",
    "thanks": "谢谢谢谢谢谢",
    "laughter": "哈哈哈哈哈哈哈哈，太好了",
    "a chorus": "La la la la, la la la la, sing with me, la la la la, la la la la",
    "a table": "| a | b |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(9)),
    "a box": "┌──────┐\n│ a    │\n├──────┤\n│ b    │\n└──────┘",
    "a formula": r"\[ \int_0^1 x^2 \, dx = \frac{1}{3}, \quad \sum_{i=1}^{n} i = \frac{n(n+1)}{2} \]",
    "code": "```python\ndef add(a, b):\n    return a + b\n\n\nprint(add(1, 2), add(3, 4))\n```",
    "compact json": '{"a":"x","b":"y","c":"z","d":[1,2,3],"e":{"f":"g"}}',
    "a matrix": "[[1,2],[3,4],[5,6],[7,8],[9,0]]",
    "emoji": "😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍🤩😘😗😚😙🥲",
    "an emoji list": "✅ 已发货\n✅ 已签收\n❌ 未评价",
    "a rule": "第一部分\n" + "-" * 200 + "\n第二部分\n" + "=" * 200,
    "a long link": "文件在这里：https://example.com/download?token=" + "aB3" * 300 + " ，请查收。",
    "a hash": "SHA-512: " + "0a1b2c3d4e5f6789" * 8,
    "asking about wrecks": "“锟斤拷”是UTF-8的替换字符被当成GBK读出来的结果，“烫烫烫”是没有初始化的内存。",
    "one lost character": "我们在北京、上海和深\ufffd都有办事处，" * 1 + CHINESE,
    "hot": "小心，汤很烫烫的",
    "shouting": "真的吗？！！！！！！！！！！！！！！！！！！！！！！！！！！！！！！！",
    "hashes": "# Title\n## A\n## B\n### C",
    "other scripts": "Здравствуйте! Чем я могу вам помочь сегодня?",
    "Thai": "สวัสดีครับ ยินดีต้อนรับสู่ร้านของเรา" * 1,
}

# Each reason that holds for answers, with one case in Chinese and one in English.
CAUGHT_AS_ANSWERS = {
    "empty": [" \n\t", "\u3000"],
    "encoding_damage": [
        "锟斤拷锟斤拷锟斤拷，您好",
        "烫烫烫烫烫烫屯屯屯屯",
        "The pri\ufffd\ufffd is fi\ufffdty",
        "\ue001\ue002 broken \ue003",
    ],
    "blob": [
        "附件：" + base64.b64encode(random.Random(1).randbytes(600)).decode(),
        "dump: " + random.Random(1).randbytes(400).hex(),
    ],
    "blob_dense": [
        "压缩后：" + ";".join(f"function(a{n}){{return(a{n}+{n})}}" for n in range(120)),
        "minified: " + ";".join(f"var(a{n})=b.c({n},d)" for n in range(150)),
    ],
    "symbol_noise": ["@#￥%&*~！@#￥%……&*——+客户~@#￥%&", "a#$%^&*!@#$~%^&*b!@~#$%^&*$#@"],
    "repetition_run": ["好" * 150, "no" + "o" * 200],
    "repetition_paragraphs": ["请联系我们。\n\n" * 30, "Call us today.\n\n" * 30],
    "repetition_lines": [
        "您好，请问有什么可以帮您？\n" * 40,
        "How can I help you today?\n" * 40,
    ],
    "repetition_top_2_gram": ["我喜欢" * 60, "so good " * 60, "哈" * 90, "呵呵哈哈" * 30],
    "repetition_duplicate_5_gram": [
        "这个产品支持多人协作和自动备份，价格也比去年便宜了不少，欢迎试用。" * 6,
        "This product supports teams of any size, keeps backups by itself and costs less than before. " * 6,
    ],
}


def verdicts(texts, kind="messages", language="zh", rules=SHIPPED):
    languages = pl.Series([language] * len(texts), dtype=pl.String)
    frame = judge(measure(pl.Series(texts, dtype=pl.String)), languages, kind, rules)
    return dict(frame.select("row", "reason").iter_rows())


def reason(text, kind="messages", language="zh", rules=SHIPPED):
    return verdicts([text], kind, language, rules).get(0)


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("language", ["zh", "en", "de", None])
def test_good_answers_are_kept(kind, language):
    found = verdicts(list(KEPT_AS_ANSWERS.values()), kind, language)
    assert {list(KEPT_AS_ANSWERS)[row]: why for row, why in found.items()} == {}


@pytest.mark.parametrize("expected", CAUGHT_AS_ANSWERS)
@pytest.mark.parametrize("kind", ["messages", "preference"])
def test_bad_answers_are_caught(expected, kind):
    cases = CAUGHT_AS_ANSWERS[expected]
    assert verdicts(cases, kind, "en") == dict.fromkeys(range(len(cases)), expected)


def test_a_good_page_passes():
    assert reason(CHINESE, "text", "zh") is None
    assert reason(ENGLISH, "text", "en") is None


def test_a_chinese_answer_of_300_characters_is_kept_as_text():
    assert 250 < len(CHINESE) < 350
    assert reason(CHINESE[:300], "text", "zh") is None


LINES = ENGLISH.replace(". ", ".\n")

CAUGHT_AS_TEXT = [
    ("gopher_words", "en", "A short page about the sea and the sky."),
    ("gopher_words", "zh", "这是一个很短的页面，是说天气的。"),
    ("gopher_word_length", "en", " ".join(f"a{n % 10}" for n in random.Random(1).choices(range(99), k=90))),
    ("gopher_word_length", "zh", " ".join(f"internationalisation{n}" for n in range(80))),
    ("gopher_hashes", "en", ENGLISH.replace(". ", ". #sale #now #best #buy #one #two ")),
    ("gopher_hashes", "zh", CHINESE.replace("，", "#热卖#")),
    ("gopher_ellipses", "en", ENGLISH.replace(" the ", "... the... ").replace(" a ", " ... a... ")),
    ("gopher_ellipses", "zh", CHINESE.replace("，", "……").replace("的", "的…")),
    ("gopher_bullet_lines", "en", "\n".join("- " + line for line in LINES.split("\n"))),
    ("gopher_bullet_lines", "zh", "\n".join("• " + line for line in CHINESE.split("。") if line)),
    ("gopher_ellipsis_lines", "en", LINES.replace(".\n", "...\n")),
    ("gopher_ellipsis_lines", "zh", CHINESE.replace("。", "…\n")),
    ("gopher_letter_words", "en", ENGLISH + " ".join(str(n) for n in range(1000, 1060))),
    ("gopher_letter_words", "zh", CHINESE + " ".join(str(n) for n in range(1000, 1090))),
    ("gopher_stop_words", "en", " ".join(word for word in ENGLISH.split() if len(word) > 4)),
    ("gopher_stop_words_zh", "zh", "".join(c for c in CHINESE if c not in "的年在月是和日了有被人中为他也而由后與")),
    ("c4_lorem_ipsum", "en", ENGLISH + " Lorem ipsum dolor sit amet."),
    ("c4_curly_braces", "en", ENGLISH + " The code is x = {} here."),
    ("c4_javascript_lines", "en", LINES.replace(".\n", " in JavaScript.\n")),
    ("c4_policy_lines", "en", LINES.replace(".\n", " under our privacy policy.\n")),
    ("c4_unpunctuated_lines", "en", LINES.replace(".", "")),
    ("c4_short_lines", "en", ENGLISH + "\n" + "\n".join(f"{n} items." for n in range(20))),
    ("c4_sentences", "en", ENGLISH.replace(". ", ", ")),
    ("fineweb_line_punctuation", "zh", "\n".join(CHINESE.replace("，", "。").split("。"))),
    ("fineweb_short_lines", "en", "\n".join(f"{letter} met b." for letter in "acdefghijklm") + "\n" + ENGLISH),
    ("fineweb_duplicate_lines", "en", ENGLISH + "\nCall us now and save a lot." * 2),
    ("fineweb_duplicate_lines", "zh", CHINESE + "\n欢迎来电咨询我们的产品和服务。" * 4),
    ("fineweb_newlines", "en", ENGLISH.replace(". ", ".\n\n\n\n\n\n\n")),
    ("fineweb_newlines", "zh", CHINESE.replace("，", "。\n\n").replace("。", "。\n")),
    ("repetition_paragraphs", "en", "\n\n".join([ENGLISH, *["Read more about it here."] * 4])),
    ("repetition_paragraph_characters", "en", "\n\n".join([ENGLISH] * 2)),
    ("repetition_lines", "zh", CHINESE.replace("。", "。\n") + "点击查看更多。\n" * 7),
    ("repetition_line_characters", "en", "\n".join([ENGLISH.replace("\n", " ")] * 2)),
    ("repetition_top_2_gram", "en", ENGLISH + " buy now" * 60),
    ("repetition_duplicate_5_gram", "zh", CHINESE[:120] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "language", "page"), CAUGHT_AS_TEXT)
def test_bad_pages_are_caught(expected, language, page):
    """Alone among the rules: an earlier rule may find the same page bad."""
    only = {rule: rule == expected for rule in REASONS}
    rules = RulesSettings.model_validate({"text": only})
    good = CHINESE if language == "zh" else ENGLISH
    assert verdicts([page, good], "text", language, rules) == {0: expected}


def test_every_rule_has_a_case():
    bounds = {"too_short", "too_long"}
    shown = {case[0] for case in CAUGHT_AS_TEXT} | set(CAUGHT_AS_ANSWERS) | bounds
    grams = {name for name in REASONS if name.endswith("_gram")}
    assert set(REASONS) - grams <= shown
    assert grams & shown


@pytest.mark.parametrize("gram", [name for name in REASONS if name.endswith("_gram")])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_gram_rule_catches_loops(gram, language):
    rules = RulesSettings.model_validate({"messages": {rule: rule == gram for rule in REASONS}})
    loop = "价格便宜质量又好" * 20 if language == "zh" else "cheap and good " * 40
    assert verdicts([loop, CHINESE, ENGLISH], "messages", language, rules) == {0: gram}


def test_short_refrains_stay_below_fifty_units():
    assert reason("谢谢" * 24) is None
    assert reason("谢谢" * 26) == "repetition_top_2_gram"


def test_a_tail_that_loops_is_caught():
    assert reason(CHINESE + "我们会继续努力" * 60) is not None
    assert reason(ENGLISH + " and so on and on it goes" * 60, language="en") is not None


def test_web_rules_hold_for_text_alone():
    for kind in ANSWERS:
        assert not [
            name for name in effective_rules(SHIPPED, kind, "en") if name.startswith(("gopher", "c4", "fineweb"))
        ]
    assert not [
        name for name in effective_rules(SHIPPED, "text", "other") if name.startswith(("gopher", "c4", "fineweb"))
    ]


def test_languages_choose_the_thresholds():
    short = "A short page about the sea."
    assert reason(short, "text", "en") == "gopher_words"
    assert reason(short, "text", "fr") is None
    assert reason("短", "text", "yue") == "gopher_words"
    assert reason("短", "text", None) == "gopher_words"  # mostly Chinese characters
    assert reason(short, "text", None) is None


def test_bounds_are_off_until_set():
    rules = RulesSettings.model_validate({"messages": {"too_short": {"min": 3}, "too_long": {"max": 5}}})
    assert verdicts(["好的", "好的呀", "好的好的好的"], rules=rules) == {0: "too_short", 2: "too_long"}
    assert verdicts(["好"], "unpaired", rules=rules) == {}


def test_switches_and_thresholds_are_those_of_the_recipe():
    rules = RulesSettings.model_validate(
        {
            "text": {
                "gopher_words": {"min": 5},
                "c4_sentences": False,
                "gopher_stop_words": {"min": 1},
                "zh": {"gopher_words": {"min": 20}, "gopher_stop_words_zh": False},
                "en": {"c4_sentences": {"min": 1}},
            },
            "messages": {"gopher_words": True, "encoding_damage": False},
        }
    )
    english, chinese = effective_rules(rules, "text", "en"), effective_rules(rules, "text", "zh")
    assert english["gopher_words"] == {"min": 5, "max": 100_000}
    assert chinese["gopher_words"] == {"min": 20, "max": 100_000}
    assert english["c4_sentences"] == {"min": 1}
    assert "gopher_stop_words_zh" not in chinese
    assert effective_rules(rules, "messages", "zh")["gopher_words"] == {"min": 50, "max": 100_000}
    assert "encoding_damage" not in effective_rules(rules, "messages", "zh")
    assert "encoding_damage" in effective_rules(rules, "preference", "zh")


def test_a_threshold_alone_keeps_the_units_of_its_rule():
    rules = RulesSettings.model_validate({"messages": {"repetition_lines": {"max": 0.2}}})
    assert effective_rules(rules, "messages", "en")["repetition_lines"] == {"max": 0.2, "units": 50}


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"text": {"gopher_word": {"min": 3}}}, ("text", "gopher_word")),
        ({"text": {"gopher_words": {"mn": 3}}}, ("text", "gopher_words", "mn")),
        ({"text": {"blob": {"min": 3}}}, ("text", "blob", "min")),
        ({"text": {"gopher_words": {"min": 9, "max": 3}}}, ("text", "gopher_words")),
        ({"text": {"zh": False}}, ("text", "zh")),
        ({"message": {}}, ("message",)),
        ({"text": {"blob": 3}}, ("text", "blob")),
    ],
)
def test_faults_are_found_where_they_stand(table, place):
    with pytest.raises(ValidationError) as caught:
        RulesSettings.model_validate(table)
    assert [error["loc"] for error in caught.value.errors()] == [place]


def test_the_verdict_names_value_and_threshold():
    scores = measure(pl.Series([CHINESE, "\ufffd" * 9 + "a", ""]))
    frame = judge(scores, pl.Series(["zh", "en", "en"]), "messages", SHIPPED)
    assert frame.schema == {"row": pl.UInt32, "reason": pl.String, "value": pl.Float64, "threshold": pl.Float64}
    assert frame.rows() == [(1, "encoding_damage", 0.9, 0.01), (2, "empty", 0.0, 1.0)]


def test_a_value_at_the_threshold_stays():
    # 3 of 10 lines repeat: 0.3 in 32 bits is above 0.3 in 64.
    page = "\n".join([*(f"line number {n} of this page" for n in range(7)), *["line number 0 of this page"] * 3])
    rules = RulesSettings.model_validate({"text": {rule: rule == "repetition_lines" for rule in REASONS}})
    assert measure(pl.Series([page]))["repetition_lines"][0] == pytest.approx(0.3)
    assert reason(page, "text", "en", rules) is None
    assert reason(page + "\nline number 0 of this page", "text", "en", rules) == "repetition_lines"


def test_the_first_failing_rule_in_the_fixed_order_is_the_reason():
    bad = "烫烫烫烫" + "哈" * 300
    found = []
    settings: dict[str, bool] = {}
    while (why := reason(bad, rules=RulesSettings.model_validate({"messages": settings}))) is not None:
        found.append(why)
        settings[why] = False
    assert found == sorted(found, key=REASONS.index)
    assert found[:2] == ["encoding_damage", "repetition_run"]


def test_settings_and_rules_name_the_same():
    assert tuple(LanguageRules.model_fields) == REASONS
    assert set(RulesSettings.model_fields) == set(KINDS)
    scores = measure(pl.Series(["a"]))
    assert {rule.score for rule in RULES} <= set(scores.columns)
    assert set(scores.dtypes) == {pl.UInt32, pl.Float32}


def test_every_threshold_can_be_set():
    for kind in KINDS:
        for language in LANGUAGES:
            for name, thresholds in effective_rules(SHIPPED, kind, language).items():
                if name != "empty":
                    RulesSettings.model_validate({kind: {language: {name: thresholds}}})


def test_empty_frames_pass_through():
    scores = measure(pl.Series([], dtype=pl.String))
    assert judge(scores, pl.Series([], dtype=pl.String), "text", SHIPPED).rows() == []


def test_the_rules_are_documented():
    page = Path(__file__).parent.parent.joinpath("docs", "rules.md").read_text(encoding="utf-8")
    assert [name for name in REASONS if f"`{name}`" not in page] == []
