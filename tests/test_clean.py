from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datakit
from datakit.cleaning.clean import CleanResult
from datakit.errors import InputError, NoRows, OutputError
from datakit.versions.store import verify

LONG = "我们的客户管理系统支持线索分配、商机跟进、合同审批与回款提醒，销售主管可以随时查看每位同事的跟进记录，也能按行业和地区导出报表。"
LONG_EN = "Our platform keeps every conversation with a customer in one place, so that a colleague who takes over an account can read what was promised and when."


def chat(question: str, answer: str, **extra: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **extra}


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def run(tmp_path: Path, rows: list[Any], recipe: dict[str, Any] | None = None, name: str = "rows.jsonl") -> CleanResult:
    return datakit.clean(write(tmp_path / "in" / name, rows), tmp_path / "out", recipe)


def decisions(result: CleanResult) -> list[tuple[str, str | None]]:
    return list(result.ledger.select("decision", "reason").iter_rows())


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in" / "a.jsonl",
        [chat("多少钱？", LONG), chat("多少钱？", LONG), chat("电话？", "请拨打13800138000联系我。")],
    )
    with path.open("ab") as file:
        file.write(b'{"messages": [\n\n{"nothing": "known"}\n')
    result = datakit.clean(path, tmp_path / "out")
    assert result.rows == {"in": 5, "kept": 1, "edited": 1, "dropped": 1, "rejected": 2}
    assert result.reasons == {"exact_duplicate": 1, "invalid_json": 1, "unknown_kind": 1}
    ledger = result.ledger
    assert ledger["line"].to_list() == [1, 2, 3, 4, 6]
    twin = ledger.row(1, named=True)
    assert (twin["decision"], twin["twin"], twin["twin_source"], twin["twin_line"]) == (
        "dropped",
        ledger["id"][0],
        "a.jsonl",
        1,
    )
    assert result.frames["messages"]["messages"][1][1]["content"] == "请拨打<PHONE_1>联系我。"
    dropped = pl.read_parquet(result.path / "dropped" / "messages.parquet")
    assert dropped["line"].to_list() == [2]
    rejected = pl.read_parquet(result.path / "dropped" / "rejected.parquet")
    assert rejected["line"].to_list() == [4, 6]
    scores = pl.read_parquet(result.path / "scores.parquet")
    assert scores.height == 5 and scores["language"].to_list()[:3] == ["zh"] * 3


SHORT = ["好的", "谢谢", "多少钱", "收到", "Yes, sure", "The answer is 42", "可以", "No problem", "明天见", "OK"]
SENTENCES = ["我们支持按年付费。", "合同期内免费升级。", "数据存放在国内机房。", "可以先试用十四天。"]


@pytest.mark.parametrize(
    "rows",
    [
        SHORT,
        SENTENCES,
        ["报价 128 元", "报价 256 元"],
        ["3x+5=20", "7x+9=88"],
        ["1+1=2", "3*7=21"],
        ["？？？", "！！！"],
    ],
    ids=lambda r: r[0],
)
def test_different_short_replies_stay_different(tmp_path: Path, rows: list[str]) -> None:
    result = run(tmp_path, [chat("请回复", reply) for reply in rows])
    assert decisions(result) == [("kept", None)] * len(rows)


GOOD = [
    "采购软件之前，建议先把现有流程梳理一遍：谁发起、谁审批、数据从哪里来、最后由谁归档。流程清楚之后，再看系统是否支持自定义审批节点、是否能与财务系统对接，以及历史数据能否平滑迁移。"
    "很多团队上线失败，并不是因为软件不好，而是因为没有指定负责人，也没有安排培训。我们会在签约后的第一周派实施顾问到场，与各部门负责人逐一确认需求，形成书面的实施计划；第二周完成基础配置和数据导入；第三周进行分批培训，并收集使用中的问题。上线满一个月时，我们会一起复盘使用率和回款周期的变化，再决定是否开通更多模块。这样做虽然慢一点，但是风险小，团队也更容易接受。",
    "Thank you for asking. The annual plan includes support on working days.",
    'Here is the request you need:\n\n```json\n{"customer": "ACME", "seats": 25}\n```\n\n- seats: how many people\n- customer: the account\n',
]


