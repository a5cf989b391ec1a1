"""`datakit recut`: a version cut anew is the version that a full run gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import datakit
from datakit.cleaning.clean import CleanResult
from datakit.cleaning.recut import recut
from datakit.errors import DataVerdict, RecipeError, UsageFault
from datakit.recipe.load import load_recipe
from datakit.versions.store import open_version, verify

SALES = Path(__file__).parents[1] / "recipes" / "sales.toml"
LONG = "采购软件之前，建议先把现有流程梳理一遍：谁发起、谁审批、数据从哪里来、最后由谁归档。流程清楚之后，再看系统能否对接。"
ENGLISH = "Thank you for asking. The annual plan includes support on working days, and training for every new colleague in your team."


def chat(user: str, reply: str, **meta: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": user}, {"role": "assistant", "content": reply}],
        **({"meta": meta} if meta else {}),
    }


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row.encode() if isinstance(row, str) else orjson.dumps(row) for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def tables(sets: list[str]) -> dict[str, Any]:
    return load_recipe(None, sets).model_dump(mode="json")


def assert_same(one: CleanResult, other: CleanResult) -> None:
    """Fingerprint, ledger, records and everything else that tells of rows."""
    assert one.version.manifest.fingerprint == other.version.manifest.fingerprint
    assert one.ledger.equals(other.ledger)
    for name in ("scores", "edits", "pairs", "dropped/rejected"):
        frames = [pl.read_parquet(result.path / f"{name}.parquet") for result in (one, other)]
        if name == "edits":  # by batch, and in a batch by kind
            frames = [frame.sort(pl.all()) for frame in frames]
        assert frames[0].select(sorted(frames[0].columns)).equals(frames[1].select(sorted(frames[1].columns))), name
    assert one.frames.keys() == other.frames.keys()
    assert all(one.frames[kind].equals(other.frames[kind]) for kind in one.frames)
    assert one.version.manifest.counts.rows == other.version.manifest.counts.rows
    assert verify(one.version) == []


TOPIC = st.sampled_from(["报价", "合同", "发票", "demo", "price"])
ROW = st.one_of(
    st.builds(lambda a, b, n: chat(f"{a}和{b}怎么处理？", LONG[: -n or None] + (a if n % 2 else "")), TOPIC, TOPIC, st.integers(0, 12)),
    st.builds(lambda a, n: chat(a, ENGLISH.replace("annual", a) + " !" * n), TOPIC, st.integers(0, 3)),
    st.builds(lambda a, v: chat(a, f"{LONG}电话13800138000", verified=v, date="2024-03-01"), TOPIC, st.booleans()),
    st.builds(lambda a, n: chat(a, f"{a}您好。" * n), TOPIC, st.integers(8, 60)),
    st.builds(lambda a, b, c: {"prompt": f"{a}多少钱？", "chosen": LONG + b, "rejected": "锟斤拷" * 9 if c else LONG[:30] + c * b}, TOPIC, TOPIC, st.sampled_from([False, 1, 2])),
    st.builds(lambda a, n, label: {"prompt": a, "completion": f"{a}不错。" * n, "label": label}, TOPIC, st.integers(1, 30), st.booleans()),
    st.builds(lambda a, n: {"text": f"{a} {LONG * n} {ENGLISH}"}, TOPIC, st.integers(0, 3)),
    st.just(chat("Bonjour", "Bonjour, notre logiciel permet de suivre chaque client et de préparer les contrats sans les ressaisir.")),
    st.just("broken {"),
)  # fmt: skip
SET = st.sampled_from(
    [
        "clean.near.threshold=0.95", "clean.near.threshold=0.7", "clean.near.record_from=0.65",
        "clean.near.answers=0", "clean.near.answers=0.9", 'clean.languages=["zh"]', "clean.languages=[]",
        "clean.language.confidence=0.2", "clean.rules.messages.repetition_top_4_gram=false", "clean.rules.messages.too_short={min=60}",
        "clean.rules.text.gopher_words=false", "clean.rules.unpaired.repetition_lines={max=0.1}", "clean.rules.preference.encoding_damage=false",
        "clean.pii.mode=drop", 'clean.steps=["normalise", "pii", "language", "rules", "exact"]',
        'clean.steps=["normalise", "pii", "exact", "near"]', 'clean.steps=["normalise", "pii", "near"]',
    ]
)  # fmt: skip


# A failing case is not made smaller: three runs a case would take minutes.
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.reuse, Phase.generate]
)
@given(
    st.lists(ROW, min_size=1, max_size=14),
    st.lists(SET, min_size=1, max_size=2, unique_by=lambda text: text.partition("=")[0]),
)
def test_a_recut_is_what_a_full_run_gives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], sets: list[str]
) -> None:
    tmp = tmp_path_factory.mktemp("r")
    before = tables(['clean.languages=["en", "zh"]'])
    paths = [write(tmp / "in" / f"{number}.jsonl", rows[number::2]) for number in range(min(2, len(rows)))]
    first = datakit.clean(paths, tmp / "a", before)
    after = load_recipe(None, ['clean.languages=["en", "zh"]', *sets])
    made = recut(first.version, sets, tmp / "b")
    assert_same(made, datakit.clean(paths, tmp / "c", after))
    back = [
        f"clean.{name}={orjson.dumps(value).decode()}"
        for name, value in (("languages", ["en", "zh"]), ("near.threshold", 0.8))
    ]
    if {text.partition("=")[0] for text in sets} <= {"clean.languages", "clean.near.threshold"}:
        assert recut(made.version, back, tmp / "d").version.manifest.fingerprint == first.version.manifest.fingerprint


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> CleanResult:
    return datakit.clean(SALES.parent / "sales" / "raw", tmp_path_factory.mktemp("sales") / "clean", SALES)


@pytest.mark.parametrize(
    "sets",
    [
        ["clean.near.threshold=0.95"],
        ["clean.near.threshold=0.6"],
        ['clean.languages=["zh"]'],
        ["clean.languages=[]", "clean.rules.messages.repetition_top_2_gram=false"],
        ["clean.pii.mode=drop", "clean.near.answers=0.95"],
    ],
    ids=str,
)
def test_the_example_cut_anew_is_the_example_cleaned_so(sales: CleanResult, tmp_path: Path, sets: list[str]) -> None:
    full = datakit.clean(SALES.parent / "sales" / "raw", tmp_path / "full", load_recipe(SALES, sets))
    made = recut(sales.version, sets, tmp_path / "recut")
    assert_same(made, full)
    assert made.version.manifest.parents == (sales.version.reference,)
    assert made.version.manifest.inputs == full.version.manifest.inputs
    assert datakit.clean(SALES.parent / "sales" / "raw", tmp_path / "recut", load_recipe(SALES, sets)).unchanged


def test_several_batches_give_the_same(sales: CleanResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datakit.cleaning.restored._BATCH", 1)
    for number, sets in enumerate((["clean.near.threshold=0.95"], ["clean.languages=[]"])):
        full = datakit.clean(SALES.parent / "sales" / "raw", tmp_path / f"f{number}", load_recipe(SALES, sets))
        assert_same(recut(sales.version, sets, tmp_path / f"r{number}"), full)


class Ear:
    """Hears notices."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def advance(self, stage: str, done: float, total: float, unit: str) -> None: ...

    def figures(self, stage: str, values: Any) -> None: ...

    def notice(self, text: str) -> None:
        self.said.append(text)


