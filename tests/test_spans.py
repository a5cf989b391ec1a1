from __future__ import annotations

from typing import Any

import pytest
from mask_rows import CHATML, call, codes, dialogue, model, prover, said, shown, trained_text, turn, with_template

from datakit.masks.skeleton import hollow, shared_length
from datakit.masks.spans import SpanFinder

WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {}}}}}]
CALLED = dialogue(
    turn("user", "北京天气？"),
    turn("assistant", None, tool_calls=[call("weather", city="北京")]),
    turn("tool", "晴", name="weather"),
    turn("assistant", "晴天。"),
    tools=WEATHER,
)
THOUGHT = dialogue(
    turn("user", "多少？"),
    turn("assistant", "五百。", reasoning_content="数一数"),
    turn("user", "sure?"),
    turn("assistant", "Yes.", reasoning_content="recount"),
)


@pytest.mark.parametrize(
    ("template", "stop"),
    [
        ("chatml", "<|im_end|>"),
        ("llama3", "<|eot_id|>"),
        ("deepseek", "<｜end▁of▁sentence｜>"),
        ("gemma", "<end_of_turn>"),
        ("default_system", "<|im_end|>"),
        ("drops_system", "<|im_end|>"),
        ("dated", "<|im_end|>"),
        ("marked", "<|im_end|>"),
        ("strips_thinking", "<|im_end|>"),
    ],
)
def test_every_answer_is_trained_with_its_stop_and_nothing_else(template: str, stop: str) -> None:
    row = said("你好", "您好，请讲。", "How much?", "Five hundred.")
    assert trained_text(row, template) == [f"您好，请讲。{stop}", f"Five hundred.{stop}"]


def test_what_may_be_trained_is_a_setting() -> None:
    row = said("a", "one", "b", "two")
    assert trained_text(row, train_on="last") == ["two<|im_end|>"]
    assert trained_text(THOUGHT, "reasoning") == [
        "<think>\n数一数\n</think>\n\n五百。<|im_end|>",
        "<think>\nrecount\n</think>\n\nYes.<|im_end|>",
    ]
    assert trained_text(THOUGHT, "reasoning", thinking=False) == ["五百。<|im_end|>", "Yes.<|im_end|>"]
    assert trained_text(CALLED, "tools") == [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call><|im_end|>',
        "晴天。<|im_end|>",
    ]
    assert trained_text(CALLED, "tools", tool_calls=False) == ["晴天。<|im_end|>"]


def test_words_beside_a_call_are_trained_without_it() -> None:
    row = dialogue(
        turn("user", "天气？"),
        turn("assistant", "我查一下。", tool_calls=[call("weather", city="北京")]),
        tools=WEATHER,
    )
    assert trained_text(row, "tools", tool_calls=False) == ["我查一下。"]
    assert codes(row, "tools", tool_calls=False) == {}


def test_a_turn_may_say_that_it_is_not_trained() -> None:
    row = dialogue(turn("user", "a"), turn("assistant", "no", train=False), turn("user", "b"), turn("assistant", "yes"))
    assert trained_text(row) == ["yes<|im_end|>"]
    assert trained_text(row, train_on="last") == ["yes<|im_end|>"]


def test_blanks_of_an_answer_are_trained_and_those_of_the_template_are_not() -> None:
    assert trained_text(said("q", "  def f():\n    pass\n")) == ["  def f():\n    pass\n<|im_end|>"]


def test_thinking_in_the_content_is_the_rows_own() -> None:
    row = said("q", "<think>\n想\n</think>\n\n答")
    assert trained_text(row) == ["<think>\n想\n</think>\n\n答<|im_end|>"]
    assert trained_text(row, thinking=False) == ["答<|im_end|>"]


def test_an_empty_block_that_the_row_brings_is_trained_and_one_that_the_template_writes_is_not() -> None:
    injects = CHATML.replace(
        "{{ '<|im_start|>' + m.role + '\\n' + m.content",
        "{{ '<|im_start|>' + m.role + '\\n' + ('<think>\\n\\n</think>\\n\\n' if m.role == 'assistant' and"
        " '</think>' not in m.content else '') + m.content",
    )
    assert injects != CHATML
    subject = with_template(injects)
    assert trained_text(said("q", "答"), subject) == ["答<|im_end|>"]
    row = said("q", "<think>\n\n</think>\n\n答")
    assert trained_text(row, subject) == ["<think>\n\n</think>\n\n答<|im_end|>"]
    assert codes(row, subject) == {}


def test_the_generation_prompt_is_never_trained() -> None:
    assert trained_text(said("q", "答"), "injects_thinking") == ["答<|im_end|>"]


