"""Probes of a chat template: what becomes of sentinels, unique words in chosen places of made-up conversations.

About thirty renders answer what decides whether a template can be trained on; facts of its source are not read, since
what matters is what comes out. Contents are plain strings, as records hold them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import orjson

from datakit.errors import TemplateRaised
from datakit.template.messages import Arguments, for_template
from datakit.template.model import Model, training_extra
from datakit.template.render import Renderer
from datakit.template.verdict import Called, Kept, Rendered, Verdict, recall, remember

Message = dict[str, Any]

# Letters only, so that no template splits, escapes or trims them.
SYSTEM, ASKED, AGAIN, ANSWER, LATER, THOUGHT = (
    f"sentinel{word}zq" for word in ("system", "asked", "again", "answer", "later", "thought")
)
TOOL, KEY, VALUE, RESULT, CALL_ID = (
    "sentineltoolzq",
    "sentinelkeyzq",
    "sentinelvaluezq",
    "sentinelresultzq",
    "a1b2c3d4e",
)
BLANKS: Final = "\n \n"

# The clocks: what a template writes of the date differs between them in day, month, year, hour and weekday.
CLOCK, OTHER_CLOCK = datetime(2025, 1, 1, 8, 5), datetime(2031, 11, 23, 17, 45)

_THINKING: Final = re.compile(
    r"</?think(?:ing)?>|<\|(?:START|END)_THINKING\|>|<\|channel>thought|<\|channel\|>analysis|<seed:think>"
)
_TOKEN: Final = "\0"  # takes the place of any special token
_ROLE: Final = re.compile(r"\s*(?:system|developer)\s*(?:\n|:|$)", re.IGNORECASE)


def _say(role: str, content: str | None, **fields: Any) -> Message:
    return {"role": role, "content": content, **fields}


_S, _U, _V = _say("system", SYSTEM), _say("user", ASKED), _say("user", AGAIN)
_A, _B = _say("assistant", ANSWER), _say("assistant", LATER)
_THINKS: Final = _say("assistant", f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}")
_PADDED: Final = _say("assistant", f"{BLANKS}{ANSWER}{BLANKS}")
_CALL: Final = orjson.dumps(
    [{"id": CALL_ID, "type": "function", "function": {"name": TOOL, "arguments": f'{{"{KEY}": "{VALUE}"}}'}}]
).decode()
_CALLS: Final = _say("assistant", "", tool_calls=_CALL)
_RESULT: Final = _say("tool", RESULT, tool_call_id=CALL_ID, name=TOOL)
_PARAMETERS: Final = {"type": "object", "properties": {KEY: {"type": "string", "description": "a"}}, "required": [KEY]}
_TOOLS: Final = [{"type": "function", "function": {"name": TOOL, "description": "declared", "parameters": _PARAMETERS}}]


def verdict_of(model: Model, arguments: Mapping[str, Any] | None = None) -> Verdict:
    """The verdict on a model's template, from the cache where it was probed before.

    Args:
        model: its template and special tokens.
        arguments: further variables of the template, as for `Renderer`.

    Raises:
        MissingExtra: transformers is not installed.
        InputError: the model has no template, or it is no valid Jinja.
    """
    key = _key(model, arguments or {})
    known = recall(key)
    if known is None:
        known = probe(model, arguments)
        remember(key, known)
    return known


def probe(model: Model, arguments: Mapping[str, Any] | None = None) -> Verdict:
    """The verdict on a model's template, probed now; arguments and errors as for `verdict_of`."""
    ask = _Probe(model, Renderer(model, now=CLOCK, arguments=arguments))
    return Verdict(
        system=ask.system(),
        default_system=ask.default_system(),
        dated=ask.dated(Renderer(model, now=OTHER_CLOCK, arguments=arguments)),
        generation_prompt_is_prefix=ask.generation_prompt_is_prefix(),
        prefix_preserving=ask.prefix_preserving(),
        ends_with_stop=ask.ends_with_stop(),
        thinking_last=ask.kept([_U, _THINKS], THOUGHT),
        thinking_history=ask.kept([_U, _THINKS, _V, _B], THOUGHT),
        reasoning_content=ask.kept([_U, {**_A, "reasoning_content": THOUGHT}], THOUGHT),
        injects_thinking=ask.injects_thinking(),
        tool_call_dict=ask.tool_call("dict"),
        tool_call_string=ask.tool_call("string"),
        human_gpt_roles=ask.rendered([{**_U, "role": "human"}, {**_A, "role": "gpt"}], ASKED, ANSWER),
        user_user=ask.rendered([_U, _V, _A], ASKED, AGAIN),
        assistant_first=ask.rendered([_A, _U, _B], ANSWER),
        system_mid=ask.rendered([_U, _A, _S, _V, _B], SYSTEM),
        none_content=ask.none_content(),
        trims=ask.trims(),
        generation_markers=ask.generation_markers(),
    )


