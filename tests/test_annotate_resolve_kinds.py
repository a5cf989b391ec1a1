"""What becomes of ratings, labels, spans, rankings and rewritings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from campaign_rows import campaign_of, judge
from mask_rows import plain_rows, version_of
from train_rows import pairs, texts

from annotation.decisions.resolve import resolve
from datakit.errors import UsageFault
from datakit.recipe.resolve import ResolveSettings
from datakit.versions.store import Version, verify


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_of([*plain_rows(3), *texts(3)], tmp_path_factory.mktemp("dialogues"))


def resolved(version: Version, folder: Path, kind: str, said: Any, *, multiple: bool = True, **values: Any) -> Version:
    """The version of a campaign of two votes an item on all rows of a version."""
    campaign = campaign_of(version, folder / "c", kind, overlap=2, multiple=multiple)
    judge(campaign, said)
    made = resolve(campaign, ResolveSettings.model_validate(values)).version
    assert verify(made) == []
    rows = made.manifest.counts.rows
    assert rows["in"] == rows["kept"] + rows["edited"] + rows["dropped"] + rows["rejected"]
    return made


def metas(version: Version, kind: str) -> dict[int, dict[str, Any]]:
    return {row["line"]: orjson.loads(row["meta"]) for row in version.frame(kind).iter_rows(named=True)}


def reasons(version: Version) -> dict[int, str | None]:
    return dict(version.ledger().select("line", "reason").iter_rows())


def both(**helpful: int) -> dict[str, dict[str, int]]:
    return {item[1:]: {"helpful": score, "polite": 5} for item, score in helpful.items()}


def test_ratings_give_scores_and_labels(dialogues: Version, tmp_path: Path) -> None:
    said = {"a01": both(i1=4, i2=1, i3=2, i4=5), "a02": both(i1=5, i2=5, i3=1, i4=5)}
    made = resolved(dialogues, tmp_path, "rating", said)
    assert reasons(made) == {
        1: None, 2: "annotation_split", 3: None, 4: None, 5: "annotation_no_quorum", 6: "annotation_no_quorum",
    }  # fmt: skip
    meta = metas(made, "messages")
    assert meta[1]["score"] == 4.75 and meta[1]["label"] == "good"  # helpful 4.5, polite 5
    assert meta[3]["score"] == 3.25 and meta[3]["label"] == "bad"
    assert meta[1]["annotation"]["verdicts"] == {"helpful": 4.5, "polite": 5.0}
    assert meta[1]["annotation"]["confidence"] == 0.75  # both stand half a step from their mean, of two at most
    assert metas(made, "text")[4]["label"] == "good"
    before = dialogues.frame("messages").filter(pl.col("line") == 1)
    assert made.frame("messages").filter(pl.col("line") == 1).drop("meta").equals(before.drop("meta"))
    assert metas(resolved(dialogues, tmp_path / "strict", "rating", said, good=4.8), "messages")[1]["label"] == "bad"


def test_labels_are_decided_one_by_one(dialogues: Version, tmp_path: Path) -> None:
    said = {
        "a01": {"1": ["价格", "other"], "2": [], "3": ["功能"], "4": ["价格"]},
        "a02": {"1": ["other", "价格"], "2": [], "3": ["价格"], "4": ["价格", "功能"]},
        "a03": {"1": ["价格"], "3": ["功能"], "4": ["价格"]},
    }
    made = resolved(dialogues, tmp_path, "labels", said)
    assert metas(made, "messages")[1]["label"] == ["other", "价格"]
    assert metas(made, "messages")[2]["label"] == []
    assert metas(made, "messages")[3]["label"] == ["功能"]
    assert metas(made, "text")[4]["label"] == ["价格"]
    assert metas(made, "text")[4]["annotation"]["votes"] == {
        "labels": {"价格": {"yes": 3}, "功能": {"no": 2, "yes": 1}}
    }
    strict = resolved(dialogues, tmp_path / "strict", "labels", said, margin=0.5)
    assert [line for line, reason in reasons(strict).items() if reason == "annotation_low_margin"] == [1, 3, 4]


def test_one_label_is_a_vote_like_any_other(dialogues: Version, tmp_path: Path) -> None:
    said = {"a01": {"1": "价格", "2": "价格"}, "a02": {"1": "价格", "2": "功能"}, "a03": {"1": "other"}}
    made = resolved(dialogues, tmp_path, "labels", said, multiple=False)
    assert metas(made, "messages")[1]["label"] == "价格" and reasons(made)[2] == "annotation_split"


def test_what_our_marks_replace_is_kept(tmp_path: Path) -> None:
    version = version_of([{"text": "标准版一千元。", "label": "old", "lang": "zh"}], tmp_path)
    made = resolved(version, tmp_path, "labels", {"a01": {"1": ["价格"]}, "a02": {"1": ["价格"]}})
    meta = metas(made, "text")[1]
    assert meta["label"] == ["价格"] and meta["lang"] == "zh" and meta["annotation"]["before"] == {"label": "old"}


def test_spans_that_most_have_marked_stay(dialogues: Version, tmp_path: Path) -> None:
    one, other = {"start": 4, "end": 6, "label": "price"}, {"start": 0, "end": 2, "label": "price"}
    said = {"a01": {"4": [one, other]}, "a02": {"4": [other, one]}, "a03": {"4": [other]}}
    made = resolved(dialogues, tmp_path, "spans", said)
    assert metas(made, "text")[4]["spans"] == [other, one]


def test_a_rewriting_is_the_answer_and_stays_a_text_of_a_text(dialogues: Version, tmp_path: Path) -> None:
    last = dialogues.frame("messages").filter(pl.col("line") == 3)["messages"][0][-1]["content"]
    said = {
        "a01": {"1": "您好，一共零元。", "2": "  ", "3": last, "4": "New text."},
        "a02": {"1": "Another answer.", "2": "  ", "3": last, "4": "New text."},
    }
    made = resolved(dialogues, tmp_path, "rewriting", said, ties="drop")
    before = {row["line"]: row for row in dialogues.frame("messages").iter_rows(named=True)}
    after = {row["line"]: row for row in made.frame("messages").iter_rows(named=True)}
    assert [turn["content"] for turn in after[1]["messages"]] == [
        before[1]["messages"][0]["content"],
        "您好，一共零元。",
    ]
    assert after[1]["id"] == before[1]["id"] and after[3]["messages"] == before[3]["messages"]
    assert made.frame("text")["text"].to_list() == ["New text."]
    decisions = dict(made.ledger().select("line", "decision").iter_rows())
    assert decisions[1] == "edited" and decisions[3] == "kept" and decisions[4] == "edited"
    assert reasons(made)[2] == "annotation_empty" and made.manifest.counts.edits == {"rewritten": 2}


def test_texts_have_no_dawid_skene(dialogues: Version, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="asks for texts"):
        resolved(dialogues, tmp_path, "rewriting", {"a01": {"1": "x"}, "a02": {"1": "y"}}, method="dawid_skene")


def ranked_version(folder: Path) -> Version:
    calls = [{"id": "c1", "type": "function", "function": {"name": "price", "arguments": "{}"}}]
    answers = [
        "一千元。",
        [{"role": "assistant", "content": "您好，一千元。"}],
        [{"role": "assistant", "content": "", "tool_calls": calls}],
    ]
    rows = [
        {"prompt": [{"role": "user", "content": "多少钱？"}], "answers": answers},
        {"prompt": "How much?", "answers": ["a", "b", "c"]},
    ]
    return version_of([*rows, *pairs(1)], folder)


def test_rankings_become_pairs(tmp_path: Path) -> None:
    version = ranked_version(tmp_path)
    said = {"a01": {"1": [3, 1, 2], "2": [1, 1, 1], "3": [2, 1]}, "a02": {"1": [3, 1, 1], "2": [1, 1, 1], "3": [2, 1]}}
    made = resolved(version, tmp_path, "ranking", said)
    assert reasons(made) == {1: None, 2: "annotation_tie", 3: None}
    first, pair = made.frame("preference").sort("line").iter_rows(named=True)
    # Both ranked answer 1 before answer 0, and 2 before 0; 1 leads 0 by more places.
    assert first["chosen"][0]["content"] == "您好，一千元。" and first["rejected"][0]["content"] == "一千元。"
    assert first["margin"] == 1.0 and first["prompt"][0]["content"] == "多少钱？"
    before = version.frame("preference").row(0, named=True)
    assert pair["chosen"] == before["rejected"] and pair["rejected"] == before["chosen"] and pair["id"] == before["id"]
    # 1 and 2 are a split of "before" and "as good as": no pair.
    assert orjson.loads(first["meta"])["annotation"]["verdicts"] == {"ranking": [[1, 0, 1.0], [2, 0, 1.0]]}
    assert made.manifest.counts.kinds == {"preference": 2} and made.manifest.counts.edits == {"ranked": 2}


def test_tool_calls_of_a_ranked_answer_are_kept_whole(tmp_path: Path) -> None:
    made = resolved(ranked_version(tmp_path), tmp_path, "ranking", {who: {"1": [2, 3, 1]} for who in ("a01", "a02")})
    ((calls,),) = [[turn["tool_calls"] for turn in side] for side in made.frame("preference")["chosen"]]
    assert orjson.loads(calls)[0]["function"]["name"] == "price"


@pytest.mark.parametrize("method", ["weighted", "dawid_skene"])
def test_other_methods_decide_every_kind_of_answer(method: str, dialogues: Version, tmp_path: Path) -> None:
    weights = {"weights": {"a01": 1.0, "a02": 0.25, "a03": 0.25}} if method == "weighted" else {}
    values: dict[str, tuple[Any, Any]] = {
        "rating": ({"helpful": 5, "polite": 4}, {"helpful": 2, "polite": 4}),
        "labels": (["价格"], ["功能", "other"]),
        "spans": ([{"start": 0, "end": 2, "label": "price"}], []),
    }
    for kind, (one, other) in values.items():
        said = {
            who: {str(line): one if who == "a01" or line != 1 else other for line in range(1, 7)}
            for who in ("a01", "a02", "a03")
        }
        made = resolved(dialogues, tmp_path / kind, kind, said, method=method, **weights)
        assert reasons(made) == dict.fromkeys(range(1, 7))
        verdicts = metas(made, "messages")[1]["annotation"]["verdicts"]
        if kind == "rating":
            assert (
                verdicts["helpful"] == (4.0 if method == "weighted" else pytest.approx(2.0, abs=2))
                and verdicts["polite"] == 4
            )
        elif method == "weighted":
            assert verdicts[kind] == one
    version = ranked_version(tmp_path)
    ranks = {who: {"1": [1, 2, 3], "2": [1, 2, 3], "3": [1, 2]} for who in ("a01", "a02", "a03")}
    made = resolved(version, tmp_path / "ranking", "ranking", ranks, method=method, **weights)
    assert made.manifest.counts.kinds == {"preference": 3}
