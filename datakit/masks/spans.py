"""Which characters of a row's render are trained, found in two ways that must agree.

One way is the skeleton (`skeleton.py`): the row's texts replaced by sentinels, and put back. The other is the render
of what precedes a turn, with the generation prompt: where it begins the whole render, character by character, its
length is the turn's start, as open-instruct finds it (`dataset_transformation.py`). Where a template writes a
dialogue's beginning differently once it goes on, one turn's text is swapped for another in the whole row instead: all
else must stay, and the swap must show at the turn's place. Generation markers serve where no text can be swapped.

The prefix of the last trained turn is rendered in every row. Those of the turns before would cost as much again for
each of them; they are taken for confirmed where the ids show header and stop at their places and nowhere else
(`labels.py`), and rendered where the ids do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from datakit.errors import TemplateRaised
from datakit.masks.findings import RowFinding
from datakit.masks.habits import Habits
from datakit.masks.skeleton import Hollow, Mapped, Skeleton, Skeletons, Turn, hollow
from datakit.recipe.masks import MaskSettings
from datakit.template.messages import for_template, tools_for_template
from datakit.template.model import Model
from datakit.template.render import Renderer

_SWAPPED: Final = chr(0xFFFFE)  # beyond the sentinels, and no character of any text
_ASSISTANT: Final = frozenset({"assistant"})

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """What is trained of one assistant turn.

    Attributes:
        turn: the message's number.
        prompt: where the generation prompt ends; before `start`, where something between is not trained.
        start, end: characters of the render; the text of the stop token is part of it.
        stopped: whether the stop token is part of it: not where the turn goes on with a call that is not trained.
    """

    turn: int
    prompt: int
    start: int
    end: int
    stopped: bool = True


@dataclass(frozen=True)
class Derived:
    """A row's render, and what is trained of it.

    Attributes:
        text: the render.
        spans: in order, apart from each other.
        injected: characters that the template writes into an answer of its own: empty blocks of thinking.
        special: special tokens that the template writes; None where that is not known.
        answers: assistant turns, trained or not.
        unconfirmed: turns whose second derivation is left to the ids.
        findings: what is wrong.
    """

    text: str
    spans: tuple[Span, ...]
    injected: tuple[tuple[int, int], ...]
    special: int | None
    answers: int
    unconfirmed: frozenset[int]
    findings: tuple[RowFinding, ...]


class SpanFinder:
    """Finds the spans of dialogues.

    Args:
        model: whose template and stop tokens hold.
        renderer: of the same model.
        habits: of the same model.
        settings: what may be trained.
    """

    def __init__(self, model: Model, renderer: Renderer, habits: Habits, settings: MaskSettings) -> None:
        self._renderer, self._habits, self._settings = renderer, habits, settings
        self._skeletons = Skeletons(model, renderer, habits)

    def find(self, messages: Sequence[Message], tools: str | None) -> Derived:
        """The spans of one dialogue.

        Args:
            messages: as in a record's column.
            tools: the record's tools, as JSON.

        Raises:
            TemplateRaised: the template refuses the row.
        """
        given = for_template(messages, arguments=self._habits.form)
        row = _Row(self._renderer, given, tools_for_template(tools))
        found = self._aligned(messages, tools, row.text)
        if found is None:
            wrong = RowFinding("M29", "the render alters texts of the row", "error")
            return Derived(row.text, (), (), None, 0, frozenset(), (wrong,))
        shape, skeleton = found
        places = skeleton.mapping(shape.texts)
        chosen = self._chosen(messages)
        findings = [*_roles(messages, skeleton), *_nothing(messages, chosen)]
        spans: list[Span] = []
        injected: list[tuple[int, int]] = []
        unconfirmed: set[int] = set()
        for turn in skeleton.turns:
            if turn.start is not None and turn.words > turn.start:
                injected.append((places.at(turn.start), places.at(turn.words)))
            if turn.message not in chosen:
                continue
            findings += self._faults(turn)
            if turn.message < max(chosen) and turn.supplied:
                unconfirmed.add(turn.message)
            else:
                findings += self._second(row, turn, places)
            if span := self._span(turn, places):
                spans.append(span)
        return Derived(
            text=row.text,
            spans=tuple(spans),
            injected=tuple(injected),
            special=skeleton.special,
            answers=len(skeleton.turns),
            unconfirmed=frozenset(unconfirmed),
            findings=tuple(findings),
        )

    def confirm(self, messages: Sequence[Message], tools: str | None, turns: frozenset[int]) -> list[RowFinding]:
        """What a second derivation of these turns says against the first."""
        row = _Row(self._renderer, for_template(messages, arguments=self._habits.form), tools_for_template(tools))
        found = self._aligned(messages, tools, row.text)
        if found is None:
            return []  # that is said already
        shape, skeleton = found
        places = skeleton.mapping(shape.texts)
        chosen = [turn for turn in skeleton.turns if turn.message in turns]
        return [finding for turn in chosen for finding in self._second(row, turn, places)]

    def _aligned(self, messages: Sequence[Message], tools: str | None, text: str) -> tuple[Hollow, Skeleton] | None:
        """The skeleton that, filled, is the render; first without anybody's texts, then without the assistant's."""
        for roles in (None, _ASSISTANT):
            shape = hollow(messages, tools, roles=roles)
            if shape is None:
                continue
            try:
                skeleton = self._skeletons.of(shape)
            except TemplateRaised:
                continue
            if skeleton.fill(shape.texts) == text:
                return shape, skeleton
        return None

    def _chosen(self, messages: Sequence[Message]) -> frozenset[int]:
        """Numbers of the messages that are trained."""
        turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        if self._settings.train_on == "last":
            turns = turns[-1:]
        return frozenset(number for number in turns if messages[number].get("train") is not False)

    def _span(self, turn: Turn, places: Mapped) -> Span | None:
        """What is trained of a turn by the settings; None where that is nothing."""
        if turn.start is None:
            return None
        start = turn.words if self._settings.thinking else turn.after_thinking
        if turn.calls and not self._settings.tool_calls:
            end, stopped = turn.content_end, False
        else:
            end, stopped = (turn.end, True) if turn.end is not None else (turn.content_end, False)
        if start >= end:
            return None
        return Span(turn.message, places.at(turn.start), places.at(start), places.at(end), stopped)

    def _faults(self, turn: Turn) -> list[RowFinding]:
        """What the skeleton alone tells."""
        where = f"messages[{turn.message}]"
        found = []
        if turn.start is None:
            found.append(RowFinding("M13", f"{where}: nothing shows where the answer begins"))
        elif not turn.supplied:
            found.append(RowFinding("M9", f"{where}: the generation prompt does not stand before the answer"))
        if turn.end is None:
            found.append(RowFinding("M1", f"{where}: no stop token follows the answer"))
        if turn.start is not None and turn.words > turn.start:
            found.append(RowFinding("M8", f"{where}: an empty block of thinking, written by the template, is left out"))
        if "thinking" in turn.lost and self._settings.thinking:
            found.append(RowFinding("M7", f"{where}: its reasoning is not in the render"))
        if "content" in turn.lost:
            found.append(RowFinding("M29", f"{where}: its text is not in the render", "error"))
        if turn.trimmed:
            found.append(RowFinding("M29", f"{where}: outer blanks are trimmed"))
        return found

    def _second(self, row: _Row, turn: Turn, places: Mapped) -> list[RowFinding]:
        """What a second derivation says against the first."""
        if turn.start is None or turn.end is None:
            return []  # that is said already
        where = f"messages[{turn.message}]"
        start, end = places.at(turn.start), places.at(turn.end)
        before = row.before(turn.message)
        if before is not None:
            if before == start and turn.supplied:
                return []
            return [RowFinding("M13", f"{where}: begins at {start} by the skeleton, at {before} by its prefix")]
        if row.shows_swap(turn.message, start, end) or self._marked(row, start, end):
            words = f"{where}: with this row's words the generation prompt does not stand before the answer"
            return [RowFinding("M9", words)] if turn.supplied and turn.settled else []
        return [RowFinding("M13", f"{where}: no second derivation of its place agrees")]

    def _marked(self, row: _Row, start: int, end: int) -> bool:
        """Whether a generation block of the template ends in this turn and holds its words."""
        if not self._habits.verdict.generation_markers:
            return False
        return any(first <= start + 1 and start < last <= end + 1 for first, last in row.marked())


class _Row:
    """One row's renders."""

    def __init__(self, renderer: Renderer, messages: list[dict[str, Any]], tools: list[Any] | None) -> None:
        self._renderer, self._messages, self._tools = renderer, messages, tools
        self.text = renderer.render(messages, tools)

    def before(self, number: int) -> int | None:
        """Length of the prompt of a turn where the whole render begins with it."""
        try:
            prompt = self._renderer.render(self._messages[:number], self._tools, generation_prompt=True)
        except TemplateRaised:
            return None
        return len(prompt) if self.text.startswith(prompt) else None

    def shows_swap(self, number: int, start: int, end: int) -> bool:
        """Whether a word of a message, swapped for one that no text has, shows in its span and changes nothing else."""
        word, message = _swap(self._messages[number])
        if not word:
            return False
        other = [*self._messages[:number], message, *self._messages[number + 1 :]]
        try:
            text = self._renderer.render(other, self._tools)
        except TemplateRaised:
            return False
        before, found, after = text.partition(_SWAPPED)
        return bool(found) and start <= len(before) < end and self.text == before + word + after

    def marked(self) -> list[tuple[int, int]]:
        """Characters of the generation blocks."""
        try:
            return self._renderer.render_marked(self._messages, self._tools)[1]
        except TemplateRaised:
            return []


