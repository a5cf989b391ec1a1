"""Old versions of a dataset removed: never the latest, and not without a word what something else descends from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from datakit.errors import DatakitError, UsageFault
from datakit.files import size_of
from datakit.versions.manifest import FILE
from datakit.versions.store import LOG, Version, is_dataset, open_version, versions

_ASIDE: Final = ".pruned-"

# What else of a project names versions: a run of training its dataset, a campaign of annotation its source.
_RECORDS: Final = ("record.json", "campaign.json")


@dataclass(frozen=True)
class Old:
    """A version that is older than those to keep. bytes: on disk. named: by what, in words; empty where by nothing."""

    version: Version
    bytes: int
    named: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """keep: versions that stay for being new, oldest first. remove: what goes. held: what stays for being named."""

    dataset: Path
    keep: list[Version]
    remove: list[Old]
    held: list[Old]


def plan_prune(dataset: Path, keep: int, *, named: bool = False, beside: Sequence[Path] = ()) -> Plan:
    """What would be removed if the `keep` latest versions stay; nothing is touched.

    A version that a staying version names as its parent, or a run or a campaign as what it was made from, is held;
    with `named` it goes too, and the plan says by what it is named.

    Args:
        dataset: its folder.
        keep: how many stay, at least one; HEAD is one of them, whatever its age.
        named: whether named versions go too.
        beside: folders of datasets, runs or campaigns to look through; by default all beside the dataset.

    Raises:
        UsageFault: no such dataset.
    """
    if keep < 1:
        raise UsageFault("--keep", f"{keep}", "1 or more: the latest version always stays")
    head = open_version(dataset).name
    found = versions(dataset)
    older = [version.name for version in found if version.name != head]
    stays = {head, *older[len(found) - keep :]}
    by_name = _named_by(dataset, beside)
    going = {version.name for version in found} - stays
    if not named:
        going = _unnamed(found, going, by_name)
    old = [
        Old(version, size_of(version.path), _namers(version, found, going, by_name))
        for version in found
        if version.name not in stays
    ]
    return Plan(
        dataset,
        [version for version in found if version.name in stays],
        [one for one in old if one.version.name in going],
        [one for one in old if one.version.name not in going],
    )


def prune(plan: Plan, command: Sequence[str] = ()) -> int:
    """Remove what a plan says; the bytes that came free. One that is half gone is no version any more."""
    freed = 0
    for one in plan.remove:
        aside = plan.dataset / f"{_ASIDE}{one.version.name}"
        one.version.path.rename(aside)
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "pruned": one.version.name}
        with (plan.dataset / LOG).open("ab") as log:
            log.write(orjson.dumps({**entry, "command": " ".join(command)}) + b"\n")
        freed += one.bytes
    for left in plan.dataset.glob(f"{_ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)
    return freed


def _unnamed(found: Sequence[Version], going: set[str], by_name: dict[str, list[str]]) -> set[str]:
    """Those of `going` that nothing which stays names; one that stays for it holds its own parents in turn."""
    while held := {one.name for one in found if one.name in going and _namers(one, found, going, by_name)}:
        going = going - held
    return going


def _namers(
    version: Version, found: Sequence[Version], going: set[str], by_name: dict[str, list[str]]
) -> tuple[str, ...]:
    """What names a version, in words: versions of its dataset that stay, and what lies beside the dataset."""
    staying = [other for other in found if other.name not in going and other.name != version.name]
    children = [f"{other.reference} descends from it" for other in staying if _names(other, version.name)]
    return (*children, *by_name.get(version.name, []))


def _names(version: Version, name: str) -> bool:
    return any(parent.endswith(f"@{name}") for parent in version.manifest.parents)


def _named_by(dataset: Path, beside: Sequence[Path]) -> dict[str, list[str]]:
    """Names of versions of the dataset to what names them elsewhere: versions of other datasets, runs, campaigns."""
    names = [path.name for path in dataset.iterdir() if (path / FILE).is_file()]
    here = dataset.resolve()
    folders = list(beside) or [path for path in here.parent.iterdir() if path.is_dir() and path != here]
    by_name: dict[str, list[str]] = {}
    for words, text in _texts(folders):
        for name in names:
            if name in text:
                by_name.setdefault(name, []).append(words)
    for name in names:
        proofs = list((dataset / name / "proofs").glob(f"*/{FILE}"))
        if proofs:
            several = "a proof" if len(proofs) == 1 else f"{len(proofs)} proofs"
            by_name.setdefault(name, []).append(f"{several} of it would go too")
    return by_name


def _texts(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """What may name a version: words for it, and its text."""
    for folder in folders:
        if is_dataset(folder):
            try:
                others = versions(folder)
            except DatakitError:
                continue
            for other in others:
                yield f"{other.reference} descends from it", " ".join(other.manifest.parents)
            continue
        for pattern in _RECORDS:
            for record in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")):
                yield f"{record.parent.name}/{pattern} names it", record.read_text(encoding="utf-8", errors="replace")
