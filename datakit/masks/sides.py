"""One side of a pair, or the answer to a prompt: its render, its ids, and where in it the row's own words stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal, NamedTuple

import orjson

from datakit.masks.labels import IGNORED

Messages = Sequence[Mapping[str, Any]]
Part = Literal["reasoning", "content", "call"]


class Said(NamedTuple):
    """Words of a message and where the render has them.

    turn: index of the message. start, end: characters; start is -1 where the render does not have the words, even
    without outer blanks. whole: whether their outer blanks are there too.
    """

    turn: int
    role: str
    part: Part
    words: str
    start: int
    end: int
    whole: bool


@dataclass(frozen=True)
class Prompt:
    """A prompt as it stands at inference.

    Attributes:
        messages: as templates take them.
        text: the render that ends with the generation prompt.
        bare: the render without a generation prompt; None where nothing asks for it.
        ids: of the text; offsets: characters of each.
    """

    messages: Messages
    text: str
    bare: str | None = None
    ids: list[int] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Side:
    """A prompt with one completion, rendered and tokenised as a whole.

    Attributes:
        name: chosen, rejected or completion.
        messages: the completion's, as templates take them.
        text: the render of prompt and completion.
        ids: of the whole text; offsets: characters of each.
        start: index of the first id of the completion; begin: its first character.
    """

    name: str
    messages: Messages
    text: str
    ids: list[int]
    offsets: list[tuple[int, int]]
    start: int
    begin: int

    @property
    def labels(self) -> list[int]:
        """The ids of the completion, `IGNORED` before it: TRL's completion mask."""
        return [IGNORED] * self.start + self.ids[self.start :]

    @cached_property
    def said(self) -> list[Said]:
        """The completion's words, in the order of the messages."""
        return said_in(self.messages, self.text, self.begin)

    @property
    def opening(self) -> tuple[int, int]:
        """The characters between the start of the completion and the first words of its content; empty if unknown.

        What stands there the template wrote: neither the row nor the generation prompt brings it.
        """
        first = self.said[0] if self.said else None
        if first is None or first.part != "content" or first.start < 0 or first.turn:
            return self.begin, self.begin
        return self.begin, first.start

    @cached_property
    def solid(self) -> list[int]:
        """Indices of the completion's tokens that are more than blanks."""
        return [at for at in range(self.start, len(self.ids)) if self.token(at).strip()]

    def token(self, at: int) -> str:
        """The characters of a token."""
        begin, end = self.offsets[at]
        return self.text[begin:end]

    def parts(self, stop_ids: frozenset[int]) -> list[str]:
        """A word for each token: context, trained, stop, or injected (trained, though the template wrote it)."""
        begin, end = self.opening
        injected = bool(self.text[begin:end].strip())
        return ["context"] * self.start + [
            "stop" if number in stop_ids else "injected" if injected and until <= end else "trained"
            for number, (_, until) in zip(self.ids[self.start :], self.offsets[self.start :], strict=True)
        ]


def said_in(messages: Messages, text: str, begin: int) -> list[Said]:
    """Where a render has the words of messages, looked for one after the other from `begin` on.

    Words that do not follow those before them are looked for everywhere behind `begin`: Mistral's templates put the
    system message into the last user turn.
    """
    found: list[Said] = []
    at = begin
    for turn, message in enumerate(messages):
        for part, words in _words(message, text, begin):
            said = _locate(turn, str(message.get("role")), part, words, text, at)
            if said.start < 0:
                said = _locate(turn, str(message.get("role")), part, words, text, begin)
            found.append(said)
            at = max(at, said.end)
    return found


def _words(message: Mapping[str, Any], text: str, begin: int) -> list[tuple[Part, str]]:
    """Reasoning, content and names of calls; content is parted at its thinking where the template parts it."""
    words: list[tuple[Part, str]] = []
    if reasoning := message.get("reasoning_content"):
        words.append(("reasoning", str(reasoning)))
    content = message.get("content") or ""
    if isinstance(content, str):
        thought, tag, answer = content.rpartition("</think>")
        if tag and text.find(content.strip(), begin) < 0:
            words += [("reasoning", thought.split("<think>")[-1].strip()), ("content", answer.strip())]
        else:
            words.append(("content", content))
    for call in message.get("tool_calls") or ():
        function = call.get("function", call) if isinstance(call, dict) else {}
        name = function.get("name")
        words.append(("call", name if isinstance(name, str) else orjson.dumps(call, default=str).decode()))
    return [(part, spoken) for part, spoken in words if spoken.strip()]


def _locate(turn: int, role: str, part: Part, words: str, text: str, at: int) -> Said:
    start = text.find(words, at)
    if start >= 0:
        return Said(turn, role, part, words, start, start + len(words), True)
    bare = words.strip()
    start = text.find(bare, at)
    return Said(turn, role, part, words, start, start + len(bare) if start >= 0 else -1, False)


def common_prefix_length(ids: Sequence[object], others: Sequence[object]) -> int:
    """Number of ids, or characters, that two sequences begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, others, strict=False)))
