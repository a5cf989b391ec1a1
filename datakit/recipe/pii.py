"""Recipe table `[clean.pii]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from datakit.recipe.base import Table

Kind = Literal[
    "secret",
    "email",
    "resident_id",
    "uscc",
    "bank_card",
    "ip",
    "mobile",
    "landline",
    "us_phone",
    "international_phone",
    "plate",
    "wechat",
    "qq",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Pii(Table):
    """What is done about personal data."""

    mode: Literal["mask", "drop", "tag"] = Field(
        default="mask",
        description="mask: put tokens in its place; drop: drop the row (stored masked); tag: only report",
    )
    kinds: tuple[Kind, ...] = Field(default=KINDS, description="The kinds looked for")
    vault: Path | None = Field(
        default=None, description="A file outside the version that maps tokens back to the originals (mode 0600)"
    )
