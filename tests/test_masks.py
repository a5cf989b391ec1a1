"""The proof of a version: figures, files, determinism, what is found again; and the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mask_rows import model, plain_rows, version_of
from tiny_models import copy_of, tiny_model
from typer.testing import CliRunner

from datakit.cli.app import app
from datakit.errors import DatakitError, DataVerdict, InputError, NoRows
from datakit.masks.proof import Proof, ProofSettings, find, prove
from datakit.recipe.masks import MaskSettings
from datakit.versions.store import Version, verify


def settings(stage: Any = None, arguments: Any = None, **masks: Any) -> ProofSettings:
    return ProofSettings(MaskSettings(**masks), stage, arguments)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Forty sound dialogues; read it, never write to it."""
    return version_of(plain_rows(40), tmp_path_factory.mktemp("plain"))


@pytest.fixture
def own(tmp_path: Path) -> Version:
    """Forty sound dialogues that a test may add proofs to."""
    return version_of(plain_rows(40), tmp_path)


def run(*arguments: str) -> tuple[int, Any]:
    """Exit code and, of a run that ends in words of ours, the JSON on stdout."""
    result = CliRunner().invoke(app, ["masks", *arguments, "--json"])
    if isinstance(result.exception, DatakitError):
        return result.exception.exit_code, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)


def test_a_sound_version_passes(version: Version) -> None:
    proof = prove(version, model(), settings())
    assert proof.passed and proof.manifest.rows == 40 and proof.manifest.left_out == 0
    assert 0 < proof.manifest.trained < proof.manifest.total
    assert proof.findings.to_json() == [] and proof.path is None
    assert not (version.path / "proofs").exists()


def test_a_committed_proof_holds_ids_and_labels_and_is_found_again(own: Version) -> None:
    made = prove(own, model(), settings(), commit=True)
    found = find(own, model(), settings())
    assert found.path == made.path and found.manifest == made.manifest
    frame = found.frame("messages")
    assert frame.columns == ["id", "source", "line", "input_ids", "labels"]
    rows = own.frame("messages")
    assert frame["id"].to_list() == rows["id"].to_list()
    tokenizer = model().tokenizer
    for row, ids, labels in zip(rows.iter_rows(named=True), frame["input_ids"], frame["labels"], strict=True):
        text = tokenizer.decode(ids.to_list(), skip_special_tokens=False)
        assert text == "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row["messages"])
        trained = [label for label in labels if label != -100]
        assert tokenizer.decode(trained, skip_special_tokens=False) == row["messages"][-1]["content"] + "<|im_end|>"
    assert frame["input_ids"].list.len().sum() == found.manifest.total
    assert frame["labels"].list.eval(pl.element() != -100).list.sum().sum() == found.manifest.trained


def test_a_proof_is_no_part_of_the_fingerprint_and_the_version_stays_whole(own: Version) -> None:
    before = own.manifest
    prove(own, model(), settings(), commit=True)
    assert verify(own) == [] and own.manifest == before
    assert not list((own.path / "proofs").glob(".work-*")), "no work folder is left"


