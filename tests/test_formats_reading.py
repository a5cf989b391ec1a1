"""Rows to records: forced formats, mapped columns, ids, round trips, accounting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from record_rows import GOOD, SYSTEM, USER, lines, one

from datakit.formats.columns import column_report, propose_mapping
from datakit.formats.frames import message_lists, record_id
from datakit.formats.read import REASONS, parse
from datakit.recipe.data import DataSettings
from datakit.records import MESSAGES
from datakit.sources.block import Block
from datakit.sources.blocks import read_blocks
from datakit.sources.discover import discover

EVERY_KIND: list[dict[str, Any]] = [
    {"text": "你好", "meta": {"verified": True}},
    {"messages": [SYSTEM, USER, GOOD], "tools": [{"type": "function", "function": {"name": "f"}}], "n": 1},
    {"conversations": [{"from": "human", "value": "天气"}, {"from": "function_call", "value": '{"name": "f"}'}]},
    {"messages": [{**USER, "weight": 0}, {**GOOD, "reasoning_content": "r", "mood": "good"}]},
    {"prompt": "1+1?", "answer": 2, "checks": {"regex": "2"}},
    {"prompt": "多少钱？", "chosen": "一千元。", "rejected": "不知道", "margin": 2},
    {"chosen": "blue", "rejected": "green"},
    {"prompt": "多少钱？", "completion": "一千元。", "label": True},
]


def test_a_forced_format() -> None:
    row = {"prompt": "p", "text": "t", "completion": "c"}
    assert one(row, format="text") == ("text", {"text": "t", "meta": {"prompt": "p", "completion": "c"}})
    assert one(row, format="prompt")[0] == "prompt"
    kind, rejected = one(row, format="alpaca")
    assert kind == "rejected"
    assert "instruction and output" in rejected["detail"]
    assert DataSettings(format="chatml").format == "messages"  # type: ignore[arg-type]


def test_mapped_columns() -> None:
    columns = {"客户问题": "user", "销售回复": "assistant"}
    row = {"编号": 1, "客户问题": "多少钱？", "销售回复": "一千元。"}
    assert one(row, columns=columns) == ("messages", {"messages": [USER, GOOD], "meta": {"编号": 1}})
    assert one({"body": "x", "text": 5}, columns={"body": "text"}) == (
        "text",
        {"text": "x", "meta": {"text_original": 5}},
    )
    for wrong in ({"a": "txet"}, {"a": "text", "b": "text"}):
        with pytest.raises(ValidationError):
            DataSettings(columns=wrong)


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        (("编号", "客户问题", "销售回复"), {"客户问题": "user", "销售回复": "assistant"}),
        (("question", "answer"), {"question": "user", "answer": "assistant"}),
        (("Query", "Response", "System Prompt"), {"Query": "user", "Response": "assistant", "System Prompt": "system"}),
        (("instruction", "input", "response"), {"response": "output"}),
        (("正文", "标题"), {"正文": "text"}),
        (("问题", "优选", "劣选"), {"问题": "prompt", "优选": "chosen", "劣选": "rejected"}),
        (("instuction", "outputs"), {"instuction": "instruction", "outputs": "output"}),
        (("x", "y"), {}),
    ],
)
def test_a_mapping_is_proposed_and_works(columns: tuple[str, ...], mapping: dict[str, str]) -> None:
    proposed = propose_mapping(columns)
    assert proposed == mapping
    if mapping:
        row = dict.fromkeys(columns, "内容")
        assert one(row)[1]["reason"] == "unknown_kind"
        assert one(row, columns=proposed)[0] != "rejected"


def test_the_column_report_can_be_pasted() -> None:
    import tomllib

    parsed = parse(lines({"客户问题": "a", '销售 "回复"': "b"}, {"客户问题": "c", '销售 "回复"': "d"}), DataSettings())
    ((columns, rows),) = parsed.unknown.items()
    report = column_report("crm.csv", columns, rows)
    assert "客户问题" in str(report.error())
    assert report.recipe_line in report.error().cure
    assert rows == 2
    assert (
        DataSettings(**tomllib.loads(report.recipe_line)).columns
        == report.mapping
        == {"客户问题": "user", '销售 "回复"': "assistant"}
    )


def test_csv_cells_of_lists_and_flags() -> None:
    cells = {
        "messages": '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]',
        "label": "TRUE",
        "system": "",
    }
    block = Block("x.csv", 1, 0, [(1, 0, 9, cells), (2, 9, 3, {"text": " ", "n": ""})], "rows", strings=True)
    parsed = parse(block, DataSettings())
    assert parsed.frames["unpaired"]["label"].to_list() == [True]
    assert parsed.rejected["reason"].to_list() == ["empty"]


# --- ids and round trips


def test_ids_are_of_content_not_of_spelling() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"conversations": [{"value": "a", "from": "human"}, {"value": "b", "from": "gpt"}]},
        {"instruction": "a", "output": "b"},
        {"prompt": "a", "completion": "b"},
        b'{"messages":[{"content":"\\u0061","role":"user"},{"content":"b","role":"assistant"}]}',
    ]
    frame = parse(lines(*rows), DataSettings()).frames["messages"]
    assert frame["id"].n_unique() == 1
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert frame["id"][0] == record_id("messages", (turns, None), None)
    assert parse(lines({**rows[0], "n": 1}), DataSettings()).frames["messages"]["id"][0] != frame["id"][0]  # type: ignore[dict-item]


def test_versions_read_back(tmp_path: Path) -> None:
    block = lines(*EVERY_KIND)
    before = parse(block, DataSettings()).frames
    for kind, frame in before.items():
        frame.write_parquet(tmp_path / f"{kind}.parquet")
        frame.write_ndjson(tmp_path / f"{kind}.jsonl")
        for name in (f"{kind}.parquet", f"{kind}.jsonl"):
            (file,) = discover([tmp_path / name])
            (read,) = read_blocks(file, DataSettings())
            after = parse(read, DataSettings())
            assert after.rejected.is_empty()
            assert after.frames[kind].drop("source", "line").equals(frame.drop("source", "line")), name


@given(
    st.lists(
        st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant"])},
                optional={"content": st.text(max_size=3), "tool_calls": st.just("[]"), "train": st.booleans()},
            ),
            max_size=3,
        ),
        max_size=5,
    )
)
@settings(max_examples=100, deadline=None)
def test_message_lists_against_polars(lists: list[list[dict[str, Any]]]) -> None:
    full = [
        [{field.name: turn.get(field.name) for field in MESSAGES.inner.fields} for turn in turns] for turns in lists
    ]  # type: ignore[union-attr]
    assert message_lists(lists).to_list() == full
    assert message_lists(lists).dtype == MESSAGES


# --- accounting


def accounted(data: bytes) -> None:
    block = Block("x.jsonl", 1, 0, data)
    parsed = parse(block, DataSettings())
    rows = [line for frame in parsed.frames.values() for line in frame["line"]] + parsed.rejected["line"].to_list()
    assert sorted(rows) == [n for n, line in enumerate(data.split(b"\n"), 1) if line.strip(b" \t\r\x0b\x0c")]
    assert set(parsed.rejected["reason"]) <= set(REASONS)
    for frame in parsed.frames.values():
        assert frame["id"].null_count() == 0


@given(st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_accounted_for(parts: list[bytes]) -> None:
    accounted(b"\n".join(parts))


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["user", "gpt", "[]", "{}", '[{"role": "user"}]']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "from", "value", "type", "text", "tool_calls", "function", "name", "arguments"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
NAMES = [
    "text",
    "messages",
    "conversations",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "label",
    "kto_tag",
    "instruction",
    "input",
    "output",
    "history",
    "system",
    "tools",
    "functions",
    "answer",
    "checks",
    "margin",
    "meta",
    "id",
    "source",
    "line",
    "x",
]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=6), max_size=4))
@settings(max_examples=600, deadline=None)
def test_any_json_is_accounted_for(rows: list[dict[str, Any]]) -> None:
    accounted(b"\n".join(orjson.dumps(row) for row in rows))


def test_tables_of_odd_types_are_accounted_for() -> None:
    import io
    from datetime import date, timedelta
    from decimal import Decimal

    frame = pl.DataFrame(
        {
            "text": ["a"],
            "d": [date(2026, 1, 2)],
            "t": [timedelta(1)],
            "n": [Decimal("1.5")],
            "b": [b"\xff"],
            "f": [float("nan")],
            "s": [{"x": [1]}],
        }
    )
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    parsed = parse(Block("x.parquet", 1, 0, buffer.getvalue(), "table"), DataSettings())
    assert orjson.loads(parsed.frames["text"]["meta"][0])["d"] == "2026-01-02"


LLAMAFACTORY = Path(__file__).parents[2] / "shared" / "data" / "llamafactory"


@pytest.mark.skipif(not LLAMAFACTORY.is_dir(), reason="the sample data of LLaMA-Factory is not here")
def test_all_files_of_llamafactory_load() -> None:
    counts = {}
    for file in discover([LLAMAFACTORY]):
        for block in read_blocks(file, DataSettings()):
            parsed = parse(block, DataSettings())
            assert parsed.rejected.is_empty(), file.source
            counts[file.source] = {kind: frame.height for kind, frame in parsed.frames.items()}
    expected = {
        "alpaca_en_demo.json": {"messages": 999},
        "alpaca_zh_demo.json": {"messages": 1000},
        "c4_demo.jsonl": {"text": 300},
        "dpo_en_demo.json": {"preference": 300},
        "dpo_zh_demo.json": {"preference": 300},
        "glaive_toolcall_en_demo.json": {"messages": 300},
        "glaive_toolcall_zh_demo.json": {"messages": 300},
        "identity.json": {"messages": 91},
        "kto_en_demo.json": {"unpaired": 300},
        "reason_tool_use_demo_50.jsonl": {"messages": 50},
        "v1_dpo_demo.jsonl": {"preference": 10},
        "v1_sft_demo.jsonl": {"messages": 500},
        "wiki_demo.txt": {"text": 30},
    }
    assert counts == expected


_TEXTS = st.sampled_from(["", " ", "hello", 'a "quoted" word', "back\\slash", "价格 128 元\n", "\x00", "é"])
_CELLS = st.one_of(_TEXTS, st.sampled_from([None, 3, True, ["x"], {"a": "b"}]))
_ROWS = st.one_of(
    st.fixed_dictionaries({"text": _TEXTS, "id": _CELLS}),
    st.fixed_dictionaries({"id": _TEXTS, "text": _CELLS, "meta": _CELLS}),
    st.fixed_dictionaries({"content": _CELLS}),
    st.sampled_from(
        [
            b'{"text":"a","text":"b","id":"c"}',
            b'{"text":"a","text":"\\u0022\\u0022\\u0022\\u0022","id":"c"}',
            b'{"text":"\\u0041\\/\\"","id":"c"}',
            b'{"text":"a","id":"c"',
            b"[]",
        ]
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_ROWS, max_size=12))
def test_a_row_is_read_alike_whatever_was_read_before(rows: list[Any]) -> None:
    """Rows of columns that were seen before take a shorter way; each alone takes the long one."""
    together = parse(lines(*rows), DataSettings())
    alone = [parse(lines(row), DataSettings()) for row in rows]
    for kind, frame in together.frames.items():
        apart = pl.concat([one.frames[kind] for one in alone if kind in one.frames])
        assert frame.drop("line").equals(apart.drop("line"))
    assert together.rejected["reason"].to_list() == [reason for one in alone for reason in one.rejected["reason"]]
    assert sum(frame.height for frame in together.frames.values()) + together.rejected.height == len(rows)


@pytest.mark.parametrize("number", [2**63, 2**64, 10**30, -(10**25)])
def test_integers_of_any_length_stay_whole(number: int) -> None:
    kind, content = one(b'{"text": "a", "n": %d}' % number)
    assert (kind, content["meta"]) == ("text", {"n": number})
    call = b'[{"function": {"name": "f", "arguments": {"n": %d}}}]' % number
    _, content = one(
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": %s}]}' % call
    )
    calls = orjson.loads(content["messages"][1]["tool_calls"])
    assert calls[0]["function"]["arguments"] == f'{{"n":{number}}}'
