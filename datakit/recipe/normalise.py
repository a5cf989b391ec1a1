"""Recipe table `[clean.normalise]`."""

from __future__ import annotations

from pydantic import Field

from datakit.recipe.base import Table


class Normalise(Table):
    """What normalisation may repair; each part switches alone. What is on changes no well-formed text."""

    unicode: bool = Field(default=True, description="Compose characters (NFC; never NFKC, which rewrites good Chinese)")
    characters: bool = Field(
        default=True, description="Remove control, zero-width and bidirectional control characters"
    )
    lines: bool = Field(default=True, description="Make every line end \\n")
    # Off: two blanks at a line's end are a break in Markdown, and a prompt of code may end with its line.
    blanks: bool = Field(default=False, description="Strip blanks at the ends of lines and around the text")
    html: bool = Field(
        default=True, description="Resolve HTML entities and tags left in texts that are not about markup"
    )
    mojibake: bool = Field(
        default=True, description="Repair text decoded with the wrong encoding (ftfy, where suspected)"
    )
