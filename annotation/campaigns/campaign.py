"""A campaign on disk: everything that is needed to read what people answered, without the server.

campaigns/sales/
  campaign.json          what is asked of which rows, where, and by which guideline; written last; no key, no password
  items-<hash>.parquet   one row an item: its row, role, order of answers (annotation.campaigns.items)
  left-out-<hash>.parquet   rows that were chosen and could not be shown: source, line, id, reason, detail
  gold.jsonl             the gold items as they were when the campaign began
  guidelines/<hash>.md   every guideline that was ever in force
  passwords.json         mode 0600: of the people whom `push` made on the server
  annotators.json        mode 0600: who is who (annotation.judgements.annotators)
  judgements/            a dataset of what people answered (annotation.judgements.pull)

Both tables are named by their content: a new one is written beside the old one, and campaign.json, replaced by rename,
says which of them counts. Whenever a push is killed, there is one whole campaign.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson
import polars as pl
from pydantic import BaseModel, ConfigDict

from datakit.errors import UsageFault
from datakit.recipe.recipe import Recipe
from datakit.versions.manifest import Part, Sealed, changed_parts
from datakit.versions.store import Version, open_version

FORMAT: Final = 1
"""The number of the layout of a campaign."""

FILE: Final = "campaign.json"
GOLD: Final = "gold.jsonl"
GUIDELINES: Final = "guidelines"
JUDGEMENTS: Final = "judgements"

_CURE: Final = "Restore it from a copy; `datakit annotate push` under another name begins a new campaign"


class Guideline(BaseModel):
    """A guideline that was in force `since` a time (ISO, UTC, the server's clock) until the next one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash: str
    since: str


class CampaignManifest(Sealed):
    """What a campaign is.

    kind: what people do. questions: each with its name, kind, title and values (annotation.campaigns.questions).
    source: the version whose rows are shown, as `clean@3f2a9c1b04d2`; source_path: its folder, as seen from the
    campaign's. url, workspace, dataset_name: where it is on a server. guidelines: in the order in which they came into
    force. settings: all that decides which rows are shown in which order, and how many answers complete an item. items,
    left_out: the names of those tables. parts: size and checksum of the files beside.
    """

    file: ClassVar[str] = FILE
    format: int
    name: str
    kind: str
    questions: tuple[dict[str, Any], ...]
    source: str
    source_path: str
    url: str
    workspace: str
    dataset_name: str
    guidelines: tuple[Guideline, ...]
    settings: dict[str, Any]
    items: str
    left_out: str
    parts: dict[str, Part]

    @classmethod
    def read(cls, folder: Path) -> CampaignManifest:
        """The manifest of a campaign's folder.

        Raises:
            DataVerdict: it is unreadable or was changed after it was written.
        """
        return cls.read_sealed(folder, _CURE)


@dataclass(frozen=True)
class Campaign:
    """A campaign: its folder and its manifest."""

    path: Path
    manifest: CampaignManifest

    @property
    def name(self) -> str:
        """Its name, which is its folder's."""
        return self.manifest.name

    @property
    def kind(self) -> str:
        """What people do: preference, rating, ranking, labels, spans or rewriting."""
        return self.manifest.kind

    @property
    def questions(self) -> tuple[dict[str, Any], ...]:
        """Each with `name`, `kind`, `title`, and `values` where the set is closed."""
        return self.manifest.questions

    @property
    def source(self) -> str:
        """The version whose rows are shown, as `clean@3f2a9c1b04d2`."""
        return self.manifest.source

    @property
    def source_path(self) -> Path:
        """The folder of that version."""
        return (self.path / self.manifest.source_path).resolve()

    @property
    def overlap(self) -> int:
        """Submitted answers that complete an item."""
        return int(self.manifest.settings["overlap"])

    @property
    def judgements_path(self) -> Path:
        """The dataset of what people answered; there only after the first pull."""
        return self.path / JUDGEMENTS

    def source_version(self) -> Version:
        """The version whose rows are shown.

        Raises:
            UnknownVersion: it is no longer where it was.
        """
        return open_version(self.source_path)

    def items(self) -> pl.DataFrame:
        """One row an item, as `annotation.campaigns.items.SCHEMA` says, in the order in which they are sent."""
        return pl.read_parquet(self.path / self.manifest.items)

    def left_out(self) -> pl.DataFrame:
        """Rows that were chosen and could not be shown: source, line, id, reason, detail."""
        return pl.read_parquet(self.path / self.manifest.left_out)

    def guideline(self, digest: str | None = None) -> str:
        """The text of a guideline, by default of the one in force."""
        name = digest or self.manifest.guidelines[-1].hash
        return (self.path / GUIDELINES / f"{name}.md").read_text(encoding="utf-8")


def guideline_hash(text: str) -> str:
    """12 hex digits of blake2b over a guideline's text."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def is_campaign(folder: Path) -> bool:
    """Whether a folder is a campaign's."""
    return (folder / FILE).is_file()


def campaign_folder(recipe: Recipe) -> Path:
    """Where a recipe's campaign is or will be.

    Raises:
        UsageFault: neither the recipe nor its file gives it a name.
    """
    settings = recipe.annotate
    if settings.name is None:
        raise UsageFault(
            "annotate.name", "not set", "a name for the campaign", "Set it, or read the recipe from a file"
        )
    return Path(settings.folder) / settings.name


def open_campaign(where: Path | Recipe) -> Campaign:
    """The campaign of a folder or of a recipe, none of its files changed.

    Raises:
        UsageFault: there is none yet.
        DataVerdict: it is damaged.
    """
    folder = campaign_folder(where) if isinstance(where, Recipe) else where
    if not is_campaign(folder):
        raise UsageFault(
            str(folder), "no campaign here", f"a folder with a {FILE}", "Make one: datakit annotate push RECIPE"
        )
    campaign = Campaign(folder, CampaignManifest.read(folder))
    if faults := changed_parts(folder, campaign.manifest.parts, _CURE):
        raise faults[0]
    return campaign


def relative_to(folder: Path, other: Path) -> str:
    """The path of `other` as seen from `folder`, so that both can be moved together."""
    return Path(os.path.relpath(other.resolve(), folder.resolve())).as_posix()


def differences(before: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> list[str]:
    """What differs between two mappings, a line a key: `seed: 1, now 2`, `select.stratify: null, now "source"`."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        was, new = before.get(key), now.get(key)
        if isinstance(was, dict) and isinstance(new, dict):
            found += differences(was, new, f"{inside}{key}.")
        elif was != new:
            found.append(f"{inside}{key}: {_shown(was)}, now {_shown(new)}")
    return found


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else text[:77] + "…"
