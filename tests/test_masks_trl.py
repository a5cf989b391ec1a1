"""Agreement with the labels that TRL makes by `assistant_only_loss`, where its own templates apply.

TRL swaps the template of a known family for one with generation markers. What it labels more than the proof is what
the generation prompt supplies, or what follows the stop (M8): these differences are pinned here, token by token.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Final

import pytest
from mask_rows import call, dialogue, model, prover, said, turn, with_template

from datakit.masks.prover import Prover
from datakit.template.messages import for_template, tools_for_template

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what TRL and torch say as they are imported
    families = pytest.importorskip("trl.chat_template_utils", reason="trl is not installed")

WEATHER: Final = [{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {}}}}}]
CALLS: Final = dialogue(
    turn("system", "You help."),
    turn("user", "北京天气？"),
    turn("assistant", "", tool_calls=[call("weather", city="北京")]),
    turn("tool", "晴"),
    turn("assistant", "晴天。"),
    tools=WEATHER,
)
THINKS: Final = dialogue(turn("user", "多少？"), turn("assistant", "五百。", reasoning_content="数一数"))
LONG: Final = said("你好", "您好，请讲。", "How much?", "Five hundred.")


def subject(family: str) -> Prover:
    return prover(with_template(getattr(families, f"{family}_chat_template")))


def of_trl(found: Prover, row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Ids and labels as `SFTTrainer` makes them of a row of messages."""
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=found.model.tokenizer, **found.model.special)
    tokenizer.chat_template = found.model.template
    patched = families.get_training_chat_template(tokenizer)
    made = tokenizer.apply_chat_template(
        for_template(row["messages"]),
        tools=tools_for_template(row["tools"]),
        chat_template=patched,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids = list(made["input_ids"])
    return ids, [number if mask else -100 for number, mask in zip(ids, made["assistant_masks"], strict=True)]


def more(found: Prover, row: dict[str, Any]) -> list[str]:
    """The stretches that TRL labels and the proof does not; every other token has the same label."""
    proved = found.show(row)
    ids, labels = of_trl(found, row)
    assert ids == proved.input_ids
    stretches: list[list[int]] = []
    before = -2
    for place, (theirs, ours) in enumerate(zip(labels, proved.labels, strict=True)):
        if theirs == ours:
            continue
        assert ours == -100, "TRL labels all that the proof does"
        if place != before + 1:
            stretches.append([])
        stretches[-1].append(ids[place])
        before = place
    return [found.model.tokenizer.decode(stretch, skip_special_tokens=False) for stretch in stretches]


@pytest.mark.parametrize("row", [LONG, CALLS], ids=["dialogue", "calls"])
def test_qwen2_5_differs_by_the_line_feeds_around_an_answer(row: dict[str, Any]) -> None:
    found = subject("qwen2_5")
    assert not [finding for finding in found.show(row).findings if finding.weight != "note"]
    answers = sum(message["role"] == "assistant" for message in row["messages"])
    assert more(found, row) == ["\n"] * 2 * answers, "one of the header, one behind the stop"


def test_qwen3_differs_by_the_line_feed_behind_the_stop() -> None:
    found = subject("qwen3")
    assert found.show(THINKS).findings == []
    assert more(found, THINKS) == ["\n"]


def test_qwen3_differs_by_the_empty_block_that_its_template_writes() -> None:
    found = subject("qwen3")
    row = said("多少？", "五百。")
    assert {finding.code: finding.weight for finding in found.show(row).findings} == {"M8": "note"}
    assert more(found, row) == ["<think>\n\n</think>\n\n", "\n"]


def test_qwen3_as_it_is_and_as_trl_swaps_it_are_two_renders() -> None:
    found = subject("qwen3")
    ids, _ = of_trl(found, LONG)
    proved = found.show(LONG)
    assert ids != proved.input_ids, "TRL's template writes thinking into earlier turns, the model's own does not"
    text = found.model.tokenizer.decode(ids, skip_special_tokens=False)
    assert text.count("<think>") == 2 and proved.text.count("<think>") == 1


@pytest.mark.parametrize(
    ("family", "tokens"),
    [("llama3", "llama3"), ("gemma3", "gemma"), ("qwen3_instruct_2507", "chatml"), ("phi3_5", "chatml"),
     ("deepseekv3", "deepseek")],
)  # fmt: skip
def test_what_other_families_label_besides_holds_no_word_of_the_row(family: str, tokens: str) -> None:
    source = getattr(families, f"{family}_chat_template")
    found = prover(replace(model(tokens), template=source, fingerprint=family))
    for extra in more(found, LONG):
        assert not any(message["content"] in extra for message in LONG["messages"])
