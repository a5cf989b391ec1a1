"""What a template does around every answer: the header it opens with, the tokens it closes with, the form of calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datakit.errors import TemplateRaised
from datakit.template.messages import Arguments
from datakit.template.model import Model
from datakit.template.probes import verdict_of
from datakit.template.render import Renderer
from datakit.template.verdict import Verdict

_ASKED, _ANSWER = "sentinelaskedzq", "sentinelanswerzq"


@dataclass(frozen=True)
class Habits:
    """What holds for all rows of a template.

    Attributes:
        verdict: the probes' answers.
        header: what the generation prompt adds; empty where it adds nothing.
        stops: ids that close an answer: those that inference stops at, and the one that the template writes.
        unknown_stop: the text of the token that the template writes, where inference does not stop at it; else empty.
        form: how the template takes the arguments of calls.
    """

    verdict: Verdict
    header: str
    stops: frozenset[int]
    unknown_stop: str
    form: Arguments


def habits_of(model: Model, renderer: Renderer, arguments: Mapping[str, Any]) -> Habits:
    """The habits of a model's template.

    Args:
        model: its tokenizer and stop ids.
        renderer: of the same model.
        arguments: the further variables that the renderer was made with.
    """
    verdict = verdict_of(model, arguments)
    closing = _closing(model, renderer)
    in_use = verdict.tool_call_dict == "keep" or verdict.tool_call_string != "keep"
    return Habits(
        verdict=verdict,
        header=_header(renderer),
        stops=model.stop_ids | ({closing} if closing is not None else set()),
        unknown_stop="" if closing is None or closing in model.stop_ids else str(model.tokenizer.id_to_token(closing)),
        form="dict" if in_use else "string",
    )


def _header(renderer: Renderer) -> str:
    asked = [{"role": "user", "content": _ASKED}]
    try:
        bare, prompt = renderer.render(asked), renderer.render(asked, generation_prompt=True)
    except TemplateRaised:
        return ""
    return prompt[len(bare) :] if prompt.startswith(bare) else ""


def _closing(model: Model, renderer: Renderer) -> int | None:
    """The first special token behind an answer that nothing follows: all that the template can close it with."""
    turns = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _ANSWER}]
    try:
        after = renderer.render(turns).rpartition(_ANSWER)[2]
    except TemplateRaised:
        return None
    ids = model.tokenizer.encode(after, add_special_tokens=False).ids
    return next((number for number in ids if number in model.special_ids), None)
