"""What every table of a recipe shares: frozen, and strict about unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of a recipe: frozen; an unknown key is a fault, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
