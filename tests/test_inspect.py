"""`datakit inspect`: what files hold before any cleaning."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from datakit.errors import MissingInput
from datakit.questions import inspect as module
from datakit.questions.inspect import Inspection, inspect
from datakit.recipe.load import load_recipe

CHINESE = "您好，我们的系统支持按部门分配权限，也可以和财务软件对接，具体的实施计划会在签约后第一周给您。"
ENGLISH = (
    "Thank you for asking. The annual plan includes support on working days, and training for every new colleague."
)


def chat(*turns: str, **meta: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)], **meta}


def lines(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows)


def look(*paths: Path, **options: Any) -> Inspection:
    return inspect(paths, load_recipe(None), **options)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.jsonl").write_bytes(
        lines(
            chat("怎么收费？", CHINESE, 备注="", 行业="制造"),
            chat("怎么收费？", CHINESE, 备注="", 行业="制造"),
            b"{broken",
            {"text": CHINESE},
        )
    )
    (raw / "b.jsonl.gz").write_bytes(gzip.compress(lines(chat("How much?", ENGLISH, "And for three years?", ENGLISH))))
    (raw / "crm.csv").write_bytes("客户问题,销售回复\n多少钱,按席位收费\n".encode("gb18030"))
    (raw / "c.txt").write_bytes(b"\xef\xbb\xbf" + CHINESE.encode())
    return raw


def test_kinds_languages_lengths_and_turns(raw: Path) -> None:
    found = look(raw)
    assert dict(found.kinds) == {"messages": 3, "text": 2} and not found.sampled
    assert dict(found.reasons) == {"invalid_json": 1, "unknown_kind": 1}
    assert found.languages == {"messages": {"zh": 2, "en": 1}, "text": {"zh": 2}}
    assert (
        found.turns["messages"] == {"least": 2, "p50": 2, "p95": 4, "p99": 4, "most": 4} and "text" not in found.turns
    )
    assert found.lengths["text"]["most"] == len(CHINESE) and found.repeated == 2
    assert {file.source: file.rows for file in found.files} == {"a.jsonl": 4, "b.jsonl.gz": 1, "c.txt": 1, "crm.csv": 1}


def test_what_is_odd_is_named(raw: Path) -> None:
    odd = {file.source: " | ".join(file.oddities) for file in look(raw).files}
    assert "mixed kinds: messages 2, text 1" in odd["a.jsonl"] and "cannot be read: invalid_json 1" in odd["a.jsonl"]
    assert "empty columns: 备注" in odd["a.jsonl"] and "行业" not in odd["a.jsonl"]
    assert "GB18030" in odd["crm.csv"] and "客户问题, 销售回复" in odd["crm.csv"] and "columns = " in odd["crm.csv"]
    assert "byte order mark (UTF-8)" in odd["c.txt"] and not odd["b.jsonl.gz"]


def test_nothing_is_written_and_nothing_missing_is_passed_over(raw: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.rglob("*"))
    look(raw)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    with pytest.raises(MissingInput):
        look(raw / "nowhere.jsonl")


def test_an_empty_file_is_odd(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (found,) = look(tmp_path / "empty.jsonl").files
    assert "no rows" in found.oddities[-1]


def test_a_sample_reads_the_beginning_of_every_file_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE_MB", 0)
    monkeypatch.setattr(module, "_BLOCK", 1 << 20)
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(lines(*(chat(f"第{n}问", CHINESE) for n in range(20_000))))
    found = look(tmp_path)
    assert found.sampled and all(0 < file.rows < 15_000 and file.read < file.bytes for file in found.files)
    everything = look(tmp_path, whole=True)
    assert not everything.sampled and [file.rows for file in everything.files] == [20_000, 20_000]


def test_the_command(raw: Path) -> None:
    def say(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "datakit", "inspect", *arguments], capture_output=True, text=True, cwd=raw.parent
        )

    shown = say("raw").stdout
    for words in ("a.jsonl", "messages", "zh 67%, en 33%", "mixed kinds", "equal to an earlier one"):
        assert words in shown, shown
    assert orjson.loads(say("raw", "--json").stdout)["kinds"] == {"messages": 3, "text": 2}
    mapped = say("raw/crm.csv", "--json", "--set", 'data.columns={"客户问题"="user", "销售回复"="assistant"}')
    assert orjson.loads(mapped.stdout)["kinds"] == {"messages": 1}
    assert say().returncode == 2
