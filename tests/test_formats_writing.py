"""Records to rows: both sides of every format, what it cannot hold, and the way there and back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from convert_rows import TOOLS, call, convert, frame_of, lost, read, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from record_rows import BAD, GOOD, SYSTEM, USER, one

from datakit.conversion.targets import WRITERS, Target
from datakit.formats.llamafactory import dataset_info
from datakit.records import KINDS, Kind

RESULT = {"role": "tool", "content": '{"t": 20}'}
CALLING = {"role": "assistant", "tool_calls": call('{"city":"北京","days":2}')}
THINKING = {**GOOD, "reasoning_content": "想一想"}
HUMAN, GPT = {"from": "human", "value": "多少钱？"}, {"from": "gpt", "value": "一千元。"}
ASKING = {"from": "function_call", "value": '{"name": "f", "arguments": {"city": "北京", "days": 2}}'}
SEEING = {"from": "observation", "value": '{"t": 20}'}

# Target, kind, record, row: nothing is lost.
HELD: list[tuple[Target, Kind, dict[str, Any], dict[str, Any]]] = [
    ("text", "text", {"text": "你好"}, {"text": "你好"}),
    ("text", "text", {"text": "a", "meta": {"url": "u", "label": 1}}, {"text": "a", "url": "u", "meta": {"label": 1}}),
    (
        "alpaca",
        "messages",
        {"messages": [SYSTEM, USER, GOOD, USER, BAD]},
        {
            "instruction": "多少钱？",
            "input": "",
            "output": "不知道",
            "system": SYSTEM["content"],
            "history": [["多少钱？", "一千元。"]],
        },
    ),
    (
        "alpaca",
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "margin": 1.5},
        {"instruction": "多少钱？", "input": "", "chosen": "一千元。", "rejected": "不知道", "margin": 1.5},
    ),
    (
        "alpaca",
        "unpaired",
        {"prompt": [USER], "completion": [BAD], "label": False},
        {"instruction": "多少钱？", "input": "", "output": "不知道", "kto_tag": False},
    ),
    (
        "sharegpt",
        "messages",
        {"messages": [SYSTEM, USER, CALLING, RESULT, GOOD], "tools": TOOLS},
        {"conversations": [{"from": "system", "value": SYSTEM["content"]}, HUMAN, ASKING, SEEING, GPT], "tools": TOOLS},
    ),
    (
        "sharegpt",
        "messages",
        {"messages": [USER, {"role": "assistant", "tool_calls": call('{"a":1}', '{"b":1.0}')}]},
        {
            "conversations": [
                HUMAN,
                {
                    "from": "function_call",
                    "value": '[{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {"b": 1.0}}]',
                },
            ]
        },
    ),
    (
        "sharegpt",
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD, USER, BAD]},
        {
            "conversations": [HUMAN],
            "chosen": GPT,
            "rejected": [{"from": "gpt", "value": "不知道"}, HUMAN, {"from": "gpt", "value": "不知道"}],
        },
    ),
    (
        "sharegpt",
        "unpaired",
        {"prompt": [USER], "completion": [GOOD], "label": True},
        {"conversations": [HUMAN, GPT], "kto_tag": True},
    ),
    (
        "messages",
        "messages",
        {"messages": [USER, {**THINKING, "train": False}, {"role": "assistant", "tool_calls": call("{}", ids=True)}]},
        {
            "messages": [
                USER,
                {**THINKING, "train": False},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
            ]
        },
    ),
    (
        "preference",
        "preference",
        {"prompt": [SYSTEM, USER, GOOD, USER], "chosen": [GOOD], "rejected": [BAD], "meta": {"tools": TOOLS}},
        {"prompt": [SYSTEM, USER, GOOD, USER], "chosen": [GOOD], "rejected": [BAD], "tools": TOOLS},
    ),
    (
        "kto",
        "unpaired",
        {"prompt": [USER], "completion": [GOOD], "label": True},
        {"prompt": [USER], "completion": [GOOD], "label": True},
    ),
    (
        "llamafactory",
        "messages",
        {"messages": [USER, CALLING | {"reasoning_content": "查"}, RESULT, GOOD], "tools": TOOLS, "meta": {"n": 1}},
        {
            "conversations": [HUMAN, {**ASKING, "value": f"<think>\n查\n</think>\n\n{ASKING['value']}"}, SEEING, GPT],
            "tools": TOOLS,
            "meta": '{"n":1}',
        },
    ),
    (
        "llamafactory",
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "meta": {"images": ["a.png"], "tools": TOOLS}},
        {
            "conversations": [HUMAN],
            "chosen": GPT,
            "rejected": {"from": "gpt", "value": "不知道"},
            "tools": TOOLS,
            "images": ["a.png"],
        },
    ),
    (
        "llamafactory",
        "unpaired",
        {"prompt": [SYSTEM, USER], "completion": [GOOD], "label": True},
        {"conversations": [{"from": "system", "value": SYSTEM["content"]}, HUMAN, GPT], "kto_tag": True},
    ),
    ("llamafactory", "text", {"text": "a"}, {"text": "a"}),
    ("openrlhf", "messages", {"messages": [USER, THINKING]}, {"messages": [USER, THINKING]}),
    (
        "openrlhf",
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "margin": 2.0},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "margin": 2.0},
    ),
    (
        "openrlhf",
        "unpaired",
        {"prompt": [USER], "completion": [GOOD], "label": False},
        {"messages": [USER, GOOD], "label": False},
    ),
    ("openrlhf", "prompt", {"prompt": [USER], "answer": "2"}, {"prompt": [USER], "answer": "2"}),
    (
        "axolotl",
        "messages",
        {
            "messages": [USER, {**GOOD, "train": False}],
            "tools": '[{"function":{"name":"f","parameters":{"x":1}},"type":"function"}]',
        },
        {
            "messages": [USER, {**GOOD, "train": False}],
            "tools": [{"function": {"name": "f", "parameters": '{"x":1}'}, "type": "function"}],
        },
    ),
    (
        "axolotl",
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"messages": [USER], "chosen": GOOD, "rejected": BAD},
    ),
    (
        "axolotl",
        "unpaired",
        {"prompt": [SYSTEM, USER], "completion": [GOOD], "label": True},
        {"system": SYSTEM["content"], "prompt": "多少钱？", "completion": "一千元。", "label": True},
    ),
]


@pytest.mark.parametrize(("target", "kind", "record", "row"), HELD, ids=[f"{t}-{k}" for t, k, *_ in HELD])
def test_both_sides(target: Target, kind: Kind, record: dict[str, Any], row: dict[str, Any]) -> None:
    frame = frame_of(kind, record)
    batch = convert(frame, kind, target)
    assert lost(batch) == []
    assert rows_of(batch) == [row]
    assert list(rows_of(batch)[0]) == list(row) or target == "alpaca"
    assert read(row)[kind]["id"].to_list() == frame["id"].to_list()


def test_every_writer_has_an_example_and_every_kind_a_format() -> None:
    shown = {(target, kind) for target, kind, *_ in HELD} | {("chatml", "messages"), ("axolotl", "text")}
    assert {(target, kind) for target, held in WRITERS.items() for kind in held} - shown <= {("openrlhf", "text")}
    assert {kind for held in WRITERS.values() for kind in held} == set(KINDS)


MESSAGES_LOSSES: list[tuple[Target, list[dict[str, Any]], list[str], bool]] = [
    # Target, messages, the fields that are lost, whether the rest is written.
    ("alpaca", [USER, THINKING], ["messages[1].reasoning_content"], True),
    ("alpaca", [USER, {**GOOD, "train": False}], ["messages[1].train"], True),
    ("alpaca", [USER, CALLING, RESULT, GOOD], ["messages[1].tool_calls", "messages[1]"], False),
    ("alpaca", [USER, GOOD, RESULT, GOOD], ["messages[2].role"], False),
    ("alpaca", [GOOD], ["messages"], False),
    ("alpaca", [USER], ["messages[0].role"], False),
    ("alpaca", [{"role": "system", "content": ""}, USER, GOOD], ["messages[0]"], False),
    ("alpaca", [USER, SYSTEM, USER, GOOD], ["messages[1].role"], False),
    ("sharegpt", [USER, THINKING], ["messages[1].reasoning_content"], True),
    ("sharegpt", [USER, CALLING | {"content": "等等"}], ["messages[1].content"], True),
    ("sharegpt", [USER, {"role": "assistant", "tool_calls": call("{}", ids=True)}], ["messages[1].tool_calls[0].id"], True),
    ("sharegpt", [USER, {**GOOD, "name": "王"}], ["messages[1].name"], True),
    ("sharegpt", [USER, {"role": "assistant", "reasoning_content": "r"}], ["messages[1].reasoning_content", "messages[1]"], False),
    ("sharegpt", [USER, {"role": "user", "tool_calls": call("{}")}], ["messages[1].role"], False),
    ("llamafactory", [USER, {**GOOD, "train": False}], ["messages[1].train"], True),
    ("llamafactory", [USER, USER, GOOD], ["messages[1]"], False),
    ("llamafactory", [USER, CALLING, RESULT, RESULT, GOOD], ["messages[3]"], False),
    ("llamafactory", [USER, GOOD, USER], ["messages[2]"], False),
    ("llamafactory", [SYSTEM], ["messages[0]"], False),
    ("llamafactory", [USER, {"role": "assistant", "tool_calls": call("no json")}], ["messages[1].tool_calls"], False),
    ("llamafactory", [{**USER, "reasoning_content": "r"}, GOOD], ["reasoning_content"], False),
    ("openrlhf", [USER, {**GOOD, "train": False}, USER, GOOD], ["messages[1].train"], True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "messages", "fields", "written"), MESSAGES_LOSSES, ids=[f"{t}-{f}" for t, _, f, _ in MESSAGES_LOSSES]
)
def test_what_is_lost_is_named(
    target: Target, messages: list[dict[str, Any]], fields: list[str], written: bool
) -> None:
    batch = convert(frame_of("messages", {"messages": messages}), "messages", target)
    assert lost(batch) == fields
    assert (batch[0].written is not None) == written
    assert batch[0].reason == ("" if written else "row_not_held")


@pytest.mark.parametrize(
    ("target", "kind", "record", "fields"),
    [
        ("alpaca", "messages", {"messages": [USER, GOOD], "tools": TOOLS}, ["tools"]),
        ("openrlhf", "messages", {"messages": [USER, GOOD], "tools": TOOLS}, ["tools"]),
        ("openrlhf", "prompt", {"prompt": [USER], "checks": "{}"}, ["checks"]),
        ("axolotl", "messages", {"messages": [USER, GOOD], "tools": '"text"'}, ["tools"]),
        ("axolotl", "preference", {"prompt": [USER], "chosen": [THINKING], "rejected": [BAD], "margin": 1.0}, ["margin", "chosen[0].reasoning_content"]),
        ("axolotl", "preference", {"prompt": [USER], "chosen": [GOOD, USER, GOOD], "rejected": [BAD]}, ["chosen"]),
        ("axolotl", "unpaired", {"prompt": [USER, GOOD, USER], "completion": [BAD], "label": False}, ["prompt"]),
        ("llamafactory", "preference", {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "margin": 1.0}, ["margin"]),
        ("llamafactory", "preference", {"prompt": [USER, GOOD], "chosen": [GOOD], "rejected": [BAD]}, ["prompt[2]"]),
        ("llamafactory", "unpaired", {"prompt": [USER, USER], "completion": [GOOD], "label": True}, ["prompt[1]"]),
        ("sharegpt", "unpaired", {"prompt": [USER], "completion": [GOOD, GOOD], "label": True}, ["completion"]),
        ("alpaca", "preference", {"prompt": [USER], "chosen": [GOOD, GOOD], "rejected": [BAD]}, ["chosen"]),
        ("text", "messages", {"messages": [USER, GOOD]}, ["row"]),
        ("messages", "prompt", {"prompt": [USER]}, ["row"]),
    ],
)  # fmt: skip
def test_what_other_kinds_lose_is_named(target: Target, kind: Kind, record: dict[str, Any], fields: list[str]) -> None:
    assert lost(convert(frame_of(kind, record), kind, target)) == fields


def test_flags_that_say_what_trainers_do_anyway_are_no_loss() -> None:
    record = {"messages": [{**USER, "train": False}, {**GOOD, "train": True}]}
    batch = convert(frame_of("messages", record), "messages", "llamafactory")
    assert (lost(batch), rows_of(batch)) == ([], [{"conversations": [HUMAN, GPT]}])


def test_a_row_that_would_be_read_as_something_else_is_not_written() -> None:
    hh = {"prompt": [USER], "chosen": [{"role": "assistant", "content": "\n\nHuman: hi"}], "rejected": [BAD]}
    batch = convert(frame_of("preference", hh), "preference", "alpaca")
    assert (lost(batch), batch[0].reason) == (["row"], "reads_back_differently")


ARGUMENTS = [
    '{"b":1,"a":[1,1.0,{"深":null}],"empty":{}}',
    '{"big":123456789012345678901234567890,"small":-9223372036854775809}',
    '{"float":1e+22,"tiny":5e-324,"minus":-0.0}',
    '{"text":"a\\"b\\\\c\\n\u2028\U0001f600"}',
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("target", ["sharegpt", "messages", "llamafactory", "openrlhf", "axolotl"])
def test_tool_calls_survive_to_the_last_argument(target: Target, arguments: str) -> None:
    turns = [USER, {"role": "assistant", "tool_calls": call(arguments, "{}")}, RESULT, GOOD]
    frame = frame_of("messages", {"messages": turns})
    batch = convert(frame, "messages", target)
    assert lost(batch) == []
    again = read(*rows_of(batch))["messages"]
    calls = orjson.loads(again["messages"][0][1]["tool_calls"])
    assert [inner["function"]["arguments"] for inner in calls] == [arguments, "{}"]
    assert again["id"].equals(frame["id"])


def test_what_calls_and_weights_hold_beyond_records_goes_to_meta() -> None:
    calls = [{"index": 0, "function": {"name": "f", "arguments": {"b": 1, "a": 2}, "strict": True}}]
    row = {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": calls, "weight": 0.5}]}
    _, record = one(row)
    assert record["meta"] == {
        "messages[1].tool_calls[0]": {"index": 0, "strict": True},
        "messages[1]": {"weight": 0.5},
    }
    assert record["messages"][1]["train"] is True
    assert orjson.loads(record["messages"][1]["tool_calls"])[0]["function"]["arguments"] == '{"b":1,"a":2}'


def test_dataset_info_describes_what_is_there() -> None:
    files: dict[Kind, str] = {"messages": "messages.jsonl", "preference": "preference.jsonl", "text": "text.jsonl"}
    columns: dict[Kind, set[str]] = {
        "messages": {"conversations", "tools", "meta"},
        "preference": {"conversations", "chosen", "rejected", "images"},
        "text": {"text", "meta"},
    }
    assert dataset_info("chat", files, columns) == {
        "chat_messages": {
            "file_name": "messages.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "tools": "tools"},
        },
        "chat_preference": {
            "file_name": "preference.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", "images": "images", "chosen": "chosen", "rejected": "rejected"},
        },
        "chat_text": {"file_name": "text.jsonl", "columns": {"prompt": "text"}},
    }


# --- the way there and back


TEXT = st.text(max_size=6) | st.sampled_from(
    ["你好", "a\u2028b", "<think>\nx\n</think>\n\n", '[{"role": "user"}]', "{", "\n\nHuman: x"]
)
SAID = TEXT.filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> str:
    import json

    texts = draw(st.lists(st.dictionaries(TEXT, JSON, max_size=3), min_size=1, max_size=3))
    dumped = [json.dumps(text, ensure_ascii=False, separators=(",", ":")) for text in texts]
    return call(*dumped, ids=draw(st.booleans()))


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def message(draw: st.DrawFn, roles: tuple[str, ...] = ("system", "user", "assistant", "tool")) -> dict[str, Any]:
    role = draw(st.sampled_from(roles))
    more = {"name": SAID, "train": st.booleans()}
    if role == "tool":
        more["tool_call_id"] = SAID
    turn = {"role": role, **draw(optional(**more))}
    if role == "assistant":
        turn |= draw(optional(reasoning_content=SAID, tool_calls=calls()))
    if "tool_calls" not in turn or draw(st.booleans()):
        turn["content"] = draw(TEXT)
    return turn


METAS = st.dictionaries(
    st.sampled_from(["id", "lang", "标签", "label", "messages", "tools", "system", "source", "line", "meta"]) | SAID,
    st.integers(0, 9) | SAID | st.lists(SAID, max_size=2) | st.none(),
    max_size=3,
)
TURNS = st.lists(message(), min_size=1, max_size=5)
SPOKEN = st.just({"role": "user", "content": "问"})
RECORDS: dict[Kind, st.SearchStrategy[dict[str, Any]]] = {
    "text": st.fixed_dictionaries({"text": SAID, "meta": METAS}),
    "messages": st.fixed_dictionaries(
        {"messages": TURNS.map(lambda turns: [USER, *turns]), "meta": METAS}, optional={"tools": st.just(TOOLS)}
    ),
    "preference": st.fixed_dictionaries(
        {"prompt": TURNS.map(lambda turns: [*turns, USER]), "chosen": TURNS, "rejected": TURNS, "meta": METAS},
        optional={"margin": st.floats(-9, 9)},
    ),
    "unpaired": st.fixed_dictionaries(
        {"prompt": TURNS.map(lambda turns: [USER, *turns]), "completion": TURNS, "label": st.booleans(), "meta": METAS}
    ),
    "prompt": st.fixed_dictionaries(
        {"prompt": TURNS.map(lambda turns: [*turns, USER]), "meta": METAS}, optional={"answer": SAID}
    ),
}
OWN: list[tuple[Target, Kind]] = [
    ("text", "text"),
    ("messages", "messages"),
    ("preference", "preference"),
    ("kto", "unpaired"),
]


@pytest.mark.parametrize(("target", "kind"), OWN)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_records_come_back_whole(target: Target, kind: Kind, data: st.DataObject) -> None:
    """Records to a format that has a place for everything, and back: the identity."""
    frame = frame_of(kind, *data.draw(st.lists(RECORDS[kind], min_size=1, max_size=3)))
    batch = convert(frame, kind, target, meta_as_text=data.draw(st.booleans()))
    assert lost(batch) == []
    assert read(*rows_of(batch))[kind].drop("source", "line").equals(frame.drop("source", "line"))


@pytest.mark.parametrize(("target", "kind"), [(t, k) for t, held in WRITERS.items() for k in held])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_rows_come_back_as_they_were(target: Target, kind: Kind, data: st.DataObject) -> None:
    """A format to records and back to the format: the identity on every row it can write. What is not written is named."""
    frame = frame_of(kind, *data.draw(st.lists(RECORDS[kind], min_size=1, max_size=3)))
    batch = convert(frame, kind, target)
    for row in batch:
        assert (row.written is None) == bool(row.reason)
        assert row.losses or not row.reason
    written = [row for row in rows_of(batch) if row is not None]
    if written:
        again = convert(read(*written)[kind], kind, target)
        assert lost(again) == []
        assert rows_of(again) == written


ALTERNATING = st.lists(st.tuples(TEXT, SAID), min_size=1, max_size=3)


@given(system=st.none() | SAID, pairs=ALTERNATING)
@settings(max_examples=100, deadline=None)
def test_plain_dialogues_lose_nothing_anywhere(system: str | None, pairs: list[tuple[str, str]]) -> None:
    turns: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    for question, answer in pairs:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    frame = frame_of("messages", {"messages": turns})
    for target, held in WRITERS.items():
        if "messages" in held:
            batch = convert(frame, "messages", target)
            assert lost(batch) == [], target
            assert read(*rows_of(batch))["messages"]["id"].equals(frame["id"])
