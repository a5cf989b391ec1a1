"""From judgements to data: what people decided, every item accounted for, every key as it was."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from campaign_rows import HASH, campaign_of, everybody, judge, version_with
from mask_rows import plain_rows
from preference_rows import call
from train_rows import pairs, texts

from annotation.campaigns.campaign import Campaign, open_campaign
from annotation.decisions.resolve import LEDGER, resolve
from datakit.errors import DataVerdict, UsageFault
from datakit.progress import Silent
from datakit.recipe.resolve import ResolveSettings
from datakit.versions.store import Version, open_version, verify

PEOPLE = ("a01", "a02", "a03")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_with(pairs(8), tmp_path_factory.mktemp("source"))


def settings(**values: Any) -> ResolveSettings:
    return ResolveSettings.model_validate(values)


def votes(**by_item: str) -> dict[str, dict[str, Any]]:
    """`i1="ffs"`: a01 and a02 said first of item 1, a03 second; t tie, b both bad, - nothing, x discarded."""
    words: dict[str, Any] = {"f": "first", "s": "second", "t": "tie", "b": "both_bad", "x": None}
    return {
        who: {item[1:]: words[said[place]] for item, said in by_item.items() if said[place] != "-"}
        for place, who in enumerate(PEOPLE)
    }


def ledger(version: Version) -> dict[int, tuple[str, str | None]]:
    return {row["line"]: (row["decision"], row["reason"]) for row in version.ledger().iter_rows(named=True)}


def told(version: Version, kind: str, line: int) -> dict[str, Any]:
    (meta,) = version.frame(kind).filter(pl.col("line") == line)["meta"]
    return orjson.loads(meta)


def checked(version: Version, campaign: Campaign) -> Version:
    """A version that is whole, adds up, and whose keys are those of its source."""
    assert verify(version) == []
    rows = version.manifest.counts.rows
    assert rows["in"] == sum(rows[name] for name in ("kept", "edited", "dropped", "rejected"))
    assert rows["in"] == version.ledger().height
    source = pl.concat(
        [
            campaign.source_version().frame(kind).select("id", "source", "line")
            for kind in ("text", "messages", "preference")
            if campaign.source_version().data_files(kind)
        ]
    )
    for kind in version.manifest.counts.kinds:
        keys = version.frame(kind).select("id", "source", "line")
        assert keys.join(source, on=["id", "source", "line"], how="anti").is_empty()
    return version


def test_every_item_is_accounted_for_with_its_reason(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "销售", "preference")
    judge(campaign, votes(i1="fff", i2="ssf", i3="ttt", i4="bbb", i5="ff-", i6="xxf", i7="fst"))
    result = resolve(campaign, settings())
    version = checked(result.version, campaign)
    assert ledger(version) == {
        1: ("kept", None),
        2: ("edited", None),
        3: ("dropped", "annotation_tie"),
        4: ("dropped", "annotation_both_bad"),
        5: ("dropped", "annotation_no_quorum"),
        6: ("dropped", "annotation_discarded"),
        7: ("dropped", "annotation_split"),
        8: ("dropped", "annotation_no_quorum"),
    }
    assert version.manifest.counts.rows == {"in": 8, "kept": 1, "edited": 1, "dropped": 6, "rejected": 0}
    no_quorum = version.ledger().filter(pl.col("line") == 5)
    assert no_quorum.select("value", "threshold", "votes").row(0) == (2.0, 3.0, 2)
    assert pl.read_parquet(version.path / "dropped" / "preference.parquet").height == 6
    assert version.manifest.parents[0] == source.reference
    assert version.manifest.parents[1] == f"销售/{open_version(campaign.judgements_path).reference}"
    assert version.manifest.inputs == source.manifest.inputs


def test_second_exchanges_the_sides_and_keeps_the_messages_whole(tmp_path: Path) -> None:
    calls = call("price", product="标准版")
    row = {
        "prompt": [{"role": "user", "content": "多少钱？"}],
        "chosen": [{"role": "assistant", "content": "不知道。"}],
        "rejected": [
            {"role": "assistant", "content": None, "tool_calls": orjson.loads(calls)},
            {"role": "tool", "content": "1000"},
            {"role": "assistant", "content": "一千元。"},
        ],
        "lang": "zh",
    }
    version = version_with([row, *pairs(1)], tmp_path)
    campaign = campaign_of(version, tmp_path / "c", "preference", overlap=2)
    judge(campaign, votes(i1="ss-", i2="ff-"))
    made = checked(resolve(campaign, settings()).version, campaign).frame("preference")
    before, after = version.frame("preference").row(0, named=True), made.row(0, named=True)
    assert after["chosen"] == before["rejected"] and after["rejected"] == before["chosen"]
    assert after["chosen"][0]["tool_calls"] == before["rejected"][0]["tool_calls"] is not None
    assert after["prompt"] == before["prompt"] and after["margin"] == 1.0
    meta = orjson.loads(after["meta"])
    assert meta["lang"] == "zh" and meta["annotation"]["verdicts"] == {"preference": "second"}
    same = made.row(1, named=True)
    unchanged = version.frame("preference").row(1, named=True)
    assert [same[name] for name in ("id", "prompt", "chosen", "rejected")] == [
        unchanged[name] for name in ("id", "prompt", "chosen", "rejected")
    ]


def test_meta_says_how_the_verdict_came_about(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference")
    judge(campaign, votes(i1="ssf", i2="ffs"))
    result = resolve(campaign, settings())
    assert told(result.version, "preference", 1)["annotation"] == {
        "campaign": "c",
        "method": "majority",
        "annotators": 3,
        "votes": {"preference": {"first": 1, "second": 2}},
        "verdicts": {"preference": "second"},
        "confidence": pytest.approx(2 / 3),
        "agreement": pytest.approx(1 / 3, abs=1e-6),
        "guidelines": [HASH],
    }
    assert result.version.frame("preference")["margin"].to_list() == pytest.approx([1 / 3, 1 / 3])
    plain = result.to_json()
    assert plain["rows"]["edited"] == 1 and plain["method"] == "majority" and plain["quorum"] == 3
    assert plain["agreement"] == pytest.approx(1 / 3, abs=1e-5) and plain["confidence"] == pytest.approx(2 / 3)
    # Nobody's name or pseudonym travels on.
    assert not any(who in str(result.version.frame("preference")["meta"].to_list()) for who in PEOPLE)


def test_ties_may_stay_and_both_bad_may_count_as_a_tie(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference")
    judge(campaign, votes(i1="ttf", i2="bbt", i3="tbf", i4="fff"))
    assert ledger(resolve(campaign, settings()).version)[3] == ("dropped", "annotation_split")
    kept = resolve(campaign, settings(ties="keep")).version
    assert ledger(kept)[1] == ("kept", None) and ledger(kept)[2] == ("dropped", "annotation_both_bad")
    assert kept.frame("preference").filter(pl.col("line") == 1)["margin"].to_list() == [0.0]
    both = resolve(campaign, settings(ties="keep", both_bad="tie")).version
    assert {line: found for line, found in ledger(both).items() if line <= 3} == dict.fromkeys(
        (1, 2, 3), ("kept", None)
    )


def test_quorum_and_margin_are_thresholds_that_the_ledger_names(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference", overlap=3)
    judge(campaign, votes(i1="ffs", i2="fff", i3="f--"))
    strict = resolve(campaign, settings(margin=0.5)).version
    row = strict.ledger().row(0, named=True)
    assert (row["reason"], row["value"], row["threshold"]) == ("annotation_low_margin", pytest.approx(1 / 3), 0.5)
    assert ledger(strict)[2] == ("kept", None) and ledger(strict)[3][1] == "annotation_no_quorum"
    assert ledger(resolve(campaign, settings(quorum=1)).version)[3] == ("kept", None)


def test_gold_and_repeats_never_become_rows(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference", gold=["first", "second"], repeats=[1, 2], overlap=2)
    said = votes(i1="ff-", i2="s--")
    for who in ("a01", "a02"):
        said[who] |= {"g0": "first", "g1": "first", "r1": "second"}
    said["a02"] |= {"r2": "second"}  # answered only when it came again
    judge(campaign, said)
    version = checked(resolve(campaign, settings()).version, campaign)
    assert version.ledger().height == 8 and version.frame("preference")["line"].to_list() == [1, 2]
    # The repeat's other answer does not count beside the first one, and stands in where there is no first one.
    assert told(version, "preference", 1)["annotation"]["votes"] == {"preference": {"first": 2}}
    assert told(version, "preference", 2)["annotation"]["votes"] == {"preference": {"second": 2}}


def test_only_submitted_answers_count(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference", overlap=1)
    judge(campaign, {"a01": {"1": ("draft", "second"), "2": "first"}, "a02": {"1": ("withdrawn", "second")}})
    assert ledger(resolve(campaign, settings()).version)[1] == ("dropped", "annotation_no_quorum")


def test_the_same_judgements_and_settings_give_the_same_version(source: Version, tmp_path: Path) -> None:
    names = []
    for folder in ("x", "y"):
        campaign = campaign_of(source, tmp_path / folder / "c", "preference")
        judge(campaign, votes(i1="fff", i2="ssf"))
        names.append(resolve(campaign, settings()).version.name)
    again = resolve(campaign, settings())
    assert names[0] == names[1] == again.version.name and again.unchanged
    assert resolve(campaign, settings(quorum=2)).version.name != names[0]
    judge(campaign, votes(i1="fff", i2="sss"))
    assert resolve(campaign, settings()).version.name != names[0]


def test_rows_that_could_not_be_shown_are_rejected(source: Version, tmp_path: Path) -> None:
    eighth = source.frame("preference").row(7, named=True)
    left = {
        **{name: eighth[name] for name in ("source", "line", "id")},
        "role": "ask",
        "reason": "too_long",
        "detail": "…",
    }
    campaign = campaign_of(
        source, tmp_path / "c", "preference", lines=[1, 2], left_out=[left, {**left, "role": "repeat"}]
    )
    judge(campaign, votes(i1="fff"))
    version = checked(resolve(campaign, settings()).version, campaign)
    assert ledger(version)[8] == ("rejected", "too_long") and version.manifest.counts.rows["in"] == 3


def test_nothing_decided_is_a_verdict_and_nothing_pulled_a_fault(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference")
    with pytest.raises(UsageFault, match="no judgements yet"):
        resolve(campaign, settings())
    judge(campaign, votes(i1="f--"))
    with pytest.raises(DataVerdict, match="8 annotation_no_quorum"):
        resolve(campaign, settings())
    assert not (campaign.path / "resolved").exists()


def test_weights_and_gold_accuracy_let_the_careful_win(source: Version, tmp_path: Path) -> None:
    gold = ["first", "second"] * 5
    campaign = campaign_of(source, tmp_path / "c", "preference", gold=gold)
    said = votes(i1="sff", i2="fss")
    for place, right in enumerate(gold):
        wrong = "second" if right == "first" else "first"
        said["a01"][f"g{place}"] = right
        said["a02"][f"g{place}"], said["a03"][f"g{place}"] = wrong, wrong if place % 2 else right
    judge(campaign, said)
    assert told(resolve(campaign, settings()).version, "preference", 1)["annotation"]["verdicts"] == {
        "preference": "first"
    }
    for values in ({}, {"weights": {"a01": 1.0, "a02": 0.3, "a03": 0.3}}):
        made = resolve(campaign, settings(method="weighted", **values)).version
        assert ledger(made)[1] == ("edited", None) and ledger(made)[2] == ("kept", None)
    with pytest.raises(UsageFault, match="no weight for a02, a03"):
        resolve(campaign, settings(method="weighted", weights={"a01": 1.0}))


def test_weighted_without_gold_says_what_to_do(source: Version, tmp_path: Path) -> None:
    campaign = campaign_of(source, tmp_path / "c", "preference")
    judge(campaign, votes(i1="fff"))
    with pytest.raises(UsageFault, match="nobody answered a gold item"):
        resolve(campaign, settings(method="weighted"))


def test_dawid_skene_hears_who_is_careless(tmp_path: Path) -> None:
    version = version_with(pairs(120), tmp_path)
    campaign = campaign_of(version, tmp_path / "c", "preference", overlap=4)
    truth = {str(n): "first" if (n * 7) % 3 else "second" for n in range(1, 121)}
    other = {"first": "second", "second": "first"}

    def says(who: str, item: str) -> str:
        n = int(item)
        careless = (n * 2654435761 + {"a03": 1, "a04": 2}.get(who, 0) * 40503) % 97 < 48
        wrong = n % 20 == 3 if who in ("a01", "a02") else careless
        return other[truth[item]] if wrong else truth[item]

    judge(campaign, everybody(("a01", "a02", "a03", "a04"), list(truth), says))
    right = {}
    for method in ("majority", "dawid_skene"):
        made = resolve(campaign, settings(method=method), tmp_path / method).version
        found = made.frame("preference")
        verdicts = [orjson.loads(meta)["annotation"]["verdicts"]["preference"] for meta in found["meta"]]
        right[method] = sum(truth[str(line)] == said for line, said in zip(found["line"], verdicts, strict=True))
    assert right["dawid_skene"] >= 112 > right["majority"]


class Notices(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize("seed", range(5))
def test_gold_items_hold_dawid_skene_where_three_annotators_cannot(seed: int, tmp_path: Path) -> None:
    """One good, one careless, one who mostly clicks left: 300 pairs, and 30 whose answer is known."""
    version = version_with(pairs(300), tmp_path)
    chance, other = random.Random(seed), {"first": "second", "second": "first"}
    truth = {str(n): chance.choice(["first", "second"]) for n in range(1, 301)}
    gold = [chance.choice(["first", "second"]) for _ in range(30)]
    sides = truth | {f"g{place}": right for place, right in enumerate(gold)}

    def says(who: str, item: str) -> str:
        sure = {"a01": 0.95, "a02": 0.55, "a03": 0.95}[who]
        if who == "a03" and chance.random() < 0.6:
            return chance.choice(["first", "second"])  # the left one, and sides were drawn
        return sides[item] if chance.random() < sure else other[sides[item]]

    said = everybody(PEOPLE, list(sides), says)
    right: dict[str, float] = {}
    for name, known in (("gold", gold), ("none", [])):
        campaign = campaign_of(version, tmp_path / name, "preference", gold=known)
        judge(
            campaign,
            {who: {item: v for item, v in answers.items() if known or item[0] != "g"} for who, answers in said.items()},
        )
        for method in ("majority", "weighted", "dawid_skene") if known else ("dawid_skene",):
            heard = Notices()
            made = resolve(campaign, settings(method=method), tmp_path / name / method, progress=heard).version
            found = made.frame("preference")
            verdicts = [orjson.loads(meta)["annotation"]["verdicts"]["preference"] for meta in found["meta"]]
            hits = sum(truth[str(line)] == verdict for line, verdict in zip(found["line"], verdicts, strict=True))
            right[f"{name} {method}"] = hits / 300
            assert bool(heard.said) == (name == "none")
    assert right["gold dawid_skene"] >= 0.92 and right["gold weighted"] >= 0.9 and right["gold majority"] < 0.9


def test_ledger_has_the_columns_of_the_house() -> None:
    from datakit.versions.ledger import LEDGER as HOUSE

    assert list(LEDGER)[: len(HOUSE)] == list(HOUSE) and all(LEDGER[name] == HOUSE[name] for name in HOUSE)


def test_every_kind_of_campaign_loads_as_a_dataset(tmp_path: Path) -> None:
    from datasets import load_dataset

    source = version_with([*plain_rows(3), *texts(3), *pairs(3)], tmp_path)
    values: dict[str, Any] = {
        "preference": "second",
        "rating": {"helpful": 4, "polite": 5},
        "labels": ["价格"],
        "spans": [{"start": 0, "end": 2, "label": "price"}],
        "rewriting": "您好，请问有什么可以帮您？",
    }
    for kind, value in values.items():
        lines = [7, 8, 9] if kind == "preference" else [1, 2, 3, 4, 5, 6]
        campaign = campaign_of(source, tmp_path / kind, kind, lines=lines, overlap=1)
        judge(campaign, {"a01": {str(line): value for line in lines}})
        version = checked(resolve(campaign, settings()).version, campaign)
        loaded = load_dataset(str(version.path.parent), split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded.num_rows == 3 and open_campaign(campaign.path).name == kind