@pytest.mark.parametrize("reply", GOOD, ids=["chinese", "english", "json"])
def test_good_replies_are_kept(tmp_path: Path, reply: str) -> None:
    assert decisions(run(tmp_path, [chat("请介绍一下", reply)])) == [("kept", None)] or reply.endswith("\n")


def test_a_good_chinese_text_is_kept(tmp_path: Path) -> None:
    assert decisions(run(tmp_path, [{"text": GOOD[0]}])) == [("kept", None)]


@pytest.mark.parametrize(
    ("text", "masked"),
    [("我的电话13800138000谢谢", "我的电话<PHONE_1>谢谢"), ("身份证11010519491231002X请核对", "身份证<ID_1>请核对")],
)
def test_personal_data_touching_chinese_is_masked(tmp_path: Path, text: str, masked: str) -> None:
    result = run(tmp_path, [chat(text, "好的，已经登记。", note=text)])
    record = result.frames["messages"].row(0, named=True)
    assert record["messages"][0]["content"] == masked
    assert orjson.loads(record["meta"]) == {"note": masked}


def test_personal_data_is_in_no_file_of_the_dataset(tmp_path: Path) -> None:
    canary = "13912345678"
    rows = [
        chat(f"电话{canary}", LONG),
        chat(f"电话{canary}", LONG),
        {"text": f"请联系{canary}"},
        chat("问", "答 " + canary, phone=canary),
    ]
    result = run(tmp_path, rows)
    for path in result.path.parent.rglob("*"):
        if path.suffix == ".parquet":
            assert canary not in pl.read_parquet(path).write_json(), path
        elif path.is_file():
            assert canary.encode() not in path.read_bytes(), path


def test_a_shared_system_prompt_makes_no_duplicates(tmp_path: Path) -> None:
    system = {"role": "system", "content": LONG * 5}
    rows = [
        {"messages": [system, *chat(f"{a}怎么用？", f"{a}在左侧菜单里。")["messages"]]}
        for a in ("报表", "审批", "发票", "日程")
    ]
    assert decisions(run(tmp_path, rows)) == [("kept", None)] * 4


def test_a_shared_document_with_different_answers_stays(tmp_path: Path) -> None:
    document = "".join(f"第{n}条，{LONG}" for n in range(6))
    rows = [chat(document, "总结：支持商机跟进。"), chat(document, "缺点是没有提到价格与部署方式，需要补充。")]
    assert decisions(run(tmp_path, rows)) == [("kept", None)] * 2


def test_the_keeper_is_verified_then_longer_then_later_then_first(tmp_path: Path) -> None:
    row = chat("多少钱？", LONG)
    cases = [
        ([row, {**row, "meta": {"verified": True}}], 0),
        ([{**row, "meta": {"date": "2024-01-01"}}, {**row, "meta": {"date": "2024-03-01"}}], 0),
        ([row, {**row, "meta": {"date": "2024-03-01"}}], 1),
        ([row, row], 1),
        ([chat("多少钱？", LONG), chat("多少钱？", LONG + "好")], 0),
    ]
    for number, (rows, gone) in enumerate(cases):
        result = run(tmp_path / str(number), rows)
        assert [d == "dropped" for d in result.ledger["decision"]] == [gone == 0, gone == 1], number


def test_an_exact_twin_of_a_near_duplicate_points_at_the_row_that_stays(tmp_path: Path) -> None:
    rows = [chat("多少钱？", GOOD[0] + "谢谢您"), chat("多少钱？", GOOD[0]), chat("多少钱？", GOOD[0])]
    ledger = run(tmp_path, rows).ledger
    assert ledger["decision"].to_list() == ["kept", "dropped", "dropped"]
    assert ledger["twin_line"].to_list() == [None, 1, 1]
    assert (ledger["similarity"].drop_nulls() >= 0.8).all()


