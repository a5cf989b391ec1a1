"""A model's folder, messages and their render: the same text as transformers' own, to the byte."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, TEMPLATES, copy_of, tiny_model

from datakit.errors import InputError, MissingExtra, MissingInput, TemplateRaised
from datakit.template.messages import for_template, tools_for_template
from datakit.template.model import Model, load_model
from datakit.template.render import Renderer
from datakit.template.standin import stand_in

SHARED = Path(__file__).parents[2] / "shared" / "templates"
USER, ANSWER = {"role": "user", "content": "多少钱？"}, {"role": "assistant", "content": "一千元。"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(autouse=True, scope="module")
def _one_day() -> Iterator[None]:
    """Stop the clock of transformers, so that midnight does not fall between two renders of a dated template."""
    from transformers.utils import chat_template_utils

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2024, 2, 29, 12)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_template_utils, "datetime", Stopped)
        yield


@cache
def model(family: str = "chatml") -> Model:
    return load_model(tiny_model(family))


@cache
def pair(family: str, source: str) -> tuple[Renderer, Any]:
    """Our renderer and transformers' tokenizer of the same folder, both with one template."""
    from transformers import AutoTokenizer

    return Renderer(replace(model(family), template=source)), AutoTokenizer.from_pretrained(tiny_model(family))


def both(
    family: str, source: str, messages: list[Any], tools: Any = None, **how: bool
) -> tuple[str | None, str | None]:
    """Our text and transformers' own; None where the template raises."""
    ours, theirs = pair(family, source)
    given_messages = for_template(messages)
    try:
        mine: str | None = ours.render(given_messages, tools, generation_prompt=how.get("add_generation_prompt", False))
    except TemplateRaised:
        mine = None
    try:
        other = theirs.apply_chat_template(given_messages, tools=tools, chat_template=source, tokenize=False, **how)
    except Exception:
        other = None
    return mine, other


WORDS = st.text(st.sampled_from("ab 你好\n\t<|im_end|>{}%'\"\\é🙂"), max_size=12)
ARGUMENTS = st.dictionaries(
    WORDS, st.one_of(WORDS, st.integers(-9, 9), st.none(), st.lists(WORDS, max_size=2)), max_size=3
)
CALLS = st.lists(
    ARGUMENTS.map(lambda a: {"type": "function", "function": {"name": "f", "arguments": orjson.dumps(a).decode()}}),
    max_size=2,
).map(lambda calls: orjson.dumps(calls).decode())
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.one_of(WORDS, st.none())},
    optional={
        "reasoning_content": st.one_of(WORDS, st.none()),
        "tool_calls": st.one_of(CALLS, st.none()),
        "train": st.booleans(),
    },
)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
@settings(max_examples=25, deadline=None)
@given(messages=st.lists(MESSAGE, min_size=1, max_size=5), prompt=st.booleans(), tools=st.booleans())
def test_the_text_is_that_of_transformers(name: str, messages: list[Any], prompt: bool, tools: bool) -> None:
    family = name if name in FAMILIES else "chatml"
    ours, theirs = both(family, TEMPLATES[name], messages, [TOOL] if tools else None, add_generation_prompt=prompt)
    assert ours == theirs


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of real templates is not here")
def test_real_templates_give_the_text_of_transformers() -> None:
    call = orjson.dumps(
        [{"id": "a1b2c3d4e", "type": "function", "function": {"name": "f", "arguments": '{"城":1}'}}]
    ).decode()
    rows = [
        [USER, ANSWER],
        [{"role": "system", "content": "Be brief."}, USER, {**ANSWER, "reasoning_content": "想"}, USER, ANSWER],
        [USER, {"role": "assistant", "content": None, "tool_calls": call}, {"role": "tool", "content": "晴"}, ANSWER],
    ]
    rendered = 0
    for path in sorted(SHARED.glob("*.jinja")):
        for row in rows:
            for prompt in (False, True):
                ours, theirs = both(
                    "chatml", path.read_text(encoding="utf-8"), row, [TOOL], add_generation_prompt=prompt
                )
                assert ours == theirs, path.name
                rendered += ours is not None
    assert rendered > 150


