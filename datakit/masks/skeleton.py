r"""Where a template puts what a row says: its messages, each text replaced by one sentinel character, rendered once.

    [{"role": "user", "content": "多少钱？"}, {"role": "assistant", "content": " 一千元。"}]
    ->  [{"role": "user", "content": "①"}, {"role": "assistant", "content": " ②"}]
    ->  "<|im_start|>user\n①<|im_end|>\n<|im_start|>assistant\n ②<|im_end|>\n"

Between the sentinels stands what the template writes itself. With the texts put back in their places, the skeleton
must give the render of the row, character by character: then every place in the one is known in the other. Blanks
around a text, tags of thinking and empty texts stay as they are, because templates look at them. Rows of one shape
share a skeleton, so that most rows cost no render here.

Source of the idea: sentinel substitution as in axolotl's `prompt_strategies/chat_template.py`, for all turns at once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NamedTuple

from datakit.errors import TemplateRaised
from datakit.masks.habits import Habits
from datakit.template.messages import for_template, tools_for_template
from datakit.template.model import Model
from datakit.template.render import Renderer

_FIRST: Final = 0xF0000  # sentinels are of a private plane of Unicode, which no template knows
_LAST: Final = 0xFFFFD
_SENTINEL: Final = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_TAGS: Final = re.compile(r"(</?(?:think|tool_response)>)")
_EMPTY_THINKING: Final = re.compile(r"\s*(?:<(think|thinking|reasoning)>)?\s*</(?:think|thinking|reasoning)>\s*")
_AFTER_THINKING: Final = re.compile(r"\s*</[a-z:_]*(?:think|reason)[a-z]*>\s*")
_KEPT: Final = 512  # skeletons remembered

Message = Mapping[str, Any]


class Slot(NamedTuple):
    """A text of a row: the message it stands in, and whether it is reasoning."""

    message: int
    thinking: bool


class Hollow(NamedTuple):
    """A row without its texts.

    shape: the messages with sentinels in place of texts, as field pairs, and the declared tools.
    texts: what the sentinels stand for, without outer blanks; slots: where each was taken from.
    """

    shape: tuple[tuple[tuple[str, Any], ...], ...]
    tools: str | None
    texts: list[str]
    slots: list[Slot]


@dataclass(frozen=True)
class Turn:
    """An assistant turn of a skeleton; places are characters of the skeleton.

    Attributes:
        message: its number.
        start: where the generation prompt ends; None where that could not be found.
        supplied: whether the whole generation prompt stands before `start`, as it will at inference.
        settled: whether that was seen: the prompt renders alone, and what precedes its end is the same.
        words: where its first text or call begins, behind an empty thinking block that the template wrote.
        after_thinking: where the reasoning that the row brings ends; `words` where it brings none.
        content_end: where its last text ends; `words` where it has none.
        end: behind its stop token; None where no stop token follows.
        limit: where the next message begins, at the latest.
        calls: whether it calls tools.
        lost: texts of it that the template does not write: "thinking", "content".
        trimmed: whether blanks around its text are not those of the row.
    """

    message: int
    start: int | None
    supplied: bool
    settled: bool
    words: int
    after_thinking: int
    content_end: int
    end: int | None
    limit: int
    calls: bool
    lost: tuple[str, ...]
    trimmed: bool


@dataclass(frozen=True)
class Skeleton:
    """A rendered shape.

    Attributes:
        pieces: what the template writes, cut at the sentinels; one more than `order`.
        order: number of the text at each cut.
        places: where the cuts are, in characters of the skeleton.
        turns: the assistant turns, in order.
        dropped: messages other than the assistant's whose text the template does not write.
        special: special tokens in it.
    """

    pieces: tuple[str, ...]
    order: tuple[int, ...]
    places: tuple[int, ...]
    turns: tuple[Turn, ...]
    dropped: tuple[int, ...]
    special: int

    def fill(self, texts: Sequence[str]) -> str:
        """The render of a row of this shape, if its template looks at nothing but the shape."""
        parts: list[str] = [""] * (2 * len(self.order) + 1)
        parts[::2] = self.pieces
        parts[1::2] = [texts[number] for number in self.order]
        return "".join(parts)

    def mapping(self, texts: Sequence[str]) -> Mapped:
        """Places of the skeleton as places of the row's render."""
        return Mapped(self.places, [0, *accumulate(len(texts[number]) - 1 for number in self.order)])


class Mapped(NamedTuple):
    """From a skeleton to a render: `shifts[n]` is what `n` texts before a place add to it."""

    places: tuple[int, ...]
    shifts: list[int]

    def at(self, place: int) -> int:
        """The place in the render."""
        return place + self.shifts[bisect_left(self.places, place)]