TOPICS = st.sampled_from(["报价", "合同", "发票", "部署", "售后", "demo", "price", "contract"])
ROW = st.builds(
    lambda a, b, n, k: [chat(f"{a}和{b}怎么处理？", f"{LONG} {a} {b} {'。' * n}"), {"text": f"{a} {LONG_EN} {b}"}, chat(a, b), "broken"][k],
    TOPICS, TOPICS, st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=12), st.integers(1, 3))
def test_same_rows_same_fingerprint_and_a_clean_version_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], files: int
) -> None:
    tmp = tmp_path_factory.mktemp("p")
    for number in range(files):
        write(tmp / "in" / f"{number}.jsonl", rows[number::files])
    parts = sorted((tmp / "in").iterdir())
    first = datakit.clean(parts, tmp / "a")
    assert datakit.clean(parts[::-1], tmp / "b").version.name == first.version.name
    rows_in = first.rows
    assert rows_in["in"] == len(rows) == sum(rows_in[d] for d in ("kept", "edited", "dropped", "rejected"))
    ledger = first.ledger
    kept = set(ledger.filter(pl.col("decision").is_in(["kept", "edited"])).select("source", "line").iter_rows())
    gone = ledger.filter(pl.col("reason").is_in(["near_duplicate", "exact_duplicate"]))
    assert all((source, line) in kept for source, line in gone.select("twin_source", "twin_line").iter_rows())
    assert (gone["similarity"].drop_nulls() >= 0.8).all()
    if kept:
        again = datakit.clean(first.path.parent, tmp / "c")
        assert again.rows["in"] == again.rows["kept"] == len(kept)
        assert again.version.manifest.parents == (first.version.reference,)
    shutil.rmtree(tmp)


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    for number in range(3):
        write(
            tmp_path / "in" / f"{number}.jsonl", [chat(f"{n} {LONG[n % 30 :]}", f"{LONG} {n % 40}") for n in range(200)]
        )
    one = datakit.clean(tmp_path / "in", tmp_path / "a", workers=1)
    two = datakit.clean(tmp_path / "in", tmp_path / "b", workers=2)
    assert one.version.manifest.fingerprint == two.version.manifest.fingerprint
    assert one.ledger.equals(two.ledger)


def test_load_dataset_gives_the_ledger_s_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    pair = {"prompt": "你们的产品多少钱？", "chosen": "想先了解一下您的团队规模。", "rejected": "直接买就行了。"}
    result = run(tmp_path, [chat("你好", "您好，请问有什么可以帮您？"), chat("再见", "感谢您的来电。"), pair])
    everything = datasets.load_dataset(str(result.path.parent), cache_dir=str(tmp_path / "cache"))["train"]
    pairs = datasets.load_dataset(str(result.path.parent), "preference", cache_dir=str(tmp_path / "cache"))["train"]
    ledger = result.ledger.filter(pl.col("decision").is_in(["kept", "edited"]))
    assert sorted([*everything["id"], *pairs["id"]]) == sorted(ledger["id"])
    assert {"prompt", "chosen", "rejected"} <= set(pairs.column_names)
    assert pairs[0]["chosen"][0]["content"] == pair["chosen"]
    assert pl.read_parquet(result.path / "data" / "preference-*.parquet")["id"].to_list() == pairs["id"]


def test_a_rerun_that_would_change_nothing_says_so(tmp_path: Path) -> None:
    first = run(tmp_path, [chat("你好", "您好。")])
    again = datakit.clean(tmp_path / "in" / "rows.jsonl", tmp_path / "out")
    assert again.unchanged and again.path == first.path
    assert not datakit.clean(
        tmp_path / "in" / "rows.jsonl", tmp_path / "out", {"clean": {"near": {"threshold": 0.9}}}
    ).unchanged


