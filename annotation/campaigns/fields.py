"""What people see of a record: the fields of a campaign on the server, and their values for one item.

A dialogue is one of Argilla's chat fields, so that turns look like turns: tools and system prompt stand at its head,
calls of tools and their results are lists and tables in place of JSON. Answers are text fields, A, B, … in the order
of the item. The text that spans are marked in has as many characters as the record's, so that they count those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from annotation.campaigns.answers import JUDGED, WHOLE, Message, Messages, answers_of, context_of, dialogue_of
from annotation.campaigns.markdown import aligned, faithful, parsed, plain, value
from annotation.campaigns.questions import WORDS, Language
from datakit.recipe.annotate import LETTERS, AnnotateSettings
from datakit.records import Kind

_TURN: Final = 20_000  # characters that the server takes in one turn of a chat field (ARGILLA_MAX_MESSAGE_LENGTH)
_TURNS: Final = 500  # turns that it takes


class Unfit(ValueError):
    """A record that cannot be shown: a reason word and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Presentation:
    """How the records of a campaign are shown."""

    settings: AnnotateSettings
    language: Language

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of records that the campaign is about."""
        return WHOLE if self.settings.judged == "dialogue" else JUDGED[self.settings.kind]

    @property
    def places(self) -> int:
        """Answers that are shown side by side; 1 where one thing is judged."""
        return {"preference": 2, "ranking": self.settings.answers}.get(self.settings.kind, 1)

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The fields: `name`, `title`, `type` ("chat" or "text"), `required`, `markdown`."""
        words, whole = WORDS[self.language], self.settings.judged == "dialogue"
        chat = {"name": "conversation", "title": words["conversation"], "type": "chat", "markdown": True}
        if whole:
            return [{**chat, "required": True}]
        marked = self.settings.kind == "spans"
        names = [f" {letter}" for letter in LETTERS[: self.places]] if self.places > 1 else [""]
        return [{**chat, "required": False}] + [
            {
                "name": f"answer{name.replace(' ', '_').lower()}",
                "title": words["answer"] + name,
                "type": "text",
                "required": True,
                "markdown": not marked,
            }
            for name in names
        ]

    def show(self, record: Mapping[str, Any], kind: Kind, order: Sequence[int]) -> dict[str, Any]:
        """The values of the fields for a record whose answers stand in an order.

        Raises:
            Unfit: it is of another kind, has no answer, an empty one, the same ones, or is too long.
        """
        if kind not in self.kinds:
            raise Unfit("wrong_kind", f"a record of kind {kind}; this campaign is about {', '.join(self.kinds)}")
        if self.settings.judged == "dialogue":
            values: dict[str, Any] = {"conversation": self._chat(dialogue_of(record, kind), record)}
            if not values["conversation"]:
                raise Unfit("empty", "nothing is said")
        else:
            values = self._answers(record, kind, order)
            if context := self._chat(context_of(record, kind), record):
                values["conversation"] = context
        self._hold_to_length(values)
        return values

    def _answers(self, record: Mapping[str, Any], kind: Kind, order: Sequence[int]) -> dict[str, Any]:
        answers = answers_of(record, kind)[: self.places]
        if len(answers) < self.places:
            raise Unfit("no_answer", f"{len(answers)} answers; {self.places} are judged")
        texts = [shown_answer(answer, self.settings.kind, self.language) for answer in answers]
        if not all(text.strip() for text in texts):
            raise Unfit("empty", "an answer is empty")
        if len(set(texts)) < len(texts):
            raise Unfit("same_answers", "answers are the same")
        names = [field["name"] for field in self.fields[1:]]
        return {name: texts[answer] for name, answer in zip(names, order, strict=True)}

    def _chat(self, messages: Messages, record: Mapping[str, Any]) -> list[dict[str, str]]:
        """A dialogue as turns of a chat field, tools first; those without content are left out."""
        words = WORDS[self.language]
        turns = [(words["tools"], _tools(record["tools"], words))] if messages and record.get("tools") else []
        turns += [(words.get(message["role"], message["role"]), _turn(message, words)) for message in messages]
        return [{"role": role[:20], "content": text} for role, text in turns if text.strip()]

    def _hold_to_length(self, values: Mapping[str, Any]) -> None:
        chat: list[dict[str, str]] = values.get("conversation", [])
        turns = [len(turn["content"]) for turn in chat]
        total = sum(turns) + sum(len(text) for text in values.values() if isinstance(text, str))
        if total > self.settings.max_characters:
            raise Unfit("too_long", f"{total} characters; annotate.max_characters is {self.settings.max_characters}")
        if turns and (max(turns) > _TURN or len(turns) > _TURNS):
            raise Unfit("too_long", f"{len(turns)} turns, the longest of {max(turns)} characters; {_TURNS}, {_TURN} go")