def hollow(messages: Sequence[Message], tools: str | None, *, roles: frozenset[str] | None = None) -> Hollow | None:
    """A row of records without its texts; None where it has more texts than there are sentinels.

    Args:
        messages: as in a record's column.
        tools: the record's tools, as JSON.
        roles: whose texts are taken out; everybody's where None.
    """
    texts: list[str] = []
    slots: list[Slot] = []
    shape = []
    for number, message in enumerate(messages):
        fields = []
        for field, value in message.items():
            if value is None or field == "train":
                continue
            if (
                value
                and (field == "content" or field == "reasoning_content")
                and (roles is None or message["role"] in roles)
            ):
                value = _hollow_text(value, Slot(number, field == "reasoning_content"), texts, slots)
            fields.append((field, value))
        shape.append(tuple(fields))
    return Hollow(tuple(shape), tools, texts, slots) if len(texts) <= _LAST - _FIRST else None


def _hollow_text(text: str, slot: Slot, texts: list[str], slots: list[Slot]) -> str:
    """The text with sentinels for its words; tags that templates cut at stay."""
    if "</think>" not in text and not text.startswith("<tool_response>"):
        return _hollow_piece(text, slot, texts, slots)
    parts = _TAGS.split(text)
    last = max((place for place, part in enumerate(parts) if part == "</think>"), default=-1)
    return "".join(
        part if place % 2 else _hollow_piece(part, Slot(slot.message, slot.thinking or place < last), texts, slots)
        for place, part in enumerate(parts)
    )


def _hollow_piece(text: str, slot: Slot, texts: list[str], slots: list[Slot]) -> str:
    core = text.strip()
    if not core:
        return text
    sentinel = chr(_FIRST + len(texts))
    texts.append(core)
    slots.append(slot)
    return sentinel if len(core) == len(text) else text.replace(core, sentinel, 1)


class Skeletons:
    """Makes skeletons, and remembers those of the last shapes.

    Args:
        model: its special tokens are looked for.
        renderer: of the same model.
        habits: of the same model.
    """

    def __init__(self, model: Model, renderer: Renderer, habits: Habits) -> None:
        self._model, self._renderer, self._habits = model, renderer, habits
        ids = sorted(model.special_ids | habits.stops)
        self._special = {str(model.tokenizer.id_to_token(number)): number for number in ids}
        # Special tokens are cut out of a text as they are spelled, the longest first, as tokenizers do it.
        longest = sorted(self._special, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest)) if longest else r"(?!)")
        self._known: dict[Any, Skeleton] = {}

    def of(self, row: Hollow) -> Skeleton:
        """The skeleton of a row.

        Raises:
            TemplateRaised: the template refuses a row of this shape.
        """
        key = row.shape, row.tools, tuple(row.slots)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            found = self._known[key] = self._made(row)
        return found

    def _made(self, row: Hollow) -> Skeleton:
        messages = for_template([dict(fields) for fields in row.shape], arguments=self._habits.form)
        tools = tools_for_template(row.tools)
        text = self._renderer.render(messages, tools)
        draft = _Draft(row, messages, text)
        special = [(match.span(), self._special[match.group()]) for match in self._marks.finditer(text)]
        stops = [span for span, number in special if number in self._habits.stops]
        answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        turns = tuple(self._turn(draft, number, tools, stops, number == answers[-1]) for number in answers)
        written = {row.slots[number].message for number in draft.order}
        others = {slot.message for slot in row.slots if messages[slot.message]["role"] != "assistant"}
        return Skeleton(
            pieces=tuple(_SENTINEL.split(text)),
            order=draft.order,
            places=tuple(draft.cuts),
            turns=turns,
            dropped=tuple(sorted(others - written)),
            special=sum(number in self._model.special_ids for _, number in special),
        )

    def _turn(
        self, draft: _Draft, number: int, tools: list[Any] | None, stops: list[tuple[int, int]], last: bool
    ) -> Turn:
        mine = draft.mine[number]
        content = [cut for cut in mine if not draft.slot(cut).thinking]
        thinking = [cut for cut in mine if draft.slot(cut).thinking]
        limit = draft.after[number]
        start = None if last else self._behind_header(draft, number, mine)
        supplied, settled = True, False
        if start is None:
            start, supplied, settled = self._start(draft, number, tools, mine)
        begins = start if start is not None else mine[0] if mine else limit
        words, after = draft.thinking(number, begins, thinking, content)
        content_end = content[-1] + 1 if content else after
        closing = next((stop for stop in stops if stop[0] >= content_end), None)
        return Turn(
            message=number,
            start=start,
            supplied=supplied,
            settled=settled,
            words=words,
            after_thinking=after,
            content_end=content_end,
            end=closing[1] if closing is not None and closing[0] < limit else None,
            limit=limit,
            calls=bool(draft.messages[number].get("tool_calls")),
            lost=draft.lost(number),
            trimmed=any(draft.trims(cut, begins) for cut in content),
        )

    def _behind_header(self, draft: _Draft, number: int, mine: list[int]) -> int | None:
        """Where the header of an answer ends; None where it has none."""
        header, before = self._habits.header, draft.before[number]
        if not header:
            return None
        # The last one before the turn's words; of a turn without, the first one behind the words before.
        found = draft.text.rfind(header, before, mine[0]) if mine else draft.text.find(header, before)
        return found + len(header) if 0 <= found < draft.after[number] else None

    def _start(
        self, draft: _Draft, number: int, tools: list[Any] | None, mine: list[int]
    ) -> tuple[int | None, bool, bool]:
        """Where the generation prompt of a turn ends, whether all of it is there, and whether what precedes it is."""
        before, limit = draft.before[number], draft.after[number]
        first = mine[0] if mine else limit
        try:
            prompt = self._renderer.render(draft.messages[:number], tools, generation_prompt=True)
        except TemplateRaised:  # as nearly every template does where nothing precedes the turn
            prompt = ""
        common = shared_length(prompt, draft.text)
        if prompt and common == len(prompt) and common >= before:
            return common, True, True
        if prompt and common > before:
            return min(common, first), False, True
        if (behind := self._behind_header(draft, number, mine)) is not None:
            return behind, True, False
        return (first if first < limit else None), not self._habits.header, False


