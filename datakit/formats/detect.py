"""Which format a row is of, by its columns: the first that fits.

The order:

    preference   chosen and rejected (or chosen_messages and rejected_messages)
    unpaired     label or kto_tag, true or false, beside prompt and completion, messages or Alpaca's columns
    messages     messages
    sharegpt     conversations, conversation, dialogue, dialog
    alpaca       instruction and output
    pairs        prompt and completion; user and assistant
    prompt       prompt
    text         text, content

So a row with both `messages` and `prompt` (UltraChat) is a dialogue, and its prompt goes to meta.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from datakit.formats import alpaca, chatml, pairs, preference, prompt, sharegpt, text, unpaired
from datakit.formats.row import BadRow, Draft, Row
from datakit.recipe.data import Format

FORMATS: Final[dict[Format, ModuleType]] = {
    "preference": preference,
    "unpaired": unpaired,
    "messages": chatml,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "pairs": pairs,
    "prompt": prompt,
    "text": text,
}
"""Name to the module that reads it, in the order of precedence."""

_SHOWN: Final = 8  # columns listed in one detail


def candidates(keys: frozenset[str], forced: Format | None) -> tuple[Format, ...]:
    """The formats that a row with these columns fits, best first; of the forced format only, where one is forced."""
    names = FORMATS if forced is None else {forced: FORMATS[forced]}
    return tuple(name for name, module in names.items() if module.fits(keys))


def read_row(row: Row, fitting: tuple[Format, ...], forced: Format | None) -> Draft:
    """The record of a row, by the first format that fits.

    Args:
        row: columns that are not null.
        fitting: `candidates` of its columns.
        forced: the format that the recipe forces.

    Raises:
        BadRow: no format fits (`unknown_kind`), or the row's values do not.
    """
    for name in fitting:
        if name == "unpaired" and forced is None and not unpaired.is_tagged(row):
            continue  # `label` is a topic or a class: the row is a dialogue, and label goes to meta
        draft: Draft = FORMATS[name].read(row)
        return draft
    columns = ", ".join(list(row)[:_SHOWN]) + (", …" if len(row) > _SHOWN else "")
    if forced is not None:
        raise BadRow(
            "unknown_kind", f"format {forced} needs {FORMATS[forced].NEEDS}; columns found: {columns or 'none'}"
        )
    raise BadRow("unknown_kind", f"columns that fit no format: {columns or 'none'}")
