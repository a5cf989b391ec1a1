"""Campaigns as they lie on disk, made by hand: no server, no push, no pull."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from mask_rows import version_of

from annotation.campaigns import campaign as campaigns
from annotation.campaigns import items as campaign_items
from annotation.campaigns.campaign import Campaign, CampaignManifest, Guideline, open_campaign, relative_to
from annotation.campaigns.plan import LEFT_OUT
from datakit.records import KINDS
from datakit.versions.manifest import FORMAT, Counts, Manifest, describe_parts
from datakit.versions.store import Version, commit, prepare_output

JUDGEMENTS: dict[str, Any] = {
    **{name: pl.String for name in ("item", "id", "source")},
    "line": pl.Int64,
    **{name: pl.String for name in ("role", "of", "stratum", "question", "kind", "value", "shown")},
    "order": pl.List(pl.Int64),
    **{name: pl.String for name in ("annotator", "status", "guideline", "answered_at", "response", "gone")},
}
QUESTIONS: dict[str, list[dict[str, Any]]] = {
    "preference": [{"name": "preference", "kind": "preference", "title": "?", "values": ["A", "B", "tie", "both_bad"]}],
    "rating": [
        {"name": name, "kind": "rating", "title": name, "values": [1, 2, 3, 4, 5]} for name in ("helpful", "polite")
    ],
    "ranking": [{"name": "ranking", "kind": "ranking", "title": "?", "values": ["A", "B", "C"]}],
    "labels": [
        {"name": "labels", "kind": "labels", "title": "?", "values": ["价格", "功能", "other"], "multiple": True}
    ],
    "spans": [{"name": "spans", "kind": "spans", "title": "?", "values": ["price"], "field": "answer"}],
    "rewriting": [{"name": "rewriting", "kind": "rewriting", "title": "?"}],
}
GUIDE = "Choose the better answer. 选更好的回答。"
HASH = campaigns.guideline_hash(GUIDE)


def rows_in_order(version: Version) -> list[dict[str, Any]]:
    """The rows of a version with their kind, by line."""
    rows = [
        {**{name: row[name] for name in ("id", "source", "line")}, "row_kind": kind}
        for kind in KINDS
        if version.data_files(kind)
        for row in version.frame(kind).iter_rows(named=True)
    ]
    return sorted(rows, key=lambda row: row["line"])


def campaign_of(
    version: Version,
    folder: Path,
    kind: str,
    *,
    gold: Sequence[Any] = (),
    repeats: Sequence[int] = (),
    lines: Sequence[int] | None = None,
    left_out: Sequence[dict[str, Any]] = (),
    overlap: int = 3,
    multiple: bool = True,
) -> Campaign:
    """A campaign on the rows of a version: item N asks about line N; gold items g0, g1 …; repeat rN repeats item N.

    Args:
        gold: the right values, a gold item each; they are about line 1.
        repeats: lines that are asked about twice.
        lines: that are asked about; all if None.
    """
    folder.mkdir(parents=True)
    rows = {row["line"]: row for row in rows_in_order(version)}
    first = next(iter(rows.values()))
    asked = [rows[line] for line in (lines or rows)]
    base = {"of": None, "stratum": None, "batch": 0, "order": [0, 1], "expected": None}
    items = [{**base, **row, "item": str(row["line"]), "role": "ask"} for row in asked]
    items += [
        {**base, **first, "item": f"g{place}", "role": "gold", "expected": orjson.dumps(value).decode()}
        for place, value in enumerate(gold)
    ]
    items += [
        {**base, **rows[line], "item": f"r{line}", "role": "repeat", "of": str(line), "order": [1, 0]}
        for line in repeats
    ]
    pl.DataFrame(items, schema=campaign_items.SCHEMA).write_parquet(folder / "items.parquet")
    pl.DataFrame(left_out, schema=LEFT_OUT, orient="row").write_parquet(folder / "left-out.parquet")
    (folder / campaigns.GUIDELINES).mkdir()
    (folder / campaigns.GUIDELINES / f"{HASH}.md").write_text(GUIDE, encoding="utf-8")
    questions = [{**q, **({"multiple": multiple} if kind == "labels" else {})} for q in QUESTIONS[kind]]
    CampaignManifest(
        format=campaigns.FORMAT,
        name=folder.name,
        kind=kind,
        questions=tuple(questions),
        source=version.reference,
        source_path=relative_to(folder, version.path),
        url="http://127.0.0.1:1",
        workspace="w",
        dataset_name=folder.name,
        guidelines=(Guideline(hash=HASH, since="2026-01-01T00:00:00.000000Z"),),
        settings={"overlap": overlap, "seed": 42},
        items="items.parquet",
        left_out="left-out.parquet",
        parts=describe_parts(folder),
    ).write(folder)
    return open_campaign(folder)


def judge(campaign: Campaign, said: Mapping[str, Mapping[str, Any]], **more: Any) -> Version:
    """Judgements of a campaign, as a pull would have committed them.

    Args:
        said: annotator to item to value: of one question the value, of more an object of question to value; None: the
            annotator has discarded it; a tuple (status, value): any other status.
        more: columns to overwrite in every row.
    """
    items = {row["item"]: row for row in campaign.items().iter_rows(named=True)}
    rows = []
    for number, (who, answers) in enumerate(said.items()):
        for place, (item, answer) in enumerate(answers.items()):
            status, value = (
                answer if isinstance(answer, tuple) else ("discarded" if answer is None else "submitted", answer)
            )
            for question in campaign.questions:
                mine = value[question["name"]] if isinstance(value, dict) else value
                rows.append(
                    {
                        **{name: items[item][name] for name in ("item", "id", "source", "line", "role", "of", "order")},
                        "question": question["name"],
                        "kind": question["kind"],
                        "value": None if mine is None else orjson.dumps(mine, option=orjson.OPT_SORT_KEYS).decode(),
                        "shown": None if mine is None else orjson.dumps(_shown(mine, items[item]["order"])).decode(),
                        "annotator": who,
                        "status": status,
                        "guideline": campaign.manifest.guidelines[-1].hash,
                        "answered_at": f"2026-01-02T{number:02}:{place // 60:02}:{place % 60:02}Z",
                        "response": f"{who}{item}",
                        **more,
                    }
                )
    dataset = campaign.judgements_path
    work = prepare_output(dataset) / "version"
    (work / "data").mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=JUDGEMENTS)
    frame.write_parquet(work / "data" / "judgements-00000-of-00001.parquet")
    frame.select("source", "line", "id", decision=pl.lit("kept")).write_parquet(work / "ledger.parquet")
    counts = {"in": frame.height, "kept": frame.height, "edited": 0, "dropped": 0, "rejected": 0}
    manifest = Manifest(
        format=FORMAT,
        fingerprint=frame.hash_rows().sum().to_bytes(8, "big").hex() * 4,  # type: ignore[union-attr]
        schemas={},
        counts=Counts(rows=counts, reasons={}, kinds={"judgements": frame.height}, edits={}, near={}),
        parts=describe_parts(work),
        parents=(campaign.source,),
        inputs=(),
        recipe={},
        settings="",
        libraries={},
    )
    return commit(work, dataset, manifest, ["test"])


def _shown(value: Any, order: Sequence[int]) -> Any:
    """What an annotator who means `value` has said of answers in an order."""
    answer = {"first": 0, "second": 1}.get(value) if isinstance(value, str) else None
    return value if answer is None else "AB"[list(order).index(answer)]


def everybody(
    people: Sequence[str], items: Sequence[str], value: Callable[[str, str], Any]
) -> dict[str, dict[str, Any]]:
    """annotator to item to value, by a function of both."""
    return {who: {item: value(who, item) for item in items} for who in people}


def version_with(rows: Sequence[dict[str, Any]], folder: Path) -> Version:
    """A version that holds rows as they are given, line by line."""
    return version_of(rows, folder)
