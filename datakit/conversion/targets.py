"""What `convert` can write: the name of a format to the writers of the kinds that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Final, Literal

from datakit.formats import alpaca, axolotl, chatml, llamafactory, openrlhf, preference, sharegpt, text, unpaired
from datakit.formats.writing import Writer
from datakit.records import Kind

Target = Literal[
    "alpaca", "sharegpt", "chatml", "messages", "preference", "kto", "text", "llamafactory", "openrlhf", "axolotl"
]

WRITERS: Final[Mapping[Target, Mapping[Kind, Writer]]] = {
    "alpaca": alpaca.WRITES,
    "sharegpt": sharegpt.WRITES,
    "chatml": chatml.WRITES,  # another name of messages, as TRL uses it
    "messages": chatml.WRITES,
    "preference": preference.WRITES,
    "kto": unpaired.WRITES,
    "text": text.WRITES,
    "llamafactory": llamafactory.WRITES,
    "openrlhf": openrlhf.WRITES,
    "axolotl": axolotl.WRITES,
}

TRAINERS: Final[Mapping[Target, ModuleType]] = {
    "llamafactory": llamafactory,
    "openrlhf": openrlhf,
    "axolotl": axolotl,
}
"""The formats of one trainer: its loader insists on one type a column, and `usage` says how it is told of the files."""
