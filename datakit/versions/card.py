"""The README.md of a dataset and of a version: a card that people read and `load_dataset` understands."""

from __future__ import annotations

from datakit.versions.manifest import Manifest


def dataset_card(name: str, manifest: Manifest) -> str:
    """The card of a dataset, whose configs point into its latest version."""
    text = f"{_front_matter(manifest, prefix=f'{manifest.version}/')}# {name}\n\n"
    text += f"Made by datakit. The latest version is `{manifest.version}`; every version is a folder here.\n\n"
    return text + _tables(manifest) + _use(name)


def version_card(manifest: Manifest) -> str:
    """The card of one version, whose configs point beside it."""
    text = f"{_front_matter(manifest, prefix='')}# Version {manifest.version}\n\n"
    text += "Made by datakit; immutable. `ledger.parquet` says what became of every input row.\n\n"
    return text + _tables(manifest)


def _front_matter(manifest: Manifest, prefix: str) -> str:
    kinds = [kind for kind, rows in manifest.counts.kinds.items() if rows]
    # The kind with the most rows is what `load_dataset(path)` means without a config's name.
    default = max(kinds, key=lambda kind: manifest.counts.kinds[kind], default="")
    lines = ["---", "configs:"]
    for kind in kinds:
        lines += [f"- config_name: {kind}"]
        lines += ["  default: true"] if kind == default else []
        lines += ["  data_files:", "  - split: train", f'    path: "{prefix}data/{kind}-*.parquet"']
    return "\n".join([*lines, "---", "", ""])


def _tables(manifest: Manifest) -> str:
    rows = manifest.counts.rows
    lines = ["| in | kept | edited | dropped | rejected |", "|---:|---:|---:|---:|---:|"]
    lines += [f"| {rows['in']} | {rows['kept']} | {rows['edited']} | {rows['dropped']} | {rows['rejected']} |", ""]
    if manifest.counts.reasons:
        lines += ["| reason | rows |", "|---|---:|"]
        lines += [f"| {reason} | {count} |" for reason, count in manifest.counts.reasons.items()] + [""]
    lines += ["| kind | rows |", "|---|---:|"]
    lines += [f"| {kind} | {count} |" for kind, count in manifest.counts.kinds.items()]
    return "\n".join([*lines, "", ""])


def _use(name: str) -> str:
    return f"```python\nfrom datasets import load_dataset\n\nrows = load_dataset({name!r})\n```\n"
