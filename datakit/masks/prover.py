"""One row proved: its ids, its labels, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from datakit.errors import TemplateRaised
from datakit.masks import checks
from datakit.masks.findings import RowFinding
from datakit.masks.habits import Habits, habits_of
from datakit.masks.labels import IGNORED, Ids, Labeller, Place, flags
from datakit.masks.spans import Derived, SpanFinder
from datakit.recipe.masks import MaskSettings
from datakit.template.model import Model
from datakit.template.render import Renderer

if TYPE_CHECKING:
    from tokenizers import Encoding

Record = Mapping[str, Any]

_NONE: Final = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class Proved:
    """A row as it would be trained.

    Attributes:
        id, source, line: the row's id and key.
        ids, labels: int32 arrays, shape (n_tokens,); empty where the template refuses the row.
        needed: tokens up to the last trained one: a shorter row would lose it.
        findings: what is wrong.
    """

    id: str
    source: str
    line: int
    ids: Ids
    labels: Ids
    needed: int
    findings: tuple[RowFinding, ...]

    @property
    def key(self) -> str:
        """The row's key, `source:line`."""
        return f"{self.source}:{self.line}"


@dataclass(frozen=True)
class ProvedRow:
    """A proved row with all that is needed to show it.

    Attributes:
        id, source, line: the row's id and key.
        text: the render.
        input_ids, labels: one a token; a label is -100 where the token is not trained.
        offsets: characters of each token in `text`.
        parts: a word a token: "trained", "stop", "context", or "injected", which the template adds of its own.
        findings: what is wrong.
    """

    id: str
    source: str
    line: int
    text: str
    input_ids: list[int]
    labels: list[int]
    offsets: list[tuple[int, int]]
    parts: list[str]
    findings: list[RowFinding]


@dataclass
class _Draft:
    """A row on its way: `derived` is None where the template refuses it."""

    row: Record
    derived: Derived | None = None
    findings: list[RowFinding] = field(default_factory=list)


