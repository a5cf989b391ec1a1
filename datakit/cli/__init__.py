"""The command line: one file a verb; only this room prints, exits and reads flags."""

from __future__ import annotations

from datakit.cli.app import main

__all__ = ["main"]
