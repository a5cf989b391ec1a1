"""Templates that cannot be trained on: what is suggested, what the probes say of it, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from tiny_models import TEMPLATES, tiny_model

pytest.importorskip("transformers", reason="transformers is in datakit[train], which is not installed")

from datakit.masks.suggest import SOUGHT, Suggestion, suggest
from datakit.template.model import Model, load_model
from datakit.template.render import Renderer

ASKED = [{"role": "user", "content": "多少钱？"}]
SAID = [*ASKED, {"role": "assistant", "content": "一百元。"}]
SYSTEM = [{"role": "system", "content": "你是客服。"}, *SAID]
LONGER = [*SAID, {"role": "user", "content": "Is that all?"}, {"role": "assistant", "content": "Yes."}]


def model(template: str, family: str = "chatml") -> Model:
    """A tiny model under a template of the tests, by name or as source."""
    loaded = load_model(tiny_model(family))
    return replace(loaded, template=TEMPLATES.get(template, template))


def suggested(template: str, family: str = "chatml") -> Suggestion:
    return suggest(model(template, family))


def render(suggestion: Suggestion, messages: list[dict[str, str]], family: str = "chatml", **how: bool) -> str:
    return Renderer(replace(model("chatml", family), template=suggestion.source)).render(messages, **how)


@pytest.mark.parametrize("name", ["chatml", "reasoning", "marked", "tools", "trims", "alternates", "default_system"])
def test_a_sound_template_is_left_as_it_is(name: str) -> None:
    found = suggested(name)
    assert found.needed == () and found.taken == () and found.differences() == []
    assert found.source == TEMPLATES[name]


def test_the_last_answer_is_closed_as_the_earlier_ones_are() -> None:
    found = suggested("last_turn_unstopped")
    assert found.needed == ("ends_with_stop",) and found.left == ()
    assert [change.what for change in found.taken] == ["the last answer ends in <|im_end|>"]
    assert ("ends_with_stop", False, True) in found.differences()
    before = Renderer(model("last_turn_unstopped"))
    assert render(found, LONGER) == before.render(LONGER) + "<|im_end|>"
    assert render(found, ASKED, generation_prompt=True) == before.render(ASKED, generation_prompt=True)


def test_answers_that_nothing_closes_get_the_eos() -> None:
    bare = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    found = suggested(bare)
    assert render(found, LONGER).count("<|im_end|>") == 2 and "一百元。<|im_end|>\n" in render(found, LONGER)
    assert found.left == ()


def test_the_date_is_pinned() -> None:
    found = suggest(model("dated"), date(2030, 5, 17))
    assert found.needed == ("dated",) and found.left == ()
    assert "Today is 17 May 2030" in render(found, SAID)


@pytest.mark.parametrize(("name", "family"), [("gemma", "gemma"), ("drops_system", "chatml")])
def test_the_system_text_goes_into_the_user_turn(name: str, family: str) -> None:
    found = suggested(name, family)
    assert found.needed == ("system",) and found.left == ()
    assert "user\n你是客服。\n\n多少钱？<" in render(found, SYSTEM, family)
    assert render(found, SAID, family) == Renderer(model(name, family)).render(SAID)


def test_thinking_of_earlier_turns_is_kept_once() -> None:
    found = suggested("strips_thinking")
    thinks = {"role": "assistant", "content": "<think>\n先想想\n</think>\n\n好。"}
    text = render(found, [*ASKED, thinks, *ASKED, SAID[1]])
    assert found.left == () and text.count("<think>\n先想想\n</think>\n\n好。<|im_end|>") == 1


def test_a_default_for_an_argument_of_the_template() -> None:
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% if thinking is not defined or thinking %}<think>\n{% endif %}{% endif %}"
    )
    found = suggested(source)
    assert found.needed == ("generation_prompt_is_prefix",) and found.left == ()
    assert [dict(change.arguments) for change in found.taken] == [{"thinking": False}]
    assert render(found, ASKED, generation_prompt=True).endswith("<|im_start|>assistant\n")


def test_thinking_that_the_generation_prompt_opens() -> None:
    found = suggested("foreign_prompt")
    assert [change.what for change in found.taken] == ["the generation prompt opens no thinking"]
    assert ("generation_prompt_is_prefix", False, True) in found.differences()


def test_what_no_change_cures_is_said() -> None:
    always = "{{ raise_exception('never') }}"
    found = suggested(always)
    assert found.taken == () and found.source == always and found.left == found.needed == tuple(SOUGHT)


def test_the_changes_stand_in_a_comment_that_renders_to_nothing() -> None:
    found = suggested("last_turn_unstopped")
    assert found.source.startswith("{# Changed by datakit: the last answer ends in <|im_end|> #}\n")
    assert render(found, SAID).startswith("<|im_start|>user")


def test_no_probe_is_worse() -> None:
    """Whatever is suggested, no boolean that was good turns bad and nothing that was kept is dropped."""
    good = {"generation_prompt_is_prefix": True, "prefix_preserving": True, "ends_with_stop": True, "dated": False}
    for name in TEMPLATES:
        found = suggested(name)
        for probe, before, after in found.differences():
            assert before not in ("keep", "renders"), f"{name}: {probe} was {before}, is {after}"
            assert probe not in good or after is good[probe], f"{name}: {probe} was {before}, is {after}"
