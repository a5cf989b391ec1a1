"""Bring a campaign to a server: made once, added to later, and never anything twice.

First the campaign is planned and written to its folder, then the server is made to agree with it: it is asked which
items it has, and gets those that it lacks. Whatever kills a push, the next one goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from annotation.campaigns import passwords
from annotation.campaigns.campaign import (
    FORMAT,
    GOLD,
    GUIDELINES,
    Campaign,
    CampaignManifest,
    Guideline,
    campaign_folder,
    differences,
    guideline_hash,
    is_campaign,
    open_campaign,
    relative_to,
)
from annotation.campaigns.choose import Key
from annotation.campaigns.fields import Presentation
from annotation.campaigns.gold import Gold, read_gold
from annotation.campaigns.items import SCHEMA
from annotation.campaigns.plan import AT_ONCE, LEFT_OUT, REFUSED, Plan, Planner, Records
from annotation.campaigns.questions import language_of, questions_of
from annotation.client import Server, distribution
from datakit.errors import DataVerdict, MissingInput, UsageFault
from datakit.files import checksum, disk_faults, write_whole
from datakit.progress import Progress, Silent
from datakit.recipe.annotate import AnnotateSettings
from datakit.recipe.recipe import Recipe
from datakit.versions.manifest import Part
from datakit.versions.store import open_version

_GUIDELINE: Final = 10_000  # characters of a guideline that the server takes


@dataclass(frozen=True)
class PushResult:
    """What a push did.

    Attributes:
        campaign: its name.
        folder: its folder.
        items: that the campaign has.
        pushed: items that the server got from this push (that it would get, of a dry run).
        already: items that it had.
        left_out: rows that were chosen and could not be shown: columns as `plan.LEFT_OUT`.
        url: the page where people judge; empty of a dry run.
        annotators: all who have access by the recipe.
        made: those of them whom the campaign made on the server; their passwords are in its passwords.json.
    """

    campaign: str
    folder: Path
    items: int
    pushed: int
    already: int
    left_out: pl.DataFrame
    url: str
    annotators: tuple[str, ...]
    made: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON types; `left_out` counts by reason, `rows_left_out` names each row."""
        return {
            "campaign": self.campaign,
            "folder": str(self.folder),
            "items": self.items,
            "pushed": self.pushed,
            "already": self.already,
            "left_out": dict(Counter(self.left_out["reason"])),
            "rows_left_out": self.left_out.to_dicts(),
            "url": self.url,
            "annotators": list(self.annotators),
        }


def push(
    recipe: Recipe,
    server: Server | None,
    progress: Progress | None = None,
    *,
    rows: Sequence[Key] | None = None,
    dry_run: bool = False,
) -> PushResult:
    """Make a recipe's campaign, or add what it lacks, in its folder and on a server.

    Args:
        recipe: its [annotate] table.
        server: where people judge; None for a dry run.
        progress: hears of records.
        rows: keys of the rows that are judged, chosen by somebody; by default they are drawn as the recipe says.
        dry_run: plan only; nothing is written or sent.

    Raises:
        UsageFault: the recipe leaves something open, or would change a campaign that exists.
        DataVerdict: there is nothing to judge, or the campaign's files are damaged.
        Surroundings: the server or the disk fails; pushing again goes on.
    """
    work = _Push(recipe, progress or Silent(), rows)
    plan = work.plan()
    if dry_run or server is None:
        had = plan.items.height - plan.added
        return work.result(plan.items.height, plan.added, had, plan.left_out, url="")
    campaign = work.write(plan, server)
    return work.send(campaign, server)


