from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

CHAT = '{"messages": [{"role": "user", "content": "多少钱？"}, {"role": "assistant", "content": "按席位收费。"}]}\n'


def datakit(*words: str, cwd: Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "datakit", *words], cwd=cwd, input=stdin, capture_output=True, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "rows.jsonl").write_text(CHAT * 2 + CHAT.replace("多少钱", "能试用吗"), encoding="utf-8")
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def test_json_is_the_contract(raw: Path) -> None:
    done = datakit("clean", "raw", "-o", "clean", "--json", cwd=raw)
    assert done.returncode == 0, done.stderr
    result = orjson.loads(done.stdout)
    assert set(result) == {"version", "path", "rows", "reasons", "seconds", "unchanged"}
    assert result["rows"] == {"in": 3, "kept": 2, "edited": 0, "dropped": 1, "rejected": 0}
    assert result["reasons"] == {"exact_duplicate": 1}
    assert not [line for line in done.stderr.splitlines() if "first run" not in line]


def test_tables_and_unchanged(raw: Path) -> None:
    first = datakit("clean", "raw", "-o", "clean", cwd=raw)
    assert "exact_duplicate" in first.stdout and "clean@" in first.stdout
    second = datakit("clean", "raw", "-o", "clean", cwd=raw)
    assert second.stdout.startswith("unchanged: clean@") and second.returncode == 0


def test_versions_list_show_verify(raw: Path) -> None:
    datakit("clean", "raw", "-o", "clean", cwd=raw)
    head = (raw / "clean" / "HEAD").read_text().strip()
    listed = orjson.loads(datakit("versions", "list", "clean", "--json", cwd=raw).stdout)
    assert [(v["version"], v["head"]) for v in listed["versions"]] == [(head, True)]
    assert "HEAD" in datakit("versions", "list", "clean", cwd=raw).stdout
    assert "rows.jsonl" in datakit("versions", "show", f"clean@{head[:5]}", cwd=raw).stdout
    assert orjson.loads(datakit("versions", "show", "clean", "--json", cwd=raw).stdout)["counts"]["rows"]["in"] == 3
    assert "is whole" in datakit("versions", "verify", "clean", cwd=raw).stdout
    part = next((raw / "clean" / head / "data").iterdir())
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    broken = datakit("versions", "verify", "clean", cwd=raw)
    assert broken.returncode == 1 and part.name in broken.stderr
    assert orjson.loads(datakit("versions", "verify", "clean", "--json", cwd=raw).stdout)["whole"] is False


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("clean", "nowhere.jsonl", "-o", "clean"), 2, "nowhere.jsonl"),
        (("clean",), 2, "no input"),
        (("clean", "raw"), 2, "no output"),
        (("cleen", "raw"), 2, "Did you mean 'clean'?"),
        (("clean", "raw", "-o", "clean", "--set", "clean.near.treshold=1"), 2, "Did you mean 'threshold'?"),
        (("clean", "raw", "-o", "raw/out"), 2, "inside the input"),
        (("clean", "raw", "-o", "notes.txt"), 2, "a file stands here"),
        (("versions", "list", "raw"), 2, "no dataset here"),
        (("clean", "raw", "-o", "raw"), 2, "inside the input"),
    ],
)
def test_wrong_use_is_said_in_words(raw: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = datakit(*words, cwd=raw)
    assert done.returncode == code
    assert said in done.stderr and "Traceback" not in done.stderr


def test_errors_are_json_too(raw: Path) -> None:
    done = datakit("clean", "nowhere", "-o", "clean", "--json", cwd=raw)
    assert orjson.loads(done.stdout)["exit_code"] == 2
    assert orjson.loads(done.stdout)["error"]["where"]


def test_nothing_kept_is_not_success(raw: Path) -> None:
    (raw / "raw" / "rows.jsonl").write_text('{"broken": \n', encoding="utf-8")
    done = datakit("clean", "raw", "-o", "clean", "--json", cwd=raw)
    assert done.returncode == 1
    assert orjson.loads(done.stdout)["rows"]["rejected"] == 1
    (raw / "raw" / "rows.jsonl").write_text("", encoding="utf-8")
    done = datakit("clean", "raw", "-o", "clean", cwd=raw)
    assert done.returncode == 2 and "no rows found" in done.stderr


def test_standard_input(raw: Path) -> None:
    done = datakit("clean", "-", "-o", "clean", "--json", cwd=raw, stdin=CHAT.encode())
    assert done.returncode == 0 and orjson.loads(done.stdout)["rows"]["kept"] == 1


def test_explain_near_prints_the_curve(raw: Path) -> None:
    done = datakit("clean", "--explain", "near", "--set", "clean.near.bands=16", "--set", "clean.near.rows=8", cwd=raw)
    assert "16 bands of 8 rows" in done.stdout and "0.80" in done.stdout
    assert orjson.loads(datakit("clean", "--explain", "near", "--json", cwd=raw).stdout)["bands"] == 20


def test_a_stray_module_in_the_working_folder_shadows_nothing(raw: Path) -> None:
    (raw / "polars.py").write_text("raise SystemExit('shadowed')")
    assert datakit("clean", "raw", "-o", "clean", cwd=raw).returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(raw: Path) -> None:
    (raw / "raw" / "rows.jsonl").chmod(0)
    done = datakit("clean", "raw", "-o", "clean", cwd=raw)
    assert done.returncode == 2 and "rows.jsonl" in done.stderr


def test_ctrl_c_leaves_nothing_half_written(raw: Path) -> None:
    rows = "".join(CHAT.replace("多少钱", f"第{n}个问题怎么收费") for n in range(60_000))
    (raw / "raw" / "many.jsonl").write_text(rows, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "datakit", "clean", "raw", "-o", "clean"], cwd=raw, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (raw / "clean").is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"interrupted" in said and b"Traceback" not in said
    assert list((raw / "clean").iterdir()) == []


def test_short_texts_are_told_why_they_go(raw: Path) -> None:
    (raw / "raw" / "rows.jsonl").write_text(
        "".join(f'{{"text": "{word}"}}\n' for word in ("好的", "谢谢", "明天见")), encoding="utf-8"
    )
    done = datakit("clean", "raw", "-o", "clean", cwd=raw)
    assert done.returncode == 1 and "clean.rules.text.gopher_words=false" in done.stderr
    kept = datakit("clean", "raw", "-o", "clean", "--set", "clean.rules.text=false", cwd=raw)
    assert kept.returncode == 2  # a table is no switch
    loose = datakit("clean", "raw", "-o", "clean", "--set", 'clean.steps=["exact", "near"]', "--json", cwd=raw)
    assert orjson.loads(loose.stdout)["rows"]["kept"] == 3
