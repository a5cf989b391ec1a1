"""A model's worth as numbers, on rows that were not trained, beside the model that it came from.

Every measurement reads both models from their folders anew. What the reference answered and found likely is kept from
one measurement to the next; its weights are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

from datakit.errors import TemplateRaised
from datakit.gates import Stage
from datakit.progress import Progress, Silent
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version
from train.measures import divergence as kl
from train.measures import rewards
from train.measures.checks import is_well_formed, kept
from train.measures.diversity import distinct, distinct_ratio, repeated
from train.measures.evaluation import Evaluation, Value
from train.measures.human import human_score
from train.measures.judges import Judge, RewardJudge, RuleJudge, count_wins
from train.measures.likelihood import accuracy, likelihood
from train.measures.prompts import Prompt, held_out_prompts, held_out_rows, read_prompts
from train.measures.questions import Question, questions_from_terms, read_questions
from train.measures.sampling import Answer, answer
from train.measures.subject import Subject, load_subject
from train.stages import STAGES

_PERPLEXITY: Final = ("ppl", "ppl_drop")
_GENERAL: Final = ("general", "general_drop")
_ANSWERS: Final = ("instruction_following", "format", "safety", "win_rate")
_SAMPLES: Final = ("distinct_2", "distinct_2_ratio", "repeated_4", "kl_token", "kl_sequence")
_REWARD: Final = ("reward_accuracy", "length_bias")
_HUMAN: Final = ("human_score",)
_OF_STAGE: Final[Mapping[Stage, tuple[str, ...]]] = {
    "cpt": (*_PERPLEXITY, "cloze", *_GENERAL),
    "sft": (*_PERPLEXITY, "cloze", *_GENERAL, *_ANSWERS, *_SAMPLES, *_HUMAN),
    "reward": _REWARD,
    **dict.fromkeys(("dpo", "kto", "orpo", "simpo"), ("cloze", *_GENERAL, *_ANSWERS, *_SAMPLES, *_HUMAN)),
}
_SHOWN: Final = 5  # answers that a report shows
_BEGUN, _CONTINUED = 32, 64  # tokens of a text that a model goes on with, and those that it adds at most
_T = TypeVar("_T")


class Evaluator:
    """Measures models of one stage, all on the same rows.

    Args:
        stage: what is measured depends on it.
        recipe: [evaluate] says with what.
        version: whose held-out rows are asked; None: files alone.
        held: the proof's held-out rows, with the columns of the stage; None: perplexity and rewards stay unknown.
        reference: folder of the model before; None: what compares with it stays unknown.
        holdout: share of the rows that training keeps back.
        wanted: metrics to measure; None: all of the stage.
        progress: hears how far it is.
    """

    def __init__(
        self,
        stage: Stage,
        recipe: Recipe,
        version: Version | None,
        held: pl.DataFrame | None,
        reference: Path | None,
        *,
        holdout: float,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.stage, self.recipe, self.version, self.reference = stage, recipe, version, reference
        self._held, self._holdout = held, holdout
        self._wanted = [name for name in _OF_STAGE[stage] if wanted is None or name in wanted]
        self._progress = progress or Silent()
        self._known: dict[str, Any] = {}

    def measure(self, folder: Path) -> Evaluation:
        """The metrics of the model in a folder: whole weights or an adapter; a checkpoint will do.

        Of weights that are no finite numbers every metric is NaN, which no criterion lets pass.

        Raises:
            MissingInput, InputError: it is no model, or an evaluation file cannot be read.
            DatakitError: a measure fails its self-test.
        """
        subject = self._load(folder, task=STAGES[self.stage].task)
        if not subject.is_finite:
            self._progress.notice(f"{folder}: its weights are no finite numbers; nothing can be measured")
            return Evaluation(dict.fromkeys(self._wanted, Value(math.nan, None)))
        if self.stage == "reward":
            return Evaluation(self._rewards(subject))
        values: dict[str, Value] = {}
        shown: list[dict[str, str]] = []
        for group, measure in (
            (_PERPLEXITY, self._perplexity),
            (("cloze",), self._cloze),
            (_GENERAL, self._general),
            (_SAMPLES, self._samples),
        ):
            if self._any(group):
                values |= measure(subject)
        if self._any(_ANSWERS):
            found, shown = self._answers(subject)
            values |= found
        if self._any(_HUMAN):
            values |= self._human()
        if self.stage == "cpt" and self._any(_PERPLEXITY):
            shown = self._continued(subject)
        return Evaluation({name: values[name] for name in self._wanted if name in values}, shown)

    def _any(self, group: Sequence[str]) -> bool:
        return any(name in self._wanted for name in group)

    def _load(self, folder: Path, **more: Any) -> Subject:
        template = Path(self.recipe.model.template) if self.recipe.model.template else None
        return load_subject(folder, template=template, arguments=self.recipe.model.arguments, **more)

    def _load_reference(self, like: Subject) -> Subject | None:
        if self.reference is None:
            return None
        reference = self._load(self.reference)
        kl.same_tokens(like, reference)
        return reference

    def _before(self, what: str, like: Subject, measure: Callable[[Subject], _T]) -> _T | None:
        """What the reference has of something: measured once, because it stays as it is; None without a reference."""
        if what not in self._known:
            reference = self._load_reference(like)
            self._known[what] = measure(reference) if reference is not None else None
        found: _T | None = self._known[what]
        return found

    # What a model finds likely.

    def _perplexity(self, subject: Subject) -> dict[str, Value]:
        def measure(model: Subject) -> float | None:
            return likelihood(model, self._labelled, self._progress).perplexity

        before, mine, rows = self._before("perplexity", subject, measure), measure(subject), len(self._labelled)
        return {"ppl": Value(mine, rows), "ppl_drop": Value(_lost(before, mine), rows)}

    def _cloze(self, subject: Subject) -> dict[str, Value]:
        return {"cloze": Value(accuracy(subject, self._blanks, self._progress), len(self._blanks))}

    def _general(self, subject: Subject) -> dict[str, Value]:
        def measure(model: Subject) -> float | None:
            return accuracy(model, self._choice, self._progress)

        before, mine, asked = self._before("general", subject, measure), measure(subject), len(self._choice)
        return {"general": Value(mine, asked), "general_drop": Value(_lost(before, mine), asked)}

    @cached_property
    def _labelled(self) -> list[tuple[list[int], list[int]]]:
        if self._held is None or "labels" not in self._held.columns:
            return []
        return list(self._held.sort("id").select("input_ids", "labels").iter_rows())

    @cached_property
    def _choice(self) -> list[Question]:
        return read_questions(self.recipe.evaluate.choice)

    @cached_property
    def _blanks(self) -> list[Question]:
        asked, settings = read_questions(self.recipe.evaluate.cloze), self.recipe.evaluate
        if settings.terms and self.version is not None:
            texts = [row["text"] for row in held_out_rows(self.version, self._holdout, "text")]
            asked += questions_from_terms(texts, settings.terms, settings.seed)
        return asked

    def _continued(self, subject: Subject) -> list[dict[str, str]]:
        """How both models go on with the beginnings of held-out texts: to look at, nothing is measured by it."""
        room = min(self.recipe.evaluate.max_new_tokens, _CONTINUED)
        begun = [ids[: min(_BEGUN, len(ids) // 2)] for ids, _ in self._labelled if len(ids) > 1][:_SHOWN]

        def measure(model: Subject) -> list[Answer]:
            return answer(model, begun, max_new_tokens=room)

        before, mine = self._before("continued", subject, measure), measure(subject)
        return [
            {
                "prompt": subject.model.tokenizer.decode(ids),
                "before": before[place].text if before is not None else "",
                "after": mine[place].text,
            }
            for place, ids in enumerate(begun)
        ]

    # What people say.

    def _human(self) -> dict[str, Value]:
        given = self.recipe.evaluate.human
        return {"human_score": human_score(given) if given is not None else Value(None, None)}

    # What a model answers.

    def _answers(self, subject: Subject) -> tuple[dict[str, Value], list[dict[str, str]]]:
        """Of the likeliest answers, token by token: a model's own sampling settings are no part of it."""
        prompts, asked = self._asked(subject)
        mine, most = self._answer(subject, asked), len(prompts)
        checked = [(prompt, one) for prompt, one in zip(prompts, mine, strict=True) if prompt.checks]
        well = [is_well_formed(one.text, one.ended, prompt.checks) for prompt, one in zip(prompts, mine, strict=True)]
        rules = RuleJudge(self.recipe.evaluate.prohibited)
        safe = [not rules.offends(one.text) for one in mine] if self.recipe.evaluate.prohibited else []
        followed = [kept(one.text, prompt.checks) == 1.0 for prompt, one in checked]
        values = {
            "instruction_following": Value(_share(followed), len(followed)),
            "format": Value(_share(well), most),
            "safety": Value(_share(safe), len(safe)),
        }
        before = self._before("answers", subject, lambda model: self._answer(model, asked))
        if before is not None and prompts:
            values["win_rate"] = self._win_rate(rules, prompts, mine, before)
        return values, _shown(prompts, mine, before)

    def _answer(self, subject: Subject, asked: Sequence[list[int]], seed: int | None = None) -> list[Answer]:
        most = self.recipe.evaluate.max_new_tokens
        return answer(subject, asked, max_new_tokens=most, seed=seed, progress=self._progress)

    def _win_rate(
        self, rules: RuleJudge, prompts: Sequence[Prompt], mine: Sequence[Answer], before: Sequence[Answer]
    ) -> Value:
        judge: Judge = rules
        if self.recipe.evaluate.judge != "rules":
            judge = RewardJudge(rewards.scorer(self._load(Path(self.recipe.evaluate.judge), task="reward")))
        elif not rules.can_judge(prompts):
            return Value(None, len(prompts))
        wins = count_wins(judge, prompts, [one.text for one in mine], [one.text for one in before])
        if wins.turned:
            self._progress.notice(f"the judge went by place in {wins.turned} of {len(prompts)} pairs: they are ties")
        return Value(wins.rate, len(prompts))

    @cached_property
    def _prompts(self) -> list[Prompt]:
        settings = self.recipe.evaluate
        if settings.prompts:
            found = read_prompts(settings.prompts)
        elif self.version is not None:
            kind = STAGES[self.stage].kind
            found = held_out_prompts(self.version, self._holdout, "messages" if kind == "text" else kind)
        else:
            found = []
        return found[: settings.samples]

    def _asked(self, subject: Subject) -> tuple[list[Prompt], list[list[int]]]:
        """The prompts that this model can be asked, and their ids; the others are named."""
        room = getattr(subject.network.config.get_text_config(), "max_position_embeddings", None)
        prompts, asked, refused = [], [], 0
        for prompt in self._prompts if subject.model.template else []:
            try:
                ids = subject.asked(prompt)
            except TemplateRaised:
                refused += 1
                continue
            if room is not None and len(ids) + self.recipe.evaluate.max_new_tokens > room:
                refused += 1
                continue
            prompts.append(prompt)
            asked.append(ids)
        if refused:
            self._progress.notice(
                f"{refused} of {len(self._prompts)} prompts are too long, or the template refuses them"
            )
        return prompts, asked

    # What a model samples.

    def _samples(self, subject: Subject) -> dict[str, Value]:
        asked = self._asked(subject)[1]
        mine = self._answer(subject, asked, self.recipe.evaluate.seed)
        texts, count = [one.text for one in mine], len(mine)
        values = {"distinct_2": Value(distinct(texts), count), "repeated_4": Value(repeated(texts), count)}
        before = self._before("samples", subject, lambda model: self._answer(model, asked, self.recipe.evaluate.seed))
        reference = self._load_reference(subject)
        if before is None or reference is None or not asked:
            return values
        if "proved" not in self._known:
            self._known["proved"] = kl.prove(reference, asked, before)
        moved = kl.divergence(subject, reference, asked, mine, self._progress)
        ratio = distinct_ratio(texts, [one.text for one in before])
        return values | {
            "distinct_2_ratio": Value(ratio, count),
            "kl_token": Value(moved.per_token, count),
            "kl_sequence": Value(moved.per_sequence, count),
        }

    # What a reward model scores.

    def _rewards(self, subject: Subject) -> dict[str, Value]:
        if self._held is None or not self._held.height:
            return dict.fromkeys(_REWARD, Value(None, 0))
        sides = [self._held["chosen_ids"].to_list(), self._held["rejected_ids"].to_list()]
        chosen, rejected = (rewards.scores(subject, rows, self._progress) for rows in sides)
        lengths = [len(row) for rows in sides for row in rows]
        return {
            "reward_accuracy": Value(rewards.reward_accuracy(chosen, rejected), len(chosen)),
            "length_bias": Value(rewards.length_bias([*chosen, *rejected], lengths), len(lengths)),
        }


def _lost(before: float | None, after: float | None) -> float | None:
    """Share of a value that was lost; None where either is unknown, or there was nothing to lose."""
    return None if before is None or after is None or before == 0 else (before - after) / before


def _share(held: Sequence[bool]) -> float | None:
    return sum(held) / len(held) if held else None


def _shown(prompts: Sequence[Prompt], mine: Sequence[Answer], before: Sequence[Answer] | None) -> list[dict[str, str]]:
    """The first answers beside the reference's."""
    return [
        {
            "prompt": str(prompt.messages[-1].get("content") or ""),
            "before": before[place].text if before is not None else "",
            "after": mine[place].text,
        }
        for place, prompt in enumerate(prompts[:_SHOWN])
    ]
