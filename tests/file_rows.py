"""Files as rows: what the tests of sources share."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import orjson

from datakit.formats.read import parse
from datakit.recipe.data import DataSettings
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import discover

ZH = ["请问你们的软件支持多少用户同时在线？", "您好，标准版支持五百个用户同时在线。", "价格是多少？一年一万两千元。"]
TW = [
    "請問你們的軟體支援多少使用者同時在線？",
    "您好，標準版支援五百個使用者同時在線。",
    "價格是多少？一年一萬兩千元。",
]


def read(path: Path, notes: list[str] | None = None, **options: Any) -> list[tuple[int, dict[str, Any] | str]]:
    """(line, record or reason) of every row of a file, in order."""
    limits = {name: options.pop(name) for name in ("target_bytes", "max_row_bytes") if name in options}
    setting = DataSettings(**options)
    said: list[str] = [] if notes is None else notes
    rows: list[tuple[int, dict[str, Any] | str]] = []
    for file in discover([path], said.append):
        for block in read_blocks(file, setting, notice=said.append, **limits):
            assert pickle.loads(pickle.dumps(block)) == block
            parsed = parse(block, setting)
            rows += [(r["line"], r["reason"]) for r in parsed.rejected.iter_rows(named=True)]
            rows += [(r["line"], r) for frame in parsed.frames.values() for r in frame.iter_rows(named=True)]
    return sorted(rows, key=lambda row: row[0])


def texts(path: Path, notes: list[str] | None = None, **options: Any) -> list[str]:
    """The text of every text record; the reason, in brackets, of every rejected row."""
    return [row["text"] if isinstance(row, dict) else f"[{row}]" for _, row in read(path, notes, **options)]


def jsonl(rows: list[str]) -> bytes:
    return b"".join(orjson.dumps({"text": text}) + b"\n" for text in rows)