class _Probe:
    """One template under probe: the questions that take more than one look."""

    def __init__(self, model: Model, renderer: Renderer) -> None:
        self._model, self._renderer = model, renderer

    def text(
        self, messages: list[Message], tools: list[Any] | None = None, form: Arguments = "dict", **how: bool
    ) -> str | None:
        """The render, None where the template raises."""
        try:
            return self._renderer.render(for_template(messages, arguments=form), tools, **how)
        except TemplateRaised:
            return None

    def kept(self, messages: list[Message], sentinel: str) -> Kept:
        text = self.text(messages)
        return "raise" if text is None else "keep" if sentinel in text else "drop"

    def rendered(self, messages: list[Message], *sentinels: str) -> Rendered:
        text = self.text(messages)
        return "raise" if text is None else "renders" if all(word in text for word in sentinels) else "drop"

    def system(self) -> Kept:
        """Dropped where either the text trained on or the text at inference is without it."""
        texts = self.text([_S, _U, _A]), self.text([_S, _U], generation_prompt=True)
        if None in texts:
            return "raise"
        return "keep" if all(SYSTEM in (text or "") for text in texts) else "drop"

    def default_system(self) -> str | None:
        """What stands before the first user turn, without headers and special tokens, where no system turn is given."""
        text = self.text([_U, _A, _V, _B])
        if text is None:
            return "raise"
        tokens = sorted((t.content for t in self._model.tokenizer.get_added_tokens_decoder().values()), key=len)
        text = re.sub("|".join(map(re.escape, reversed(tokens))), _TOKEN, text) if tokens else text
        before, asked, after = text.partition(ASKED)
        if not asked:
            return None
        # What stands between an answer and the next user turn ends with the header of that turn, as `before` does.
        between = after.partition(ANSWER)[2].partition(AGAIN)[0]
        pieces = before[: len(before) - _common_end(before, between)].split(_TOKEN)
        said = (_ROLE.sub("", piece, count=1).strip() for piece in pieces)
        return "\n".join(piece for piece in said if piece) or None

    def dated(self, other: Renderer) -> bool | None:
        """Whether any of several conversations reads otherwise by another clock."""
        then = _Probe(self._model, other)
        pairs = [(look(self), look(then)) for look in _LOOKS]
        if all(now is None for now, _ in pairs):
            return None
        return any(now != later for now, later in pairs)

    def generation_prompt_is_prefix(self) -> bool | None:
        """Whether what stands before an answer at inference stands before it in training, first turn and later."""
        pairs = [
            (self.text(turns[:-1], generation_prompt=True), self.text(turns)) for turns in ([_U, _A], [_U, _A, _V, _B])
        ]
        return _all_prefixes(pairs)

    def prefix_preserving(self) -> bool | None:
        """Whether a conversation's beginning reads the same when the conversation goes on."""
        turns = [_U, _A, _V, _B]
        return _all_prefixes([(self.text(turns[:count]), self.text(turns)) for count in range(1, len(turns))])

    def ends_with_stop(self) -> bool | None:
        """Whether the last token, blanks aside, is one that ends a turn: `eos` or another that only templates write."""
        text = self.text([_U, _A])
        if text is None:
            return None
        ids = self._model.tokenizer.encode(text.rstrip(), add_special_tokens=False).ids
        return bool(ids) and ids[-1] in self._model.stop_ids | self._model.special_ids

    def injects_thinking(self) -> bool | None:
        """Whether answers without thinking are given some, empty or not, in the text trained on."""
        text = self.text([_U, _A, _V, _B])
        return None if text is None else _THINKING.search(text, max(text.find(ASKED), 0)) is not None

    def tool_call(self, form: Arguments) -> Called:
        """What is left of a call's name, argument and result; dropped is one that leaves neither name nor argument."""
        text = self.text([_U, _CALLS, _RESULT, _B], _TOOLS, form)
        if text is None:
            return "raise"
        said = text[max(text.find(ASKED), 0) :]  # the declaration before it names the tool as well
        if f'\\"{KEY}\\"' in said:
            return "double_encoded"
        name, argument, result = (word in said for word in (TOOL, VALUE, RESULT))
        if not (name or argument):
            return "drop"
        return "keep" if name and argument and result else "partial"

    def none_content(self) -> Rendered:
        """What becomes of a turn that only calls a tool, with its arguments in the form that suits the template."""
        texts = [self.text([_U, {**_CALLS, "content": None}], _TOOLS, form) for form in ("dict", "string")]
        kept = [text for text in texts if text is not None]
        said = [text[max(text.find(ASKED), 0) :] for text in kept]
        return "raise" if not kept else "renders" if any(TOOL in text for text in said) else "drop"

    def trims(self) -> bool | None:
        """Whether blanks around an answer change, in the last turn or an earlier one."""
        changed = []
        for later in ([], [_V, _B]):
            bare, padded = self.text([_U, _A, *later]), self.text([_U, _PADDED, *later])
            if bare is None or padded is None:
                return None
            # Not whether the padded answer is found: the template's own blanks may stand in for those it took away.
            changed.append(ANSWER not in bare or padded != bare.replace(ANSWER, _PADDED["content"]))
        return any(changed)

    def generation_markers(self) -> bool | None:
        """Whether `{% generation %}` blocks hold the answer."""
        try:
            text, ranges = self._renderer.render_marked(for_template([_U, _A]))
        except TemplateRaised:
            return None
        return any(ANSWER in text[start:end] for start, end in ranges)