def _swap(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The last words of a turn, or the name of its last call; and the turn with a stranger in their place."""
    content = message.get("content") or ""
    word = content.rpartition("</think>")[2].strip()
    if word:
        before, _, after = content.rpartition(word)
        return word, {**message, "content": before + _SWAPPED + after}
    calls = message.get("tool_calls") or [{}]
    function = calls[-1].get("function") or {}
    call = {**calls[-1], "function": {**function, "name": _SWAPPED}}
    return str(function.get("name") or ""), {**message, "tool_calls": [*calls[:-1], call]}


def _roles(messages: Sequence[Message], skeleton: Skeleton) -> list[RowFinding]:
    """What is wrong with who speaks when."""
    found = [_dropped(number, messages[number]["role"]) for number in skeleton.dropped]
    if messages[0]["role"] == "assistant":
        found.append(RowFinding("M15", "the assistant speaks first"))
    if messages[-1]["role"] in ("user", "tool"):
        found.append(RowFinding("M19", "the last turn is not answered", "note"))
    return found


def _dropped(number: int, role: str) -> RowFinding:
    where = f"messages[{number}]: this turn of '{role}' is not in the render"
    if role == "system":
        return RowFinding("M5", where, "warning")
    if role == "tool":
        return RowFinding("M25", where)
    return RowFinding("M19", where) if role == "user" else RowFinding("M18", where, "error")


def _nothing(messages: Sequence[Message], chosen: frozenset[int]) -> list[RowFinding]:
    if chosen:
        return []
    if any(message["role"] == "assistant" for message in messages):
        return [RowFinding("M13", "every assistant turn that could be trained says train: false")]
    return [RowFinding("M19", "no assistant turn")]