class _Push:
    """One push: the recipe, the version it names, and the campaign as it was before."""

    def __init__(self, recipe: Recipe, progress: Progress, rows: Sequence[Key] | None) -> None:
        self.settings, self.progress, self.rows = recipe.annotate, progress, rows
        self.folder = campaign_folder(recipe)
        self.before = open_campaign(self.folder) if is_campaign(self.folder) else None
        self.version = open_version(_dataset(recipe))
        self.view = Presentation(self.settings, language_of(recipe))
        self.questions = questions_of(self.settings, self.view.language)
        self.guideline = _read_guideline(self.settings)
        self.gold = self._gold()
        self.frozen = self._frozen()
        if self.before is not None:
            self._refuse_changes(self.before)

    @property
    def name(self) -> str:
        return self.folder.name

    def _gold(self) -> list[Gold]:
        """The gold items; those of a campaign that exists as they were when it began."""
        if self.settings.gold is None:
            return []
        path = Path(self.settings.gold)
        kept = self.folder / GOLD
        return read_gold(kept if self.before is not None and kept.is_file() else path, path.name, self.questions)

    def _frozen(self) -> dict[str, Any]:
        """All that decides what is shown to whom in which order: what may not change in the middle of a campaign."""
        plain = self.settings.model_dump(mode="json", include=_FROZEN)
        plain["gold"] = _file_hash(self.settings.gold)
        if self.settings.select.judges is not None and self.settings.select.judges.file is not None:
            plain["select"]["judges"]["file"] = _file_hash(self.settings.select.judges.file)
        return {**plain, "language": self.view.language, "given": self.rows is not None}

    def _refuse_changes(self, before: Campaign) -> None:
        was = {key: value for key, value in before.manifest.settings.items() if key not in _MOVABLE}
        changed = differences(
            {**was, "source": before.source, "questions": list(before.questions)},
            {**self.frozen, "source": self.version.reference, "questions": list(self.questions)},
        )
        if before.manifest.settings["rows"] > self.settings.rows and self.rows is None:
            changed.append(f"rows: {before.manifest.settings['rows']}, now {self.settings.rows}; a campaign only grows")
        if changed:
            cure = "Set it back (`dataset` to the version that is named), or begin another campaign by `annotate.name`"
            raise UsageFault(str(self.folder), "the recipe changed: " + "; ".join(changed), cure=cure)

    def plan(self) -> Plan:
        """The campaign's items with those that are new."""
        items = self.before.items() if self.before else pl.DataFrame(schema=SCHEMA)
        left_out = self.before.left_out() if self.before else pl.DataFrame(schema=LEFT_OUT)
        plan = Planner(self.name, self.version, self.view, self.gold).plan(items, left_out, self.rows)
        if plan.items.is_empty():
            reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(plan.left_out["reason"]).items())
            found = f"no row to judge{f' (left out: {reasons})' if reasons else ''}"
            expected = f"records of kind {', '.join(self.view.kinds)}"
            raise DataVerdict(self.version.reference, found, expected, "Look at [annotate.select] and annotate.kind")
        return plan

    def write(self, plan: Plan, server: Server) -> Campaign:
        """The campaign in its folder, campaign.json last."""
        with disk_faults(self.folder):
            (self.folder / GUIDELINES).mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / GUIDELINES / f"{guideline_hash(self.guideline)}.md", self.guideline)
            if self.settings.gold is not None and self.before is None:
                write_whole(self.folder / GOLD, Path(self.settings.gold).read_text(encoding="utf-8"))
        before = self.before.manifest if self.before else None
        overlap = before.settings["overlap"] if before else self.settings.overlap
        manifest = CampaignManifest(
            format=FORMAT,
            name=self.name,
            kind=self.settings.kind,
            questions=self.questions,
            source=self.version.reference,
            source_path=relative_to(self.folder, self.version.path),
            url=server.url,
            workspace=before.workspace if before else self.settings.workspace or self.name,
            dataset_name=self.name,
            guidelines=before.guidelines if before else (),
            settings={**self.frozen, "rows": self.settings.rows, "overlap": overlap},
            items="",
            left_out="",
            parts={},
        )
        return _commit(self.folder, manifest, plan.items, plan.left_out)

    def send(self, campaign: Campaign, server: Server) -> PushResult:
        """Make the server agree with the campaign."""
        workspace = server.workspace(campaign.manifest.workspace)
        unknown = server.unknown(self.settings.annotators)
        server.users(self.settings.annotators, workspace, passwords.prepare(self.folder, unknown))
        dataset = server.find_dataset(campaign.manifest.dataset_name, workspace) or server.make_dataset(
            campaign.manifest.dataset_name,
            workspace,
            guideline=self.guideline,
            fields=self.view.fields,
            questions=self.questions,
            overlap=self.settings.overlap,
        )
        campaign = self._agree_on_guideline(campaign, server, dataset)
        there = server.external_ids(dataset)
        items = campaign.items()
        missing = items.filter(~pl.col("item").is_in(list(there)))
        refused = self._send_items(missing, server, dataset)
        if refused:
            campaign = _without(campaign, refused)
        pushed = missing.height - len(refused)
        return self.result(
            campaign.items().height,
            pushed,
            items.height - missing.height,
            campaign.left_out(),
            url=f"{server.url}/dataset/{dataset}/annotation-mode",
            made=tuple(name for name in self.settings.annotators if name in passwords.read(self.folder)),
        )

    def _agree_on_guideline(self, campaign: Campaign, server: Server, dataset: str) -> Campaign:
        """The guideline and the overlap as the recipe has them; the time of a change is the server's."""
        now = server.request("GET", f"api/v1/datasets/{dataset}")
        if now["guidelines"] != self.guideline or now["distribution"]["min_submitted"] != self.settings.overlap:
            change = {"guidelines": self.guideline, "distribution": distribution(self.settings.overlap)}
            now = server.request("PATCH", f"api/v1/datasets/{dataset}", json=change)
        guidelines, digest = campaign.manifest.guidelines, guideline_hash(self.guideline)
        if not guidelines or guidelines[-1].hash != digest:
            since = now["updated_at"] if guidelines else now["inserted_at"]
            guidelines = (*guidelines, Guideline(hash=digest, since=since.removesuffix("Z") + "Z"))
        settings = {**campaign.manifest.settings, "overlap": self.settings.overlap}
        manifest = campaign.manifest.model_copy(update={"guidelines": guidelines, "settings": settings})
        if manifest != campaign.manifest:
            manifest.write(campaign.path)
        return Campaign(campaign.path, manifest)

    def _send_items(self, items: pl.DataFrame, server: Server, dataset: str) -> dict[str, str]:
        """Send items in their order; those that the server refused, with its reason."""
        refused: dict[str, str] = {}
        records, done = Records(self.version, self.gold), 0
        for window in items.iter_slices(AT_ONCE):
            found = records.of(window.select("source", "line").iter_rows())
            for part in window.iter_slices(self.settings.batch):
                sent = []
                for row in part.iter_rows(named=True):
                    _, kind, record = found[row["source"], row["line"]]
                    sent.append({"external_id": row["item"], "fields": self.view.show(record, kind, row["order"])})
                refused.update(server.log(dataset, sent))
                done += part.height
                self.progress.advance("push", done, items.height, "records")
        return refused

    def result(
        self, items: int, pushed: int, already: int, left_out: pl.DataFrame, *, url: str, made: tuple[str, ...] = ()
    ) -> PushResult:
        return PushResult(self.name, self.folder, items, pushed, already, left_out, url, self.settings.annotators, made)