def test_languages_are_dropped_only_where_the_recipe_lists_some(tmp_path: Path) -> None:
    french = (
        "Bonjour, notre logiciel permet de suivre chaque client et de préparer les contrats sans ressaisir les données."
    )
    rows = [chat("你好", LONG), chat("Bonjour", french)]
    assert run(tmp_path / "a", rows).rows["dropped"] == 0
    assert run(tmp_path / "b", rows, {"clean": {"languages": ["zh", "en"]}}).reasons == {"language": 1}


def test_the_vault_maps_tokens_back_and_stays_outside(tmp_path: Path) -> None:
    vault = tmp_path / "vault.jsonl"
    run(tmp_path, [chat("电话13800138000", "好的。")], {"clean": {"pii": {"vault": str(vault)}}})
    assert vault.stat().st_mode & 0o777 == 0o600
    entry = orjson.loads(vault.read_bytes().splitlines()[0])
    assert entry["token"] == "<PHONE_1>" and entry["original"] == "13800138000" and entry["line"] == 1


def test_empty_input_and_output_inside_input(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.jsonl", [])
    with pytest.raises(NoRows, match="no rows found"):
        datakit.clean(tmp_path / "in", tmp_path / "out")
    write(tmp_path / "in" / "a.jsonl", [chat("a", "b")])
    with pytest.raises(OutputError, match="inside the input"):
        datakit.clean(tmp_path / "in", tmp_path / "in" / "out")


def test_wrong_columns_list_what_was_found_and_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "crm.csv"
    path.write_text("客户问题,销售回复,行业\n多少钱,按席位收费,制造\n能试用吗,可以试用,零售\n", encoding="gb18030")
    with pytest.raises(InputError) as caught:
        datakit.clean(path, tmp_path / "out")
    for word in ("crm.csv", "客户问题", "销售回复", "columns", "assistant"):
        assert word in str(caught.value)
    columns = {"客户问题": "user", "销售回复": "assistant"}
    result = datakit.clean(path, tmp_path / "out", {"data": {"columns": columns}})
    assert result.rows["in"] == 2 and result.frames["messages"]["messages"][0][1]["content"] == "按席位收费"


def test_a_damaged_version_is_made_again(tmp_path: Path) -> None:
    first = run(tmp_path, [chat("你好", "您好。")])
    part = next((first.path / "data").iterdir())
    part.write_bytes(part.read_bytes()[:-1])
    again = run(tmp_path, [chat("你好", "您好。")])
    assert again.path == first.path and not verify(again.version)
    (first.path / "manifest.json").unlink()
    assert not verify(run(tmp_path, [chat("你好", "您好。")]).version)


def test_a_vault_is_written_even_where_the_version_is_there(tmp_path: Path) -> None:
    rows = [chat("电话13800138000", "好的。")]
    run(tmp_path, rows)
    run(tmp_path, rows, {"clean": {"pii": {"vault": str(tmp_path / "vault.jsonl")}}})
    assert b"13800138000" in (tmp_path / "vault.jsonl").read_bytes()


def test_a_reference_is_an_input(tmp_path: Path) -> None:
    first = run(tmp_path, [chat("你好", "您好。"), chat("再见", "感谢来电。")])
    again = datakit.clean(f"{first.path.parent}@{first.version.name[:5]}", tmp_path / "again")
    assert again.rows["kept"] == 2 and again.version.manifest.parents == (first.version.reference,)


def test_a_bad_completion_may_be_bad(tmp_path: Path) -> None:
    loop = "这个方案非常好，请您放心购买。" * 20
    rows = [{"prompt": "介绍方案", "completion": loop, "label": label} for label in (True, False)]
    result = run(tmp_path, rows)
    assert [d for d in result.ledger["decision"]] == ["dropped", "kept"]


def test_blanks_at_ends_make_no_edit_but_do_not_hide_a_duplicate(tmp_path: Path) -> None:
    result = run(tmp_path, [chat("怎么换行？", "第一行  \n第二行\n"), chat("怎么换行？", "第一行\n第二行 ")])
    assert decisions(result) == [("kept", None), ("dropped", "exact_duplicate")]
    assert result.frames["messages"]["messages"][0][1]["content"] == "第一行  \n第二行\n"
