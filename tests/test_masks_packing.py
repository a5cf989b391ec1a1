"""Packing: the same packs as TRL's own, rows that see each other (M17), answers that it cuts and packs without a label."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from mask_rows import model, plain_rows, version_of
from tiny_models import tiny_model
from typer.testing import CliRunner

from datakit.cli.app import app
from datakit.masks.findings import Findings
from datakit.masks.labels import IGNORED
from datakit.masks.packed import Row, pack_rows, spoilt
from datakit.masks.packing import TOGETHER, Strategy, keeps_apart, pack
from datakit.masks.plan import ProofSettings, proof_hash
from datakit.masks.proof import Proof, prove
from datakit.recipe.masks import MaskSettings
from datakit.versions.store import Version

STRATEGIES: list[Strategy] = ["bfd", "bfd_split", "wrapped"]
APART = "flash_attention_2"

LABELS = st.lists(st.lists(st.booleans(), max_size=14), min_size=1, max_size=12).filter(any)
"""Whether each token of each row is trained."""


@cache
def trl() -> Any:
    """TRL's packing and collator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TRL and torch say as they are imported
        data = pytest.importorskip("trl.data_utils", reason="trl is not installed")
        pytest.importorskip("trl.trainer.sft_trainer", reason="trl is not installed")
    return data


def packed_by_trl(flags: list[list[bool]], size: int, strategy: Strategy) -> list[dict[str, list[int]]]:
    """TRL's packs; the ids tell row and place, from 1 on."""
    trl()
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    ids = [[100 * row + place + 1 for place in range(len(trained))] for row, trained in enumerate(flags)]
    labels = [
        [number if on else IGNORED for number, on in zip(numbers, trained, strict=True)]
        for numbers, trained in zip(ids, flags, strict=True)
    ]
    whole = Dataset.from_dict({"input_ids": ids, "labels": labels})
    return list(trl().pack_dataset(whole, size, strategy))


def batch_of(made: dict[str, list[int]], strategy: Strategy) -> dict[str, Any]:
    """One pack as TRL's collator hands it to a model."""
    trl()
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    batch: dict[str, Any] = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=strategy != "wrapped")([made])
    return batch


def as_rows(flags: list[list[bool]]) -> list[Row]:
    """Rows as packing sees them; the runs are found place by place."""
    found = []
    for row, trained in enumerate(flags):
        edges = [n for n, (a, b) in enumerate(zip([False, *trained], [*trained, False], strict=True)) if a != b]
        found.append(Row(f"x:{row}", len(trained), edges))
    return found


@given(flags=LABELS, size=st.integers(1, 9), strategy=st.sampled_from(STRATEGIES))
@examples(max_examples=60, deadline=None)
def test_the_packs_are_those_of_trl(flags: list[list[bool]], size: int, strategy: Strategy) -> None:
    ours = pack([len(trained) for trained in flags], size, strategy)
    theirs = packed_by_trl(flags, size, strategy)
    assert [
        [100 * piece.row + place + 1 for piece in made for place in range(piece.start, piece.end)] for made in ours
    ] == [made["input_ids"] for made in theirs]
    if strategy != "wrapped":
        assert [[piece.end - piece.start for piece in made] for made in ours] == [
            made["seq_lengths"] for made in theirs
        ]


