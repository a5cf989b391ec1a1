"""Tables of any make are read, and `datakit annotate agreement` measures them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from campaign_rows import campaign_of, everybody, judge, version_with
from typer.testing import CliRunner, Result

from annotation.measures.table import read_table
from datakit.cli.app import app
from datakit.cli.edge import run
from datakit.errors import InputError, MissingInput, UsageFault

LONG = [
    {"item": "对话-1", "annotator": "安娜", "value": "好"},
    {"item": "对话-1", "annotator": "Ben", "value": "好"},
    {"item": "d2", "annotator": "安娜", "value": "差"},
    {"item": "d2", "annotator": "Ben", "value": "好"},
]
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"问题 {n}"}],
        "chosen": [{"role": "assistant", "content": "好"}],
        "rejected": [{"role": "assistant", "content": "差"}],
    }
    for n in range(1, 5)
]


def write(table: pl.DataFrame, path: Path) -> Path:
    match path.suffix:
        case ".csv":
            table.write_csv(path)
        case ".tsv":
            table.write_csv(path, separator="\t")
        case ".json":
            table.write_json(path)
        case ".jsonl":
            table.write_ndjson(path)
        case _:
            table.write_parquet(path)
    return path


def told(*words: object) -> Result:
    return CliRunner().invoke(app, ["annotate", "agreement", *map(str, words)], catch_exceptions=False)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_kind_of_file_gives_the_same_table(tmp_path: Path, ending: str) -> None:
    path = write(pl.DataFrame(LONG), tmp_path / f"表格{ending}")
    assert read_table(path).to_dicts() == LONG
    renamed = pl.DataFrame(LONG).rename({"item": "id", "annotator": "who", "value": "label"})
    other = write(renamed, tmp_path / f"other{ending}")
    assert read_table(other, {"item": "id", "annotator": "who", "value": "label"}).to_dicts() == LONG


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_wide_tables_have_a_column_an_annotator(tmp_path: Path, ending: str) -> None:
    wide = pl.DataFrame(
        {"idx": [7, 8], "安娜": ["1", None], "Ben": ["1", "2"], "text": ["x", "y"], "stratum": ["s", "t"]}
    )
    path = write(wide, tmp_path / f"wide{ending}")
    found = read_table(path, {"item": "idx"}, ["安娜", "Ben"])
    assert found.filter(pl.col("annotator") == "Ben")["value"].to_list() == ["1", "2"]
    assert set(found.columns) == {"item", "annotator", "value", "stratum"}
    by_number = read_table(path, None, ["安娜", "Ben"])
    assert by_number["item"].to_list() == [1, 2, 1, 2]


def test_faults_say_what_is_there_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageFault, match=r"one of \.csv, \.tsv"):
        read_table(tmp_path / "table.xlsx")
    path = write(pl.DataFrame(LONG).rename({"annotator": "annotater"}), tmp_path / "table.csv")
    with pytest.raises(InputError, match=r"no column 'annotator'.*Did you mean 'annotater'.*--columns"):
        read_table(path)
    (tmp_path / "broken.jsonl").write_text('{"item": 1}\n{"item"', encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "broken.jsonl")
    lists = write(pl.DataFrame({"item": ["1"], "annotator": ["a"], "value": [["x", "y"]]}), tmp_path / "lists.parquet")
    with pytest.raises(InputError, match="column 'value' holds List"):
        read_table(lists)
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "empty.csv")


def test_the_command_prints_the_json_of_the_issue(tmp_path: Path) -> None:
    path = write(pl.DataFrame(LONG), tmp_path / "table.csv")
    found = json.loads(told("--table", path, "--json", "--by", "pair", "--by", "stratum").stdout)
    assert (found["items"], found["annotators"], found["percent"]) == (2, 2, 0.5)
    assert found["cohen"] == {"Ben|安娜": 0.0}
    assert found["fleiss"] == pytest.approx((0.5 - 10 / 16) / (1 - 10 / 16))
    assert found["krippendorff"] == {"nominal": 0.0, "ordinal": None, "interval": None}
    assert set(found["interval"]) == {"percent", "cohen", "fleiss", "krippendorff"}
    assert found["by"]["pair"]["Ben|安娜"]["percent"] == 0.5 and found["by"]["stratum"] == {}
    assert "quality" not in found


def test_the_command_reads_options(tmp_path: Path) -> None:
    path = write(pl.DataFrame({"安娜": ["差", "中", "好"], "Ben": ["差", "好", "好"]}), tmp_path / "wide.csv")
    found = json.loads(
        told("--table", path, "--wide", "安娜, Ben", "--order", "差,中,好", "--level", "ordinal", "--json").stdout
    )
    assert found["level"] == "ordinal" and found["krippendorff"]["ordinal"] is not None
    plain = told("--table", path, "--wide", "安娜,Ben", "--resamples", "0").stdout
    assert "3 items, 3 compared; 6 answers of 2 annotators" in plain and "Cohen Ben|安娜" in plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs one of a campaign and --table"),
        (["--table", "x.csv", "--columns", "row=id"], "NAME one of item, annotator, value"),
        (["--table", "x.csv", "--columns", "item"], "NAME=COLUMN"),
        (["--table", "TABLE", "--by", "weeks"], "one of question, pair, day, week, stratum"),
        (["--table", "TABLE", "--order", "好"], "'差'"),
    ],
)
def test_wrong_use_is_said(tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(pl.DataFrame(LONG), tmp_path / "table.csv")
    given = [str(path) if word == "TABLE" else word for word in words]
    code = run(lambda: app(["annotate", "agreement", *given], standalone_mode=False))
    assert code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_campaign_is_measured_with_its_annotators(tmp_path: Path) -> None:
    version = version_with(PAIRS, tmp_path / "clean")
    campaign = campaign_of(version, tmp_path / "campaigns" / "sales", "preference", gold=["first"], repeats=[1])
    items = ["1", "2", "3", "4", "g0", "r1"]
    said = everybody(
        ["a01", "a02"], items, lambda who, item: "second" if (who, item) in (("a02", "3"), ("a02", "g0")) else "first"
    )
    judge(campaign, said)
    found = json.loads(told(campaign.path, "--json", "--by", "week").stdout)
    assert (found["items"], found["percent"], found["level"]) == (4, 0.75, "nominal")  # neither gold nor repeat
    assert found["quality"]["a02"]["gold"]["value"] == 0.0 and found["quality"]["a01"]["gold"]["value"] == 1.0
    assert found["quality"]["a01"]["consistency"]["of"] == 1
    assert list(found["by"]["week"]) == ["2026-W01"]
    plain = told(campaign.path).stdout
    assert "gold right" in plain and "a02" in plain


def test_a_campaign_without_judgements_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = campaign_of(version_with(PAIRS, tmp_path / "clean"), tmp_path / "sales", "preference")
    code = run(lambda: app(["annotate", "agreement", str(campaign.path)], standalone_mode=False))
    assert code == 2
    assert "datakit annotate pull" in " ".join(capsys.readouterr().err.split())
