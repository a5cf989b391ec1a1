"""What people see of a record."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preference_rows import answer, asked, call, pair, rated, turns

from annotation.campaigns.answers import answers_of, context_of
from annotation.campaigns.fields import Presentation, Unfit
from annotation.campaigns.markdown import aligned, faithful, plain, value
from annotation.campaigns.questions import language_of, questions_of
from datakit.recipe.annotate import AnnotateSettings
from datakit.recipe.load import recipe_from

TOOLS = orjson.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "get_quote",
                "description": "按产品报价",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "product": {"type": "string", "enum": ["标准版", "专业版"]},
                        "seats": {"type": "integer", "description": "账号数"},
                    },
                    "required": ["seats"],
                },
            },
        }
    ]
).decode()


def view(language: str = "zh", **settings: Any) -> Presentation:
    return Presentation(AnnotateSettings.model_validate(settings), language)  # type: ignore[arg-type]


def dialogue(*messages: dict[str, Any], tools: str | None = None, meta: str | None = None) -> dict[str, Any]:
    return {"id": "0", "source": "rows.jsonl", "line": 1, "messages": list(messages), "tools": tools, "meta": meta}


def test_a_pair_is_a_dialogue_and_two_answers_in_the_order_of_the_item() -> None:
    row = pair(turns(("system", "你是顾问。"), ("user", "多少钱？")), "一千元。", "不知道。")
    fields = view().show(row, "preference", [1, 0])
    assert fields == {
        "conversation": [{"role": "系统", "content": "你是顾问。"}, {"role": "用户", "content": "多少钱？"}],
        "answer_a": "不知道。",
        "answer_b": "一千元。",
    }
    assert view().show(row, "preference", [0, 1])["answer_a"] == "一千元。"
    english = view("en").show(pair("How much?", "A thousand.", "No idea."), "preference", [0, 1])
    assert english["conversation"] == [{"role": "user", "content": "How much?"}]


def test_tools_calls_and_results_are_lists_and_tables() -> None:
    stock = orjson.dumps([{"城市": "上海", "台": 3}, {"城市": "北京|南", "台": None}]).decode()
    row = dialogue(
        *turns(("user", "报个价")),
        answer("", tool_calls=call("get_quote", product="标准版", seats=20, options={"years": [1, 2]}))[0],
        turns(("tool", '{"price": 12000, "valid": true}'))[0] | {"name": "get_quote"},
        turns(("tool", stock))[0],
        *answer("一万二千元。", reasoning_content="先查价\n再回答"),
        tools=TOOLS,
    )
    fields = view(kind="rating").show(row, "messages", [0])
    assert fields["conversation"] == [
        {
            "role": "可用工具",
            "content": "**get\\_quote**: 按产品报价\n\n- product (string); 可选值: 标准版, 专业版\n- seats (integer, 必填): 账号数",
        },
        {"role": "用户", "content": "报个价"},
        {
            "role": "助手",
            "content": "**调用 get\\_quote**\n\n- **product**: 标准版\n- **seats**: 20\n- **options**:\n  - **years**: 1, 2",
        },
        {"role": "工具", "content": "**get\\_quote**\n\n- **price**: 12000\n- **valid**: true"},
        {"role": "工具", "content": "| 城市 | 台 |\n| --- | --- |\n| 上海 | 3 |\n| 北京\\|南 | null |"},
    ]
    assert fields["answer"] == "> **思考**\n>\n> 先查价\n> 再回答\n\n一万二千元。"
    assert "{" not in orjson.dumps([turn["content"] for turn in fields["conversation"]]).decode()


def test_a_dialogue_can_be_judged_as_a_whole() -> None:
    row = dialogue(*turns(("user", "在吗"), ("assistant", "在的。")))
    assert view(kind="rating", judged="dialogue").show(row, "messages", [0]) == {
        "conversation": [{"role": "用户", "content": "在吗"}, {"role": "助手", "content": "在的。"}]
    }
    assert [field["name"] for field in view(kind="rating", judged="dialogue").fields] == ["conversation"]


def test_texts_and_rated_answers_are_judged_without_and_with_context() -> None:
    text = {"id": "0", "source": "t.txt", "line": 1, "text": "标准版说明", "meta": None}
    assert view(kind="labels", labels=("a", "b")).show(text, "text", [0]) == {"answer": "标准版说明"}
    assert view(kind="rating").show(rated("多少钱？", "一千。"), "unpaired", [0])["answer"] == "一千。"


def test_a_ranking_shows_the_answers_that_meta_holds() -> None:
    meta = orjson.dumps({"answers": ["一。", [{"role": "assistant", "content": "二。"}], "三。", "四。"]}).decode()
    row = asked("多少钱？") | {"meta": meta}
    settings = view(kind="ranking", answers=3)
    assert settings.show(row, "prompt", [2, 0, 1]) == {
        "conversation": [{"role": "用户", "content": "多少钱？"}],
        "answer_a": "三。", "answer_b": "一。", "answer_c": "二。",
    }  # fmt: skip
    several = dialogue(*turns(("user", "多少钱？"), ("assistant", "原来的。")), meta=meta)
    assert len(answers_of(several, "messages")) == 4
    assert [m["content"] for m in context_of(several, "messages")] == ["多少钱？"]
    with pytest.raises(Unfit, match="2 answers; 3 are judged"):
        settings.show(pair("问", "甲", "乙"), "preference", [0, 1, 2])


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        (pair("问", "", "乙"), "preference", "empty"),
        (pair("问", "甲", " \n"), "preference", "empty"),
        (pair("问", "甲", "甲"), "preference", "same_answers"),
        (pair("问", "甲" * 20_001, "乙"), "preference", "too_long"),
        (pair("问" * 20_000, "甲", "乙"), "preference", "too_long"),
        (pair("问", [], "乙"), "preference", "empty"),
        (rated("问", "答"), "unpaired", "wrong_kind"),
    ],
)
def test_what_cannot_be_shown_has_a_reason(row: dict[str, Any], kind: Any, reason: str) -> None:
    with pytest.raises(Unfit) as caught:
        view().show(row, kind, [0, 1])
    assert caught.value.reason == reason


def test_a_turn_may_be_as_long_as_the_server_takes() -> None:
    long = view(max_characters=100_000)
    assert long.show(pair("问" * 20_000, "甲", "乙"), "preference", [0, 1])
    with pytest.raises(Unfit, match="the longest of 20001 characters"):
        long.show(pair("问" * 20_001, "甲", "乙"), "preference", [0, 1])
    with pytest.raises(Unfit, match="501 turns"):
        long.show(pair(turns(*[("user", "问")] * 501), "甲", "乙"), "preference", [0, 1])


def test_a_dialogue_that_ends_with_the_user_has_no_answer() -> None:
    with pytest.raises(Unfit, match="0 answers"):
        view(kind="rating").show(dialogue(*turns(("user", "在吗"))), "messages", [0])


def test_placeholders_tags_and_entities_are_shown_and_pictures_are_not_fetched() -> None:
    text = "来电<PHONE_1> a<b &lt; ![图](http://host/x.png) `<T>`\n```\nif a<b:\n```\n<NAME_2>"
    assert faithful(text) == (
        "来电\\<PHONE_1> a\\<b \\&lt; !\\[图](http://host/x.png) `<T>`\n```\nif a<b:\n```\n\\<NAME_2>"
    )


@given(st.text(st.sampled_from("a <&![`~\n\\你"), max_size=60))
def test_outside_of_code_nothing_is_left_that_the_page_would_swallow(text: str) -> None:
    shown = faithful(text)
    added = iter(shown)
    assert all(character in added for character in text), "nothing is taken away"
    assert not set("<&[\\") & set(text) or len(shown) <= len(text) + sum(map(text.count, "<&["))
    if "`" not in text and "~" not in text:
        assert not re.search(r"(?<!\\)(\\\\)*([<&]|!\[)", shown)


@given(st.text())
def test_plain_text_keeps_its_characters_on_one_line(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert re.sub(r"\\([\\`*_\[\]<>&|#~!$])", r"\1", shown) == text.replace("\0", "\ufffd").replace("\n", " ")


@given(st.text())
def test_text_for_spans_keeps_its_length_in_every_way_of_counting(text: str) -> None:
    shown = aligned(text)
    assert len(shown) == len(text) == len(shown.encode("utf-16-le")) // 2
    assert not set("<&\r\0") & set(shown)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_every_value_of_json_has_a_form(thing: Any) -> None:
    assert isinstance(value(thing), str)


def test_deep_values_are_code() -> None:
    assert value({"a": {"b": {"c": {"d": 1}}}}) == '- **a**:\n  - **b**:\n    - **c**: `{"d":1}`'


def test_questions_are_in_the_language_of_the_page() -> None:
    (question,) = questions_of(AnnotateSettings(), "zh")
    assert question["title"] == "哪个回复更好？" and question["options"]["both_bad"] == "两个都不可用"
    assert question["values"] == ["A", "B", "tie", "both_bad"]
    rating = questions_of(AnnotateSettings(kind="rating", aspects={"tone": "语气"}, scale=3), "zh")
    assert rating == ({"name": "tone", "kind": "rating", "title": "语气：请打分（3 分最好）", "values": [1, 2, 3]},)
    (ranking,) = questions_of(AnnotateSettings(kind="ranking", answers=4), "en")
    assert ranking["options"] == {letter: f"Answer {letter}" for letter in "ABCD"}
    labels = AnnotateSettings(kind="labels", labels={"x": "甲", "y": "乙"}, multiple=True)
    assert questions_of(labels, "zh")[0]["multiple"] is True


def test_the_language_is_the_recipes() -> None:
    assert language_of(recipe_from({"clean": {"languages": ["zh", "en"]}})) == "zh"
    assert language_of(recipe_from({"clean": {"languages": ["en"]}})) == "en"
    assert language_of(recipe_from({})) == "en"
    assert language_of(recipe_from({"annotate": {"language": "zh"}})) == "zh"