class Prover:
    """Proves rows of dialogues and of text.

    Args:
        model: the model they are for.
        settings: what may be trained.
        arguments: further variables of the template.
        now: the clock that dated templates read; the real one where None.
    """

    def __init__(
        self,
        model: Model,
        settings: MaskSettings,
        arguments: Mapping[str, Any] | None = None,
        now: datetime | None = None,
    ) -> None:
        self.model, self.settings, self.arguments, self._now = model, settings, arguments, now
        self._special = flags(model, model.special_ids)
        self._special_texts = [str(model.tokenizer.id_to_token(number)) for number in model.special_ids]

    @cached_property
    def renderer(self) -> Renderer:
        """The model's template, compiled; text needs none.

        Raises:
            InputError: the model has no template, or it is no valid Jinja.
        """
        return Renderer(self.model, now=self._now, arguments=self.arguments)

    @cached_property
    def habits(self) -> Habits:
        """What the template does to all rows."""
        return habits_of(self.model, self.renderer, self.arguments or {})

    @cached_property
    def _labeller(self) -> Labeller:
        return Labeller(self.model, self.habits.stops, self.habits.header)

    @cached_property
    def _tokenizer(self) -> Labeller:
        """Tokenises texts, which need no template."""
        return Labeller(self.model)

    @cached_property
    def _finder(self) -> SpanFinder:
        return SpanFinder(self.model, self.renderer, self.habits, self.settings)

    def prove_messages(self, rows: Sequence[Record]) -> list[Proved]:
        """Dialogues, in their order."""
        drafts = [self._draft(row) for row in rows]
        texts = [draft.derived.text for draft in drafts if draft.derived is not None]
        encoded = iter(self._labeller.encode(texts))
        return [
            self._refused(draft) if draft.derived is None else self._proved(draft, draft.derived, next(encoded))[0]
            for draft in drafts
        ]

    def show(self, row: Record) -> ProvedRow:
        """One dialogue or text, with a word on each of its tokens."""
        return self._show_messages(row) if "messages" in row else self._show_text(row)

    def _show_text(self, row: Record) -> ProvedRow:
        (encoding,) = self._tokenizer.encode([row["text"]])
        proved = self._proved_text(row, encoding)
        ids = proved.ids.tolist()
        before = int(len(ids) > 1 and ids[0] == self.model.bos_id and encoding.ids[:1] != ids[:1])
        offsets = [(0, 0)] * before + list(encoding.offsets)
        offsets += [(len(row["text"]),) * 2] * (len(ids) - len(offsets))
        parts = ["injected"] * before + ["trained"] * (len(ids) - before)
        if ids and ids[-1] == self.model.eos_id:
            parts[-1] = "stop"
        key = row["id"], row["source"], row["line"]
        return ProvedRow(*key, row["text"], ids, proved.labels.tolist(), offsets, parts, list(proved.findings))

    def _show_messages(self, row: Record) -> ProvedRow:
        draft = self._draft(row)
        if draft.derived is None:
            return ProvedRow(row["id"], row["source"], row["line"], "", [], [], [], [], draft.findings)
        (encoding,) = self._labeller.encode([draft.derived.text])
        proved, places = self._proved(draft, draft.derived, encoding)
        injected = [*draft.derived.injected, *self._default_system(row, draft.derived.text)]
        offsets = [(int(start), int(end)) for start, end in encoding.offsets]
        parts = [
            "trained" if label != IGNORED else "injected" if any(a <= start < b for a, b in injected) else "context"
            for label, (start, _) in zip(proved.labels.tolist(), offsets, strict=True)
        ]
        for span, found in zip(draft.derived.spans, places, strict=False):
            if span.stopped:
                parts[found.last - 1] = "stop"
        return ProvedRow(
            id=proved.id,
            source=proved.source,
            line=proved.line,
            text=draft.derived.text,
            input_ids=proved.ids.tolist(),
            labels=proved.labels.tolist(),
            offsets=offsets,
            parts=parts,
            findings=list(proved.findings),
        )

    def prove_text(self, rows: Sequence[Record]) -> list[Proved]:
        """Texts, in their order: every token is trained, and one end-of-text token closes each."""
        return [
            self._proved_text(row, encoding)
            for row, encoding in zip(rows, self._tokenizer.encode([row["text"] for row in rows]), strict=True)
        ]

    def _draft(self, row: Record) -> _Draft:
        messages, tools = row["messages"], row["tools"]
        draft = _Draft(row)
        try:
            draft.derived = self._finder.find(messages, tools)
        except TemplateRaised as raised:
            draft.findings.append(checks.why_refused(messages, tools, raised, self.renderer))
            return draft
        draft.findings += draft.derived.findings
        draft.findings += checks.closings(messages)
        if tools or any(message["tool_calls"] for message in messages):
            draft.findings += checks.calls(messages, tools, draft.derived.text)
        return draft

    def _refused(self, draft: _Draft) -> Proved:
        row = draft.row
        return Proved(row["id"], row["source"], row["line"], _NONE, _NONE, 0, tuple(draft.findings))

    def _proved(self, draft: _Draft, derived: Derived, encoding: Encoding) -> tuple[Proved, list[Place]]:
        row, findings = draft.row, draft.findings
        ids = np.array(encoding.ids, dtype=np.int32)
        labels, places, confirmed, edges = self._labeller.label(
            encoding, ids, derived.text, derived.spans, derived.answers
        )
        findings += edges
        if doubtful := derived.unconfirmed - confirmed:
            findings += self._finder.confirm(row["messages"], row["tools"], doubtful)
        if int(np.count_nonzero(self._special[ids])) != derived.special or self._spells_special(row):
            findings += checks.forged(row, self.model)
        findings += self._two_beginnings(ids)
        if not places and not any(finding.weight == "error" for finding in findings):
            findings.append(RowFinding("M13", "no token of the row is trained"))
        needed = max((found.last for found in places), default=0)
        return Proved(row["id"], row["source"], row["line"], ids, labels, needed, tuple(findings)), places

    def _spells_special(self, row: Record) -> bool:
        """Whether declarations or calls, which a skeleton keeps as they are, spell a special token."""
        calls = [message["tool_calls"] for message in row["messages"] if message["tool_calls"]]
        return any(token in text for text in (*calls, row["tools"] or "") for token in self._special_texts)

    def _proved_text(self, row: Record, encoding: Encoding) -> Proved:
        model = self.model
        ids = encoding.ids
        findings: list[RowFinding] = []
        if model.adds_bos and model.bos_id is not None and ids[:1] != [model.bos_id]:
            ids = [model.bos_id, *ids]
        if model.eos_id is None:
            findings.append(RowFinding("M1", "the tokenizer has no end-of-text token"))
        elif ids[-1:] != [model.eos_id]:
            ids = [*ids, model.eos_id]
        inner = {token for token in ids[:-1] if token in model.special_ids} - {model.bos_id}
        if inner:
            names = ", ".join(sorted(str(model.tokenizer.id_to_token(token)) for token in inner))
            findings.append(RowFinding("M28", f"text: {names}"))
        array = np.array(ids, dtype=np.int32)
        findings += self._two_beginnings(array)
        return Proved(row["id"], row["source"], row["line"], array, array, len(array), tuple(findings))

    def _two_beginnings(self, ids: Ids) -> list[RowFinding]:
        bos = self.model.bos_id
        if bos is None or len(ids) < 2 or ids[0] != bos or ids[1] != bos:
            return []
        return [RowFinding("M3", f"begins with {self.model.tokenizer.id_to_token(bos)} twice")]

    def _default_system(self, row: Record, text: str) -> list[tuple[int, int]]:
        """Where the template writes a system message of its own."""
        default = self.habits.verdict.default_system
        if not default or any(message["role"] == "system" for message in row["messages"]):
            return []
        return [(at, at + len(piece)) for piece in default.split("\n") if piece and (at := text.find(piece)) >= 0]
