"""The changes that `suggest` tries: defaults for a template's own arguments, a preamble, a few words of its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from datakit.errors import TemplateRaised
from datakit.masks.sides import common_prefix_length
from datakit.template.model import Model
from datakit.template.render import Renderer


@dataclass(frozen=True)
class Change:
    """One change of a template.

    Attributes:
        what: in words, for a person.
        cures: the probes it is tried for.
        apply: from the source to the changed source; the same source where it has nothing to change.
        arguments: the template arguments that do the same, where there are such.
    """

    what: str
    cures: tuple[str, ...]
    apply: Callable[[str], str] = field(compare=False)
    arguments: Mapping[str, Any] = field(default_factory=dict)


_THINKING: Final = ("thinking_last", "thinking_history", "injects_thinking", "generation_prompt_is_prefix")

# What a template asks for as `name is defined` or `name | default(…)` is an argument of its own.
_OPTIONAL: Final = re.compile(r"(?<![.\w])([a-z_]\w*)\s*(?:is\s+(?:not\s+)?(?:un)?defined|\|\s*default\()")
_GIVEN: Final = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "strftime_now", "bos_token", "eos_token"}
)

_TODAY: Final = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
_STRIPPED: Final = re.compile(r"\.split\((['\"])</think>\1(?:,\s*1)?\)\s*(?:\[-?1\]|\|\s*last)")
_LATE_ONLY: Final = re.compile(r"loop\.index0 > ns\.\w+")
_OPENED: Final = re.compile(r"<think>(?:\\n|\n)*")

# Preambles: blanks are controlled so that nothing of them is rendered and the template's own first blanks stay.
_FOLD_SYSTEM: Final = """\
{%- if messages and messages[0]['role'] == 'system' -%}
{%- set folded = namespace(messages=[], system=messages[0]['content'] ~ '\\n\\n') -%}
{%- for message in messages[1:] -%}
{%- if message['role'] == 'user' and folded.system -%}
{%- set folded.messages = folded.messages + [dict(message, content=folded.system ~ message['content'])] -%}
{%- set folded.system = '' -%}
{%- else -%}
{%- set folded.messages = folded.messages + [message] -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = folded.messages -%}
{%- endif %}
"""
_EACH_MESSAGE: Final = """\
{{%- set mended = namespace(messages=[]) -%}}
{{%- for message in messages -%}}
{{%- if {condition} -%}}
{{%- set mended.messages = mended.messages + [dict(message, content={content})] -%}}
{{%- else -%}}
{{%- set mended.messages = mended.messages + [message] -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- set messages = mended.messages %}}
"""
_PARTS: Final = _EACH_MESSAGE.format(
    condition="message['content'] is string", content="[{'type': 'text', 'text': message['content']}]"
)
_CLOSE_EACH: Final = _EACH_MESSAGE.format(
    condition="message['role'] == 'assistant' and message['content'] is string and not message['tool_calls']",
    content="message['content'] ~ eos_token",
)
_CLOSE_LAST: Final = (
    "{{% if not add_generation_prompt and messages and messages[-1]['role'] == 'assistant' %}}"
    "{{{{ {token} }}}}{{% endif %}}"
)


def changes(model: Model, day: date) -> Iterator[Change]:
    """Every change that may help, the smallest first.

    Args:
        model: the template in force, and its stop tokens.
        day: the day to write where the template writes today's.
    """
    names = dict.fromkeys(name for name in _OPTIONAL.findall(model.template) if name not in _GIVEN)
    for name in names:
        for value in (False, True):
            yield _default(name, value)
    yield Change(
        f"the date is {day.isoformat()}",
        ("dated",),
        lambda source: _TODAY.sub(lambda call: f"'{day.strftime(call[2])}'", source),
    )
    yield from _stop(model)
    yield _preamble("plain content is given as a list of parts", ("system", "thinking_last"), _PARTS)
    yield _preamble("the system text stands in the first user turn", ("system",), _FOLD_SYSTEM)
    yield Change(
        "thinking of earlier turns is kept", _THINKING, lambda source: _LATE_ONLY.sub("loop.index0 >= 0", source)
    )
    yield Change("thinking inside content is kept", _THINKING, lambda source: _STRIPPED.sub("", source))
    yield Change("the generation prompt opens no thinking", _THINKING, _unopened)


def _default(name: str, value: bool) -> Change:
    plain = str(value).lower()
    head = f"{{%- if {name} is not defined -%}}{{%- set {name} = {plain} -%}}{{%- endif %}}\n"
    what = f"{name} is {plain} where it is not given"
    return Change(what, (*_THINKING, "system", "dated"), lambda source: head + source, {name: value})


def _preamble(what: str, cures: tuple[str, ...], head: str) -> Change:
    return Change(what, cures, lambda source: head + source)


def _unopened(source: str) -> str:
    """The source without the <think> that follows its last question for add_generation_prompt."""
    place = source.rfind("add_generation_prompt")
    return source if place < 0 else source[:place] + _OPENED.sub("", source[place:])


def _stop(model: Model) -> Iterator[Change]:
    """A stop token behind the last answer, as the template closes the earlier ones; else one behind each."""
    cures = ("ends_with_stop",)
    closing = _closing(model)
    if closing:
        quoted = closing.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        tail = _CLOSE_LAST.format(token=f"'{quoted}'")
        yield Change(f"the last answer ends in {closing}", cures, lambda source: source.removesuffix("\n") + tail)
    elif model.special.get("eos_token"):
        yield _preamble(f"every answer in words ends in {model.special['eos_token']}", cures, _CLOSE_EACH)


def _closing(model: Model) -> str:
    """The token with which the template closes an answer that something follows; empty where it closes none."""
    said = [("user", "sentinelone"), ("assistant", "sentineltwo"), ("user", "sentinelthree"), ("assistant", "b")]
    try:
        text = Renderer(model).render([{"role": role, "content": content} for role, content in said])
    except TemplateRaised:
        return ""
    before = text.partition("sentinelone")[0]
    between = text.partition("sentineltwo")[2].partition("sentinelthree")[0]
    header = common_prefix_length(before[::-1], between[::-1])
    found = model.tokenizer.encode(between, add_special_tokens=False)
    for number, (start, end) in zip(found.ids, found.offsets, strict=True):
        # The next turn's header may itself be what inference stops at, as in GLM.
        if number in model.stop_ids or (number in model.special_ids and end <= len(between) - header):
            return between[start:end]
    return ""
