"""How long functions tell of their progress, without knowing who listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Called as work goes on; also the channel for notices that are no errors."""

    def advance(self, stage: str, done: float, total: float, unit: str) -> None:
        """`done` of `total` units of a stage are through; total is 0 where it is not known."""

    def figures(self, stage: str, values: Mapping[str, float]) -> None:
        """What a stage shows beside its progress, e.g. the training loss."""

    def notice(self, text: str) -> None:
        """Something the user should know, e.g. a file that is not UTF-8."""


class Silent:
    """Nobody listens."""

    def advance(self, stage: str, done: float, total: float, unit: str) -> None:
        """Do nothing."""

    def figures(self, stage: str, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def notice(self, text: str) -> None:
        """Do nothing."""
