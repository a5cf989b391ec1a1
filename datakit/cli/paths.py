"""Paths as people would type them."""

from __future__ import annotations

from pathlib import Path


def near(path: Path) -> Path:
    """A path as seen from the working folder where it lies below it; else absolute. Without `..` either way."""
    whole, here = path.resolve(), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
