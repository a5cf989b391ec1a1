"""`datakit explain`: every word that datakit prints is explained, and an unknown one is nearly so."""

from __future__ import annotations

import orjson
import pytest
from typer.testing import CliRunner

from annotation.decisions.reasons import REASONS as JUDGED_REASONS
from datakit.cleaning.rules import REASONS as RULE_REASONS
from datakit.cli.app import app
from datakit.cli.topics import topics
from datakit.derivation.mix import REASONS as MIX_REASONS
from datakit.errors import UsageFault
from datakit.formats.read import REASONS as READ_REASONS
from datakit.masks.codes import CODES
from train.signs import SIGNS


def explained(*words: str) -> str:
    done = CliRunner().invoke(app, ["explain", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_code_has_all_its_parts() -> None:
    said = " ".join(explained("M9").split())
    code = CODES["M9"]
    for part in (code.title, code.symptom, code.cause, code.check, code.fix, code.verify):
        assert part in said
    assert "severity: warning" in said


def test_json_of_a_code() -> None:
    found = orjson.loads(explained("m1", "--json"))
    assert found["topic"] == "M1" and found["family"] == "code" and found["severity"] == "error"
    assert {"title", "reach", "symptom", "cause", "check", "fix", "verify"} <= set(found)


def test_every_word_that_is_printed_is_known() -> None:
    steps = {"exact_duplicate", "near_duplicate", "language", "pii"}
    assert {*RULE_REASONS, *READ_REASONS, *steps, *MIX_REASONS, *JUDGED_REASONS, *CODES, *SIGNS} == set(topics())


@pytest.mark.parametrize("name", sorted(topics()))
def test_every_topic_is_told(name: str) -> None:
    found = orjson.loads(explained(name, "--json"))
    assert found["topic"] == name and found["title"]
    assert name in explained(name)


def test_thresholds_are_those_in_force() -> None:
    found = orjson.loads(explained("gopher_words", "--json"))
    assert found["texts"] == "en: dropped below 50 or above 100,000; zh: dropped below 50 or above 100,000; other: off"
    assert found["dialogues, pairs, prompts"] == "off"
    assert orjson.loads(explained("symbol_noise", "--json"))["texts"].startswith(
        "en: dropped above 0.6, from 20 characters on"
    )


def test_without_a_word_all_are_listed() -> None:
    said = explained()
    assert all(f"  {name} " in said for name in topics())
    assert [topic["topic"] for topic in orjson.loads(explained("--json"))["topics"]] == list(topics())


@pytest.mark.parametrize(
    ("word", "near"), [("gopher_wrods", "gopher_words"), ("M99", "M9"), ("invalid json", "invalid_json")]
)
def test_an_unknown_word_names_the_nearest(word: str, near: str) -> None:
    with pytest.raises(UsageFault, match=f"Did you mean .*{near}"):
        explained(word)


def test_a_word_like_none() -> None:
    with pytest.raises(UsageFault) as caught:
        explained("完全不同")
    assert caught.value.cure == "`datakit explain` lists all" and caught.value.exit_code == 2
