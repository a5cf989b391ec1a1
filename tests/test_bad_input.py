"""Bad input through the whole command: a clear error or a rejected row; never a traceback, never a loss."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from datakit.cli import edge
from datakit.cli.app import app

ROW = '{"messages": [{"role": "user", "content": "%s怎么收费？"}, {"role": "assistant", "content": "%s按席位收费，可以先试用。"}]}'


def row(topic: str) -> bytes:
    return (ROW % (topic, topic)).encode()


class Outcome:
    def __init__(self, code: int, out: str, err: str, version: Path | None) -> None:
        self.code, self.out, self.err, self.version = code, out, err, version

    @property
    def rejected(self) -> list[tuple[str, int, str]]:
        assert self.version is not None, self.err
        ledger = pl.read_parquet(self.version / "ledger.parquet").filter(pl.col("decision") == "rejected")
        return list(ledger.select("source", "line", "reason").iter_rows())

    @property
    def rows(self) -> dict[str, int]:
        return orjson.loads(self.out)["rows"]


Clean = Callable[..., Outcome]


@pytest.fixture
def clean(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Clean:
    def run(*words: str) -> Outcome:
        argv = ["clean", *words, "-o", str(tmp_path / "clean"), "--json"]
        monkeypatch.setattr("sys.argv", ["datakit", *argv])
        code = edge.run(lambda: app(argv))
        out, err = capfd.readouterr()
        assert "Traceback" not in err and "internal error" not in err, err
        head = tmp_path / "clean" / "HEAD"
        version = tmp_path / "clean" / head.read_text().strip() if head.exists() else None
        if version is not None:
            counts = orjson.loads(out)["rows"]
            assert counts["in"] == sum(counts[d] for d in ("kept", "edited", "dropped", "rejected"))
        return Outcome(code, out, err, version)

    return run


def put(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_empty_folder(tmp_path: Path, clean: Clean) -> None:
    (tmp_path / "raw").mkdir()
    done = clean(str(tmp_path / "raw"))
    assert done.code == 2 and "raw" in done.err


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.csv", "a.json", "a.txt", "a.md", "a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.arrow"]
)
def test_empty_file(tmp_path: Path, clean: Clean, name: str) -> None:
    done = clean(put(tmp_path / name, b""))
    assert done.code in (1, 2) and name in done.err + done.out


def test_blank_lines_are_no_rows(tmp_path: Path, clean: Clean) -> None:
    done = clean(put(tmp_path / "a.jsonl", b"\n\n  \n"))
    assert done.code == 2 and "no rows found" in done.err


def test_missing_path_names_the_nearest(tmp_path: Path, clean: Clean) -> None:
    put(tmp_path / "rows.jsonl", row("审批"))
    done = clean(str(tmp_path / "row.jsonl"))
    assert done.code == 2 and "row.jsonl" in done.err and "Did you mean" in done.err


def test_several_missing_paths_are_named_at_once(tmp_path: Path, clean: Clean) -> None:
    done = clean(str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl"))
    assert done.code == 2 and "one.jsonl" in done.err and "two.jsonl" in done.err


def test_a_directory_named_like_a_file(tmp_path: Path, clean: Clean) -> None:
    put(tmp_path / "x.jsonl" / "inner.jsonl", row("审批"))
    assert clean(str(tmp_path / "x.jsonl")).rows["kept"] == 1


def test_truncated_gzip_keeps_what_was_read(tmp_path: Path, clean: Clean) -> None:
    whole = gzip.compress(b"\n".join(row(f"{os.urandom(40).hex()}") for _ in range(400)))
    done = clean(put(tmp_path / "a.jsonl.gz", whole[: len(whole) // 2]))
    assert done.code == 0 and done.rows["kept"] > 50
    assert done.rejected[-1][0] == "a.jsonl.gz" and done.rejected[-1][2] == "truncated_file"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"messages": [', "invalid_json"),
        (b"not json at all", "invalid_json"),
        (row("审\xff批").replace("ÿ".encode(), b"\xff"), "bad_encoding"),
        (row("审批").replace("审".encode(), b"\x00"), "invalid_json"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "invalid_json"),
        (b'{"text": "one", "text": "two"}', "duplicate_key"),
        (b'{"messages": [{"role": "user", "role": "system", "content": "x"}, {"role": "assistant", "content": "y"}]}', "duplicate_key"),
        (b'{"text": 128}', "wrong_type"),
        (b'{"instruction": "x", "output": 5}', "wrong_type"),
        (b"[1, 2]", "unknown_kind"),
        (b'{"foo": "bar"}', "unknown_kind"),
        (b'{"text": ""}', "empty"),
    ],
    ids=["cut", "words", "utf8", "nul", "deep", "twice", "twice-inside", "number", "alpaca-number", "list", "unknown", "empty"],
)  # fmt: skip
def test_a_bad_line_is_one_rejected_row(tmp_path: Path, clean: Clean, bad: bytes, reason: str) -> None:
    done = clean(put(tmp_path / "rows.jsonl", b"\n".join([row("审批"), bad, row("合同")])))
    assert done.code == 0
    assert done.rows == {"in": 3, "kept": 2, "edited": 0, "dropped": 0, "rejected": 1}
    if reason != "unknown_kind":
        assert done.rejected == [("rows.jsonl", 2, reason)]
    assert "rows.jsonl:2" in done.err and done.err.count("\n") >= 2


def test_mixed_kinds_in_one_file(tmp_path: Path, clean: Clean) -> None:
    rows = [
        row("审批"),
        b'{"prompt": "a", "chosen": "b c", "rejected": "d e"}',
        '{"instruction": "写一句问候", "input": "", "output": "您好！"}'.encode(),
    ]
    done = clean(put(tmp_path / "a.jsonl", b"\n".join(rows)))
    assert done.rows["kept"] == 3 and done.version is not None
    assert {p.name.split("-")[0] for p in (done.version / "data").iterdir()} == {"messages", "preference"}


def test_ragged_csv(tmp_path: Path, clean: Clean) -> None:
    text = "instruction,output\n怎么收费,按席位\n多了,一,格\n能试用吗,可以\n"
    done = clean(put(tmp_path / "a.csv", text.encode()))
    assert done.rows["kept"] == 2 and done.rejected == [("a.csv", 2, "ragged_row")]


def test_parquet_files_of_different_schemas(tmp_path: Path, clean: Clean) -> None:
    (tmp_path / "raw").mkdir()
    pl.DataFrame({"instruction": ["怎么收费"], "output": ["按席位"]}).write_parquet(tmp_path / "raw" / "a.parquet")
    pl.DataFrame({"prompt": ["能试用吗"], "chosen": ["可以试用"], "rejected": ["不行"], "score": [1.5]}).write_parquet(
        tmp_path / "raw" / "b.parquet"
    )
    assert clean(str(tmp_path / "raw")).rows["kept"] == 2


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.jsonl.gz", "a.jsonl.zst", "a.json"])
def test_noise_under_a_known_name(tmp_path: Path, clean: Clean, name: str) -> None:
    done = clean(put(tmp_path / name, b"\x93\x01noise that is no such file\xff" * 50))
    assert done.code in (1, 2) and name in done.err


def test_gb18030_csv_is_read_with_a_notice(tmp_path: Path, clean: Clean) -> None:
    text = "instruction,output\r\n你们的系统怎么收费？,按席位收费，可以先试用十四天。\r\n能否私有化部署？,可以，费用另计。\r\n"
    done = clean(put(tmp_path / "客户.csv", text.encode("gb18030")))
    assert done.rows["kept"] == 2 and "客户.csv" in done.err and "GB18030" in done.err.upper()


@pytest.mark.parametrize("name", ["a b.jsonl", "客户 对话.jsonl", "🚀.jsonl", "it's.jsonl", "[1].jsonl"])
def test_names_of_every_sort(tmp_path: Path, clean: Clean, name: str) -> None:
    put(tmp_path / "raw" / name, row("审批") + b"\nbroken")
    done = clean(str(tmp_path / "raw"))
    assert done.rejected == [(name, 2, "invalid_json")] and f"{name}:2" in done.err


def test_symlink_loop(tmp_path: Path, clean: Clean) -> None:
    put(tmp_path / "raw" / "a.jsonl", row("审批"))
    (tmp_path / "raw" / "loop").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "self.jsonl").symlink_to(tmp_path / "raw" / "self.jsonl")
    done = clean(str(tmp_path / "raw"))
    assert (done.code == 0 and done.rows["kept"] == 1) or (done.code == 2 and "self.jsonl" in done.err)


def test_a_compressed_bomb_is_bounded(tmp_path: Path, clean: Clean) -> None:
    bomb = gzip.compress(row("审批") + b"\n" + b'{"text": "' + b"a" * 30_000_000 + b'"}\n' + row("合同"))
    done = clean(put(tmp_path / "a.jsonl.gz", bomb), "--set", "clean.max_row_mb=1")
    assert done.rows["kept"] == 2 and done.rejected == [("a.jsonl.gz", 2, "row_too_long")]


@pytest.mark.slow
def test_a_line_of_100_mb(tmp_path: Path, clean: Clean) -> None:
    done = clean(
        put(tmp_path / "a.jsonl", row("审批") + b"\n" + b'{"text": "' + b"a" * 100_000_000 + b'"}\n' + row("合同"))
    )
    assert done.rows["kept"] == 2 and done.rejected == [("a.jsonl", 2, "row_too_long")]


def test_separators_inside_strings_are_no_line_ends(tmp_path: Path, clean: Clean) -> None:
    inside = row("审批\u2028合同\u0085发票")
    assert clean(put(tmp_path / "a.jsonl", inside + b"\n" + row("日程"))).rows["in"] == 2


def test_click_s_own_runner_agrees(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", row("审批"))
    done = CliRunner().invoke(app, ["clean", path, "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0 and orjson.loads(done.stdout)["rows"]["kept"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        '{"messages": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": %s}}]}]}'
        % ('{"a":' * 300 + "1" + "}" * 300),
        '{"text": "好", "x": %s}' % ("[" * 900 + "]" * 900),
    ],
    ids=["arguments", "meta"],
)
def test_json_too_deep_to_write_is_one_rejected_row(tmp_path: Path, clean: Clean, bad: str) -> None:
    done = clean(put(tmp_path / "rows.jsonl", b"\n".join([row("审批"), bad.encode(), row("合同")])))
    assert done.rows["kept"] == 2 and done.rejected == [("rows.jsonl", 2, "invalid_json")]
    alone = clean(put(tmp_path / "alone.jsonl", bad.encode()))
    assert alone.code == 1


def test_one_broken_line_does_not_hide_the_proposed_mapping(tmp_path: Path, clean: Clean) -> None:
    done = clean(put(tmp_path / "a.jsonl", '{"提问": "x", "回答": "y"}\n{"提问": "z", "回答": "w"}\nbroken'.encode()))
    assert done.code == 2 and "提问" in done.err and "columns" in done.err
