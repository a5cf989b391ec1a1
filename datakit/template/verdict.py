"""What a template does to messages, as one frozen record, remembered from run to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from datakit.files import write_whole

Kept = Literal["keep", "drop", "raise"]
Called = Literal["keep", "partial", "drop", "double_encoded", "raise"]
Rendered = Literal["renders", "drop", "raise"]


class Verdict(BaseModel):
    """The probes' answers; docs/templates.md says of each what it means for training.

    Where the template raises, the value is `raise`, or None for a boolean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    system: Kept
    default_system: str | None
    dated: bool | None
    generation_prompt_is_prefix: bool | None
    prefix_preserving: bool | None
    ends_with_stop: bool | None
    thinking_last: Kept
    thinking_history: Kept
    reasoning_content: Kept
    injects_thinking: bool | None
    tool_call_dict: Called
    tool_call_string: Called
    human_gpt_roles: Rendered
    user_user: Rendered
    assistant_first: Rendered
    system_mid: Rendered
    none_content: Rendered
    trims: bool | None
    generation_markers: bool | None


def recall(key: str) -> Verdict | None:
    """The verdict remembered under a hash; None where there is none that can be read."""
    try:
        return Verdict.model_validate_json(_place(key).read_bytes())
    except (OSError, ValidationError):
        return None


def remember(key: str, verdict: Verdict) -> None:
    """Keep a verdict under a hash; a cache that cannot be written is no fault, as probing again takes moments."""
    try:
        _place(key).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_place(key), verdict.model_dump_json())
    except OSError:
        pass


def _place(key: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "datakit" / "verdicts" / f"{key}.json"
