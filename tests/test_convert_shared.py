"""Real data, where it lies beside the repository: all of it converts, and calls survive to the last argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from convert_rows import convert, frame_of, lost, read, rows_of, shared
from file_rows import read as read_file

import datakit
from datakit.conversion.targets import Target
from datakit.formats.row import to_json

LLAMAFACTORY, BFCL, TAU = shared("llamafactory"), shared("bfcl"), shared("tau_bench", "few_shot_data")


def needs(folder: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not folder.is_dir(), reason=f"the data of {folder.name} is not here")


# File, the format that holds all of it, rows.
FILES: list[tuple[str, Target, int]] = [
    ("alpaca_en_demo.json", "alpaca", 999),
    ("alpaca_zh_demo.json", "alpaca", 1000),
    ("c4_demo.jsonl", "text", 300),
    ("dpo_en_demo.json", "sharegpt", 300),
    ("dpo_zh_demo.json", "preference", 300),
    ("glaive_toolcall_en_demo.json", "sharegpt", 300),
    ("glaive_toolcall_zh_demo.json", "messages", 300),
    ("identity.json", "alpaca", 91),
    ("kto_en_demo.json", "kto", 300),
    ("reason_tool_use_demo_50.jsonl", "messages", 50),
    ("v1_dpo_demo.jsonl", "preference", 10),
    ("v1_sft_demo.jsonl", "messages", 500),
    ("wiki_demo.txt", "text", 1),
]


@needs(LLAMAFACTORY)
@pytest.mark.parametrize(("name", "target", "rows"), FILES, ids=[name for name, *_ in FILES])
def test_all_files_of_llamafactory_convert(name: str, target: Target, rows: int, tmp_path: Path) -> None:
    for to in (target, "llamafactory"):
        result = datakit.convert(LLAMAFACTORY / name, tmp_path / to, to)  # type: ignore[arg-type]
        assert result.rows == {"in": rows, "written": rows, "not_written": 0}, result.fields
    before = [row["id"] for _, row in read_file(LLAMAFACTORY / name) if isinstance(row, dict)]
    (path,) = (tmp_path / target).iterdir()
    after = [row["id"] for _, row in read_file(path) if isinstance(row, dict)]
    assert after == before


@needs(LLAMAFACTORY)
@pytest.mark.parametrize("name", ["glaive_toolcall_en_demo.json", "glaive_toolcall_zh_demo.json"])
def test_glaive_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    datakit.convert(LLAMAFACTORY / name, tmp_path / "o.json", "sharegpt")
    before = orjson.loads((LLAMAFACTORY / name).read_bytes())
    after = orjson.loads((tmp_path / "o.json").read_bytes())
    assert [without_blank_tools(row) for row in after] == [without_blank_tools(row) for row in before]


def without_blank_tools(row: dict[str, Any]) -> dict[str, Any]:
    """No tools are an empty text or list there, and no column here."""
    return {key: value for key, value in row.items() if key != "tools" or value not in ("", "[]")}


def survives(turns: list[dict[str, Any]], tools: list[Any] | None = None) -> None:
    """A dialogue keeps every argument through every format with a place for calls."""
    record = {"messages": turns, "tools": to_json(tools) if tools else None}
    frame = frame_of("messages", record)
    for target in ("sharegpt", "messages", "axolotl"):
        batch = convert(frame, "messages", target)  # type: ignore[arg-type]
        assert lost(batch) == []
        assert read(*rows_of(batch))["messages"]["id"].equals(frame["id"])


def calling(name: str, *arguments: Any) -> dict[str, Any]:
    calls = [
        {"type": "function", "function": {"name": name, "arguments": to_json(one, sort=False)}} for one in arguments
    ]
    return {"role": "assistant", "tool_calls": to_json(calls)}


@needs(BFCL)
def test_bfcl_survives() -> None:
    """Its tools are those on offer; its deeply nested configurations stand for arguments, for it holds no calls."""
    for line in (BFCL / "BFCL_v4_parallel.json").read_bytes().splitlines():
        row = orjson.loads(line)
        answers = [calling(tool["name"], tool["parameters"]["properties"], {}) for tool in row["function"]]
        survives([*row["question"][0], *answers], row["function"])
    for line in (BFCL / "BFCL_v4_multi_turn_base.json").read_bytes().splitlines():
        row = orjson.loads(line)
        turns = [
            turn
            for asked, path in zip(row["question"], row["path"], strict=False)
            for turn in (*asked, calling(path, row["initial_config"]), {"role": "tool", "content": "done"})
        ]
        survives(turns)


@needs(TAU)
def test_tau_survives() -> None:
    """Its transcripts show what tools gave back: objects stand for the arguments of the calls, which they leave out."""
    called = 0
    for path in sorted(TAU.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            turns: list[dict[str, Any]] = []
            for said in orjson.loads(line)["messages_display"].split("\n"):
                who, _, text = said.partition(": ")
                if who == "tool" and text.startswith("{"):
                    try:
                        turns.append(calling("look_up", orjson.loads(text)))
                    except orjson.JSONDecodeError:
                        continue
                    called += 1
                if who in ("user", "assistant", "tool") and text != "None":
                    turns.append({"role": who, "content": text})
            survives(turns)
    assert called > 100