def test_marked_ranges_hold_what_stands_in_generation_blocks() -> None:
    renderer = Renderer(replace(model(), template=TEMPLATES["marked"]))
    text, ranges = renderer.render_marked([USER, ANSWER, USER, {**ANSWER, "content": "Two 两"}])
    assert [text[start:end] for start, end in ranges] == ["一千元。<|im_end|>", "Two 两<|im_end|>"]
    assert text == renderer.render([USER, ANSWER, USER, {**ANSWER, "content": "Two 两"}])
    assert Renderer(model()).render_marked([USER, ANSWER])[1] == []


def test_the_clock_is_pinned_and_nobody_elses_is() -> None:
    source = replace(model(), template=TEMPLATES["dated"])
    then, later = Renderer(source, now=datetime(2020, 2, 29)), Renderer(source, now=datetime(2031, 1, 2))
    free = Renderer(source)
    assert "29 Feb 2020" in then.render([USER]) and "02 Jan 2031" in later.render([USER])
    assert "2020" not in free.render([USER]) and "29 Feb 2020" in then.render([USER])


def test_reasoning_is_offered_under_every_name_that_templates_know() -> None:
    source = "{% for m in messages %}{{ m.thinking or '' }}{{ m.reasoning_content or '' }}{{ m.content }}{% endfor %}"
    ours, theirs = both("chatml", source, [USER, {**ANSWER, "reasoning_content": "先想"}])
    assert ours == theirs == "多少钱？先想先想一千元。"


def test_arguments_reach_the_template() -> None:
    source = replace(model(), template="{{ date_string }}{{ eos_token }}")
    assert Renderer(source, arguments={"date_string": "三月"}).render([USER]) == "三月<|im_end|>"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ raise_exception('user 在前') }}", "user 在前"),
        ("{{ messages[0].content + messages[0].missing }}", "missing"),
        ("{{ messages[9].content }}", "no element 9"),
        ("{{ 'a' + 1 }}", "concatenate"),
        ("{{ messages.append(1) }}", "unsafe"),
    ],
)
def test_a_template_that_refuses_is_quoted(source: str, said: str) -> None:
    renderer = Renderer(replace(model(), template=source))
    for render in (renderer.render, renderer.render_marked):
        with pytest.raises(TemplateRaised) as raised:
            render([USER])
        assert said in raised.value.found and raised.value.exit_code == 1


def test_a_broken_template_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"line 2.*endfor"):
        Renderer(replace(model(), template="{{ bos_token }}\n{% for m in messages %}"))


class TestMessages:
    def test_empty_fields_and_our_own_go(self) -> None:
        assert for_template([{**USER, "name": None, "train": False, "tool_calls": None}]) == [USER]

    @given(ARGUMENTS)
    def test_arguments_in_either_form_are_the_same_value(self, arguments: dict[str, Any]) -> None:
        for stored in (arguments, orjson.dumps(arguments).decode()):
            calls = orjson.dumps([{"function": {"name": "f", "arguments": stored}}]).decode()
            row = [{"role": "assistant", "tool_calls": calls}]
            ((as_object,), (as_text,)) = (for_template(row, arguments=form) for form in ("dict", "string"))
            assert as_object["tool_calls"][0]["function"]["arguments"] == arguments
            text = as_text["tool_calls"][0]["function"]["arguments"]
            assert isinstance(text, str) and orjson.loads(text) == arguments

    @pytest.mark.parametrize("text", ["", "not JSON", "[1]", "3"])
    def test_text_that_is_no_object_stays_text(self, text: str) -> None:
        calls = orjson.dumps([{"function": {"name": "f", "arguments": text}}]).decode()
        (message,) = for_template([{"role": "assistant", "tool_calls": calls}])
        assert message["tool_calls"][0]["function"]["arguments"] == text

    def test_the_row_is_not_touched(self) -> None:
        calls = [{"function": {"name": "f", "arguments": "{}"}}]
        for_template([{"role": "assistant", "tool_calls": calls}])
        assert calls == [{"function": {"name": "f", "arguments": "{}"}}]

    def test_tools(self) -> None:
        assert tools_for_template(orjson.dumps([TOOL]).decode()) == tools_for_template([TOOL]) == [TOOL]
        assert tools_for_template("[]") is tools_for_template(None) is tools_for_template([]) is None