def test_parts_name_what_each_token_is() -> None:
    found = shown(said("q", "ok"), "default_system")
    ids: dict[str, list[int]] = {}
    for number, part in zip(found.input_ids, found.parts, strict=True):
        ids.setdefault(part, []).append(number)
    words = {part: model().tokenizer.decode(found, skip_special_tokens=False) for part, found in ids.items()}
    assert words.pop("context").startswith("<|im_start|>system\n<|im_end|>")
    assert words == {"trained": "ok", "stop": "<|im_end|>", "injected": "You are Tiny. 你是小助手。"}
    assert len(found.parts) == len(found.labels) == len(found.input_ids) == len(found.offsets)


def test_a_template_that_looks_at_the_words_is_still_followed() -> None:
    # The user's words choose what the template writes: sentinels in their place would change it.
    looks = CHATML.replace(
        "{% for m in messages %}", "{% for m in messages %}{% if 'secret' in m.content %}X{% endif %}"
    )
    subject = with_template(looks)
    assert trained_text(said("a secret", "yes", "b", "no"), subject) == ["yes<|im_end|>", "no<|im_end|>"]
    assert codes(said("a secret", "yes"), subject) == {}


def test_two_derivations_that_disagree_leave_the_row_out() -> None:
    # What the generation prompt ends in depends on the words of the question, which sentinels hide.
    asks = CHATML.replace("assistant\\n' }}", "assistant\\n' + ('w' if 'why' in messages[-1].content else '') }}")
    assert asks != CHATML
    subject = with_template(asks)
    assert codes(said("who", "what"), subject) == {}
    assert codes(said("why", "that"), subject) == {"M9": "warning"}
    assert codes(said("why", "what"), subject) == {"M13": "error"}, "its first letter might be the prompt's"


def test_headers_that_are_no_answers_of_the_row_do_not_confuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # The template's own example of an answer: ids alone do not tell it from the row's, so prefixes are rendered.
    example = "<|im_start|>assistant\nlike this<|im_end|>\n" + CHATML
    asked: list[frozenset[int]] = []
    confirm = SpanFinder.confirm

    def heard(self: SpanFinder, messages: Any, tools: Any, turns: frozenset[int]) -> Any:
        asked.append(turns)
        return confirm(self, messages, tools, turns)

    monkeypatch.setattr(SpanFinder, "confirm", heard)
    row = said("a", "one", "b", "two", "c", "three")
    assert trained_text(row, with_template(example)) == ["one<|im_end|>", "two<|im_end|>", "three<|im_end|>"]
    assert codes(row, with_template(example)) == {} and set(asked) == {frozenset({1, 3})}
    asked.clear()
    assert codes(row, "chatml") == {} and not asked, "here the ids say it all"


def test_a_template_that_rewrites_words_is_found_out() -> None:
    rewrites = CHATML.replace("m.content", "m.content | replace('a', 'b')")
    assert codes(said("q", "banana"), with_template(rewrites)) == {"M29": "error"}
    assert codes(said("q", "plum"), with_template(rewrites)) == {}


def test_rows_of_one_shape_share_a_skeleton() -> None:
    one, two = (hollow(said(*words)["messages"], None) for words in (("你好", "在"), ("hello", "yes")))
    assert one is not None and two is not None
    assert one.shape == two.shape and one.texts == ["你好", "在"] and two.texts == ["hello", "yes"]
    other = hollow(said("hello", " yes")["messages"], None)
    assert other is not None and other.shape != one.shape, "blanks are part of the shape"


def test_tags_of_thinking_stay_in_the_shape() -> None:
    found = hollow(said("q", "<think>\n想\n</think>\n\n答")["messages"], None)
    assert found is not None
    assert found.texts == ["q", "想", "答"]
    assert [slot.thinking for slot in found.slots] == [False, True, False]


def test_answers_that_begin_with_a_line_feed_part_with_the_header_by_tokens() -> None:
    # "\n" + "\n" may be one token; whatever it is, it is not trained when it begins in the prompt.
    found = shown(said("q", "\n\nanswer"))
    for (start, _), label in zip(found.offsets, found.labels, strict=True):
        assert label == -100 or start >= found.text.index("assistant\n") + len("assistant\n")


@pytest.mark.parametrize(
    ("one", "other", "length"), [("", "", 0), ("ab", "ab", 2), ("ab", "abc", 2), ("abx", "aby", 2), ("x", "y", 0)]
)
def test_shared_length(one: str, other: str, length: int) -> None:
    assert shared_length(one, other) == shared_length(other, one) == length


def test_all_turns_of_a_long_dialogue() -> None:
    row = said(*(f"turn {number} 第{number}轮" for number in range(40)))
    assert trained_text(row) == [f"turn {n} 第{n}轮<|im_end|>" for n in range(1, 40, 2)]


def test_habits_name_header_and_stops() -> None:
    habits = prover("gemma").habits
    assert habits.header == "<start_of_turn>model\n"
    assert habits.unknown_stop == "<end_of_turn>", "the tokenizer's eos is another"
    assert model("chatml").stop_ids == prover("chatml").habits.stops and prover("chatml").habits.unknown_stop == ""