class _Draft:
    """A rendered shape before its turns are known; cuts are places of sentinels.

    mine: the cuts of each message. before: behind the last cut of the messages before each; after: the first cut of
    those after each, or the end.
    """

    def __init__(self, row: Hollow, messages: list[dict[str, Any]], text: str) -> None:
        self.row, self.messages, self.text = row, messages, text
        self.cuts = [match.start() for match in _SENTINEL.finditer(text)]
        self.order = tuple(ord(text[cut]) - _FIRST for cut in self.cuts)
        self.mine: list[list[int]] = [[] for _ in messages]
        for cut, number in zip(self.cuts, self.order, strict=True):
            self.mine[row.slots[number].message].append(cut)
        behind = [max(cuts, default=-1) + 1 for cuts in self.mine]
        ahead = [min(cuts, default=len(text)) for cuts in self.mine]
        self.before = [0, *accumulate(behind, max)]
        self.after = [*accumulate(reversed(ahead), min, initial=len(text))][-2::-1]

    def slot(self, cut: int) -> Slot:
        """Which text of the row stands at a cut."""
        return self.row.slots[ord(self.text[cut]) - _FIRST]

    def thinking(self, message: int, begins: int, thinking: list[int], content: list[int]) -> tuple[int, int]:
        """Where a turn's own words begin, and where the reasoning among them ends."""
        if thinking:
            behind = _behind(_AFTER_THINKING, self.text, thinking[-1] + 1)
            return begins, behind if behind > thinking[-1] + 1 or not content else content[0]
        behind = _behind(_EMPTY_THINKING, self.text, begins)
        brought = "</think>" in (self.messages[message].get("content") or "")
        return (begins if brought else behind), behind

    def lost(self, message: int) -> tuple[str, ...]:
        """What of a message's texts the template does not write."""
        missing = [
            slot.thinking
            for number, slot in enumerate(self.row.slots)
            if slot.message == message and number not in self.order
        ]
        return tuple(name for name, thinking in (("thinking", True), ("content", False)) if missing.count(thinking))

    def trims(self, cut: int, begins: int) -> bool:
        """Whether the blanks around a text in its message are not around it in the render."""
        sentinel = self.text[cut]
        content = self.messages[self.slot(cut).message].get("content") or ""
        before, found, after = content.partition(sentinel)
        if not found or before.endswith(">"):
            return False
        lead, trail = before, after[: len(after) - len(after.lstrip())]
        if lead.strip():  # behind a tag of thinking the template may set its own blanks
            lead = ""
        return not (
            cut - len(lead) >= begins and self.text.endswith(lead, 0, cut) and self.text.startswith(trail, cut + 1)
        )


def shared_length(one: str, other: str) -> int:
    """Characters that two texts begin with alike."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:  # comparing slices is quicker than characters one by one
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _behind(pattern: re.Pattern[str], text: str, place: int) -> int:
    """Behind the match that begins at a place; the place itself where there is none."""
    found = pattern.match(text, place)
    return found.end() if found else place