def test_nothing_is_measured_or_sought_unless_rows_come_back(
    sales: CleanResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    recut(sales.version, ["clean.languages=[]"], tmp_path / "loose", progress=ear)
    assert len(ear.said) == 1 and "24 rows come back" in ear.said[0]
    for name in (
        "batch.sign_and_blank",
        "batch.language.detect",
        "batch.normalise.normalise",
        "batch.pii.mask",
        "near._search",
    ):
        monkeypatch.setattr(f"datakit.cleaning.{name}", None)
    ear = Ear()
    recut(sales.version, ["clean.near.threshold=0.7", 'clean.languages=["zh"]'], tmp_path / "strict", progress=ear)
    assert not ear.said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clean.near.threshold=0.5", "at least 0.6: pairs below that similarity were not recorded"),
        ("clean.near.record_from=0.3", "at least 0.6"),
        ("clean.near.bands=10", "it decides which pairs are compared"),
        ("clean.normalise.mojibake=false", "is not stored"),
        ("clean.pii.mode=tag", "mask or drop"),
        ("data.encoding=gb18030", "how files are read"),
        ('clean.steps=["exact"]', "normalise and pii still on"),
        ("clean.near.treshold=0.9", "Did you mean 'threshold'"),
        ("clean.near.threshold=high", "a number"),
    ],
)
def test_what_is_not_stored_is_refused_with_what_to_do(
    sales: CleanResult, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        recut(sales.version, [text], tmp_path / "out")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_several_faults_are_told_at_once(sales: CleanResult, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        recut(sales.version, ["clean.near.rows=5", "clean.max_row_mb=1"], tmp_path)
    assert "clean.near.rows" in str(caught.value) and "clean.max_row_mb" in str(caught.value)
    assert "Run `datakit clean`" in str(caught.value)


def test_new_steps_are_refused_and_exact_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [chat("a", LONG), chat("a", LONG)])
    first = datakit.clean(path, tmp_path / "a", {"clean": {"steps": ["normalise"]}})
    with pytest.raises(RecipeError, match="no new step but exact: nothing of rules is stored"):
        recut(first.version, ['clean.steps=["normalise", "rules"]'])
    made = recut(first.version, ['clean.steps=["normalise", "exact"]'])
    assert made.reasons == {"exact_duplicate": 1} and open_version(tmp_path / "a").name == made.version.name
    same = recut(first.version, ['clean.steps=["normalise"]'])
    assert same.unchanged and same.version.name == first.version.name


def test_a_damaged_version_and_one_that_nobody_cleaned_are_refused(tmp_path: Path) -> None:
    made = datakit.clean(write(tmp_path / "in.jsonl", [chat("a", LONG)]), tmp_path / "a")
    scores = made.path / "scores.parquet"
    scores.write_bytes(scores.read_bytes()[:-1] + b"x")
    with pytest.raises(DataVerdict, match=r"scores\.parquet"):
        recut(made.version, ["clean.near.threshold=0.9"])
    scores.unlink()
    with pytest.raises(UsageFault, match="not made by datakit clean"):
        recut(made.version, ["clean.near.threshold=0.9"])


def test_the_command(sales: CleanResult) -> None:
    command = [sys.executable, "-m", "datakit", "recut", str(sales.path), "--set", "clean.near.threshold=0.9", "--json"]
    plain = orjson.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert plain["rows"]["in"] == 800 and plain["version"] == open_version(sales.path.parent).name
