"""Folders that say what their data is: datasets on disk, repositories of the hub, LLaMA-Factory's data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from file_rows import jsonl, read, texts

import datakit
from datakit.sources.catalogue import catalogue_of
from datakit.sources.discover import discover
from datakit.sources.layout import layout_of

AS_IT_IS = {"clean": {"steps": ["normalise"]}}


def sources(path: Path, notes: list[str] | None = None) -> list[str]:
    return [file.source for file in discover([path], (notes if notes is not None else []).append)]


# --- datasets on disk


def test_a_dataset_saved_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": [f"第 {n} 行" for n in range(100)]})
    rows.save_to_disk(str(tmp_path / "one"), num_shards=3)
    # What `map` leaves behind is no data.
    (tmp_path / "one" / "cache-0123.arrow").write_bytes((tmp_path / "one" / "data-00000-of-00003.arrow").read_bytes())
    assert texts(tmp_path / "one") == [f"第 {n} 行" for n in (*range(34), *range(34, 67), *range(67, 100))] or (
        sorted(texts(tmp_path / "one")) == sorted(f"第 {n} 行" for n in range(100))
    )
    both = datasets.DatasetDict({"train": rows, "test": rows.select(range(10))})
    both.save_to_disk(str(tmp_path / "both"))
    assert sources(tmp_path / "both") == ["test/data-00000-of-00001.arrow", "train/data-00000-of-00001.arrow"]
    assert len(texts(tmp_path / "both")) == 110
    # The two of them in one folder, as raw data often lies.
    assert len(texts(tmp_path)) == 210


def test_a_state_that_leads_out_of_its_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "secret.arrow").write_bytes(b"x")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../secret.arrow"}]}))
    assert catalogue_of(folder) is None


# --- repositories of the hub


CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - split: train
    path: "data/train-*.parquet"
  - split: test
    path:
    - data/test-00000.parquet
    - data/absent.parquet
- config_name: extra
  data_files: more/*.jsonl
- config_name: listed
  data_files: ["one.csv", './two.csv']
tags:
- path: not_this.jsonl
---
# A data set

Words that are no row.
"""


def test_a_repository_with_configs(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "data").mkdir()
    (tmp_path / "more").mkdir()
    for name in ("train-0", "train-1", "test-00000", "other"):
        pl.DataFrame({"text": [name]}).write_parquet(tmp_path / "data" / f"{name}.parquet")
    (tmp_path / "more" / "x.jsonl").write_bytes(jsonl(["more"]))
    (tmp_path / "one.csv").write_text("text\none\n")
    (tmp_path / "two.csv").write_text("text\ntwo\n")
    (tmp_path / "not_this.jsonl").write_bytes(jsonl(["no"]))
    notes: list[str] = []
    assert texts(tmp_path, notes) == ["test-00000", "train-0", "train-1", "more", "one", "two"]
    assert any("data/absent.parquet" in note for note in notes)
    assert any("not_this.jsonl" in note for note in notes)


def test_a_card_without_configs_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# A heading\n\nWords.\n")
    (tmp_path / "x.jsonl").write_bytes(jsonl(["row"]))
    assert sources(tmp_path) == ["README.md", "x.jsonl"]


# --- LLaMA-Factory


def llamafactory(folder: Path, entries: dict[str, Any], **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps(entries))
    for name, rows in files.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False))
    return folder


