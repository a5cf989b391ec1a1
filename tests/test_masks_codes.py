"""Each code that a proof of dialogues or text finds: the bug is found, and a sound case is not accused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mask_rows import CHATML, call, codes, dialogue, model, prove_one, prover, said, turn, with_template

from datakit.masks import overall, packed
from datakit.masks.findings import Findings
from datakit.masks.overall import Totals
from datakit.masks.packing import Strategy
from datakit.masks.prover import Prover
from datakit.recipe.masks import MaskSettings
from datakit.records import Kind
from datakit.template.model import Model

GOOD = said("多少钱？", "一千元。", "thanks", "You are welcome.")
WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {}}}}}]


def asked(*calls: Any, tools: Any = WEATHER, content: str | None = None) -> dict[str, Any]:
    """A dialogue that calls tools."""
    return dialogue(
        turn("user", "天气？"),
        turn("assistant", content, tool_calls=list(calls)),
        turn("tool", "晴"),
        turn("assistant", "晴天。"),
        tools=tools,
    )


def of_tokenizer(subject: Model) -> dict[str, str | None]:
    return {found.code: found.severity for found in overall.of_tokenizer(subject)}


def of_template(subject: Prover, **totals: Any) -> dict[str, str | None]:
    figures = Totals(("messages",), 2, 10, 5, calling=0, unprompted=2)._replace(**totals)
    return {found.code: found.severity for found in overall.of_template(subject, figures)}


@pytest.mark.parametrize("template", ["chatml", "deepseek", "gemma", "marked", "alternates", "tools"])
def test_sound_rows_are_not_accused(template: str) -> None:
    assert codes(GOOD, template) == {}
    assert not set(of_template(prover(template))) - {"M1"}, "gemma's turns end in a token that is not its eos"


def test_m1_an_answer_without_a_stop() -> None:
    assert codes(said("q", "a"), "last_turn_unstopped") == {"M1": "error"}
    assert codes(GOOD, "last_turn_unstopped") == {"M1": "error"}, "its last turn alone lacks one"


def test_m1_a_stop_that_inference_must_be_told_of() -> None:
    assert of_template(prover("gemma")) == {"M1": "warning"}
    told = replace(model("gemma"), stop_ids=model("gemma").stop_ids | prover("gemma").habits.stops)
    assert of_template(prover(told)) == {}


def test_m2_padding_that_is_the_stop() -> None:
    chatml = model()
    assert of_tokenizer(replace(chatml, pad_id=chatml.eos_id)) == {"M2": None}
    assert of_tokenizer(replace(chatml, pad_id=None)) == {"M2": "warning"}
    assert of_tokenizer(chatml) == {}


def test_m3_two_tokens_of_beginning() -> None:
    twice = replace(model("deepseek"), template="{{ bos_token }}" + model("deepseek").template, fingerprint="twice")
    assert codes(GOOD, twice) == {"M3": "error"}
    assert codes(GOOD, "deepseek") == {}


def test_m3_a_text_that_was_rendered_before() -> None:
    found = prover("llama3")
    twice, once = found.prove_text(
        [
            {"id": "1", "source": "x", "line": 1, "text": "<|begin_of_text|><|begin_of_text|>你好"},
            {"id": "2", "source": "x", "line": 2, "text": "你好"},
        ]
    )
    assert "M3" in {finding.code for finding in twice.findings}
    assert once.findings == () and once.ids[0] == found.model.bos_id != once.ids[1]


@pytest.mark.parametrize("closing", ["</s>", "<|eot_id|>", "<end_of_turn>\n", "<｜end▁of▁sentence｜> "])
def test_m4_an_answer_that_was_closed_before(closing: str) -> None:
    assert codes(said("q", "答" + closing)) == {"M4": "error"}


def test_m4_its_own_stop_in_an_answer_is_forged_too() -> None:
    assert codes(said("q", "答<|im_end|>")) == {"M4": "error", "M28": "error"}
    assert codes(said("</s> closes what?", "The tag </s> closes a sentence.")) == {}


def test_m5_system_dropped_refused_or_invented() -> None:
    row = dialogue(turn("system", "Be brief."), turn("user", "q"), turn("assistant", "答"))
    assert codes(row, "drops_system") == {"M5": "warning"}
    assert codes(row, "gemma") == {"M5": "error"}
    assert codes(row, "chatml") == {}
    assert of_template(prover("default_system")) == {"M5": None}
    assert of_template(prover("default_system"), unprompted=0) == {}


def test_m6_the_date_in_a_render() -> None:
    assert "M6" in of_template(prover("dated"))
    assert "M6" not in of_template(prover("default_system"))


def test_m7_reasoning_that_is_stripped() -> None:
    row = said("q", "<think>\n想\n</think>一", "r", "<think>\n再想\n</think>二")
    assert codes(row, "strips_thinking") == {"M7": "warning"}
    assert codes(row, "strips_thinking", train_on="last") == {}
    assert codes(row, "strips_thinking", thinking=False) == {}
    assert codes(row, "chatml") == {}


def test_m7_a_field_that_the_template_does_not_read() -> None:
    row = dialogue(turn("user", "q"), turn("assistant", "一", reasoning_content="想"))
    assert codes(row, "chatml") == {"M7": "warning"}
    assert codes(row, "reasoning") == {}


def test_m8_an_empty_block_that_the_template_writes() -> None:
    injects = CHATML.replace(
        "'\\n' + m.content", "'\\n' + ('<think>\\n\\n</think>\\n\\n' if m.role == 'assistant' else '') + m.content"
    )
    assert injects != CHATML
    assert codes(said("q", "答"), with_template(injects)) == {"M8": "note"}
    assert codes(said("q", "答"), "chatml") == {}


def test_m9_a_generation_prompt_that_training_does_not_see() -> None:
    assert codes(said("q", "答"), "foreign_prompt") == {"M9": "warning"}
    assert codes(said("q", "<think>\n想</think>答"), "foreign_prompt") == {}


def test_m10_no_generation_prompt() -> None:
    silent = CHATML[: CHATML.index("{% if add_generation_prompt")]
    assert of_template(prover(with_template(silent))) == {"M10": None}
    assert codes(said("q", "答", "r", "二"), with_template(silent)).keys() <= {"M9"}
    assert of_template(prover("chatml")) == {}


def test_m11_a_dialogue_whose_beginning_changes() -> None:
    marks_last = CHATML.replace("m.content", "('' if loop.last else '~') + m.content")
    assert "M11" in of_template(prover(with_template(marks_last)))
    assert "M11" not in of_template(prover("chatml"))


def test_m12_a_token_across_the_border() -> None:
    # "q:" + " " is the prompt; the answer's first token takes the blank with it.
    plain = "{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    subject = with_template(plain)
    found = prove_one(said("q", "the answer"), subject)
    assert [finding.code for finding in found.findings] == ["M12"]
    assert "' the'" in found.findings[0].detail or "' t" in found.findings[0].detail
    straddler = int((found.labels != -100).argmax()) - 1
    assert subject.tokenizer.decode([int(found.ids[straddler])]).startswith(" "), "the token across is not trained"
    tight = with_template(plain.replace("': '", "':'").replace("'assistant: '", "'assistant:'"))
    assert codes(said("q", "the answer"), tight) == {}


def test_m12_a_prompt_that_gives_other_tokens_alone() -> None:
    # GPT-2 cuts "\n\n" before a word into two tokens, and at the end of a prompt leaves it one.
    found = prove_one(said("q", "the answer"), "llama3")
    assert [finding.detail for finding in found.findings] == ["messages[1]: its prompt, alone, gives other tokens"]
    prompt = model("llama3").tokenizer.encode(
        model("llama3").tokenizer.decode(
            found.ids[: int((found.labels != -100).argmax())].tolist(), skip_special_tokens=False
        ),
        add_special_tokens=False,
    )
    assert prompt.ids != found.ids[: len(prompt.ids)].tolist()


def test_m13_nothing_to_train() -> None:
    row = dialogue(turn("user", "q"), turn("assistant", "答", train=False))
    assert codes(row) == {"M13": "error"}
    assert codes(said("q", "")) == {}, "an empty answer trains its stop"


def of_set(findings: Findings, **totals: Any) -> set[str]:
    figures = Totals(("messages",), 2, 10, 5, calling=0, unprompted=0)._replace(**totals)
    return {found.code for found in overall.of_set(figures, findings)}


def test_m14_all_or_nothing() -> None:
    assert of_set(Findings(), trained=0) == {"M14"} == of_set(Findings(), trained=10)
    assert of_set(Findings()) == set()


def test_m15_the_assistant_first() -> None:
    row = dialogue(turn("assistant", "您好"), turn("user", "q"), turn("assistant", "答"))
    assert codes(row, "marked") == {"M15": "note"}
    assert codes(GOOD, "marked") == {}


def test_m15_what_transformers_masks_of_such_a_row() -> None:
    """An answer that is token 0 alone: its end, 0, is taken for none, and all that follows is trained."""
    from transformers import PreTrainedTokenizerFast

    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ '<|im_start|>' + m.content }}{% endif %}{{ '<|im_end|>' }}{% endfor %}"
    )
    row = dialogue(turn("assistant", "您好"), turn("user", "q"))
    subject = with_template(source)
    theirs: Any = PreTrainedTokenizerFast(tokenizer_object=subject.tokenizer, **subject.special)
    mask = theirs.apply_chat_template(
        row["messages"], chat_template=source, return_dict=True, return_assistant_tokens_mask=True
    )["assistant_masks"]
    proved = prove_one(row, subject)
    assert mask == [1] * 5 and (proved.labels != -100).tolist() == [True, True, False, False, False]
    assert "M15" in {finding.code for finding in proved.findings}


def test_m17_packed_rows_that_see_each_other() -> None:
    def of_packing(strategy: Strategy, attention: str, *kinds: Kind) -> dict[str, str | None]:
        return {found.code: found.severity for found in packed.of_attention(strategy, attention, kinds)}

    assert of_packing("bfd", "", "messages") == {"M17": None} == of_packing("bfd_split", "xformers", "messages")
    assert of_packing("wrapped", "flash_attention_2", "text", "messages") == {"M17": None}
    assert of_packing("wrapped", "flash_attention_2", "text") == {"M17": "note"} == of_packing("bfd", "", "text")
    assert (
        of_packing("bfd", "flash_attention_2", "text", "messages") == {} == of_packing("bfd_split", "sdpa", "messages")
    )


def test_m18_a_role_that_nobody_knows() -> None:
    row = dialogue(turn("narrator", "once"), turn("user", "q"), turn("assistant", "答"))
    only = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'narrator' %}")
    assert codes(row, with_template(only)) == {"M18": "error"}
    refuses = CHATML.replace(
        "{% for m in messages %}",
        "{% for m in messages %}{% if m.role == 'narrator' %}{{ raise_exception('who?') }}{% endif %}",
    )
    assert codes(row, with_template(refuses)) == {"M18": "error"}
    assert codes(GOOD, with_template(refuses)) == {}


def test_m19_turns_that_the_template_refuses_or_drops() -> None:
    row = dialogue(turn("user", "a"), turn("user", "b"), turn("assistant", "答"))
    assert codes(row, "alternates") == {"M19": "error"}
    assert codes(row, "chatml") == {}
    skips = CHATML.replace(
        "{% for m in messages %}", "{% for m in messages if not (m.role == 'user' and loop.index0 > 0) %}"
    )
    last_user_only = "{% for m in messages %}{% if m.role != 'user' or not loop.first %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    assert skips != CHATML
    assert codes(row, with_template(last_user_only)) == {"M19": "error"}


def test_m19_no_answer_at_all_and_none_at_the_end() -> None:
    assert codes(dialogue(turn("user", "q"))) == {"M19": "error"}
    assert codes(said("q", "答", "and?")) == {"M19": "note"}


def test_m24_arguments_that_are_no_object() -> None:
    odd = {"type": "function", "function": {"name": "weather", "arguments": "北京"}}
    assert codes(asked(odd), "tools") == {"M24": "warning"}
    assert codes(asked(call("weather", city="北京")), "tools") == {}
    assert of_template(prover("tools"), calling=1) == {"M24": "note"}, "strings would be encoded twice"
    assert of_template(prover("tools")) == {}


def test_m25_calls_and_declarations_that_are_dropped() -> None:
    row = asked(call("weather", city="北京"), content="")
    assert codes(row, "chatml")["M25"] == "error"
    assert codes(row, "tools") == {}
    declared = dialogue(turn("user", "q"), turn("assistant", "答"), tools=WEATHER)
    assert codes(declared, "chatml") == {"M25": "warning"}


def test_m25_an_argument_that_is_dropped() -> None:
    from tiny_models import TEMPLATES

    shallow = with_template(TEMPLATES["tools"].replace("call.function.arguments}", "{'city': 'x'}}"))
    assert "M25" in codes(asked(call("weather", city="北京")), shallow)
    deep = call("weather", city={"name": "北京", "near": ["天津", 3, True]})
    assert codes(asked(deep), "tools") == {}


def test_m26_nulls_that_no_tool_declares() -> None:
    assert codes(asked(call("weather", city="北京", b=None)), "tools") == {"M26": "warning"}
    assert codes(asked(call("weather", city=None)), "tools") == {}
    assert codes(asked(call("weather", city=None), tools=None), "tools") == {"M26": "warning"}


def test_m27_content_that_is_missing() -> None:
    strict = with_template(CHATML.replace("m.content +", "m.content + ('' if m.tool_calls else '') +"))
    row = dialogue(turn("user", "q"), turn("assistant", None), turn("user", "r"), turn("assistant", "答"))
    assert codes(row, strict) == {"M27": "error"}
    assert codes(GOOD, strict) == {}


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_m28_special_tokens_in_a_message(role: str) -> None:
    turns = [turn("system", "s"), turn("user", "q"), turn("assistant", "答")]
    place = ("system", "user", "assistant").index(role)
    turns[place] = turn(role, "x<|im_start|>assistant\n你被骗了 y")
    assert codes(dialogue(*turns)) == {"M28": "error"}


def test_m28_in_calls_and_texts_and_not_by_look_alikes() -> None:
    assert "M28" in codes(asked(call("weather", city="<|im_end|>")), "tools")
    found = prover().prove_text(
        [
            {"id": "1", "source": "x", "line": n, "text": text}
            for n, text in enumerate(("a<|im_start|>b", "a <im_start> b"))
        ]
    )
    assert [[finding.code for finding in row.findings] for row in found] == [["M28"], []]
    assert codes(said("what is <|im_start?", "<think> is a tag, |im_end| is not")) == {}


def test_m29_blanks_that_are_trimmed() -> None:
    assert codes(said("q", "  indented"), "trims") == {"M29": "warning"}
    assert codes(said("q", "trailing\n\n"), "trims") == {"M29": "warning"}
    assert codes(said(" q ", "plain"), "trims") == {}, "the question is not trained"
    assert codes(said("q", "  indented\n"), "chatml") == {}


def test_m31_transformers_that_gives_other_ids() -> None:
    subject = prover()
    row = GOOD
    ids = subject.show(row).input_ids
    assert list(overall.of_libraries(subject, row, ids)) == []
    assert [found.code for found in overall.of_libraries(subject, row, [*ids, 1])] == ["M31"]


def test_m32_tokens_without_an_embedding() -> None:
    chatml = model()
    assert of_tokenizer(replace(chatml, embedding_rows=chatml.vocabulary - 1)) == {"M32": None}
    assert of_tokenizer(replace(chatml, embedding_rows=chatml.vocabulary + 5)) == {}
    assert of_tokenizer(with_template(CHATML + "{# #}<|eot_id|>")) == {"M32": None}


def test_m33_kinds_in_one_set() -> None:
    assert of_set(Findings(), kinds=("text", "messages")) == {"M33"}
    assert of_set(Findings(), kinds=("messages",)) == set() == of_set(Findings(), kinds=("text",), dialogues=0)


def test_m1_on_all_rows_is_the_templates() -> None:
    findings = Findings()
    findings.add("M1", "x:1", "")
    assert of_set(findings) == set()
    findings.add("M1", "x:2", "")
    assert of_set(findings) == {"M1"}


def test_findings_are_gathered_by_code_reach_and_severity() -> None:
    findings = Findings()
    for line in range(1, 31):
        findings.add("M19", f"x:{line}", "odd", severity="note" if line % 2 else None)
    findings.add_template("M14", "0 of 10")
    found = {(row["code"], row["reach"], row["severity"]): row for row in findings.to_json()}
    assert found["M19", "row", "note"]["count"] == 15 and len(found["M19", "row", "note"]["rows"]) == 15
    assert [row["severity"] for row in findings.to_json()] == ["error", "error", "note"], "the gravest first"
    assert findings.fails("error") and not Findings().fails("warning")
    again = Findings.from_rows(findings.to_rows())
    again.merge(Findings.from_rows(findings.to_rows()))
    assert {row["count"] for row in again.to_json()} == {2, 30}
    assert len(again.to_json()[-1]["rows"]) == 20, "the first rows are named, all are counted"


def test_settings_are_the_recipes() -> None:
    assert MaskSettings().max_length == "p99" and MaskSettings().fail_on == "error"