@given(flags=LABELS, size=st.integers(1, 9), strategy=st.sampled_from(STRATEGIES))
@examples(max_examples=60, deadline=None)
def test_what_trains_nothing_has_no_label_in_trls_batch(flags: list[list[bool]], size: int, strategy: Strategy) -> None:
    idle, cut = set(), set()
    for made in packed_by_trl(flags, size, strategy):
        labels = batch_of(made, strategy)["labels"][0].tolist()
        labels[0] = IGNORED  # a token is told by those before it, and here is none
        places = [divmod(number - 1, 100) for number in made["input_ids"]]
        rows = [row for row, _ in places]
        lengths = made.get("seq_lengths") or [rows.count(row) for row in dict.fromkeys(rows)]
        end = 0
        for length in lengths:
            begin, end = end, end + length
            row, last = places[end - 1]
            idle |= {row} if set(labels[begin:end]) == {IGNORED} else set()
            cut |= {row} if flags[row][last : last + 2] == [True, True] else set()
    rows_ = as_rows(flags)
    packs = pack([row.length for row in rows_], size, strategy)
    texts, dialogues = (spoilt(rows_, packs, kind, strategy) for kind in ("text", "messages"))
    assert set(texts) == idle and {severity for severity, _ in texts.values()} <= {"note"}
    assert set(dialogues) == idle | cut
    assert cut <= {row for row, (severity, _) in dialogues.items() if severity == "error"}


