"""Each probe in each of its values, on templates of our own; the command from end to end."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from tiny_models import FAMILIES, TEMPLATES, tiny_model

from datakit.errors import InputError, MissingExtra
from datakit.template import probes
from datakit.template.model import Model, load_model
from datakit.template.probes import probe, verdict_of
from datakit.template.standin import stand_in
from datakit.template.verdict import Verdict

KEYS = [
    "system", "default_system", "dated", "generation_prompt_is_prefix", "prefix_preserving", "ends_with_stop",
    "thinking_last", "thinking_history", "reasoning_content", "injects_thinking", "tool_call_dict", "tool_call_string",
    "human_gpt_roles", "user_user", "assistant_first", "system_mid", "none_content", "trims", "generation_markers",
]  # fmt: skip

TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
CHATML = TEMPLATES["chatml"]


def turns(each: str) -> str:
    return f"{{% for m in messages %}}{each}{{% endfor %}}"


def calls(each: str) -> str:
    return turns(
        "{{ m.role + ': ' + (m.content or '') }}{% for call in m.tool_calls or [] %}" + each + "{% endfor %}<|im_end|>"
    )


@cache
def model(family: str) -> Model:
    return load_model(tiny_model(family))


@cache
def verdict(source: str, family: str = "chatml") -> Verdict:
    return probe(replace(model(family), template=source))


def named(template: str) -> Verdict:
    return verdict(TEMPLATES[template], template if template in FAMILIES else "chatml")


# One key, its value, and a template that shows it: by name, or as source.
CASES = [
    ("system", "keep", "chatml"),
    ("system", "drop", "drops_system"),
    ("system", "drop", turns("{% if m.role != 'system' or add_generation_prompt %}" + TURN + "{% endif %}")),
    ("system", "drop", turns("{% if m.role != 'system' or not add_generation_prompt %}" + TURN + "{% endif %}")),
    ("system", "raise", "gemma"),
    ("default_system", None, "chatml"),
    ("default_system", None, "llama3"),
    ("default_system", None, "deepseek"),
    ("default_system", "You are Tiny. 你是小助手。", "default_system"),
    ("default_system", "Today is 01 Jan 2025", "dated"),
    ("default_system", "原样照答。", "原样照答。\n" + turns("{{ m.role + ': ' + m.content + '\\n' }}")),
    ("dated", False, "chatml"),
    ("dated", True, "dated"),
    ("dated", True, "{% if tools %}{{ strftime_now('%A') }}{% endif %}" + CHATML),
    ("generation_prompt_is_prefix", True, "chatml"),
    ("generation_prompt_is_prefix", False, "foreign_prompt"),
    ("generation_prompt_is_prefix", False, "strips_thinking_prompt"),
    ("prefix_preserving", True, "chatml"),
    ("prefix_preserving", False, "not_prefix"),
    ("prefix_preserving", False, "injects_thinking"),
    ("ends_with_stop", True, "chatml"),
    ("ends_with_stop", True, "deepseek"),
    ("ends_with_stop", False, "last_turn_unstopped"),
    ("ends_with_stop", False, turns(TURN.replace("<|im_end|>", "<|not_a_token|>"))),
    ("thinking_last", "keep", "strips_thinking"),
    ("thinking_last", "drop", turns("{{ m.content.split('</think>')[-1] }}")),
    ("thinking_history", "keep", "chatml"),
    ("thinking_history", "drop", "strips_thinking"),
    ("reasoning_content", "keep", "reasoning"),
    ("reasoning_content", "drop", "chatml"),
    ("injects_thinking", False, "chatml"),
    ("injects_thinking", True, "injects_thinking"),
    ("injects_thinking", False, "Write <think> … </think> first.\n" + CHATML),  # the system turn asks for it, no more
    ("tool_call_dict", "keep", "tools"),
    ("tool_call_dict", "partial", calls("{{ call.function.name }}")),
    ("tool_call_dict", "drop", "chatml"),
    ("tool_call_dict", "double_encoded", calls("{{ call.function.name }}{{ call.function.arguments | tojson | tojson }}")),
    ("tool_call_dict", "raise", calls("{{ call.function.name + call.function.arguments }}")),
    ("tool_call_dict", "raise", turns("{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}" + TURN)),
    ("tool_call_string", "keep", calls("{{ call.function.name + call.function.arguments }}")),
    ("tool_call_string", "partial", turns("{% if m.role != 'tool' %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}{% endfor %}{% endif %}")),
    ("tool_call_string", "drop", "chatml"),
    ("tool_call_string", "double_encoded", "tools"),
    ("tool_call_string", "raise", calls("{{ call.function.name }}{% for k, v in call.function.arguments.items() %}{{ k ~ v }}{% endfor %}")),
    ("human_gpt_roles", "renders", "chatml"),
    ("human_gpt_roles", "drop", turns("{% if m.role in ('system', 'user', 'assistant') %}" + TURN + "{% endif %}")),
    ("human_gpt_roles", "drop", turns("{% if m.role != 'gpt' %}" + TURN + "{% endif %}")),
    ("human_gpt_roles", "raise", turns("{% if m.role == 'human' %}{{ raise_exception('who?') }}{% endif %}" + TURN)),
    ("user_user", "renders", "chatml"),
    ("user_user", "drop", turns("{% if loop.last or m.role != loop.nextitem.role %}" + TURN + "{% endif %}")),
    ("user_user", "raise", "alternates"),
    ("assistant_first", "renders", "chatml"),
    ("assistant_first", "drop", turns("{% if not loop.first or m.role != 'assistant' %}" + TURN + "{% endif %}")),
    ("assistant_first", "raise", "{% if messages[0].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}" + CHATML),
    ("system_mid", "renders", "chatml"),
    ("system_mid", "drop", turns("{% if loop.first or m.role != 'system' %}" + TURN + "{% endif %}")),
    ("system_mid", "raise", turns("{% if m.role == 'system' and not loop.first %}{{ raise_exception('no') }}{% endif %}" + TURN)),
    ("none_content", "renders", "tools"),
    ("none_content", "renders", calls("{{ call.function.name + call.function.arguments }}")),  # as text only
    ("none_content", "drop", turns("{{ m.role + (m.content or '') }}")),
    ("none_content", "raise", "chatml"),
    ("trims", False, "chatml"),
    ("trims", True, "trims"),
    ("trims", True, turns(TURN.replace("m.content", "m.content.lstrip('\\n')"))),
    # The newline before the answer stands in for the one that is taken away: still a change.
    ("trims", True, turns(TURN.replace("m.content", "'\\n' + m.content.lstrip('\\n')"))),
    ("trims", True, turns("{% if loop.last %}" + TURN + "{% else %}" + TURN.replace("m.content", "m.content.strip()") + "{% endif %}")),
    ("trims", False, turns(TURN.replace("m.content", "'\\n' + m.content + '\\n'"))),
    ("generation_markers", False, "chatml"),
    ("generation_markers", True, "marked"),
    ("generation_markers", False, turns(TURN + "{% generation %}{% endgeneration %}")),
]  # fmt: skip

EXTRA = {
    # The first answer reads as history, and the prompt before the second answer as if there were none.
    "strips_thinking_prompt": turns(TURN)
    + "{% if add_generation_prompt and messages | length > 1 %}<think>{% endif %}",
}


@pytest.mark.parametrize(("key", "value", "template"), CASES)
def test_each_value_of_each_key(key: str, value: Any, template: str) -> None:
    found = named(template) if template in TEMPLATES else verdict(EXTRA.get(template, template))
    assert getattr(found, key) == value


def test_every_value_of_every_key_has_a_case() -> None:
    assert list(Verdict.model_fields) == KEYS
    for key, field in Verdict.model_fields.items():
        tried = {value for name, value, _ in CASES if name == key}
        words = set(get_args(field.annotation)) - {bool, str, type(None)}
        # That a template raises at all is tried below, for every key at once.
        assert words - tried <= {"raise"}, key
        assert words or len(tried) > 1, key


def test_a_template_that_always_raises() -> None:
    found = verdict("{{ raise_exception('no') }}").model_dump()
    booleans = {key for key, field in Verdict.model_fields.items() if bool in get_args(field.annotation)}
    assert len(booleans) == 7
    assert {key for key, value in found.items() if value is None} == booleans
    assert {value for key, value in found.items() if key not in booleans} == {"raise"}


def test_families_that_are_sound() -> None:
    for family in ("chatml", "llama3", "deepseek"):
        found = named(family)
        assert (found.system, found.default_system, found.dated) == ("keep", None, False)
        assert found.generation_prompt_is_prefix and found.prefix_preserving and found.ends_with_stop
        assert (found.trims, found.injects_thinking, found.user_user) == (False, False, "renders")


def test_a_bare_template_gives_the_verdict_of_its_model(tmp_path: Path) -> None:
    for name, source in TEMPLATES.items():
        (tmp_path / f"{name}.jinja").write_text(source, encoding="utf-8")
        assert probe(stand_in(tmp_path / f"{name}.jinja")) == named(name), name


def test_arguments_are_part_of_the_question() -> None:
    dated = replace(model("chatml"), template="{{ date_string or strftime_now('%d') }}" + CHATML)
    assert probe(dated).dated is True
    assert probe(dated, {"date_string": "26 Jul 2024"}).dated is False


class TestCache:
    @pytest.fixture(autouse=True)
    def _folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.folder = tmp_path / "datakit" / "verdicts"
        self.asked: list[str] = []
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

        def counted(of: Model, arguments: Any = None) -> Verdict:
            self.asked.append(of.name)
            return named("chatml")

        monkeypatch.setattr(probes, "probe", counted)

    def test_a_template_is_probed_once(self) -> None:
        chatml = model("chatml")
        assert verdict_of(chatml) == verdict_of(chatml) == named("chatml")
        assert len(self.asked) == 1 and len(list(self.folder.iterdir())) == 1

    def test_what_a_verdict_depends_on_is_in_its_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        verdict_of(model("chatml"))
        verdict_of(model("chatml"), {"enable_thinking": False})
        verdict_of(model("llama3"))
        verdict_of(replace(model("chatml"), stop_ids=frozenset({1})))
        monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
        verdict_of(model("chatml"))
        monkeypatch.setattr(probes, "_sources", lambda: "other code")
        verdict_of(model("chatml"))
        assert len(self.asked) == len(list(self.folder.iterdir())) == 6

    @pytest.mark.parametrize("content", [b"", b"{", b'{"system": "keep"}', b"\xff"])
    def test_an_unreadable_one_is_probed_again(self, content: bytes) -> None:
        verdict_of(model("chatml"))
        (place,) = self.folder.iterdir()
        place.write_bytes(content)
        assert verdict_of(model("chatml")) == named("chatml")
        assert len(self.asked) == 2 and place.read_bytes() == named("chatml").model_dump_json().encode()

    def test_a_cache_that_cannot_be_written_is_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "datakit").write_text("a file stands here")
        assert verdict_of(model("chatml")) == named("chatml")

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> str:
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr("importlib.metadata.version", missing)
        with pytest.raises(MissingExtra, match="transformers"):
            verdict_of(model("chatml"))


def datakit(cache: Path, *words: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "datakit", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "TOKENIZERS_PARALLELISM": "false"},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class TestCommand:
    def test_json_is_the_contract(self, tmp_path: Path) -> None:
        code, out, said = datakit(tmp_path, "template", tiny_model("chatml", "default_system"), "--json")
        assert (code, said) == (0, "")
        assert list(orjson.loads(out)) == KEYS
        assert orjson.loads(out) == named("default_system").model_dump()

    def test_the_table_names_every_probe(self, tmp_path: Path) -> None:
        code, out, _ = datakit(tmp_path, "template", tiny_model("chatml", "default_system"))
        rows = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:20]}
        assert code == 0 and list(rows) == KEYS
        assert rows["system"] == "keep" and rows["default_system"] == "text" and rows["dated"] == "no"
        assert "You are Tiny. 你是小助手。" in out

    def test_a_bare_file_and_another_template(self, tmp_path: Path) -> None:
        bare = tmp_path / "gemma.jinja"
        bare.write_text(TEMPLATES["gemma"], encoding="utf-8")
        assert orjson.loads(datakit(tmp_path, "template", bare, "--json")[1])["system"] == "raise"
        laid_over = datakit(tmp_path, "template", tiny_model("chatml"), "--template", bare, "--json")[1]
        assert orjson.loads(laid_over)["system"] == "raise"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("nowhere",), "no such model"),
            (("PLAIN",), "no chat template"),
            (("EMPTY",), "no tokenizer can be read"),
            (("broken.jinja",), "template line 2"),
            (("broken.jinja", "--template", "broken.jinja"), "not a model's folder"),
            (("CHATML", "--template", "none.jinja"), "no such template"),
        ],
    )
    def test_wrong_use_is_said_in_words(self, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "broken.jinja").write_text("{{ bos_token }}\n{% if x %}")
        known = {"PLAIN": tiny_model("plain"), "EMPTY": tmp_path / "empty", "CHATML": tiny_model("chatml")}
        places = [known.get(word, word if word.startswith("--") else tmp_path / word) for word in words]
        code, _, told = datakit(tmp_path, "template", *places)
        assert code == 2 and said in told and "Traceback" not in told


def test_a_broken_template_is_not_probed() -> None:
    with pytest.raises(InputError, match="line 1"):
        verdict("{% for m in messages %}")
