"""[data]: what is read, how odd files are understood, and where the version goes."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, field_validator

from datakit.recipe.base import Table

Format = Literal["alpaca", "sharegpt", "messages", "preference", "unpaired", "pairs", "prompt", "text"]

TARGETS: Final = (
    "user", "assistant", "system", "messages", "conversations", "tools",
    "instruction", "input", "output", "history",
    "prompt", "completion", "chosen", "rejected", "margin", "label",
    "answer", "checks", "text", "meta", "date", "verified",
)  # fmt: skip
"""The names that `columns` may map a column of a file to; date and verified go to meta, where they choose keepers."""


class DataSettings(Table):
    """The [data] table."""

    input: tuple[str, ...] = Field(
        default=(), description="files, folders or globs that are read; '-' is standard input"
    )
    output: str | None = Field(default=None, description="folder of the dataset")
    columns: Mapping[str, str] = Field(
        default={}, description="column of a file to the name it stands for, e.g. { '客户问题' = 'user' }"
    )
    format: Format | None = Field(default=None, description="the format of every row; detected row by row if not set")
    split: Literal["blank", "lines"] | None = Field(
        default=None, description="cut a txt file at blank lines or at line ends; one record a file if not set"
    )
    encoding: str | None = Field(default=None, description="encoding of text files; detected if not set")

    @field_validator("format", mode="before")
    @classmethod
    def _other_names(cls, value: object) -> object:
        return "messages" if value in ("chatml", "openai") else value

    @field_validator("columns")
    @classmethod
    def _known_targets(cls, columns: Mapping[str, str]) -> Mapping[str, str]:
        for column, target in columns.items():
            if target not in TARGETS:
                near = difflib.get_close_matches(target, TARGETS, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise ValueError(f"'{column}' is mapped to '{target}': {hint}accepted are {', '.join(TARGETS)}")
        doubled = sorted({t for t in columns.values() if list(columns.values()).count(t) > 1})
        if doubled:
            raise ValueError(f"two columns are mapped to '{doubled[0]}'; each name can be given once")
        return dict(columns)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                codecs.lookup(name)
            except LookupError:
                raise ValueError("no such encoding; for example utf-8, gb18030, big5, utf-16") from None
        return name
