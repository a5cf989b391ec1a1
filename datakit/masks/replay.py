"""Pairs, rated answers and prompts as TRL 1.16's trainers render, tokenise and cut them, and what is wrong with each.

    preference  dpo     prompt with generation prompt; prompt + chosen; prompt + rejected
                        ->  prompt_ids, chosen_ids, rejected_ids
                reward  prompt + chosen; prompt + rejected                ->  chosen_ids, rejected_ids
    unpaired    kto     prompt with generation prompt; prompt + completion  ->  prompt_ids, completion_ids
    prompt      grpo    prompt with generation prompt                     ->  prompt_ids

A completion starts where the ids of the prompt and those of the whole part: `common_prefix_length` in TRL's
`data_utils.py`; for a pair, at the earlier of its two. Source: `_prepare_dataset` of `trl/trainer/dpo_trainer.py`,
`kto_trainer.py` and `reward_trainer.py`, `_tokenize_prompts` of `grpo_trainer.py`, and their collators.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from datakit.errors import TemplateRaised
from datakit.masks import replay_checks as checks
from datakit.masks.checks import closings, why_refused
from datakit.masks.codes import Severity
from datakit.masks.findings import RowFinding
from datakit.masks.habits import Habits
from datakit.masks.labels import Labeller
from datakit.masks.sides import Prompt, Side, common_prefix_length
from datakit.template.messages import Arguments, for_template
from datakit.template.model import Model
from datakit.template.render import Renderer

if TYPE_CHECKING:
    from tokenizers import Encoding

Stage = Literal["dpo", "reward", "kto", "grpo"]
Record = Mapping[str, Any]

_SIDES: Final[Mapping[Stage, tuple[str, ...]]] = {
    "dpo": ("chosen", "rejected"),
    "reward": ("chosen", "rejected"),
    "kto": ("completion",),
    "grpo": (),
}
"""The columns that follow the prompt, by stage."""


@dataclass(frozen=True)
class Replayed:
    """A row as its trainer sees it.

    Attributes:
        id, source, line: the row's id and key.
        stage: whose trainer was replayed.
        prompt: as it stands at inference, the generation prompt included.
        sides: chosen and rejected, the completion, or nothing; nothing too where the template raised.
        findings: what is wrong, one a code, in the order of the checks.
    """

    id: str
    source: str
    line: int
    stage: Stage
    prompt: Prompt
    sides: tuple[Side, ...]
    findings: tuple[RowFinding, ...]

    @property
    def prompt_ids(self) -> list[int]:
        """Ids before the completion: those of the prompt, less an end in which a side differs."""
        return self.prompt.ids[: self.sides[0].start] if self.sides else self.prompt.ids

    @property
    def tokens(self) -> int:
        """Tokens of the longer side, or of the prompt."""
        return max((len(side.ids) for side in self.sides), default=len(self.prompt.ids))

    @property
    def needed(self) -> int:
        """Tokens up to the last stop of each side: a shorter row would lose it."""
        return max((side.solid[-1] + 1 for side in self.sides if side.solid), default=len(self.prompt.ids))

    def columns(self) -> dict[str, list[int]]:
        """The ids under the names that TRL's collators take: whole sides for reward, else prompt and completions."""
        if self.stage == "reward":
            return {f"{side.name}_ids": side.ids for side in self.sides}
        return {"prompt_ids": self.prompt_ids} | {f"{side.name}_ids": side.ids[side.start :] for side in self.sides}


