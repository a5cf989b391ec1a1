"""Every answer accounted for: what pull makes of responses, in whatever order and however broken they come."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from campaign_rows import campaign_of, version_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pretend_argilla import Pretended, identity
from pushed_rows import pairs

from annotation import client
from annotation.campaigns.campaign import Campaign, Guideline
from annotation.judgements import responses
from annotation.judgements.annotators import Annotator, meet, read_annotators, write_annotators
from annotation.judgements.judgements import LEDGER, account, canonical, in_force, read
from annotation.judgements.pull import CURSOR, pull
from annotation.judgements.responses import Response, utc
from datakit.errors import DataVerdict, Surroundings, UsageFault
from datakit.versions.store import versions

PEOPLE = ("中文名", "ümlaut", "🙂 anna")
VALUES = ("A", "B", "tie", "both_bad")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Campaign]:
    """A campaign a kind, on six pairs."""
    folder = tmp_path_factory.mktemp("accounts")
    version = version_with(pairs(6), folder)
    kinds = ("preference", "rating", "ranking", "labels", "spans", "rewriting")
    return {kind: campaign_of(version, folder / "campaigns" / kind, kind, repeats=(2,)) for kind in kinds}


@pytest.fixture
def campaign(made: dict[str, Campaign], tmp_path: Path) -> Campaign:
    return copied(made["preference"], tmp_path / "copy")


def copied(campaign: Campaign, folder: Path) -> Campaign:
    shutil.copytree(campaign.path, folder)
    return Campaign(folder, campaign.manifest)


def pretended(campaign: Campaign) -> Pretended:
    there = Pretended(campaign.manifest.dataset_name, campaign.manifest.workspace)
    there.records = {item: identity("record", item) for item in campaign.items()["item"]}
    return there


def said(values: Mapping[str, Any], status: str = "submitted", item: str | None = "1") -> Response:
    time = "2026-11-24T01:00:00.000000Z"
    return Response(id="r", record="n", item=item, user="u", status=status, values=values, first=time, last=time)


def one(campaign: Campaign, item: str = "1") -> dict[str, Any]:
    return next(row for row in campaign.items().iter_rows(named=True) if row["item"] == item)


# -- one response ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("preference", "C"), ("preference", None), ("preference", ["A"]), ("preference", {"A": 1}), ("preference", 1),
        ("rating", 6), ("rating", "4"), ("rating", 3.5), ("rating", None),
        ("ranking", [{"value": "A", "rank": 1}]), ("ranking", "A"), ("ranking", [1, 2]), ("ranking", None),
        ("ranking", [{"value": name, "rank": None} for name in "ABC"]),
        ("labels", []), ("labels", ["价格", "nothing"]), ("labels", [["价格"]]), ("labels", 3),
        ("spans", [{"start": 0, "end": 2}]), ("spans", [{"start": 0, "end": 2, "label": "none"}]), ("spans", "x"),
        ("rewriting", ["text"]), pytest.param("rewriting", "\ud800", id="half-a-sign"), ("rewriting", None),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_one_is_rejected_by_name_and_no_draft_is(
    made: dict[str, Campaign], kind: str, raw: Any
) -> None:
    campaign = made[kind]
    name = campaign.questions[0]["name"]
    kept, lines = account(said({name: raw}), one(campaign), campaign, "a01")
    assert not kept and [(line["decision"], line["reason"]) for line in lines] == [("rejected", "bad_value")]
    for status in ("draft", "discarded"):  # nobody said that these are answers
        kept, lines = account(said({name: raw}, status), one(campaign), campaign, "a01")
        assert [row["value"] for row in kept] == [None] and [line["decision"] for line in lines] == ["kept"]


def test_an_answer_is_kept_beside_one_that_is_rejected(made: dict[str, Campaign]) -> None:
    kept, lines = account(said({"helpful": 4, "polite": 9, "else": 1}), one(made["rating"]), made["rating"], "a01")
    assert [(row["question"], row["value"]) for row in kept] == [("helpful", "4")]
    assert [(line["question"], line.get("reason")) for line in lines] == [
        ("helpful", None), ("polite", "bad_value"), ("else", "unknown_question"),
    ]  # fmt: skip


def test_responses_to_nothing_of_ours_are_rejected(made: dict[str, Campaign]) -> None:
    campaign = made["preference"]
    for item in ("strange", None):
        kept, lines = account(said({"preference": "A"}, item=item), None, campaign, "a01")
        assert not kept and [line["reason"] for line in lines] == ["unknown_item"]
    kept, lines = account(said({}), one(campaign), campaign, "a01")  # submitted, and says nothing
    assert not kept and [line["reason"] for line in lines] == ["bad_value"]
    kept, lines = account(said({}, "discarded"), one(made["rating"]), made["rating"], "a01")
    assert [(row["question"], row["value"], row["shown"]) for row in kept] == [
        ("helpful", None, None),
        ("polite", None, None),
    ]


@given(
    order=st.permutations(range(3)),
    ranks=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    sent=st.permutations("ABC"),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranks_by_place_become_ranks_by_answer(
    made: dict[str, Campaign], order: list[int], ranks: list[int], sent: list[str]
) -> None:
    by_answer = dict(enumerate(ranks))
    shown = [by_answer[order[place]] for place in range(3)]
    raw = [{"value": letter, "rank": shown["ABC".index(letter)]} for letter in sent]
    kept, _ = account(said({"ranking": raw}), {**one(made["ranking"]), "order": order}, made["ranking"], "a01")
    assert orjson.loads(kept[0]["value"]) == ranks and orjson.loads(kept[0]["shown"]) == shown


@pytest.mark.parametrize(("order", "left"), [([0, 1], "first"), ([1, 0], "second")])
def test_a_side_means_the_answer_that_stood_there(made: dict[str, Campaign], order: list[int], left: str) -> None:
    right = "second" if left == "first" else "first"
    for shown, value in (("A", left), ("B", right), ("tie", "tie"), ("both_bad", "both_bad")):
        kept, _ = account(
            said({"preference": shown}), {**one(made["preference"]), "order": order}, made["preference"], "a01"
        )
        assert (kept[0]["shown"], kept[0]["value"]) == (canonical(shown), canonical(value))


def test_the_guideline_of_an_answer_is_the_last_one_before_it() -> None:
    guidelines = [Guideline(hash=name, since=f"2026-01-0{day}T00:00:00.000000Z") for name, day in (("x", 2), ("y", 4))]
    times = (
        "2026-01-01T00:00:00.000000Z",
        "2026-01-02T00:00:00.000000Z",
        "2026-01-03T23:59:59.999999Z",
        "2026-01-04T00:00:00.000000Z",
    )
    assert [in_force(guidelines, time) for time in times] == ["x", "x", "x", "y"]


@pytest.mark.parametrize(
    "time",
    ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000+00:00", "2026-01-02T11:04:05+08:00"],
)
def test_times_of_the_server_have_one_form(time: str) -> None:
    assert utc(time) == "2026-01-02T03:04:05.000000Z"


# -- people ------------------------------------------------------------------------------------------------------------


@given(
    firsts=st.lists(st.tuples(st.integers(0, 99).map("{:02}".format), st.sampled_from("uvwxyz")), max_size=12),
    cuts=st.sets(st.integers(0, 12)),
)
def test_pseudonyms_do_not_depend_on_when_one_pulls(firsts: list[tuple[str, str]], cuts: set[int]) -> None:
    names = {user: f"name {user}" for user in "uvwxyz"}
    firsts = sorted(firsts)
    known: dict[str, Annotator] = {}
    for cut in (*sorted(cuts), 12):
        known = meet(known, reversed(firsts[:cut]), names)
    assert known == meet({}, firsts, names)
    assert sorted(who.pseudonym for who in known.values()) == [f"a{number:02}" for number in range(1, len(known) + 1)]


def test_a_new_name_and_a_new_account_are_the_same_person() -> None:
    known = meet({}, [("1", "u"), ("2", "v")], {"u": "anna", "v": "本"})
    renamed = meet(known, [], {"u": "anna b", "v": "本"})
    assert renamed["u"] == Annotator("anna b", "a01")
    anew = meet(renamed, [("3", "w"), ("4", "x")], {"w": "anna b", "v": "本", "x": "new"})
    assert anew["w"].pseudonym == "a01" and anew["x"].pseudonym == "a03"


def test_a_damaged_file_of_names_is_told_without_a_name(tmp_path: Path) -> None:
    write_annotators(tmp_path, {"u": Annotator("中文名", "a01")})
    path = tmp_path / "annotators.json"
    path.write_bytes(path.read_bytes().replace(b"pseudonym", b"pseudonum"))
    with pytest.raises(DataVerdict) as fault:
        read_annotators(tmp_path)
    assert "中文名" not in str(fault.value)


def test_names_that_are_lost_stop_a_pull_before_pseudonyms_are_mixed(campaign: Campaign) -> None:
    there = pretended(campaign)
    there.say("1", PEOPLE[0], {"preference": "A"})
    with there.server() as server:
        pull(campaign, server)
        (campaign.path / "annotators.json").unlink()
        there.say("2", PEOPLE[1], {"preference": "A"})
        with pytest.raises(DataVerdict, match=r"annotators\.json"):
            pull(campaign, server)


# -- pulls -------------------------------------------------------------------------------------------------------------

SAYS = st.tuples(
    st.sampled_from(["1", "2", "3", "4", "5", "6", "r2"]),
    st.sampled_from(PEOPLE),
    st.one_of(st.sampled_from(VALUES), st.none()),
    st.booleans(),  # pull now
)


@given(says=st.lists(SAYS, max_size=15))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_when_one_pulls_does_not_show(
    made: dict[str, Campaign], says: list[tuple[str, str, str | None, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("when")
    often, once, whole = (copied(made["preference"], folder / name) for name in ("often", "once", "whole"))
    there = pretended(often)
    with there.server() as server:
        for item, who, value, now in says:
            there.say(item, who, {"preference": value} if value else None, "submitted" if value else "discarded")
            if now:
                pull(often, server)
        found = [pull(often, server), pull(once, server), pull(whole, server, full=True)]
        assert len({result.version.manifest.fingerprint for result in found}) == 1
        assert all(pull(campaign, server, full=True).unchanged for campaign in (often, once, whole))
    last = {(item, who): value for item, who, value, _ in says}
    names = {who.name: who.pseudonym for who in read_annotators(once.path).values()}
    frame = read(once)
    assert {(row["item"], row["annotator"]): row["shown"] for row in frame.iter_rows(named=True)} == {
        (item, names[who]): value and canonical(value) for (item, who), value in last.items()
    }
    ledger = found[0].version.ledger()
    assert ledger.schema == LEDGER and ledger.height == len(last) == frame.height
    assert (
        frame.drop("answered_at", "response")
        .sort("item", "annotator")
        .equals(read(often).drop("answered_at", "response").sort("item", "annotator"))
    )


LEAVES = st.one_of(
    SAYS, st.tuples(st.just("record"), st.sampled_from("123")), st.tuples(st.just("user"), st.sampled_from(PEOPLE))
)


@given(steps=st.lists(LEAVES, min_size=1, max_size=15))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_pulled_is_never_lost_and_never_twice(
    made: dict[str, Campaign], steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    campaign = copied(made["preference"], tmp_path_factory.mktemp("leaves") / "campaign")
    there, seen = pretended(campaign), set()
    with there.server() as server:
        for number, step in enumerate(steps):
            if step[0] == "record":
                if step[1] in there.records:
                    there.remove_record(step[1])
                there.records[step[1]] = identity("again", step[1], number)
            elif step[0] == "user":
                if step[1] in there.users:
                    there.remove_user(step[1])
                    there.users[step[1]] = identity("again", step[1], number)
            else:
                item, who, value, _ = step
                there.say(item, who, {"preference": value} if value else None, "submitted" if value else "discarded")
                seen.add((item, who))
            result = pull(campaign, server)
            frame = read(campaign)
            names = {user.pseudonym: user.name for user in read_annotators(campaign.path).values()}
            assert sorted((row["item"], names[row["annotator"]]) for row in frame.iter_rows(named=True)) == sorted(seen)
            assert result.answers["in"] == sum(result.answers[name] for name in ("kept", "dropped", "rejected"))
            assert pull(campaign, server, full=True).unchanged
        living = {(item, names_of(campaign)[user]) for (item, user) in there.responses}
        gone = read(campaign).filter(read(campaign)["gone"].is_not_null())
        assert {(row["item"], row["annotator"]) for row in gone.iter_rows(named=True)}.isdisjoint(living)


def names_of(campaign: Campaign) -> dict[str, str]:
    return {who.name: who.pseudonym for who in read_annotators(campaign.path).values()}


def test_a_search_that_misses_something_is_not_believed(campaign: Campaign) -> None:
    there = pretended(campaign)
    for item in ("1", "2", "3"):
        there.say(item, PEOPLE[0], {"preference": "A"})
    there.hidden = {"2"}
    with there.server() as server:
        result = pull(campaign, server)
        assert result.read == "everything" and result.answers["kept"] == 3 and not result.gone
        there.hidden = set()
        there.say("4", PEOPLE[0], {"preference": "A"})
        assert pull(campaign, server).read == "answered"


def test_pages_are_put_together(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_PAGE", 2)
    there = pretended(campaign)
    for item in there.records:
        there.say(item, PEOPLE[0], {"preference": "A"})
    with there.server() as server:
        assert pull(campaign, server).answers["kept"] == len(there.records) == 7
        assert pull(campaign, server, full=True).unchanged


def test_records_that_go_while_they_are_read_are_noticed(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_PAGE", 2)
    there = pretended(campaign)
    for item in there.records:
        there.say(item, PEOPLE[0], {"preference": "A"})
    with there.server() as server:
        pull(campaign, server)
        gone = iter(["1", "2", "3"])

        def fault(number: int, path: str) -> None:
            if path.endswith("/records") and there.asked.count(path) % 4 == 2:
                there.remove_record(next(gone, "4")) if len(there.records) > 3 else None

        there.fault = fault
        try:
            result = pull(campaign, server, full=True)
        except Surroundings as error:
            assert "come and go" in str(error)
            there.fault = lambda number, path: None
            result = pull(campaign, server, full=True)
    assert result.answers["kept"] == 7 and set(read(campaign)["status"]) == {"submitted"}
    assert result.gone == {"record": 7 - len(there.records)}


@pytest.mark.parametrize("status", [500, 502, 429])
def test_faults_are_tried_again_and_then_told(campaign: Campaign, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    there = pretended(campaign)
    there.say("1", PEOPLE[0], {"preference": "A"})
    failed: set[str] = set()

    def once(number: int, path: str) -> httpx.Response | None:
        if path in failed:
            return None
        failed.add(path)
        return httpx.Response(status, json={"detail": "busy"})

    there.fault = once
    with there.server() as server:
        assert pull(campaign, server).answers["kept"] == 1  # each call failed once, the search among them
        assert len(failed) == 6 and len(pauses) == 6
        before, cursor = versions(campaign.judgements_path), (campaign.path / CURSOR).read_bytes()
        there.say("2", PEOPLE[0], {"preference": "A"})
        there.fault = lambda number, path: httpx.Response(status) if path.endswith("search") else None
        with pytest.raises(Surroundings, match=str(status)):
            pull(campaign, server)
        assert versions(campaign.judgements_path) == before and (campaign.path / CURSOR).read_bytes() == cursor
        there.fault = lambda number, path: None
        assert pull(campaign, server).answers["kept"] == 2


def test_what_may_not_be_repeated_is_not(campaign: Campaign) -> None:
    there = pretended(campaign)
    there.fault = lambda number, path: httpx.Response(403, json={"detail": "no"})
    with there.server() as server, pytest.raises(UsageFault, match="may not"):
        pull(campaign, server)
    assert len(there.asked) == 1


@pytest.mark.parametrize("damage", [b"", b"{", b'{"seen": 1}'])
def test_a_lost_or_damaged_cursor_costs_a_reading_and_no_more(campaign: Campaign, damage: bytes) -> None:
    there = pretended(campaign)
    there.say("1", PEOPLE[0], {"preference": "A"})
    with there.server() as server:
        pull(campaign, server)
        (campaign.path / CURSOR).write_bytes(damage)
        result = pull(campaign, server)
        assert result.unchanged and result.read == "answered"
        assert pull(campaign, server).read == "nothing"


def test_a_version_that_lost_a_file_is_made_again(campaign: Campaign) -> None:
    there = pretended(campaign)
    there.say("1", PEOPLE[0], {"preference": "A"})
    with there.server() as server:
        first = pull(campaign, server)
        (first.version.path / "README.md").unlink()
        assert pull(campaign, server).version.name == first.version.name
        assert (first.version.path / "README.md").is_file()


def test_answers_that_come_in_while_pull_reads_are_there_the_next_time(campaign: Campaign) -> None:
    there = pretended(campaign)
    there.say("1", PEOPLE[0], {"preference": "A"})

    def meanwhile(number: int, path: str) -> None:
        if path.endswith("search"):
            there.fault = lambda number, path: None
            there.say("2", PEOPLE[1], {"preference": "B"})
            there.say("1", PEOPLE[0], {"preference": "B"})

    there.fault = meanwhile
    with there.server() as server:
        pull(campaign, server)
        result = pull(campaign, server)
    assert result.answers["kept"] == 2 and sorted(read(campaign)["shown"]) == ['"B"', '"B"']