class TestModel:
    def test_what_a_folder_says(self, tmp_path: Path) -> None:
        folder = copy_of(tiny_model("llama3"), tmp_path / "llama")
        end = model("llama3").tokenizer.token_to_id("<|end_of_text|>")
        (folder / "generation_config.json").write_text(f'{{"eos_token_id": [{end}]}}')
        (folder / "config.json").write_text('{"text_config": {"vocab_size": 640}}')
        found = load_model(folder)
        ids = found.tokenizer
        assert found.name == "llama" and found.adds_bos and found.bos_id == ids.token_to_id("<|begin_of_text|>")
        assert found.stop_ids == {end, ids.token_to_id("<|eot_id|>")} and found.pad_id == ids.token_to_id("<|pad|>")
        assert found.embedding_rows == 640 and found.vocabulary == ids.get_vocab_size()
        assert found.special["eos_token"] == "<|eot_id|>" and found.template == TEMPLATES["llama3"]

    def test_markup_that_a_model_writes_is_not_structure(self) -> None:
        tokens = model().tokenizer
        assert tokens.token_to_id("<|im_end|>") in model().special_ids
        assert tokens.token_to_id("<think>") not in model().special_ids
        assert not model().adds_bos and model().bos_id is None

    def test_another_template(self, tmp_path: Path) -> None:
        (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
        found = load_model(tiny_model("chatml"), tmp_path / "mine.jinja")
        assert Renderer(found).render([USER]) == "多少钱？"
        assert found.fingerprint != model().fingerprint

    def test_the_fingerprint_is_of_content(self, tmp_path: Path) -> None:
        folder = copy_of(tiny_model("chatml"), tmp_path / "copy")
        assert load_model(folder).fingerprint == model().fingerprint
        config = orjson.loads((folder / "tokenizer_config.json").read_bytes())
        (folder / "tokenizer_config.json").write_bytes(orjson.dumps({**config, "eos_token": "<|endoftext|>"}))
        assert load_model(folder).fingerprint != model().fingerprint

    def test_no_truncation_and_no_padding(self, tmp_path: Path) -> None:
        folder = copy_of(tiny_model("chatml"), tmp_path / "copy")
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(3)
        tokenizer.enable_padding(length=50)
        tokenizer.save(str(folder / "tokenizer.json"))
        short, long = load_model(folder).tokenizer.encode("a"), load_model(folder).tokenizer.encode("一千元" * 30)
        assert len(short.ids) == 1 and len(long.ids) > 50

    def test_a_folder_without_template_is_a_model_still(self) -> None:
        assert model("plain").template == ""
        with pytest.raises(InputError, match="no chat template"):
            Renderer(model("plain"))

    def test_several_templates_need_a_default(self, tmp_path: Path) -> None:
        folder = copy_of(tiny_model("plain"), tmp_path / "copy")
        config = orjson.loads((folder / "tokenizer_config.json").read_bytes())
        named = [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": "{{ 2 }}"}]
        (folder / "tokenizer_config.json").write_bytes(orjson.dumps({**config, "chat_template": named}))
        assert Renderer(load_model(folder)).render([USER]) == "1"
        (folder / "tokenizer_config.json").write_bytes(orjson.dumps({**config, "chat_template": named[1:]}))
        with pytest.raises(InputError, match="tool_use"):
            load_model(folder)

    @pytest.mark.parametrize(
        ("change", "kind", "said"),
        [
            (lambda f: (f / "tokenizer.json").unlink(), InputError, "no tokenizer"),
            (lambda f: (f / "tokenizer.json").write_text("{"), InputError, "no tokenizer"),
            (lambda f: (f / "generation_config.json").write_text("{"), InputError, "is no JSON"),
            (lambda f: (f / "config.json").write_text("[]"), InputError, "an object"),
        ],
    )
    def test_broken_folders(self, tmp_path: Path, change: Any, kind: type[Exception], said: str) -> None:
        folder = copy_of(tiny_model("chatml"), tmp_path / "copy")
        change(folder)
        with pytest.raises(kind, match=said):
            load_model(folder)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingInput, match="no such model"):
            load_model(tmp_path / "Qwen" / "Qwen3")
        with pytest.raises(MissingInput, match="no such template"):
            load_model(tiny_model("chatml"), tmp_path / "none.jinja")
        (tmp_path / "latin.jinja").write_bytes(b"\xe9")
        with pytest.raises(InputError, match="UTF-8"):
            load_model(tiny_model("chatml"), tmp_path / "latin.jinja")

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known, folder = model(), tiny_model("chatml")
        for name in ("transformers", "transformers.utils"):
            monkeypatch.setitem(sys.modules, name, None)
        for use in (lambda: load_model(folder), lambda: Renderer(known)):
            with pytest.raises(MissingExtra, match=r"transformers.*pip install 'datakit\[train\]'"):
                use()


class TestStandIn:
    @pytest.mark.parametrize(
        ("source", "tokens", "eos"),
        [
            ("{{ '<|im_start|>' }}<|im_end|>", ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
            ("{{ bos_token }}[INST] x [/INST]{{ eos_token }}", ["[INST]", "[/INST]"], "<|endoftext|>"),
            ("<｜User｜><｜end▁of▁sentence｜>", ["<｜User｜>", "<｜end▁of▁sentence｜>"], "<｜end▁of▁sentence｜>"),
            ("<|turn>user<turn|>", ["<|turn>", "<turn|>"], "<turn|>"),
            ("<start_of_turn>a<end_of_turn>", ["<start_of_turn>", "<end_of_turn>"], "<end_of_turn>"),
            ("[|user|][|endofturn|]", ["[|user|]", "[|endofturn|]"], "[|endofturn|]"),
            ("[gMASK]<sop><|user|>", ["[gMASK]", "<sop>", "<|user|>"], "<|endoftext|>"),
        ],
    )
    def test_special_tokens_of_the_source_are_single(
        self, tmp_path: Path, source: str, tokens: list[str], eos: str
    ) -> None:
        (tmp_path / "bare.jinja").write_text(source, encoding="utf-8")
        found = stand_in(tmp_path / "bare.jinja")
        for token in [*tokens, found.special["bos_token"], found.special["eos_token"]]:
            assert len(found.tokenizer.encode(token).ids) == 1
            assert found.tokenizer.token_to_id(token) in found.special_ids
        assert found.special["eos_token"] == eos and found.name == "bare"

    def test_markup_and_placeholders_are_text(self, tmp_path: Path) -> None:
        (tmp_path / "bare.jinja").write_text(
            "<think></tool_call><function-name>{{ messages[0] }}[json_key]", encoding="utf-8"
        )
        found = stand_in(tmp_path / "bare.jinja")
        assert len(found.special_ids) == 2  # bos and eos

    @given(text=st.text(max_size=30))
    def test_any_text_is_bytes(self, text: str) -> None:
        assert (
            _byte_model().tokenizer.decode(_byte_model().tokenizer.encode(text).ids, skip_special_tokens=False) == text
        )


@cache
def _byte_model() -> Model:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.jinja").write_text("<|im_end|>")
        return stand_in(Path(folder) / "x.jinja")