class Replayer:
    """Replays records of the kind that a stage trains on.

    Args:
        model: whose tokenizer and stop tokens hold.
        renderer: of the same model.
        stage: whose trainer is replayed.
        habits: of the same model: the stops and the form of tool arguments that they name hold instead of the model's.
        labeller: of the same model, where there is one already.
    """

    def __init__(
        self,
        model: Model,
        renderer: Renderer,
        stage: Stage,
        habits: Habits | None = None,
        labeller: Labeller | None = None,
    ) -> None:
        self._model = model if habits is None else replace(model, stop_ids=habits.stops)
        self._renderer, self._stage = renderer, stage
        self._form: Arguments = "dict" if habits is None else habits.form
        self._labeller = labeller or Labeller(model)

    def replay(self, rows: Sequence[Record]) -> list[Replayed]:
        """Rows with the columns of `records.SCHEMAS`, of one kind, in their order."""
        drafts = [self._draft(row) for row in rows]
        encoded = iter(self._labeller.encode([text for draft in drafts for text in draft.texts]))
        return [self._replayed(draft, encoded) for draft in drafts]

    def _draft(self, row: Record) -> _Draft:
        prompt = for_template(row["prompt"], arguments=self._form)
        completions = {name: for_template(row[name], arguments=self._form) for name in _SIDES[self._stage]}
        draft = _Draft(row, prompt, completions)
        taught = [name for name in completions if name != "rejected" and row.get("label") is not False]
        draft.findings += checks.of_messages(prompt, completions, taught)
        draft.findings += closings([turn for completion in completions.values() for turn in completion])
        whole = prompt
        try:
            if self._stage == "grpo":
                draft.bare = self._renderer.render(prompt)
            texts = [self._renderer.render(prompt, generation_prompt=True)]
            for completion in completions.values():
                whole = [*prompt, *completion]
                texts.append(self._renderer.render(whole))
            draft.texts = texts
        except TemplateRaised as raised:
            draft.findings.append(why_refused(whole, None, raised, self._renderer))
        return draft

    def _replayed(self, draft: _Draft, encoded: Iterator[Encoding]) -> Replayed:
        findings = draft.findings
        key = draft.row["id"], draft.row["source"], draft.row["line"], self._stage
        if not draft.texts:
            return Replayed(*key, Prompt(draft.prompt, ""), (), _merged(findings))
        ids = next(encoded)
        prompt = Prompt(draft.prompt, draft.texts[0], draft.bare, ids.ids, ids.offsets)
        wholes = [next(encoded) for _ in draft.completions]
        start = min((common_prefix_length(prompt.ids, whole.ids) for whole in wholes), default=len(prompt.ids))
        sides = tuple(
            Side(name, messages, text, whole.ids, whole.offsets, start, _begin(prompt, text, whole, start))
            for (name, messages), text, whole in zip(draft.completions.items(), draft.texts[1:], wholes, strict=True)
        )
        findings += checks.of_ids(prompt, sides, self._model, compared=self._stage != "reward")
        if len(sides) == 2:
            findings += checks.no_difference(sides[0], sides[1])
        if self._stage == "grpo":
            findings += checks.of_prompt_only(prompt, self._model)
        return Replayed(*key, prompt, sides, _merged(findings))


@dataclass
class _Draft:
    """A row's renders, waiting for their ids; none where the template refuses one of them."""

    row: Record
    prompt: list[dict[str, Any]]
    completions: dict[str, list[dict[str, Any]]]
    bare: str | None = None
    texts: list[str] = field(default_factory=list)
    findings: list[RowFinding] = field(default_factory=list)


def cut(row: Replayed, max_length: int, max_completion: int | None = None) -> Replayed:
    """A row at a length in tokens, with the finding M16 where that takes an end, and M22 where it takes all difference.

    The ids stay: TRL cuts in the collator. What it drops before that without a word is named.

    Args:
        row: as replayed.
        max_length: tokens of prompt and completion together.
        max_completion: tokens that a sampled answer may take; of prompts only, 1 where not set.
    """
    found: list[RowFinding] = []
    if row.stage == "grpo" and row.prompt.text:
        found += checks.no_room(row.prompt, max_length, max_completion)
    elif row.stage == "reward":
        found += checks.too_long(row.sides, max_length)
    elif row.sides:
        found += checks.cut(row.sides, max_length)
        found += checks.no_difference_left(row.sides, max_length)
    return replace(row, findings=_merged([*row.findings, *found])) if found else row


def _begin(prompt: Prompt, text: str, whole: Encoding, start: int) -> int:
    """The first character of a completion: behind the prompt, or where the renders part."""
    if text.startswith(prompt.text):
        return len(prompt.text)
    return int(whole.offsets[start][0]) if start < len(whole.ids) else len(text)


def _merged(findings: Iterable[RowFinding]) -> tuple[RowFinding, ...]:
    """One finding a code and severity, so that both sides of a pair count as one row."""
    details: dict[tuple[str, Severity | None], list[str]] = {}
    for finding in findings:
        details.setdefault((finding.code, finding.severity), []).append(finding.detail)
    return tuple(RowFinding(code, "; ".join(said), severity) for (code, severity), said in details.items())
