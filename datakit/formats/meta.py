"""`meta` of a record as columns of a row again.

{"text": "…"} and meta {"lang": "zh", "label": "news"}  ->  {"text": "…", "lang": "zh", "meta": {"label": "news"}}
for a trainer                                           ->  {"text": "…", "meta": '{"label":"news","lang":"zh"}'}
"""

from __future__ import annotations

from typing import Any, Final

from datakit.formats.row import to_json
from datakit.formats.sharegpt import KEYS as DIALOGUES
from datakit.records import CONTENT, Kind

RESERVED: Final = frozenset(
    {"text", "content", "messages", *DIALOGUES, "system", "tools", "functions", "user", "assistant"}
    | {"prompt", "completion", "label", "kto_tag", "chosen", "rejected", "chosen_messages", "rejected_messages"}
    | {"instruction", "input", "output", "history", "answer", "ground_truth", "solution", "checks", "margin"}
    | {"meta", "metadata", "source", "line"}
)
"""Columns that mean something to a reader: in `meta`, keys of these names stay inside an object."""

_LAID_OUT: Final = ("tools", "images", "videos", "audios")  # what a writer may have made columns of already


def with_meta(row: dict[str, Any], kind: Kind, meta: dict[str, Any], *, as_text: bool) -> dict[str, Any]:
    """The row with the record's `meta`.

    Its keys become columns again, as they were read; those in `RESERVED` go to an object `meta`.

    Args:
        row: what a writer gave.
        kind: of the record. Where it has no tools of its own, `tools` in meta is a column, which TRL reads.
        meta: may be empty.
        as_text: all of it goes to one column of JSON text instead: whatever it holds, the column has one type, which
            Arrow and so the loaders of trainers insist on.
    """
    laid_out = {name for name in _LAID_OUT if name in row and name in meta and row[name] == meta[name]}
    if laid_out:
        meta = {key: value for key, value in meta.items() if key not in laid_out}
    if as_text or not meta:
        return {**row, "meta": to_json(meta)} if meta else row
    inside = RESERVED if "tools" in CONTENT[kind] else RESERVED - {"tools"}
    columns = {key: value for key, value in meta.items() if key not in inside and value is not None}
    rest = {key: value for key, value in meta.items() if key not in columns}
    return {**row, **columns, **({"meta": rest} if rest else {})}
