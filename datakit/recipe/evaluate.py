"""[evaluate]: what a model is measured with."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from datakit.recipe.base import Table


class EvaluateSettings(Table):
    """The [evaluate] table."""

    prompts: tuple[str, ...] = Field(
        default=(), description="files of prompts, with checks or answers; the version's held-out rows if not set"
    )
    choice: tuple[str, ...] = Field(default=(), description="files of multiple choice that tell general ability")
    cloze: tuple[str, ...] = Field(default=(), description="files of sentences with a blank and options for it")
    terms: tuple[str, ...] = Field(
        default=(), description="domain terms; held-out texts that hold one become cloze questions"
    )
    general: tuple[str, ...] = Field(default=(), description="files of general text, to tell domain terms from")
    prohibited: tuple[str, ...] = Field(
        default=(), description="regular expressions of what an answer must never say, for safety and the rule judge"
    )
    judge: str = Field(
        default="rules", description="who says which answer is better: rules, or a reward model's folder"
    )
    human: str | None = Field(
        default=None,
        description="people's ratings of the model's answers: a campaign's judgements, or a version resolved from them",
    )
    samples: int = Field(default=128, ge=1, description="prompts that are answered: the first ones, rows by id")
    max_new_tokens: int = Field(default=256, ge=1, description="tokens that an answer may take")
    seed: int = Field(default=0, ge=0, description="of the sampled answers")

    @field_validator("prohibited")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is no regular expression ({error})") from None
        return patterns

    def at(self, folder: Path) -> EvaluateSettings:
        """The settings with paths that were relative to `folder`."""
        update: dict[str, object] = {
            name: tuple(str(folder / path) for path in getattr(self, name))
            for name in ("prompts", "choice", "cloze", "general")
        }
        if self.human is not None:
            update["human"] = str(folder / self.human)
        if self.judge != "rules":
            update["judge"] = str(folder / self.judge)
        return self.model_copy(update=update)