def test_rows_are_packed_a_thousand_at_a_time_as_trl_does_it() -> None:
    flags = [[True] * (1 + number % 5) for number in range(TOGETHER + 7)]
    for strategy in STRATEGIES:
        findings = Findings()
        made = pack_rows(as_rows(flags), "text", 7, strategy, findings)
        theirs = packed_by_trl(flags, 7, strategy)
        assert made.packs == len(theirs) and made.tokens == sum(len(one["input_ids"]) for one in theirs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_who_sees_whom_in_trls_batch(attention: str, strategy: Strategy) -> None:
    """Another first row changes what a model says of the second one exactly where M17 says so."""
    trl()
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    subject: Any = LlamaForCausalLM._from_config(LlamaConfig(vocab_size=32, **sizes), attn_implementation=attention)
    said = []
    for first in ([1, 2, 3, 4], [11, 12, 13, 14]):
        made = {"input_ids": [*first, 9, 8, 7], "labels": [*first, 9, 8, 7]}
        batch = batch_of(made if strategy == "wrapped" else {**made, "seq_lengths": [4, 3]}, strategy)
        with torch.no_grad():  # without a cache, as `SFTTrainer.compute_loss` has it
            said.append(subject(**{**batch, "labels": None}, use_cache=False).logits[0, 4:])
    assert torch.equal(*said) == keeps_apart(strategy, attention) == (strategy != "wrapped")


@pytest.mark.parametrize(
    ("attention", "known"),
    [("flash_attention_2", True), ("kernels-community/flash-attn3", True), ("flex_attention", True), ("", False),
     ("xformers", False)],
)  # fmt: skip
def test_attention_that_keeps_rows_apart(attention: str, known: bool) -> None:
    assert keeps_apart("bfd", attention) is keeps_apart("bfd_split", attention) is known
    assert not keeps_apart("wrapped", attention)


def proved(version: Version, *, commit: bool = False, **masks: Any) -> Proof:
    return prove(version, model(), ProofSettings(MaskSettings(**masks)), commit=commit)


def found(proof: Proof) -> dict[tuple[str, str, str], list[str]]:
    return {(row["code"], row["reach"], row["severity"]): row["rows"] for row in proof.findings.to_json()}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Forty sound dialogues, Chinese and English by turns."""
    return version_of(plain_rows(40), tmp_path_factory.mktemp("packed"))


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split"])
def test_whole_dialogues_behind_borders_are_sound(version: Version, strategy: Strategy) -> None:
    proof = proved(version, packing=strategy, attention=APART, max_length=100)
    assert proof.passed and found(proof) == {}
    packs = proof.manifest.packs["messages"]
    assert packs.length == 100 and packs.tokens == proof.manifest.total and 1 < packs.packs < 40
    assert proof.manifest.trained == proved(version, max_length=100).manifest.trained


def test_only_what_is_left_is_packed(tmp_path: Path) -> None:
    rows = plain_rows(20)
    rows[0]["messages"].append({"role": "user", "content": "and what else, and why, and how? " * 20})
    rows[1]["messages"][1]["content"] = "很长的回答。" * 40
    version = version_of(rows, tmp_path)
    for strategy in STRATEGIES:
        proof = proved(version, packing=strategy, attention=APART, max_length=100)
        assert proof.manifest.left_out == 1 and ("M16", "row", "error") in found(proof)
        assert proof.manifest.packs["messages"].tokens == proof.manifest.total
    sound = version_of(rows[2:], tmp_path / "sound")
    longest = proved(sound, max_length=100, commit=True).frame("messages")["input_ids"].list.len().max()
    exact = proved(sound, packing="bfd", attention=APART, max_length=int(str(longest)) - 1)  # but for a line feed
    assert exact.manifest.left_out == 0 and exact.manifest.packs["messages"].tokens == exact.manifest.total


def test_a_row_is_named_for_the_gravest_that_packing_does_to_it() -> None:
    rows = [Row("whole", 3, [0, 1]), Row("cut", 8, [1, 2, 6, 8]), Row("fits", 4, [2, 4])]
    assert spoilt(rows, pack([3, 8, 4], 20, "bfd"), "messages", "bfd") == {
        0: ("note", "a piece of it trains nothing: tokens 0 to 3 of 3")
    }
    split = spoilt(rows, pack([3, 8, 4], 7, "bfd_split"), "messages", "bfd_split")
    assert split[1] == ("error", "bfd_split cuts an answer before its stop token, behind 7 of 8 tokens")
    assert {place: severity for place, (severity, _) in split.items()} == {0: "note", 1: "error"}
    assert spoilt(rows[:1], pack([3], 20, "bfd"), "messages", "bfd")[0][1].startswith("the pack that begins with it")


@pytest.mark.parametrize(("attention", "words"), [("", "does not say by which attention"), ("xformers", "'xformers'")])
def test_dialogues_without_borders_fail(version: Version, attention: str, words: str) -> None:
    proof = proved(version, packing="bfd", attention=attention)
    assert not proof.passed and found(proof) == {("M17", "template", "error"): []}
    assert words in proof.manifest.findings[0]["detail"]


def test_wrapped_dialogues_see_each_other_and_are_cut(version: Version) -> None:
    proof = proved(version, packing="wrapped", attention=APART, max_length=100)
    assert not proof.passed and proof.manifest.left_out == 0
    assert list(found(proof)) == [("M16", "template", "error"), ("M17", "template", "error")]
    lengths = proved(version, max_length=100, packing="bfd", attention=APART)
    assert proof.manifest.packs["messages"].packs == -(-lengths.manifest.total // 100), "every pack but one is full"
    details = [row["detail"] for row in proof.manifest.findings]
    assert "wrapped cuts an answer before its stop token" in details[0] or "trains nothing" in details[0]
    one = proved(version, packing="wrapped", attention=APART, max_length=100_000)
    assert list(found(one)) == [("M17", "template", "error")], "nothing is cut where all rows fit into one pack"


def test_wrapped_pieces_without_an_answer_are_named_by_their_row(tmp_path: Path) -> None:
    rows = plain_rows(3)
    rows[1]["messages"][0]["content"] = "一个很长的问题？" * 30
    version = version_of(rows, tmp_path)
    first, long, last = proved(version, max_length=1000, commit=True).frame("messages")["input_ids"].list.len()
    halved = proved(version, packing="wrapped", max_length=long)
    assert found(halved)["M16", "template", "error"] == ["rows.jsonl:2"]
    assert (
        f"a piece of it trains nothing: tokens 0 to {long - first} of {long}" in halved.manifest.findings[0]["detail"]
    )
    rest = proved(version, packing="wrapped", max_length=first + long + last - 1)
    assert found(rest)["M16", "template", "error"] == ["rows.jsonl:3"], "the line feed behind its stop is a pack"
    assert "the pack that begins with it trains nothing" in rest.manifest.findings[0]["detail"]


def texts(tmp_path: Path, *contents: str) -> Version:
    return version_of([{"text": content} for content in contents], tmp_path)


LONG = "标准版支持五百个用户同时在线。The standard edition supports five hundred users. "


def test_texts_that_bfd_would_cut_are_left_out_and_split_they_are_whole(tmp_path: Path) -> None:
    version = texts(tmp_path, "软件支持五百个用户。", LONG * 9, "It is twelve thousand yuan a year.")
    cut = proved(version, packing="bfd", attention=APART, max_length=60, max_left_out=0.5)
    assert found(cut) == {("M16", "row", "error"): ["rows.jsonl:2"]} and cut.manifest.left_out == 1
    assert cut.manifest.max_length == {"text": 60} and cut.passed
    split = proved(version, packing="bfd_split", attention=APART, max_length=60)
    assert found(split) == {} and split.manifest.left_out == 0
    assert split.manifest.packs["text"].tokens == split.manifest.total > cut.manifest.total


def test_texts_that_see_each_other_are_worth_a_note(tmp_path: Path) -> None:
    version = texts(tmp_path, LONG, LONG * 2, "软件支持五百个用户。")
    for masks in ({"packing": "wrapped"}, {"packing": "bfd_split"}, {"packing": "bfd_split", "attention": "xformers"}):
        proof = proved(version, max_length=30, **masks)
        assert proof.passed and found(proof) == {("M17", "template", "note"): []}


def test_a_piece_of_one_token_is_told(tmp_path: Path) -> None:
    version = texts(tmp_path, LONG)
    total = proved(version).manifest.total
    proof = proved(version, packing="bfd_split", attention=APART, max_length=total - 1)
    assert proof.passed and found(proof) == {("M16", "template", "note"): ["rows.jsonl:1"]}
    assert f"begins with it trains nothing: tokens {total - 1} to {total}" in proof.manifest.findings[0]["detail"]
    assert found(proved(version, packing="bfd_split", attention=APART, max_length=total - 2)) == {}


def test_batches_do_not_change_the_packs(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: dict[str, Any] = {"packing": "wrapped", "attention": APART, "max_length": 90}
    whole = proved(version, **masks).manifest
    monkeypatch.setattr("datakit.masks.proof._BATCH_ROWS", 7)
    cut = proved(version, **masks).manifest
    assert cut.packs == whole.packs and cut.findings == whole.findings


def test_settings_enter_the_hash_where_they_change_the_proof() -> None:
    def name(stage: Any = None, **masks: Any) -> str:
        return proof_hash("fingerprint", model(), ProofSettings(MaskSettings(**masks), stage))

    assert name() == name(attention="sdpa") == name(packing="none", attention="xformers")
    assert name("dpo") == name("dpo", packing="bfd"), "pairs are not packed"
    assert name(packing="bfd", attention="sdpa") == name(packing="bfd", attention=APART)
    assert len({name(), name(packing="bfd"), name(packing="bfd", attention=APART), name(packing="wrapped")}) == 4


def run(version: Version, *sets: str, options: tuple[str, ...] = ("--json",)) -> Any:
    values = [part for text in sets for part in ("--set", f"masks.{text}")]
    return CliRunner().invoke(app, ["masks", str(version.path.parent), "--model", str(tiny_model()), *values, *options])


def test_the_command_packs(version: Version) -> None:
    failed = run(version, "packing=bfd")
    assert failed.exit_code == 1
    assert [(row["code"], row["reach"]) for row in json.loads(failed.stdout)["findings"]] == [("M17", "template")]
    assert "fails by M17" in failed.stderr
    passed = run(version, "packing=bfd", "attention=sdpa", "max_length=100", options=())
    assert passed.exit_code == 0 and "packs of 100 tokens" in passed.stdout
    assert "M17" not in passed.stdout


def test_packs_need_a_length(version: Version) -> None:
    result = run(version, "packing=bfd", "max_length=none")
    assert "masks.packing: 'bfd': a pack needs a length" in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2