def shown_answer(answer: Messages, task: str, language: Language) -> str:
    """An answer as people see it; for spans in as many characters as the record says it."""
    words = WORDS[language]
    if task == "spans":
        return aligned("\n".join(message.get("content") or "" for message in answer))
    if len(answer) == 1:
        return _turn(answer[0], words)
    turns = ((words.get(message["role"], message["role"]), _turn(message, words)) for message in answer)
    return "\n\n".join(f"**{plain(role)}**\n\n{text}" for role, text in turns if text.strip())


def _turn(message: Message, words: Mapping[str, str]) -> str:
    """A message as Markdown: what was thought, what was said, which tools were called, or what one gave."""
    content = message.get("content") or ""
    if message["role"] == "tool":
        thing = parsed(content)
        name = f"**{plain(message['name'])}**\n\n" if message.get("name") else ""
        return name + (faithful(content) if isinstance(thing, str) else value(thing))
    thought = message.get("reasoning_content") or ""
    quoted = [f"> **{words['thinking']}**\n>\n> " + faithful(thought).replace("\n", "\n> ")] if thought else []
    calls = _calls(message.get("tool_calls"), words)
    return "\n\n".join([*quoted, *([faithful(content)] if content.strip() else []), *calls])


def _calls(calls: str | None, words: Mapping[str, str]) -> list[str]:
    """Calls as records hold them: OpenAI's form as JSON, the arguments a JSON text themselves."""
    shown = []
    for call in orjson.loads(calls) if calls else []:
        arguments = parsed(call["function"].get("arguments") or "{}")
        listed = value(arguments) if arguments and not isinstance(arguments, str) else plain(arguments or "")
        shown.append(f"**{words['calls']} {plain(call['function']['name'])}**\n\n{listed}".rstrip())
    return shown


def _tools(tools: str, words: Mapping[str, str]) -> str:
    """Tools as records hold them (JSON schemas): what each does, and what it takes."""
    listed = parsed(tools)
    entries = listed if isinstance(listed, list) else [listed]
    return "\n\n".join(_tool(entry, words) for entry in entries)


def _tool(entry: Any, words: Mapping[str, str]) -> str:
    function = entry.get("function", entry) if isinstance(entry, dict) else entry
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return value(entry) if not isinstance(entry, str) else faithful(entry)
    head = f"**{plain(function['name'])}**"
    if isinstance(told := function.get("description"), str) and told:
        head += f": {plain(told)}"
    schema = function.get("parameters")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return head
    required = schema.get("required") or [] if isinstance(schema, dict) else []
    lines = (_parameter(name, inner, name in required, words) for name, inner in properties.items())
    return "\n".join([head, "", *lines])


def _parameter(name: str, schema: Any, required: bool, words: Mapping[str, str]) -> str:
    schema = schema if isinstance(schema, dict) else {}
    kind = schema.get("type")
    notes: Iterable[str] = filter(None, [kind if isinstance(kind, str) else "", words["required"] if required else ""])
    line = f"- {plain(name)} ({', '.join(notes)})"
    if isinstance(told := schema.get("description"), str) and told:
        line += f": {plain(told)}"
    if isinstance(choices := schema.get("enum"), list) and choices:
        line += f"; {words['one_of']}: {value(choices)}"
    return line