# Where a date may stand: with and without a system turn, with tools, at inference.
_LOOKS: Final[tuple[Callable[[_Probe], str | None], ...]] = (
    lambda ask: ask.text([_U, _A]),
    lambda ask: ask.text([_S, _U, _A]),
    lambda ask: ask.text([_U, _A], _TOOLS),
    lambda ask: ask.text([_U], generation_prompt=True),
)


def _all_prefixes(pairs: list[tuple[str | None, str | None]]) -> bool | None:
    """Whether the first of each pair begins the second; None where a render is missing."""
    if any(text is None for pair in pairs for text in pair):
        return None
    return all((whole or "").startswith(part or "") for part, whole in pairs)


def _common_end(one: str, other: str) -> int:
    """Length of the longest ending that two texts share."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _key(model: Model, arguments: Mapping[str, Any]) -> str:
    """The hash that a verdict is remembered under: all that it depends on."""
    with training_extra("probing a chat template"):
        versions = [importlib.metadata.version(name) for name in ("transformers", "jinja2", "tokenizers")]
    given = orjson.dumps([sorted(model.stop_ids), dict(arguments)], option=orjson.OPT_SORT_KEYS).decode()
    parts = (model.fingerprint, given, _sources(), *versions)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


@cache
def _sources() -> str:
    """A hash of the code that probes: a verdict of other code is not taken for one of this."""
    digest = hashlib.blake2b(digest_size=16)
    for name in ("messages", "model", "probes", "render", "verdict"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()
