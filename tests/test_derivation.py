"""`datakit split` and `datakit mix`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import datakit
from datakit.cleaning.clean import CleanResult
from datakit.derivation.mix import Ingredient, mix
from datakit.derivation.split import split
from datakit.errors import DataVerdict, UsageFault
from datakit.versions.store import Version, verify

SALES = Path(__file__).parents[1] / "recipes" / "sales.toml"
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
LONG = "采购软件之前，建议先把现有流程梳理一遍：谁发起、谁审批、数据从哪里来、最后由谁归档。流程清楚之后，再看系统能否与财务对接。"


def chat(*turns: str, **meta: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)], "meta": meta}


def run(folder: Path, rows: list[Any], out: str = "clean", **clean: Any) -> CleanResult:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{out}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return datakit.clean(folder / f"{out}.jsonl", folder / out, {"clean": {"steps": ["normalise", "near"], **clean}})


def rows_of(version: Version) -> pl.DataFrame:
    return version.ledger().filter(pl.col("decision") == "kept").select("source", "line", "id")


def keys(version: Version) -> set[tuple[str, int]]:
    return {(source, line) for source, line, _ in rows_of(version).iter_rows()}


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> CleanResult:
    return datakit.clean(SALES.parent / "sales" / "raw", tmp_path_factory.mktemp("sales") / "clean", SALES)


def test_rows_in_are_rows_out_and_every_share_is_whole(sales: CleanResult, tmp_path: Path) -> None:
    made = split(sales.version, tmp_path, SHARES, group_by=["行业"], stratify=["language"])
    counts = {name: share.manifest.counts.rows for name, share in made.shares.items()}
    assert sum(rows["in"] for rows in counts.values()) == 642 == sum(rows["kept"] for rows in counts.values())
    found = pl.concat([rows_of(share) for share in made.shares.values()])
    kept = sales.ledger.filter(pl.col("decision").is_in(["kept", "edited"])).select("source", "line", "id")
    assert found.sort("source", "line").equals(kept.sort("source", "line"))
    for name, share in made.shares.items():
        assert verify(share) == []
        assert share.manifest.parents == (sales.version.reference,)
        told = share.manifest.recipe["split"]
        assert told["share"] == name and told["rows"] == {name: rows["in"] for name, rows in counts.items()}
        for kind, frame in ((kind, share.frame(kind)) for kind in share.manifest.counts.kinds):
            before = sales.frames[kind].join(
                frame.select("source", "line"), on=["source", "line"], how="semi", maintain_order="left"
            )
            assert frame.equals(before)
    assert 0.75 < counts["train"]["in"] / 642 < 0.85


def test_similar_rows_never_straddle(sales: CleanResult, tmp_path: Path) -> None:
    loose = datakit.clean(SALES.parent / "sales" / "raw", tmp_path / "loose", {"clean": {"near": {"threshold": 1.0}}})
    made = split(loose.version, tmp_path / "s", {"a": 1, "b": 1, "c": 1})
    where = {key: name for name, share in made.shares.items() for key in keys(share)}
    pairs = pl.read_parquet(loose.path / "pairs.parquet")
    together = [
        (where.get((a, m)), where.get((b, n)))
        for a, m, b, n in pairs.select("a_source", "a_line", "b_source", "b_line").iter_rows()
    ]
    apart = [pair for pair in together if None not in pair]
    assert len(apart) >= 20 and all(one == other for one, other in apart)


TURN = st.sampled_from(["您好", "报价多少", "看合同", "ok", "demo"])
ROW = st.builds(
    lambda turns, name, kind: [chat(*turns, customer=name), chat(*turns), {"prompt": turns[0], "chosen": f"{turns[-1]}甲", "rejected": "乙"}, {"text": f"{turns[0]} {LONG}", "meta": {"customer": name}}][kind],
    st.lists(TURN, min_size=2, max_size=5), st.sampled_from(["甲公司", "Acme", "乙公司", 7]), st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=20, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(st.lists(ROW, min_size=3, max_size=25), st.integers(-3, 3))
def test_what_belongs_together_stays_together(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], seed: int
) -> None:
    tmp = tmp_path_factory.mktemp("g")
    rows = [chat("谁", "是", customer="甲公司"), *rows]
    first = run(tmp, rows, steps=["normalise"])
    try:
        made = split(first.version, tmp / "s", {"a": 2, "b": 1}, seed=seed, group_by=["customer"])
    except DataVerdict as refused:
        assert "groups for" in str(refused)
        return
    assert sum(share.manifest.counts.rows["in"] for share in made.shares.values()) == len(rows)
    seen: dict[Any, set[str]] = {}
    for name, share in made.shares.items():
        for _, line in keys(share):
            row = rows[line - 1]
            turns = [turn["content"] for turn in row.get("messages", [])]
            labels = [
                ("customer", row.get("meta", {}).get("customer")),
                ("opening", tuple(turns[:2])),
                ("prompt", row.get("prompt")),
            ]
            for kind, label in labels:
                if label not in (None, ()):
                    seen.setdefault((kind, label), set()).add(name)
    assert all(len(shares) == 1 for shares in seen.values())
    again = split(first.version, tmp / "again", {"a": 2, "b": 1}, seed=seed, group_by=["customer"])
    assert [share.name for share in again.shares.values()] == [share.name for share in made.shares.values()]


def test_strata_are_spread_alike_and_seeds_differ(tmp_path: Path) -> None:
    rows = [chat(f"第{n}问", f"{n} 答 {chr(0x4E00 + 37 * n)}", sector="甲" if n % 4 else "乙") for n in range(400)]
    first = run(tmp_path, rows)
    made = split(first.version, tmp_path / "s", SHARES, stratify=["sector"])
    for name, size in SHARES.items():
        metas = [orjson.loads(text)["sector"] for text in made.shares[name].frame("messages")["meta"]]
        assert abs(metas.count("乙") - 100 * size) <= 1 and abs(metas.count("甲") - 300 * size) <= 1
    other = split(first.version, tmp_path / "t", SHARES, stratify=["sector"], seed=1)
    assert keys(other.shares["test"]) != keys(made.shares["test"])


def test_wrong_shares_and_keys_are_refused(sales: CleanResult, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="two or more"):
        split(sales.version, tmp_path, {"train": 1})
    with pytest.raises(UsageFault, match="a number above 0"):
        split(sales.version, tmp_path, {"train": 1, "test": 0})
    with pytest.raises(UsageFault, match="a folder"):
        split(sales.version, tmp_path, {"train": 1, "../test": 1})
    with pytest.raises(UsageFault, match="行业"):
        split(sales.version, tmp_path, SHARES, group_by=["nobody"])
    with pytest.raises(DataVerdict, match="no row of 642 in 3 groups for b"):
        split(sales.version, tmp_path, {"a": 1, "b": 1e-9}, group_by=["kind"])
    assert list(tmp_path.iterdir()) == []


def test_a_share_loads_as_a_dataset(sales: CleanResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    made = split(sales.version, tmp_path / "s", SHARES)
    mixed = mix(
        [Ingredient(made.shares["train"], weight=1), Ingredient(made.shares["test"], weight=1)], tmp_path / "mixed"
    )
    for dataset in (made.shares["test"].path.parent, mixed.version.path.parent):
        rows = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path / "cache"))["train"]
        assert set(rows["id"]) <= set(sales.ledger["id"]) and len(rows)


def named(tmp_path: Path, name: str, rows: range, **meta: Any) -> Version:
    return run(tmp_path, [chat(f"{name}第{n}问", f"{n}答{chr(0x4E00 + 41 * n)}", **meta) for n in rows], name).version


def test_weights_take_as_many_rows_as_they_allow(tmp_path: Path) -> None:
    one, other = named(tmp_path, "one", range(100)), named(tmp_path, "other", range(30))
    made = mix([Ingredient(one, 0.5), Ingredient(other, 0.25)], tmp_path / "m")
    assert made.taken == [60, 30]
    counts = made.version.manifest.counts
    assert counts.rows == {"in": 130, "kept": 90, "edited": 0, "dropped": 40, "rejected": 0} and counts.reasons == {
        "over_share": 40
    }
    assert verify(made.version) == [] and made.version.manifest.parents == (one.reference, other.reference)
    dropped = pl.read_parquet(made.version.path / "dropped" / "messages.parquet")
    assert dropped.height == 40 and not set(dropped["id"]) & set(made.version.frame("messages")["id"])
    assert mix([Ingredient(one, 2), Ingredient(other, 1)], tmp_path / "n", rows=9).taken == [6, 3]


def test_caps_and_whole_versions(tmp_path: Path) -> None:
    one, other, third = (
        named(tmp_path, name, range(size)) for name, size in (("one", 50), ("other", 20), ("third", 5))
    )
    made = mix([Ingredient(one, most=10), Ingredient(other), Ingredient(third, weight=1)], tmp_path / "m", seed=4)
    assert made.taken == [10, 20, 5] and made.version.manifest.counts.reasons == {"over_cap": 40}
    again = mix([Ingredient(one, most=10), Ingredient(other), Ingredient(third, weight=1)], tmp_path / "n", seed=4)
    assert again.version.name == made.version.name
    assert (
        mix(
            [Ingredient(one, most=10), Ingredient(other), Ingredient(third, weight=1)], tmp_path / "o", seed=5
        ).version.name
        != made.version.name
    )


def test_no_row_comes_twice_and_keys_stay_apart(tmp_path: Path) -> None:
    rows = [chat(f"第{n}问", f"{n}答{chr(0x4E00 + 41 * n)}") for n in range(20)]
    one = run(tmp_path, rows).version
    other = run(tmp_path, [chat("新", "的"), *rows[5:]]).version
    made = mix([Ingredient(one), Ingredient(other)], tmp_path / "m")
    assert made.taken == [20, 1] and made.version.manifest.counts.reasons == {"same_row": 15}
    ledger = made.version.ledger()
    assert ledger.select(pl.struct("source", "line").is_duplicated().any()).item() is False
    twins = ledger.filter(pl.col("reason") == "same_row")
    assert (twins["twin_source"] == "clean.jsonl").all() and (twins["line"] == twins["twin_line"] - 4).all()
    assert made.version.frame("messages")["source"].unique().to_list() != ["clean.jsonl"]
    with pytest.raises(UsageFault, match="named twice"):
        mix([Ingredient(one), Ingredient(one)], tmp_path / "x")
    with pytest.raises(UsageFault, match="a version with a weight"):
        mix([Ingredient(one)], tmp_path / "x", rows=3)
    with pytest.raises(UsageFault, match="a number above 0"):
        mix([Ingredient(one, weight=-1)], tmp_path / "x")


def test_the_commands(sales: CleanResult) -> None:
    def say(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "datakit", *arguments], capture_output=True, text=True, cwd=sales.path.parents[1]
        )

    plain = orjson.loads(say("split", "clean", "train=9", "test=1", "--json").stdout)
    assert sum(share["rows"] for share in plain["shares"].values()) == 642 and plain["largest_group"] >= 2
    shown = say("mix", "clean-split/train=1", "clean-split/test=10rows", "-o", "mixed").stdout
    assert "10 rows of test@" in shown and "over_cap" in shown
    assert orjson.loads(say("mix", "clean-split/test", "-o", "more", "--json").stdout)["rows"]["dropped"] == 0
    for arguments in (("split", "clean", "train"), ("mix", "clean=much", "-o", "x"), ("split", "clean", "a=1", "a=2")):
        assert say(*arguments).returncode == 2
