"""Rows to records: every format in both languages, detection, meta, ids, mapping."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from record_rows import BAD, GOOD, SYSTEM, USER, one

CALL = '[{"function":{"arguments":"{\\"city\\":\\"北京\\"}","name":"weather"},"type":"function"}]'

CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("text", {"text": "你好"}, "text", {"text": "你好"}),
    ("content", {"content": "hi", "url": "u"}, "text", {"text": "hi", "meta": {"url": "u"}}),
    (
        "alpaca",
        {"instruction": "翻译", "input": "你好", "output": "Hello"},
        "messages",
        {"messages": [{"role": "user", "content": "翻译\n你好"}, {"role": "assistant", "content": "Hello"}]},
    ),
    (
        "alpaca history",
        {"instruction": "c", "input": "", "output": "d", "system": "s", "history": [["a", "b"]]},
        "messages",
        {
            "messages": [
                {"role": role, "content": text}
                for role, text in zip(["system", "user", "assistant", "user", "assistant"], "sabcd", strict=True)
            ]
        },
    ),
    (
        "sharegpt",
        {
            "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
            "system": "be kind",
            "id": 7,
        },
        "messages",
        {
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "hello"},
            ],
            "meta": {"id": 7},
        },
    ),
    (
        "sharegpt tools",
        {
            "conversations": [
                {"from": "human", "value": "天气"},
                {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "北京"}}'},
                {"from": "observation", "value": '{"t": 20}'},
                {"from": "gpt", "value": "20 度"},
            ],
            "tools": '[{"name": "weather"}]',
        },
        "messages",
        {
            "messages": [
                {"role": "user", "content": "天气"},
                {"role": "assistant", "tool_calls": CALL},
                {"role": "tool", "content": '{"t": 20}'},
                {"role": "assistant", "content": "20 度"},
            ],
            "tools": '[{"name": "weather"}]',
        },
    ),
    (
        "dialogue",
        {"dialogue": [{"role": "用户", "content": "a"}, {"role": "客服", "content": "b"}]},
        "messages",
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ),
    (
        "openai tool calls",
        {
            "messages": [
                {"role": "user", "content": "w?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "北京"}}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "20"},
            ],
            "tools": [{"type": "function", "function": {"name": "weather"}}],
        },
        "messages",
        {
            "messages": [
                {"role": "user", "content": "w?"},
                {
                    "role": "assistant",
                    "tool_calls": CALL.replace('},"type"', '},"id":"c1","type"'),
                },
                {"role": "tool", "content": "20", "tool_call_id": "c1", "name": "weather"},
            ],
            "tools": '[{"function":{"name":"weather"},"type":"function"}]',
        },
    ),
    (
        "legacy function call",
        {
            "messages": [
                {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
            ],
            "functions": [{"name": "f"}],
        },
        "messages",
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": '[{"function":{"arguments":"{}","name":"f"},"type":"function"}]',
                },
                {"role": "tool", "content": "1", "name": "f"},
            ],
            "tools": '[{"function":{"name":"f"},"type":"function"}]',
        },
    ),
    (
        "parts, reasoning and weights",
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {
                    "role": "assistant",
                    "content": [{"type": "reasoning", "value": "hm"}, {"type": "text", "value": "c"}],
                    "loss_weight": 0.0,
                },
                {"role": "assistant", "reasoning_content": "r", "content": "d", "weight": 1, "mood": "good"},
            ]
        },
        "messages",
        {
            "messages": [
                {"role": "system", "content": "ab"},
                {"role": "assistant", "content": "c", "reasoning_content": "hm", "train": False},
                {"role": "assistant", "content": "d", "reasoning_content": "r", "train": True},
            ],
            "meta": {"messages[2]": {"mood": "good"}},
        },
    ),
    (
        "prompt, completion",
        {"prompt": "hi", "completion": "hello", "system": "s"},
        "messages",
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "hello"},
            ]
        },
    ),
    (
        "prompt",
        {"prompt": "1+1?", "answer": 2, "checks": {"regex": "2"}, "level": "easy"},
        "prompt",
        {
            "prompt": [{"role": "user", "content": "1+1?"}],
            "answer": "2",
            "checks": '{"regex":"2"}',
            "meta": {"level": "easy"},
        },
    ),
    (
        "prompt, ground truth",
        {"prompt": [SYSTEM, USER], "ground_truth": "一千"},
        "prompt",
        {"prompt": [SYSTEM, USER], "answer": "一千"},
    ),
    (
        "preference, text",
        {"prompt": "多少钱？", "chosen": "一千元。", "rejected": "不知道", "margin": 2},
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "margin": 2.0},
    ),
    (
        "preference, messages",
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
        "preference",
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
    ),
    (
        "preference, implicit",
        {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]},
        "preference",
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
    ),
    (
        "preference, repeated prompt",
        {"prompt": "多少钱？", "chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]},
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "meta": {"messages": [USER, GOOD]}},
    ),
    (
        "preference, alpaca",
        {"instruction": "多少", "input": "钱？", "chosen": "一千元。", "rejected": "不知道"},
        "preference",
        {"prompt": [{"role": "user", "content": "多少\n钱？"}], "chosen": [GOOD], "rejected": [BAD]},
    ),
    (
        "preference, sharegpt",
        {
            "conversations": [
                {"from": "system", "value": "You sell software."},
                {"from": "human", "value": "多少钱？"},
            ],
            "chosen": {"from": "gpt", "value": "一千元。"},
            "rejected": {"from": "gpt", "value": "不知道"},
        },
        "preference",
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
    ),
    (
        "preference, HH",
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: why\n\nAssistant: because",
            "rejected": "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: why\n\nAssistant: dunno",
        },
        "preference",
        {
            "prompt": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "yes?"},
                {"role": "user", "content": "why"},
            ],
            "chosen": [{"role": "assistant", "content": "because"}],
            "rejected": [{"role": "assistant", "content": "dunno"}],
        },
    ),
    (
        "preference, plain texts",
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        "preference",
        {
            "prompt": [{"role": "user", "content": ""}],
            "chosen": [{"role": "assistant", "content": "The sky is blue."}],
            "rejected": [{"role": "assistant", "content": "The sky is green."}],
        },
    ),
    (
        "preference, equal",
        {"chosen": [USER, GOOD], "rejected": [USER, GOOD]},
        "preference",
        {"prompt": [USER], "chosen": [GOOD], "rejected": [GOOD]},
    ),
    (
        "unpaired",
        {"prompt": "多少钱？", "completion": "一千元。", "label": True},
        "unpaired",
        {"prompt": [USER], "completion": [GOOD], "label": True},
    ),
    (
        "unpaired, messages",
        {"messages": [SYSTEM, USER, BAD], "label": False},
        "unpaired",
        {"prompt": [SYSTEM, USER], "completion": [BAD], "label": False},
    ),
    (
        "unpaired, sharegpt",
        {
            "conversations": [{"from": "human", "value": "多少钱？"}, {"from": "gpt", "value": "一千元。"}],
            "kto_tag": True,
        },
        "unpaired",
        {"prompt": [USER], "completion": [GOOD], "label": True},
    ),
    (
        "unpaired, alpaca",
        {"instruction": "多少钱？", "output": "一千元。", "kto_tag": 1},
        "unpaired",
        {"prompt": [USER], "completion": [GOOD], "label": True},
    ),
    (
        "a label that is a topic",
        {"messages": [USER, GOOD], "label": "price"},
        "messages",
        {"messages": [USER, GOOD], "meta": {"label": "price"}},
    ),
    (
        "messages before prompt",
        {"prompt": "多少钱？", "messages": [USER, GOOD]},
        "messages",
        {"messages": [USER, GOOD], "meta": {"prompt": "多少钱？"}},
    ),
    (
        "null is absent",
        {"text": None, "messages": [USER, GOOD], "chosen": None, "n": None},
        "messages",
        {"messages": [USER, GOOD]},
    ),
    (
        "meta is laid out",
        {"text": "x", "meta": {"a": 1}, "lang": "zh", "metadata": '{"b": [2]}'},
        "text",
        {"text": "x", "meta": {"a": 1, "b": [2], "lang": "zh"}},
    ),
    (
        "meta that collides stays",
        {"text": "x", "meta": {"lang": "en"}, "lang": "zh"},
        "text",
        {"text": "x", "meta": {"meta": {"lang": "en"}, "lang": "zh"}},
    ),
    (
        "system twice",
        {"messages": [SYSTEM, USER], "system": "other"},
        "messages",
        {"messages": [SYSTEM, USER], "meta": {"system": "other"}},
    ),
]


@pytest.mark.parametrize(("row", "kind", "content"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_rows_become(row: dict[str, Any], kind: str, content: dict[str, Any]) -> None:
    assert one(row) == (kind, content)


BAD_ROWS: list[tuple[Any, str, str]] = [
    ({"text": 5}, "wrong_type", "text: found a number (5), expected text"),
    ({"text": ["a"]}, "wrong_type", "text: found a list"),
    ({"text": True}, "wrong_type", "text: found true"),
    ({"text": "  \n"}, "empty", "blank"),
    ({}, "empty", "no content"),
    ({"question": "a", "answer": "b"}, "unknown_kind", "question, answer"),
    ([1], "wrong_type", "the row: found a list"),
    ({"instruction": "a", "output": 3}, "wrong_type", "output"),
    ({"instruction": "a", "output": None}, "unknown_kind", "instruction"),
    ({"instruction": "", "input": "", "output": " "}, "empty", "blank"),
    ({"messages": []}, "empty", "nothing is said"),
    ({"messages": [{"role": "user", "content": ""}]}, "empty", "nothing is said"),
    ({"messages": [{"role": "user", "content": 3}]}, "wrong_type", "messages[0].content: found a number (3)"),
    ({"messages": [{"role": "user", "content": None}]}, "wrong_type", "messages[0].content: found null"),
    ({"messages": [{"role": "critic", "content": "x"}]}, "wrong_type", "messages[0].role: found the text 'critic'"),
    ({"messages": [{"content": "x"}]}, "wrong_type", "messages[0].role: found null"),
    ({"messages": "x"}, "wrong_type", "a list of messages"),
    ({"messages": ["x"]}, "wrong_type", "messages[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "wrong_type", "image_url"),
    ({"conversations": [{"from": "function_call", "value": "no json"}]}, "wrong_type", "tool calls as JSON"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]}, "wrong_type", ".name"),
    ({"prompt": "a", "completion": "b", "label": "maybe", "kto_tag": "x"}, "wrong_type", "label"),
    ({"messages": [USER], "label": True}, "unknown_kind", "last message is the user's"),
    ({"chosen": 1, "rejected": 2}, "wrong_type", "chosen"),
    ({"instruction": "a", "output": "b", "history": [["x"]]}, "wrong_type", "history[0]"),
    (b'{"text": "a", "text": "b"}', "duplicate_key", "'text'"),
    (b'{"text": "a", "text" : "a"}', "duplicate_key", "'text'"),
    (b'{"text": "a", "t\\u0065xt": "b"}', "duplicate_key", "'text'"),
    (b'{"text": "\\"x\\\\", "m": {"a": [{"b": 1, "b": 1}]}}', "duplicate_key", "'b'"),
    (b'{"messages": [{"role": "user", "content": "a", "content": "b"}]}', "duplicate_key", "'content'"),
    (b'{"text": "a"', "invalid_json", ""),
    (b'{"text": NaN}', "invalid_json", ""),
    (b'{"text": "\\ud800"}', "invalid_json", ""),
    (b'{"text": "\x00"}', "invalid_json", ""),
    (b'{"text": "\xff"}', "bad_encoding", "0xff"),
    (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json", "depth"),
]


@pytest.mark.parametrize(("row", "reason", "detail"), BAD_ROWS, ids=[str(n) for n in range(len(BAD_ROWS))])
def test_bad_rows_are_rejected(row: Any, reason: str, detail: str) -> None:
    kind, rejected = one(row)
    assert (kind, rejected.get("reason")) == ("rejected", reason)
    assert detail in rejected["detail"]


@pytest.mark.parametrize("text", ['a": "b": c', '\\" : \\":', "\\", ': "', 'a\\\\"'])
def test_marks_of_keys_inside_strings_are_no_keys(text: str) -> None:
    row = {"text": text or "x", "m": [{"k": text}, text], text: {"x": {"y": text}}}
    assert one(row)[0] == "text"
    assert one(orjson.dumps(row, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r"))[0] == "text"