def test_columns_and_tags_are_understood(tmp_path: Path) -> None:
    tags = {"role_tag": "who", "content_tag": "what", "user_tag": "Q", "assistant_tag": "A", "system_tag": "S"}
    folder = llamafactory(
        tmp_path / "data",
        {
            "turns": {
                "file_name": "turns.json",
                "formatting": "sharegpt",
                "columns": {"messages": "chat"},
                "tags": tags,
            },
            "kto": {
                "file_name": "kto.json",
                "formatting": "sharegpt",
                "columns": {"messages": "chat", "kto_tag": "good"},
                "tags": tags,
            },
            "pairs": {
                "file_name": "pairs.json",
                "ranking": True,
                "columns": {"prompt": "q", "query": "more", "chosen": "yes", "rejected": "no", "system": "rules"},
            },
            "alpaca": {"file_name": "alpaca.json", "columns": {"prompt": "q", "response": "r"}},
            "texts": {"file_name": "texts.json", "columns": {"prompt": "body"}},
            "openai": {"file_name": "openai.json", "formatting": "openai", "columns": {"messages": "m"}},
            "elsewhere": {"hf_hub_url": "somebody/something"},
            "absent": {"file_name": "absent.json"},
            "wrong": {"file_name": "texts.json", "formatting": "xml"},
        },
        turns=[
            {"chat": [{"who": "S", "what": "简短"}, {"who": "Q", "what": "问"}, {"who": "A", "what": "答"}], "n": 1}
        ],
        kto=[{"chat": [{"who": "Q", "what": "问"}, {"who": "A", "what": "答"}], "good": False}],
        pairs=[{"q": "问", "more": "再问", "yes": "好", "no": "坏", "rules": "规则", "output": "a column of its own"}],
        alpaca=[{"q": "问", "r": "答", "messages": "no messages at all"}],
        texts=[{"body": "正文", "text": "not this"}],
        openai=[{"m": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}],
    )
    (folder / "unlisted.jsonl").write_bytes(jsonl(["beside"]))
    (folder / "README_zh.md").write_text("# 说明\n")
    notes: list[str] = []
    rows = {name: _records(folder, name, notes) for name in ("turns", "kto", "pairs", "alpaca", "texts", "openai")}
    assert _said(rows["turns"]["messages"]) == [("system", "简短"), ("user", "问"), ("assistant", "答")]
    assert json.loads(rows["turns"]["meta"]) == {"n": 1}
    assert (_said(rows["kto"]["completion"]), rows["kto"]["label"]) == ([("assistant", "答")], False)
    assert _said(rows["pairs"]["prompt"]) == [("system", "规则"), ("user", "问\n再问")]
    assert _said(rows["pairs"]["chosen"]) == [("assistant", "好")]
    assert _said(rows["alpaca"]["messages"]) == [("user", "问"), ("assistant", "答")]
    assert rows["texts"]["text"] == "正文"
    assert _said(rows["openai"]["messages"]) == [("user", "u"), ("assistant", "a")]
    told = "\n".join(notes)
    assert all(word in told for word in ("elsewhere", "absent.json", "'wrong'", "unlisted.jsonl", "README_zh.md"))
    assert "unlisted.jsonl" in sources(folder) and "README_zh.md" not in sources(folder)


def _records(folder: Path, name: str, notes: list[str]) -> dict[str, Any]:
    from datakit.formats.read import parse
    from datakit.recipe.data import DataSettings
    from datakit.sources.blocks import read_blocks

    (file,) = (file for file in discover([folder], notes.append) if file.source == f"{name}.json")
    ((frame,),) = (parse(block, DataSettings()).frames.values() for block in read_blocks(file, DataSettings()))
    return frame.row(0, named=True)


def _said(turns: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in turns]


def test_a_changed_description_makes_another_version(tmp_path: Path) -> None:
    rows = [{"a": "第一列的文字，写得够长，可以留下来。", "b": "the second column, long enough to be kept"}]
    folder = llamafactory(tmp_path / "data", {"x": {"file_name": "x.json", "columns": {"prompt": "a"}}}, x=rows)
    one = datakit.clean(folder, tmp_path / "out", AS_IT_IS)
    assert one.frames["text"]["text"].to_list() == [rows[0]["a"]]
    assert datakit.clean(folder, tmp_path / "out", AS_IT_IS).unchanged
    llamafactory(folder, {"x": {"file_name": "x.json", "columns": {"prompt": "b"}}})
    two = datakit.clean(folder / "dataset_info.json", tmp_path / "out", AS_IT_IS)
    assert not two.unchanged
    assert two.frames["text"]["text"].to_list() == [rows[0]["b"]]
    assert {file.source for file in two.version.manifest.inputs} == {"dataset_info.json", "x.json"}


def test_what_convert_writes_is_read_by_its_own_description(tmp_path: Path) -> None:
    from datakit.conversion.convert import convert

    pair = {"prompt": "问", "chosen": "好", "rejected": "坏"}
    dialogue = {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]}
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (pair, dialogue, {"text": "正文"})))
    convert(tmp_path / "in.jsonl", tmp_path / "out", "llamafactory")
    ids = [row["id"] for _, row in read(tmp_path / "in.jsonl") if isinstance(row, dict)]
    assert sorted(row["id"] for _, row in read(tmp_path / "out") if isinstance(row, dict)) == sorted(ids)


def test_defaults_are_llamafactorys() -> None:
    assert layout_of("x", {"file_name": "x"}).format == "alpaca"
    layout = layout_of("x", {"formatting": "sharegpt"})
    assert (layout.format, dict(layout.columns), layout.role) == (
        "sharegpt",
        {"conversations": "conversations"},
        "from",
    )
    with pytest.raises(ValueError, match="columns"):
        layout_of("x", {"columns": ["a"]})


def test_other_files_of_these_names_are_data(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('[{"text": "a row"}]')
    (tmp_path / "state.json").write_text('{"text": "a row too"}')
    assert texts(tmp_path) == ["a row", "a row too"]
