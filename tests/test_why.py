"""`datakit why`: the story of a row, from what a version holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import datakit
from datakit.cleaning.clean import CleanResult
from datakit.errors import UsageFault
from datakit.questions.differences import compare
from datakit.questions.why import tell_why

LONG = "采购软件之前，建议先把现有流程梳理一遍：谁发起、谁审批、数据从哪里来、最后由谁归档。流程清楚之后，再看系统能否与财务对接。"
ENGLISH = (
    "Thank you for asking. The annual plan includes support on working days, and training for every new colleague in your sales "
    "team. We set the system up together with you, move the old records over, and stay until everybody can find their customers."
)


def chat(user: str, reply: str, **meta: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": reply}], **meta}


ROWS: list[Any] = [
    chat("怎么选？", LONG),  # 1 kept; 2 is near, 3 is exact
    chat("怎么选？", LONG.replace("建议先", "建议您先")[:-1]),
    chat("怎么选？", LONG),
    "broken {",  # 4 rejected
    chat("说说", "好的好的谢谢。" * 60),  # 5 a loop
    chat("电话13800138000", "已经登记，稍后联系您。"),  # 6 edited
    chat(
        "We are twenty people in three cities. What is included in the price of your system?", ENGLISH
    ),  # 7 kept; 8 is near
    chat(
        "We are twenty people in three cities. What is included in the price of your system?",
        ENGLISH.replace("annual", "yearly"),
    ),
    chat(
        "Bonjour", "Bonjour, notre logiciel permet de suivre chaque client et de préparer les contrats sans ressaisir."
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CleanResult:
    tmp = tmp_path_factory.mktemp("why")
    lines = [row.encode() if isinstance(row, str) else orjson.dumps(row) for row in ROWS]
    (tmp / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return datakit.clean(tmp / "rows.jsonl", tmp / "clean", {"clean": {"languages": ["zh", "en"]}})


def outcomes(made: CleanResult, line: int) -> dict[str, str]:
    return {told.step: told.outcome for told in tell_why(made.version, f"rows.jsonl:{line}").steps}


def test_every_row_has_a_story_that_agrees_with_the_ledger(made: CleanResult) -> None:
    for fate in made.ledger.iter_rows(named=True):
        story = tell_why(made.version, f"{fate['source']}:{fate['line']}")
        assert story.fate == fate
        decisive = [told.step for told in story.steps if told.outcome in ("dropped", "rejected")]
        assert decisive == ([fate["stage"]] if fate["reason"] else [])
        assert bool(story.turns) == (fate["decision"] != "rejected")
        assert (story.twin is not None) == (fate["twin"] is not None)
        assert orjson.loads(orjson.dumps(story.plain()))["row"] == fate


def test_steps_after_the_one_that_decided_were_not_reached(made: CleanResult) -> None:
    assert outcomes(made, 5) == {
        "read": "passed", "normalise": "passed", "pii": "passed", "language": "passed",
        "rules": "dropped", "exact": "not reached", "near": "not reached",
    }  # fmt: skip
    assert outcomes(made, 4) == {"read": "rejected"}
    assert outcomes(made, 6)["pii"] == "edited"
    assert outcomes(made, 9)["language"] == "dropped"


def test_a_rule_names_value_threshold_and_meaning(made: CleanResult) -> None:
    story = tell_why(made.version, "rows.jsonl:5")
    (told,) = [told for told in story.steps if told.step == "rules"]
    assert f"{story.fate['reason']} {story.fate['value']:.4g}, threshold 0.5" in told.words
    failing = [score.name for score in told.measured if score.holds and score.share > 1]
    assert story.fate["reason"] in failing
    assert not any(
        score.share > 1 and score.holds
        for step in tell_why(made.version, "rows.jsonl:1").steps
        for score in step.measured
    )


@pytest.mark.parametrize(("line", "only", "other"), [(2, "您", ""), (8, "yearly", "annual")], ids=["zh", "en"])
def test_the_twin_stands_beside_with_what_differs(made: CleanResult, line: int, only: str, other: str) -> None:
    story = tell_why(made.version, f"rows.jsonl:{line}")
    twin = story.twin
    assert story.fate["reason"] == "near_duplicate" and twin is not None and twin.fate is not None
    assert twin.fate["decision"] == "kept" and twin.stays and twin.differs
    left = [piece.text for turn in twin.turns for piece in turn.left if piece.mark == "only"]
    right = [piece.text for turn in twin.turns for piece in turn.right if piece.mark == "only"]
    assert only in left and (other in right if other else True)


def test_an_exact_duplicate_has_no_difference_and_the_first_stays(made: CleanResult) -> None:
    story = tell_why(made.version, "rows.jsonl:3")
    assert story.fate["reason"] == "exact_duplicate" and story.twin is not None and not story.twin.differs
    assert story.twin.stays == "it comes first, by source and line"


def test_a_kept_row_lists_what_was_dropped_for_it(made: CleanResult) -> None:
    story = tell_why(made.version, "rows.jsonl:1")
    found = [(other.fate["line"], other.fate["reason"]) for other in story.dropped_for]
    assert sorted(found) == [(2, "near_duplicate"), (3, "exact_duplicate")] and story.dropped_for_count == 2


def test_rows_are_found_by_id_and_by_the_end_of_their_source(made: CleanResult) -> None:
    identifier = made.ledger["id"][4]
    assert tell_why(made.version, identifier[:8].upper()).fate["line"] == 5
    with pytest.raises(UsageFault, match=r"2 rows .* rows\.jsonl:1 \(kept\), rows\.jsonl:3 \(exact_duplicate\)"):
        tell_why(made.version, made.ledger["id"][0])
    with pytest.raises(UsageFault, match="end with line 9"):
        tell_why(made.version, "rows.jsonl:10")
    for name in ("x", "other.jsonl:1", "ffff0000ffff"):
        with pytest.raises(UsageFault, match=r"Its sources: rows\.jsonl"):
            tell_why(made.version, name)


def test_personal_data_stays_masked(made: CleanResult) -> None:
    plain = orjson.dumps(tell_why(made.version, "rows.jsonl:6").plain()).decode()
    assert "<PHONE_1>" in plain and "13800138000" not in plain


def test_a_rejected_row_says_where_its_bytes_are(made: CleanResult) -> None:
    raw = tell_why(made.version, "rows.jsonl:4").raw
    assert raw is not None
    data = (made.path.parents[1] / "rows.jsonl").read_bytes()
    assert data[raw["offset"] : raw["offset"] + raw["length"]].strip() == b"broken {"


TEXT = st.text(alphabet="报价合同 abc12\n。", max_size=40)


@given(TEXT, TEXT)
def test_the_pieces_of_a_side_make_its_text_and_equal_ones_are_in_both(left: str, right: str) -> None:
    one, other = compare(left, right)
    assert "".join(piece.text for piece in one) == left
    assert "".join(piece.text for piece in other) == right
    same = [[piece for piece in side if piece.mark == "same"] for side in (one, other)]
    assert same[0] == same[1]
    assert (left == right) == all(piece.mark == "same" for piece in (*one, *other))


def test_long_passages_that_both_say_are_cut_and_the_difference_is_not() -> None:
    one, other = compare(LONG * 40 + "甲" + LONG * 40, LONG * 40 + "乙" + LONG * 40)
    assert [piece.text for piece in one if piece.mark == "only"] == ["甲"]
    assert [piece.text for piece in other if piece.mark == "only"] == ["乙"]
    assert sum(len(piece.text) for piece in one) < 400
    assert any(piece.mark == "cut" and f"{len(LONG) * 40 - 120:,} characters" in piece.text for piece in one)


def test_texts_without_a_common_word_are_compared_in_no_time_that_grows_with_their_square() -> None:
    one, other = compare("甲乙" * 20_000, "丙丁" * 20_000)
    assert {piece.mark for piece in (*one, *other)} == {"only", "cut"}


def test_the_command_shows_it_in_brackets_without_colours(made: CleanResult) -> None:
    def say(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "datakit", "why", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=made.path.parents[1])

    shown = say("rows.jsonl:8", "-d", f"clean@{made.version.name[:6]}").stdout
    for words in (
        "dropped: near_duplicate",
        "rows.jsonl:7, which stays",
        "[-yearly-]",
        "{+annual+}",
        "threshold 0.8",
        "datakit explain near_duplicate",
    ):
        assert words in shown, shown
    assert "not reached" in say("rows.jsonl:5").stdout
    assert orjson.loads(say("rows.jsonl:8", "--json").stdout)["twin"]["row"]["line"] == 7
    missing = say("rows.jsonl:99")
    assert missing.returncode == 2 and "no such row" in missing.stderr
    assert "repetition_run" in say("rows.jsonl:1", "--all").stdout
    assert "bytes from byte" in say("rows.jsonl:4").stdout


def test_a_version_of_a_version_tells_by_its_ledger(made: CleanResult, tmp_path: Path) -> None:
    again = datakit.clean(made.path.parent, tmp_path / "again")
    source = again.ledger["source"][0]
    assert tell_why(again.version, f"{source}:1").fate["decision"] == "kept"
