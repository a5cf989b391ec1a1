"""The proof's labels against a slow mask, token by token, on random dialogues."""

from __future__ import annotations

from typing import Any

import mask_oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_rows import CHATML, call, dialogue, prover, turn, with_template

from datakit.template.model import Model

# Chinese and English, blanks inside, signs that BPE likes to merge; never a special token.
WORDS = st.text(alphabet="价格多少钱？您好 how much is it? 12.5\n\t「é😀」", min_size=1, max_size=40)
CONTENT = WORDS.map(str.strip).filter(bool)
THOUGHT = st.none() | CONTENT
NAMES = st.sampled_from(["weather", "price", "查询"])


@st.composite
def dialogues(draw: st.DrawFn, *, calls: bool = False) -> dict[str, Any]:
    turns = [turn("system", draw(CONTENT))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        turns.append(turn("user", draw(CONTENT)))
        if calls and draw(st.booleans()):
            asked = call(draw(NAMES), city=draw(CONTENT))
            turns += [turn("assistant", draw(st.none() | CONTENT), tool_calls=[asked]), turn("tool", draw(CONTENT))]
        train = draw(st.sampled_from([None, None, True, False]))
        turns.append(turn("assistant", draw(CONTENT), reasoning_content=draw(THOUGHT), train=train))
    return dialogue(*turns)


def agrees(row: dict[str, Any], subject: Model | str, **masks: Any) -> None:
    found = prover(subject, **masks)
    shown = found.show(row)
    tokenizer = found.model.tokenizer
    options = {"thinking": masks.get("thinking", True), "last": masks.get("train_on") == "last"}
    expected = mask_oracle.labels(
        shown.input_ids,
        mask_oracle.trained_bytes(shown.text, row, **options),
        [str(tokenizer.id_to_token(number)) for number in shown.input_ids],
        set(tokenizer.get_added_tokens_decoder()),
    )
    assert shown.labels == expected
    assert not [finding for finding in shown.findings if finding.weight == "error" and finding.code != "M13"]
    assert [label for label in shown.labels if label != -100] == [
        number for number, part in zip(shown.input_ids, shown.parts, strict=True) if part in ("trained", "stop")
    ]


@given(row=dialogues())
@settings(max_examples=60, deadline=None)
def test_plain_dialogues(row: dict[str, Any]) -> None:
    agrees(row, "chatml")


@given(row=dialogues(), thinking=st.booleans(), train_on=st.sampled_from(["assistant", "last"]))
@settings(max_examples=80, deadline=None)
def test_reasoning_by_every_setting(row: dict[str, Any], thinking: bool, train_on: str) -> None:
    agrees(row, "reasoning", thinking=thinking, train_on=train_on)


INJECTING = CHATML.replace(
    "'\\n' + m.content",
    "'\\n' + ('<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' if m.role == 'assistant' and"
    " (loop.last or m.reasoning_content) else '') + m.content",
)


@given(row=dialogues(), thinking=st.booleans())
@settings(max_examples=80, deadline=None)
def test_empty_blocks_that_come_and_go_with_the_place(row: dict[str, Any], thinking: bool) -> None:
    assert INJECTING != CHATML
    agrees(row, with_template(INJECTING), thinking=thinking)


@given(row=dialogues(calls=True))
@settings(max_examples=80, deadline=None)
def test_calls_of_tools(row: dict[str, Any]) -> None:
    agrees(row, "tools")


@given(row=dialogues(calls=True))
@settings(max_examples=30, deadline=None)
def test_a_batch_gives_what_single_rows_give(row: dict[str, Any]) -> None:
    found = prover("tools")
    other = dialogue(turn("user", "q"), turn("assistant", "答"))
    for alone, together in zip([row, other, row], found.prove_messages([row, other, row]), strict=True):
        (single,) = prover("tools").prove_messages([alone])
        assert single.ids.tolist() == together.ids.tolist()
        assert single.labels.tolist() == together.labels.tolist()
        assert single.findings == together.findings