_FROZEN: Final = {
    *("kind", "seed", "select", "judged", "aspects", "scale", "answers", "labels", "multiple"),
    *("gold_share", "repeats", "max_characters"),
}
_MOVABLE: Final = frozenset({"rows", "overlap"})


def _dataset(recipe: Recipe) -> str:
    dataset = recipe.annotate.dataset or recipe.data.output
    if dataset is None:
        raise UsageFault("annotate.dataset", "not set", "a dataset, or data.output", "Set one of the two")
    return dataset


def _read_guideline(settings: AnnotateSettings) -> str:
    if settings.guideline is None:
        cure = "People who judge without one judge each by their own"
        raise UsageFault("annotate.guideline", "not set", "a Markdown file", cure)
    path = Path(settings.guideline)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingInput(str(path), "no such file", "a Markdown file", "Check annotate.guideline") from None
    except UnicodeDecodeError:
        raise UsageFault(str(path), "not UTF-8", "a Markdown file in UTF-8", "Save it as UTF-8") from None
    if not 1 <= len(text.strip()) <= len(text) <= _GUIDELINE:
        raise UsageFault(str(path), f"{len(text)} characters", f"1 to {_GUIDELINE}, the server's limit", "Shorten it")
    return text


def _file_hash(path: str | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise MissingInput(path, "no such file", cure="Check the paths in [annotate]")
    return checksum(Path(path))


def _without(campaign: Campaign, refused: Mapping[str, str]) -> Campaign:
    """The campaign without items that the server refused; where it took an item's repeat, that stands in."""
    items, gone = campaign.items(), pl.col("item").is_in(list(refused))
    alone = pl.col("of").is_in(list(refused)).fill_null(False)
    kept = items.filter(~gone).with_columns(
        role=pl.when(alone).then(pl.lit("ask")).otherwise("role"), of=pl.when(~alone).then("of")
    )
    stood_in = items.filter(~gone & alone)["of"].to_list()
    lost = items.filter(gone & ~pl.col("item").is_in(stood_in)).with_columns(
        reason=pl.lit(REFUSED), detail=pl.col("item").replace_strict(refused)
    )
    left_out = pl.concat([campaign.left_out(), lost.select(LEFT_OUT.names())])
    return _commit(campaign.path, campaign.manifest, kept, left_out)


def _commit(folder: Path, manifest: CampaignManifest, items: pl.DataFrame, left_out: pl.DataFrame) -> Campaign:
    """Write both tables under names of their content, then campaign.json, which makes them count."""
    tables = {"items": items, "left_out": left_out}
    names = {key: _write_table(folder, key.replace("_", "-"), table) for key, table in tables.items()}
    beside = [*names.values(), GOLD, *(f"{GUIDELINES}/{path.name}" for path in (folder / GUIDELINES).glob("*.md"))]
    paths = {name: folder / name for name in sorted(beside) if (folder / name).is_file()}
    parts = {name: Part(bytes=path.stat().st_size, blake2b=checksum(path)) for name, path in paths.items()}
    manifest = manifest.model_copy(update={**names, "parts": parts})
    manifest.write(folder)
    for path in folder.glob("*.parquet"):
        if path.name not in parts:
            path.unlink()
    return Campaign(folder, CampaignManifest.read(folder))


def _write_table(folder: Path, name: str, table: pl.DataFrame) -> str:
    aside = folder / f".{name}.part"
    with disk_faults(aside):
        table.write_parquet(aside)
        file = f"{name}-{checksum(aside)[:12]}.parquet"
        aside.replace(folder / file)
    return file
