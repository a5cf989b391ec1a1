"""Recipe table `[clean.language]`: when a language that is not listed costs a row its place."""

from __future__ import annotations

from pydantic import Field

from datakit.recipe.base import Table


class Language(Table):
    """How sure identification must be before `clean.languages` may drop a row."""

    # lid.176 is near chance below this on short texts; datatrove keeps at 0.65 on documents, NeMo at 0.3.
    confidence: float = Field(default=0.5, ge=0, le=1, description="Least confidence of a verdict that may drop a row")
    # Fewer letters ("OK", "Merci") do not tell a language.
    letters: int = Field(default=20, ge=0, description="Least number of letters of a text that may be dropped")