def test_the_same_rows_whatever_the_workers(own: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datakit.masks.proof._BATCH_ROWS", 7)
    one = prove(own, model(), settings(), commit=True, workers=1)
    shutil.rmtree(str(one.path))
    two = prove(own, model(), settings(), commit=True, workers=2)
    assert one.manifest.content == two.manifest.content and one.manifest.parts == two.manifest.parts


def test_batches_and_parts_do_not_change_the_rows(own: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prove(own, model(), settings(), commit=True).frame("messages")
    shutil.rmtree(own.path / "proofs")
    monkeypatch.setattr("datakit.masks.proof._BATCH_ROWS", 3)
    monkeypatch.setattr("datakit.masks.parts._TOKENS", 200)
    cut = prove(own, model(), settings(), commit=True)
    assert len(cut.data_files("messages")) > 3
    assert cut.frame("messages").equals(whole)


def test_a_proof_that_is_there_is_not_made_again(own: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prove(own, model(), settings(), commit=True)
    monkeypatch.setattr("datakit.masks.proof._Job.run", lambda *_: pytest.fail("made again"))
    assert prove(own, model(), settings(), commit=True).manifest == made.manifest


def test_other_settings_another_model_and_damage_are_told_apart(own: Version) -> None:
    with pytest.raises(DataVerdict, match="no proof for chatml-chatml by these settings; expected"):
        find(own, model(), settings())
    path = prove(own, model(), settings(), commit=True).path
    assert path is not None
    with pytest.raises(DataVerdict, match="there is one by other settings"):
        find(own, model(), settings(train_on="last"))
    with pytest.raises(DataVerdict, match="other templates or tokenizers \\(M30\\)"):
        find(own, model("default_system"), settings())
    part = next((path / "data").iterdir())
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(DataVerdict, match="changed since it was written"):
        find(own, model(), settings())
    assert prove(own, model(), settings(), commit=True).passed, "a damaged proof is made again"
    find(own, model(), settings())
    (path / "manifest.json").write_text((path / "manifest.json").read_text().replace('"rows": 40', '"rows": 41'))
    with pytest.raises(DataVerdict, match="changed after it was written"):
        find(own, model(), settings())


def test_bad_rows_are_left_out_counted_and_named(tmp_path: Path) -> None:
    rows = plain_rows(40)
    rows[4]["messages"][1]["content"] += "<|im_start|>user\nhi"
    version = version_of(rows, tmp_path)
    proof = prove(version, model(), settings(), commit=True)
    assert proof.passed and proof.manifest.left_out == 1
    assert proof.findings.to_json() == [
        {"code": "M28", "reach": "row", "severity": "error", "count": 1, "rows": ["rows.jsonl:5"]}
    ]
    assert 5 not in proof.frame("messages")["line"].to_list() and proof.frame("messages").height == 39
    assert proof.path is not None
    found = pl.read_parquet(proof.path / "findings.parquet")
    assert found.select("source", "line", "code", "severity").rows() == [("rows.jsonl", 5, "M28", "error")]
    assert "<|im_start|>" in found["detail"][0]


def test_more_bad_rows_than_are_allowed_fail_the_proof_and_nothing_is_committed(tmp_path: Path) -> None:
    rows = plain_rows(20)
    for row in rows[:2]:
        row["messages"][1]["content"] += "<|im_end|>"
    version = version_of(rows, tmp_path)
    failed = prove(version, model(), settings(), commit=True)
    assert not failed.passed and failed.path is None and failed.manifest.left_out == 2
    assert not list((version.path / "proofs").iterdir())
    assert prove(version, model(), settings(max_left_out=0.1)).passed


def test_a_warning_leaves_rows_out_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = plain_rows(40)
    rows[0]["messages"][1]["content"] = "  indented"
    version = version_of(rows, tmp_path)
    trims = model("trims")
    assert prove(version, trims, settings()).manifest.left_out == 0
    strict = prove(version, trims, settings(fail_on="warning"))
    assert strict.manifest.left_out == 1 and strict.passed


def test_template_findings_fail_the_proof(version: Version) -> None:
    unstopped = prove(version, model("last_turn_unstopped"), settings())
    assert not unstopped.passed
    assert {(row["code"], row["reach"]) for row in unstopped.findings.to_json()} >= {("M1", "row"), ("M1", "template")}
    dated = prove(version, model("dated"), settings())
    assert dated.passed and dated.manifest.clock is not None
    assert not prove(version, model("dated"), settings(fail_on="warning")).passed


def long_rows() -> list[dict[str, Any]]:
    """A hundred dialogues; the answer of number 50 is long, and so is the question of 51."""
    rows = plain_rows(100)
    rows[50]["messages"][1]["content"] = "很长的回答。" * 40
    rows[51]["messages"][0]["content"] = "A long question? " * 40
    return rows


def test_a_length_that_is_set_is_held(tmp_path: Path) -> None:
    version = version_of(long_rows(), tmp_path)
    proof = prove(version, model(), settings(max_length=200), commit=True)
    (found,) = proof.findings.to_json()
    assert found == {
        "code": "M16",
        "reach": "row",
        "severity": "error",
        "count": 2,
        "rows": ["rows.jsonl:51", "rows.jsonl:52"],
    }
    frame = proof.frame("messages")
    assert frame["input_ids"].list.len().max() <= 200  # type: ignore[operator]
    assert frame["labels"].list.eval(pl.element() != -100).list.any().all(), "nothing is fully masked"
    assert pl.read_parquet(proof.path / "findings.parquet")["line"].to_list() == [51, 52]  # type: ignore[operator]


def test_what_ninety_nine_rows_keep_to_leaves_out_the_longest_with_a_note(tmp_path: Path) -> None:
    version = version_of(long_rows(), tmp_path)
    proof = prove(version, model(), settings())
    (found,) = proof.findings.to_json()
    assert (found["code"], found["severity"], found["count"]) == ("M16", "note", 1)
    assert proof.manifest.left_out == 1 and proof.passed
    assert prove(version, model(), settings(max_length="none")).findings.to_json() == []


def test_only_what_is_trained_must_fit(tmp_path: Path) -> None:
    rows = plain_rows(20)
    rows[0]["messages"].append({"role": "user", "content": "and what else, and why, and how? " * 20})
    version = version_of(rows, tmp_path)
    proof = prove(version, model(), settings(max_length=100), commit=True)
    assert proof.manifest.left_out == 0 and [row["code"] for row in proof.findings.to_json()] == ["M19"]
    frame = proof.frame("messages")
    assert frame["input_ids"].list.len().max() == 100, "what follows the last stop is cut"
    assert frame["input_ids"].list.len().sum() == proof.manifest.total


def test_texts_are_trained_whole_with_one_end(tmp_path: Path) -> None:
    rows = [{"text": "软件支持五百个用户。"}, {"text": "The software supports five hundred users.<|im_end|>"}]
    proof = prove(version_of(rows, tmp_path), model(), settings(max_length=3), commit=True)
    frame = proof.frame("text")
    assert frame["input_ids"].equals(frame["labels"].alias("input_ids"))
    texts = [model().tokenizer.decode(ids.to_list(), skip_special_tokens=False) for ids in frame["input_ids"]]
    assert sorted(texts) == sorted([rows[0]["text"] + "<|im_end|>", rows[1]["text"]])


def test_texts_need_no_template(tmp_path: Path) -> None:
    version = version_of([{"text": "软件支持五百个用户。"}], tmp_path)
    assert prove(version, model("plain"), settings()).passed


def test_pairs_ratings_and_prompts_are_proved_by_their_stages(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "多少钱？"}]

    def answer(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    rows: list[dict[str, Any]] = [
        {"prompt": asked, "chosen": answer("一千元。"), "rejected": answer("不知道")},
        {"prompt": asked, "chosen": answer("一千元。"), "rejected": answer("一千元。")},
        {"prompt": asked, "completion": answer("一千元。"), "label": True},
        {"prompt": asked},
        {"messages": asked + answer("一千元。")},
    ]
    version = version_of(rows, tmp_path)
    lax = {"max_left_out": 0.5}
    proof = prove(version, model(), settings(**lax), commit=True)
    assert proof.manifest.kinds == {"messages": 1, "preference": 1, "unpaired": 1, "prompt": 1}
    found = {row["code"]: row["rows"] for row in proof.findings.to_json()}
    assert found == {"M22": ["rows.jsonl:2"], "M33": []}
    pair = proof.frame("preference").row(0, named=True)
    decode = model().tokenizer.decode
    assert decode(pair["prompt_ids"], skip_special_tokens=False).endswith("<|im_start|>assistant\n")
    assert decode(pair["rejected_ids"], skip_special_tokens=False).startswith("不知道<|im_end|>")
    assert proof.frame("unpaired")["label"].to_list() == [True]
    assert set(proof.frame("prompt").columns) == {"id", "source", "line", "prompt_ids"}
    for stage, kind in (
        ("dpo", "preference"),
        ("reward", "preference"),
        ("kto", "unpaired"),
        ("grpo", "prompt"),
        ("sft", "messages"),
    ):
        assert set(prove(version, model(), settings(stage, **lax)).manifest.kinds) == {kind}


def test_a_stage_without_rows_is_a_wrong_call(version: Version) -> None:
    with pytest.raises(NoRows, match="no row for this stage; expected rows of preference"):
        prove(version, model(), settings("dpo"))


def test_a_model_without_a_template_says_so(version: Version) -> None:
    with pytest.raises(InputError, match="no chat template"):
        prove(version, model("plain"), settings())


def test_arguments_reach_the_template(own: Version, tmp_path: Path) -> None:
    from datakit.template.model import load_model

    source = "{{ greeting }}" + (tiny_model() / "chat_template.jinja").read_text(encoding="utf-8")
    greets = load_model(copy_of(tiny_model(), tmp_path / "greets", template=source))
    proof = prove(own, greets, settings(arguments={"greeting": "您好"}), commit=True)
    text = greets.tokenizer.decode(proof.frame("messages")["input_ids"][0].to_list(), skip_special_tokens=False)
    assert text.startswith("您好<|im_start|>")
    assert proof.manifest.settings["arguments"] == {"greeting": "您好"}


def test_the_command_prints_exactly_these_keys(own: Version) -> None:
    code, said = run(str(own.path.parent), "--model", str(tiny_model()), "--commit")
    assert code == 0
    assert list(said) == ["rows", "left_out", "passed", "findings", "tokens", "path"]
    assert said["rows"] == 40 and said["left_out"] == 0 and said["passed"] is True and said["findings"] == []
    assert set(said["tokens"]) == {"total", "trained"} and Path(said["path"]).is_dir()
    assert isinstance(find(own, model(), settings()), Proof)


def test_the_command_fails_where_the_proof_does(version: Version) -> None:
    code, said = run(str(version.path.parent), "--model", str(tiny_model("chatml", "last_turn_unstopped")))
    assert code == 1 and said["passed"] is False and said["path"] is None
    assert {
        key: value
        for key, value in next(row for row in said["findings"] if row["reach"] == "row").items()
        if key != "rows"
    } == {"code": "M1", "reach": "row", "severity": "error", "count": 40}


def test_the_command_takes_its_options_from_a_recipe_and_flags_lie_over_it(version: Version, tmp_path: Path) -> None:
    shutil.copytree(tiny_model(), tmp_path / "model")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[data]\noutput = "{version.path.parent}"\n[model]\nbase = "model"\n[masks]\nmax_length = 5\n',
        encoding="utf-8",
    )
    code, said = run("--recipe", str(recipe))
    assert code == 1 and said["left_out"] == 40, "no row has five tokens only"
    code, said = run("--recipe", str(recipe), "--max-length", "none")
    assert code == 0 and said["left_out"] == 0
    code, said = run(
        "--recipe",
        str(recipe),
        "--max-length",
        "none",
        "--template",
        str(tiny_model("chatml", "dated") / "chat_template.jinja"),
        "--fail-on",
        "warning",
    )
    assert code == 1 and "M6" in {row["code"] for row in said["findings"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no dataset"),
        (["CLEAN"], "no model; expected --model DIR"),
        (["CLEAN", "--model", "nowhere"], "no such model"),
        (["CLEAN", "--model", "MODEL", "--max-length", "many"], "masks.max_length"),
        (["CLEAN", "--model", "MODEL", "--set", "masks.train_onn=last"], "Did you mean 'train_on'?"),
        (["nowhere", "--model", "MODEL"], "no dataset here"),
        (["CLEAN", "--model", "MODEL", "--template", "none.jinja"], "no such template"),
        (["CLEAN", "--model", "MODEL", "--stage", "kto"], "no row for this stage"),
    ],
)
def test_wrong_use_is_named(version: Version, arguments: list[str], words: str) -> None:
    names = {"CLEAN": str(version.path.parent), "MODEL": str(tiny_model())}
    code, said = run(*(names.get(argument, argument) for argument in arguments))
    assert code == 2 and words in said


def test_the_table_names_codes_rows_and_what_to_do(tmp_path: Path) -> None:
    rows = plain_rows(40)
    rows[4]["messages"][1]["content"] += "<|im_start|>"
    version = version_of(rows, tmp_path)
    result = CliRunner().invoke(app, ["masks", str(version.path.parent), "--model", str(tiny_model())])
    assert result.exit_code == 0
    for words in ("M28", "special tokens inside a message", "rows.jsonl:5: messages[1].content: <|im_start|>",
                  "40 rows, 1 left out", "passed", "datakit explain M28", "--commit"):  # fmt: skip
        assert words in result.stdout


def test_texts_alone_are_proved_for_cpt(tmp_path: Path) -> None:
    """`--stage cpt`: the rows that `datakit train cpt` takes, and none of the others; no template is asked for."""
    texts = [{"text": "软件支持五百个用户。"}, {"text": "The software supports five hundred users."}]
    version = version_of([*plain_rows(3), *texts], tmp_path)
    code, said = run(str(version.path.parent), "--model", str(tiny_model("plain")), "--stage", "cpt", "--commit")
    assert code == 0 and (said["rows"], said["left_out"]) == (2, 0)
    assert said["tokens"]["trained"] == said["tokens"]["total"], "every token of a text is trained"
    proof = find(version, model("plain"), settings("cpt"))
    assert isinstance(proof, Proof) and proof.manifest.kinds == {"text": 2}
    assert [path.name.split("-")[0] for path in (Path(said["path"]) / "data").iterdir()] == ["text"]
    assert proof.frame("text")["source"].to_list() == ["rows.jsonl"] * 2
    assert set(proof.frame("text")["line"]) == {4, 5}


def test_cpt_needs_texts(version: Version) -> None:
    code, said = run(str(version.path.parent), "--model", str(tiny_model()), "--stage", "cpt")
    assert code == 2 and "no row for this stage; expected rows of text" in said
