"""[clean.near]: when two rows are near duplicates, and how they are found."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, field_validator, model_validator

from datakit.recipe.base import Table

PERMUTATIONS: Final = 128
"""Hash values a signature. Fixed: datasketch's own default, and what its indexes over our rows expect."""


class NearSettings(Table):
    """The [clean.near] table."""

    threshold: float = Field(
        default=0.8,  # the peers stand between 0.7 (text-dedup) and 0.9 (distilabel): facts/cleaning.md 2.5
        gt=0,
        le=1,
        description="rows are near duplicates from this Jaccard similarity of their 5-grams on, above 0 to 1",
    )
    bands: int = Field(
        default=20,  # with 6 rows 0.9977 of the pairs at exactly 0.8 become candidates, 0.9999 at 0.85; 9 x 13: 0.40
        ge=1,
        description="bands of a signature; two rows become a candidate when one band is equal in both",
    )
    rows: int = Field(default=6, ge=1, description="hash values in a band; bands x rows is at most 128")
    keep_apart: tuple[str, ...] = Field(
        default=(),
        description="terms that make variants as numbers do, e.g. ['基础版', '专业版']; upper and lower case are one",
    )
    record_from: float = Field(
        default=0.6, ge=0, le=1, description="candidates from this Jaccard similarity on are written to pairs.parquet"
    )
    answers: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="dialogues and pairs: the similarity that the answers alone must reach to be duplicates too",
    )
    memory_mb: int = Field(
        default=192, ge=1, description="memory for verifying candidates, in MB; without effect on the result"
    )

    @model_validator(mode="before")
    @classmethod
    def _record_what_is_removed(cls, values: Any) -> Any:
        """Pairs are recorded from the threshold on where that is lower than the default and nothing else is said."""
        if isinstance(values, dict) and "record_from" not in values:
            threshold = values.get("threshold")
            if isinstance(threshold, (int, float)) and threshold < cls.model_fields["record_from"].default:
                return {**values, "record_from": threshold}
        return values

    @field_validator("keep_apart")
    @classmethod
    def _terms_say_something(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        if any(not term.strip() for term in terms):
            raise ValueError("a term to keep apart is empty")
        return tuple(sorted(set(terms)))  # the order has no meaning, so it must not change the fingerprint

    @model_validator(mode="after")
    def _fits(self) -> NearSettings:
        if self.bands * self.rows > PERMUTATIONS:
            raise ValueError(
                f"bands x rows is {self.bands} x {self.rows} = {self.bands * self.rows}; "
                f"a signature has {PERMUTATIONS} values"
            )
        if self.record_from > self.threshold:
            raise ValueError(
                f"record_from is {self.record_from}, above the threshold {self.threshold}: removed pairs would be "
                "missing from pairs.parquet"
            )
        return self
