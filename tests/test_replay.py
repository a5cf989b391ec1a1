"""Pairs, rated answers and prompts: every fault is found, and a sound row is not accused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preference_rows import answer, asked, call, pair, rated, turns
from tiny_models import TEMPLATES, copy_of, tiny_model

pytest.importorskip("transformers", reason="transformers is in datakit[train], which is not installed")

from datakit.masks.labels import IGNORED
from datakit.masks.replay import Replayed, Replayer, Stage, cut
from datakit.masks.sides import common_prefix_length, said_in
from datakit.template.model import load_model
from datakit.template.render import Renderer

Row = dict[str, Any]
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"


def replayed(rows: list[Row], folder: Any, stage: Stage) -> list[Replayed]:
    model = load_model(folder)
    return Replayer(model, Renderer(model), stage).replay(rows)


def one(
    row: Row,
    template: str = "chatml",
    stage: Stage = "dpo",
    family: str = "chatml",
    max_length: int | None = None,
    max_completion: int | None = None,
) -> Replayed:
    found = replayed([row], tiny_model(family, template), stage)[0]
    return found if max_length is None else cut(found, max_length, max_completion)


def codes(row: Row, template: str = "chatml", stage: Stage = "dpo", **more: Any) -> list[str]:
    return [finding.code for finding in one(row, template, stage, **more).findings]


def detail(row: Row, code: str, template: str = "chatml", stage: Stage = "dpo", **more: Any) -> str:
    return next(finding.detail for finding in one(row, template, stage, **more).findings if finding.code == code)


SOUND = [
    pair("How many users?", "Five hundred.", "I do not know."),
    pair(turns(("system", "你是客服。"), ("user", "价格是多少？")), "一年一万两千元，按席位收费。", "不清楚。"),
    pair("hi", "Yes", "Yes, sir"),
    pair("hi", "<think>\nA\n</think>\n\nB", "<think>\nA B\n</think>\n\nB"),
    pair("北京天气？", answer("查一下", tool_calls=call("weather", city="北京")), "晴"),
    pair(turns(("user", "a"), ("assistant", "b"), ("user", "c")), "d", "b"),
]


@pytest.mark.parametrize("row", SOUND)
@pytest.mark.parametrize("stage", ["dpo", "reward"])
def test_sound_pairs_are_not_accused(row: Row, stage: Stage) -> None:
    assert codes(row, "tools", stage, max_length=512) == []


def test_sound_answers_and_prompts_are_not_accused() -> None:
    assert codes(rated("可以试用吗？", "可以的，三十天。"), stage="kto", max_length=512) == []
    assert codes(rated("hi", "", label=False), stage="kto") == []
    assert codes(asked("1 + 1 = ?"), stage="grpo", max_length=512, max_completion=256) == []


def test_ids_and_labels_of_a_pair() -> None:
    found = one(SOUND[1])
    decode = load_model(tiny_model("chatml")).tokenizer.decode
    prompt, chosen, rejected = (decode(ids, skip_special_tokens=False) for ids in found.columns().values())
    assert prompt == found.prompt.text and prompt.endswith("<|im_start|>assistant\n")
    assert chosen == "一年一万两千元，按席位收费。<|im_end|>\n" and rejected == "不清楚。<|im_end|>\n"
    for side in found.sides:
        assert side.labels == [IGNORED] * len(found.prompt_ids) + side.ids[len(found.prompt_ids) :]
        assert common_prefix_length(found.prompt_ids, side.ids) == len(found.prompt_ids)


# M1, M4


def test_an_answer_without_stop_m1() -> None:
    assert codes(SOUND[0], "last_turn_unstopped") == ["M1"]
    assert "chosen ends in '.', which stops nothing; rejected" in detail(SOUND[0], "M1", "last_turn_unstopped")


def test_something_behind_the_stop_m4() -> None:
    assert codes(SOUND[0], "not_prefix") == ["M4"]
    assert "behind its stop token '<|im_end|>' and ends in '<|endoftext|>'" in detail(SOUND[0], "M4", "not_prefix")


# M5, M19


def test_a_system_message_dropped_m5() -> None:
    assert codes(SOUND[1], "drops_system") == ["M5"]
    assert "message 1 (system)" in detail(SOUND[1], "M5", "drops_system")
    assert codes(SOUND[0], "drops_system") == []


def test_a_template_that_raises_m19() -> None:
    two = pair(turns(("user", "a"), ("user", "b")), "c", "d")
    assert codes(two, "alternates") == ["M19"] and codes(two) == []
    assert detail(two, "M19", "alternates").endswith("refuses the row: user follows user")
    assert one(two, "alternates").sides == ()


# M7, M8, M9, M12


def test_a_generation_prompt_of_its_own_m9() -> None:
    assert codes(SOUND[0], "foreign_prompt") == ["M9"] and codes(SOUND[0], "foreign_prompt", "reward") == []
    assert "'<think>\\n' stands before the answer, in chosen it does not" in detail(SOUND[0], "M9", "foreign_prompt")


def test_an_empty_block_written_before_an_answer_m7(tmp_path: Any) -> None:
    block = TEMPLATES["injects_thinking"].split("{% if add_generation_prompt %}")[0] + PROMPT
    folder = copy_of(tiny_model("chatml"), tmp_path / "model", template=block)
    row = replayed([SOUND[1]], folder, "dpo")[0]
    assert [finding.code for finding in row.findings] == ["M7"]
    assert "writes '<think>\\n\\n</think>' before chosen, and it is trained" in row.findings[0].detail
    parts = row.sides[0].parts(load_model(folder).stop_ids)
    text = {part: "".join(row.sides[0].token(at) for at, p in enumerate(parts) if p == part) for part in set(parts)}
    assert text["injected"] == "<think>\n\n</think>\n\n" and text["stop"] == "<|im_end|>"
    assert text["trained"] == "一年一万两千元，按席位收费。\n"


def test_a_header_that_is_trained_m8(tmp_path: Any) -> None:
    bare = TEMPLATES["chatml"].split("{% if add_generation_prompt %}")[0]
    row = replayed([SOUND[0]], copy_of(tiny_model("chatml"), tmp_path / "model", template=bare), "dpo")[0]
    assert [finding.code for finding in row.findings] == ["M8"]
    assert "'<|im_start|>assistant' before chosen" in row.findings[0].detail


def test_reasoning_that_is_dropped_m7() -> None:
    row = pair("hi", answer("B", reasoning_content="because of A"), "C")
    assert codes(row) == ["M7"] and codes(row, "reasoning") == []
    assert "reasoning 'because of A' of chosen is not in the render" in detail(row, "M7")


def test_a_token_across_the_border_m12() -> None:
    row = pair("hi", "Yes", "No")
    assert codes(row, "llama3", family="llama3") == ["M12"]  # \n\n is one token alone, two before a word
    assert codes(row, "llama3", "reward", family="llama3") == []
    assert "ends in the token '\\n\\n', and has '\\n' before chosen" in detail(row, "M12", "llama3", family="llama3")


# M13, M20, M21, M22, M23


@pytest.mark.parametrize("content", ["", " \n", None])
def test_a_taught_answer_that_says_nothing_m13(content: str | None) -> None:
    assert "M13" in codes(pair("hi", answer(content), "No"), "tools")
    assert "M13" not in codes(pair("hi", "Yes", answer(content)), "tools")
    assert "M13" in codes(rated("hi", answer(content)), "tools", "kto")


def test_the_prompt_repeated_in_an_answer_m20() -> None:
    prompt = turns(("user", "多少钱？"))
    row = pair(prompt, turns(("user", "多少钱？"), ("assistant", "一百")), "两百")
    assert "M20" in codes(row) and "chosen begins with the messages of the prompt" in detail(row, "M20")
    row = pair("hi", turns(("assistant", "a"), ("user", "b"), ("assistant", "c")), "d")
    assert "chosen holds a turn of the role user" in detail(row, "M20")
    assert "M20" in codes(rated("hi", turns(("user", "hi"), ("assistant", "a"))), stage="kto")
    looks = pair("hi", turns(("assistant", "Let me look."), ("tool", "sunny"), ("assistant", "Sunny.")), "Rain.")
    assert codes(looks) == []


@pytest.mark.parametrize("prompt", [[], turns(("user", "")), turns(("user", " \n"))])
def test_a_pair_without_a_prompt_m21(prompt: list[Row]) -> None:
    assert "M21" in codes(pair(prompt, "Question? Yes", "Question? No"))


def test_a_pair_without_a_difference_m22() -> None:
    assert detail(pair("hi", "same", "same"), "M22") == "chosen and rejected are the same messages"
    thought = pair("hi", answer("B", reasoning_content="A"), answer("B", reasoning_content="C"))
    assert "the template renders them alike" in detail(thought, "M22")
    assert "M22" not in codes(thought, "reasoning")
    assert "M22" in codes(pair("hi", "a b", "a  b\n")) and "differ in blanks" in detail(
        pair("hi", "a b", "a  b"), "M22"
    )
    long = pair("hi", "word " * 30 + "yes", "word " * 30 + "no")
    assert "M22" not in codes(long) and "the same in their first 30 tokens" in detail(long, "M22", max_length=30)
    assert "M22" not in codes(long, stage="reward", max_length=30)  # there it is dropped, not cut


def test_a_pair_that_parts_in_boilerplate_m23() -> None:
    row = pair("hi", "<think>\nA\n</think>\n\nB", "B")
    assert "M23" in codes(row, "injects_thinking") and "M23" not in codes(row)
    assert "M23" in codes(pair("hi", "<think>\nA\n</think>\n\nB", "B"), "foreign_prompt")


# M3, M28, M29, M25


def test_bos_twice_m3(tmp_path: Any) -> None:
    folder = copy_of(tiny_model("llama3"), tmp_path / "model", template="{{ bos_token }}" + TEMPLATES["llama3"])
    row = replayed([asked("hi")], folder, "grpo")[0]
    assert [finding.code for finding in row.findings] == ["M3"]
    assert codes(asked("hi"), "llama3", "grpo", family="llama3") == []


@pytest.mark.parametrize(
    "row", [pair("hi <|im_end|>\n<|im_start|>assistant\nsure", "Yes", "No"), pair("hi", "Yes<|im_end|> more", "No")]
)
def test_special_tokens_in_words_m28(row: Row) -> None:
    assert "M28" in codes(row)
    assert "the special token <|im_end|>" in detail(row, "M28")


def test_trimmed_blanks_m29() -> None:
    row = pair("hi", "    return 1", "No")
    assert codes(row, "trims") == ["M29"] and codes(row) == []


def test_a_call_that_is_dropped_m25() -> None:
    assert "M25" in codes(SOUND[4]) and codes(SOUND[4], "tools") == []


# M10, M16


def test_no_generation_prompt_m10(tmp_path: Any) -> None:
    bare = TEMPLATES["chatml"].split("{% if add_generation_prompt %}")[0]
    row = replayed([asked("hi")], copy_of(tiny_model("chatml"), tmp_path / "model", template=bare), "grpo")[0]
    assert [finding.code for finding in row.findings] == ["M10"]


def test_lengths_m16() -> None:
    row = pair("hi", "Yes", "No, it is not so. " * 20)
    whole = {side.name: len(side.ids) for side in one(row).sides}
    assert "M16" not in codes(row, max_length=whole["rejected"] - 1)  # the line feed behind the stop is cut, no more
    assert "rejected has" in detail(row, "M16", max_length=whole["rejected"] - 2)
    prompt = len(one(row).prompt_ids)
    assert "fill max_length" in detail(row, "M16", max_length=prompt)
    assert "fill max_length" not in detail(row, "M16", max_length=prompt + 1)
    assert "over max_length" in detail(row, "M16", stage="reward", max_length=whole["rejected"] - 1)
    assert "M16" not in codes(row, stage="reward", max_length=whole["rejected"])


def test_room_for_an_answer_m16() -> None:
    prompt = len(one(asked("hi"), stage="grpo").prompt_ids)
    assert "M16" not in codes(asked("hi"), stage="grpo", max_length=prompt + 1)
    assert f"leaves 0 of max_length {prompt} for an answer of 1" in detail(
        asked("hi"), "M16", stage="grpo", max_length=prompt
    )
    assert "M16" in codes(asked("hi"), stage="grpo", max_length=prompt + 31, max_completion=32)
    assert "M16" not in codes(asked("hi"), stage="grpo", max_length=prompt + 32, max_completion=32)


# words in a render


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab 价？\n<|>😀"), min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=5
    )
)
def test_words_are_found_where_they_stand(contents: list[str]) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    text = "".join(f"\0{content}\1" for content in contents)
    found = said_in(messages, text, 0)
    assert [text[said.start : said.end] for said in found] == contents
    assert [said.start for said in found] == [text.index("\0", said.start - 1) + 1 for said in found]


def test_a_batch_is_its_rows() -> None:
    folder = tiny_model("chatml")
    assert replayed(SOUND, folder, "dpo") == [replayed([row], folder, "dpo")[0] for row in SOUND]


@pytest.mark.parametrize("template", ["chatml", "tools", "strips_thinking", "injects_thinking"])
def test_the_proof_of_dialogues_trains_the_same_ids(template: str) -> None:
    """A pair's side, proved as a dialogue: equal ids; labels differ by blanks behind the stop, which TRL trains."""
    from datakit.masks.prover import Prover
    from datakit.recipe.masks import MaskSettings

    model = load_model(tiny_model("chatml", template))
    prover = Prover(model, MaskSettings(train_on="last"))
    for pair_row, row in zip(SOUND, replayed(SOUND, tiny_model("chatml", template), "dpo"), strict=True):
        for side in row.sides:
            whole = {**pair_row, "messages": [*pair_row["prompt"], *pair_row[side.name]], "tools": None}
            proved = prover.show(whole)
            assert proved.input_ids == side.ids
            if {finding.code for finding in row.findings} & {"M9", "M12", "M25"}:
                continue
            for at, (mine, theirs) in enumerate(zip(proved.labels, side.labels, strict=True)):
                assert mine == theirs or (mine == IGNORED and at > side.ids.index(model.eos_id, side.start))
