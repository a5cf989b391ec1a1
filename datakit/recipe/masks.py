"""[masks]: which tokens may be trained, and how much may be left out of a proof."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from datakit.recipe.base import Table

Length = Annotated[int, Field(ge=1)]


class MaskSettings(Table):
    """The [masks] table."""

    train_on: Literal["assistant", "last"] = Field(
        default="assistant", description="assistant: every assistant turn; last: only the last one"
    )
    thinking: bool = Field(default=True, description="whether the reasoning that rows bring is trained")
    tool_calls: bool = Field(default=True, description="whether the calls of tools are trained")
    max_length: Length | Literal["p99", "none"] = Field(
        default="p99",  # TRL's own 1024 cuts long dialogues without a word: facts/training.md
        description="tokens a row may have; p99: what 99 of 100 rows keep to; none: any number",
    )
    max_completion: Length | None = Field(
        default=None, description="tokens that must be left for the answer to a prompt (stage grpo)"
    )
    max_left_out: float = Field(
        default=0.05, ge=0, le=1, description="share of rows that may be left out before the proof fails, 0 to 1"
    )
    fail_on: Literal["error", "warning"] = Field(
        default="error", description="the lightest severity that leaves rows out and fails the proof"
    )
    packing: Literal["none", "bfd", "bfd_split", "wrapped"] = Field(
        default="none", description="how dialogues and texts are packed into sequences of max_length, as TRL names it"
    )
    attention: str = Field(
        default="", description="the attention that packed rows will be trained with, as transformers names it"
    )

    @field_validator("packing")
    @classmethod
    def _has_a_length(cls, value: str, info: ValidationInfo) -> str:
        if value != "none" and info.data.get("max_length") == "none":
            raise ValueError('a pack needs a length: set max_length to a number or to "p99"')
        return value
