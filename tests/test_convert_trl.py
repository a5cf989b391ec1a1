"""What `convert` writes is read back by TRL's own dataset utilities, through `datasets`, without a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from convert_rows import TOOLS, call
from record_rows import BAD, GOOD, SYSTEM, USER

import datakit
from datakit.conversion.targets import Target

with warnings.catch_warnings():  # theirs
    warnings.simplefilter("ignore")
    load_dataset = pytest.importorskip(
        "datasets", reason="datasets is not installed: pip install -e '.[dev]'"
    ).load_dataset
    trl = pytest.importorskip("trl.data_utils", reason="trl is not installed: pip install 'datakit[train]'")

CALLING = {"role": "assistant", "content": "", "tool_calls": orjson.loads(call('{"城市":"北京"}', '{"n":2}', ids=True))}
ROWS: dict[str, list[dict[str, Any]]] = {
    "text": [{"text": "你好\u2028世界"}, {"text": "hello"}],
    "messages": [
        {"messages": [SYSTEM, USER, GOOD], "topic": "价格"},
        {"messages": [USER, CALLING, {"role": "tool", "tool_call_id": "c0", "content": "20"}, GOOD], "tools": TOOLS},
    ],
    "preference": [
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD], "margin": 1.5},
        {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, GOOD, USER, BAD]},
    ],
    "unpaired": [{"prompt": "多少钱？", "completion": "一千元。", "label": True}, {"messages": [USER, BAD], "label": False}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def loaded(tmp_path: Path, kind: str, target: Target) -> Any:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(map(orjson.dumps, ROWS[kind])))
    result = datakit.convert(source, tmp_path / "out.jsonl", target)
    assert result.rows["written"] == 2
    return load_dataset(
        "json", data_files=str(tmp_path / "out.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )


class Template:
    """A tokenizer as far as TRL asks for one here: it renders messages as plain lines."""

    def apply_chat_template(self, messages: list[dict[str, Any]], tools: Any = None, **options: Any) -> str:
        text = "".join(f"<{turn['role']}>{turn.get('content') or ''}\n" for turn in messages)
        return text + "<assistant>" * bool(options.get("add_generation_prompt"))


def test_text_is_a_language_modelling_dataset(tmp_path: Path) -> None:
    data = loaded(tmp_path, "text", "text")
    assert data["text"][:] == ["你好\u2028世界", "hello"]
    assert not trl.is_conversational(data[0])


def test_messages_are_conversational_and_keep_calls(tmp_path: Path) -> None:
    data = loaded(tmp_path, "messages", "messages")
    assert all(trl.is_conversational(row) for row in data)
    arguments = [one["function"]["arguments"] for one in data[1]["messages"][1]["tool_calls"]]
    assert arguments == ['{"城市":"北京"}', '{"n":2}']
    assert data[1]["tools"] == TOOLS  # SFTTrainer parses a text
    rendered = trl.maybe_apply_chat_template({"messages": data[0]["messages"]}, Template())
    assert rendered["text"] == f"<system>{SYSTEM['content']}\n<user>多少钱？\n<assistant>一千元。\n"


def test_sharegpt_is_turned_into_messages(tmp_path: Path) -> None:
    source = tmp_path / "plain.jsonl"
    source.write_bytes(orjson.dumps(ROWS["messages"][0]))
    datakit.convert(source, tmp_path / "s.jsonl", "sharegpt")
    data = load_dataset("json", data_files=str(tmp_path / "s.jsonl"), split="train", cache_dir=str(tmp_path / "cache"))
    assert trl.is_conversational_from_value(data[0])
    turns = trl.maybe_convert_to_chatml(dict(data[0]))["messages"]
    assert [turn["content"] for turn in turns] == [SYSTEM["content"], "多少钱？", "一千元。"]


def test_pairs_have_their_prompt_and_can_be_unpaired(tmp_path: Path) -> None:
    data = loaded(tmp_path, "preference", "preference")
    assert trl.is_conversational(data[0])
    assert trl.maybe_extract_prompt(data[1]) == data[1]  # nothing is left to be found
    assert [turn["role"] for turn in data[1]["prompt"]] == ["user", "assistant", "user"]
    single = trl.unpair_preference_dataset(data)
    assert single["label"][:] == [True, True, False, False]
    rendered = trl.maybe_apply_chat_template({k: data[0][k] for k in ("prompt", "chosen", "rejected")}, Template())
    assert (rendered["chosen"], rendered["rejected"]) == ("一千元。\n", "不知道\n")


def test_judged_answers_are_an_unpaired_dataset(tmp_path: Path) -> None:
    data = loaded(tmp_path, "unpaired", "kto")
    assert trl.is_conversational(data[0])
    assert data["label"][:] == [True, False]
    rendered = trl.maybe_apply_chat_template(data[1], Template())
    assert (rendered["prompt"], rendered["completion"]) == ("<user>多少钱？\n<assistant>", "不知道\n")
