"""A template that can be trained on, made from one that cannot by the smallest change that the probes confirm.

Changes are tried one after the other, from a default for one of the template's own arguments to a few words of its
source. One is taken where it makes a probe better and none worse; what no change cures is said to be left. Nothing is
put in force: the changed template is a text, for a person to read and to name with `--template`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from datakit.errors import InputError, TemplateRaised
from datakit.masks.suggest_changes import Change, changes
from datakit.template.model import Model
from datakit.template.probes import probe
from datakit.template.render import Renderer
from datakit.template.verdict import Verdict

SOUGHT: Final[dict[str, str]] = {
    "ends_with_stop": "M1",
    "generation_prompt_is_prefix": "M9",
    "system": "M5",
    "thinking_last": "M7",
    "thinking_history": "M7",
    "injects_thinking": "M7",
    "dated": "M6",
}
"""The probes that a change is looked for, and the code of what each finds; the gravest first."""

PINNED: Final = date(2026, 1, 1)
"""The day written where a template writes today's; any day does, as long as it is the same one at inference."""

_WORDS: Final = {"keep": 0, "renders": 0, "partial": 1, "double_encoded": 2, "drop": 3, "raise": 4}
_GOOD: Final = {"generation_prompt_is_prefix", "prefix_preserving", "ends_with_stop", "generation_markers"}
_ASKED, _THOUGHT, _ANSWER = "sentinelaskedzq", "sentinelthoughtzq", "sentinelanswerzq"


@dataclass(frozen=True)
class Suggestion:
    """A changed template, and what the probes say of it.

    Attributes:
        source: the changed template, its changes named in a comment on top; the template as it is where none helps.
        taken: the changes, in order; empty where none helps or none is needed.
        before, after: the verdicts.
    """

    source: str
    taken: tuple[Change, ...]
    before: Verdict
    after: Verdict

    @property
    def needed(self) -> tuple[str, ...]:
        """The probes that found something to change."""
        return tuple(name for name in SOUGHT if _rank(name, getattr(self.before, name)))

    @property
    def left(self) -> tuple[str, ...]:
        """The probes that still find something, for which no change is known."""
        return tuple(name for name in SOUGHT if _rank(name, getattr(self.after, name)))

    def differences(self) -> list[tuple[str, Any, Any]]:
        """Probe, verdict before, verdict after, of the probes that changed."""
        before, after = self.before.model_dump(), self.after.model_dump()
        return [(name, before[name], after[name]) for name in before if before[name] != after[name]]


def suggest(model: Model, day: date = PINNED) -> Suggestion:
    """The smallest changes that let a model's template be trained on.

    Args:
        model: its template, tokenizer and stop tokens.
        day: the day to write where the template writes today's.

    Raises:
        MissingExtra: transformers is not installed.
        InputError: the model has no template, or it is no valid Jinja.
    """
    before = after = probe(model)
    taken: list[Change] = []
    source = model.template
    for _ in range(2):  # a change may make room for one that was tried before it
        for change in _open_changes(model, source, after, day):
            changed = replace(model, template=change.apply(source))
            verdict = _better(changed, after) if changed.template != source else None
            if verdict is not None:
                source, after, taken = changed.template, verdict, [*taken, change]
    if not taken:
        return Suggestion(model.template, (), before, before)
    source = _comment(taken) + source
    return Suggestion(source, tuple(taken), before, probe(replace(model, template=source)))


def _open_changes(model: Model, source: str, verdict: Verdict, day: date) -> Iterator[Change]:
    """Changes for the probes that find something, less those for the others."""
    troubled = {name for name in SOUGHT if _rank(name, getattr(verdict, name))}
    return (change for change in changes(replace(model, template=source), day) if troubled & set(change.cures))


def _better(model: Model, before: Verdict) -> Verdict | None:
    """The verdict on a changed template; None where no probe sought is better, one is worse, or it renders no more."""
    try:
        renderer = Renderer(model)
        after = probe(model)
    except InputError:
        return None
    ranks = {name: (_rank(name, old), _rank(name, getattr(after, name))) for name, old in before}
    if any(new > old for old, new in ranks.values()) or not any(ranks[name][1] < ranks[name][0] for name in SOUGHT):
        return None
    thinking = (before.thinking_last, before.thinking_history) != (after.thinking_last, after.thinking_history)
    return after if not thinking or _thinks_once(renderer) else None


def _thinks_once(renderer: Renderer) -> bool:
    """Whether thinking in content is written once at most, in a block of its own, now and once more follows."""
    thinks = {"role": "assistant", "content": f"<think>\n{_THOUGHT}\n</think>\n\n{_ANSWER}"}
    first = [{"role": "user", "content": _ASKED}, thinks]
    later = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        texts = [renderer.render(first), renderer.render([*first, *later])]
    except TemplateRaised:
        return False
    openings = [text[text.find(_ASKED) : text.find(_THOUGHT)] for text in texts if _THOUGHT in text]
    return all(text.count(_THOUGHT) <= 1 for text in texts) and all(
        opening.count("<think>") == 1 and "</think>" not in opening for opening in openings
    )


def _rank(name: str, value: Any) -> int:
    """0 is good; the more, the worse."""
    if name == "default_system":
        return int(value is not None)
    if isinstance(value, str):
        return _WORDS[value]
    return 2 if value is None else int(value is not (name in _GOOD))


def _comment(taken: list[Change]) -> str:
    said = "; ".join(change.what for change in taken)
    return f"{{# Changed by datakit: {said} #}}\n"
