"""A proof on disk: `proofs/<hash>/` of a version, its manifest written last.

proofs/5c1e0f9a7b23/
  data/messages-00000-of-00002.parquet    id, source, line, input_ids, labels
  findings.parquet                        id, source, line, code, severity, detail: one row a finding of a row
  manifest.json                           checksums, settings, model, counts, findings, library versions
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from datakit.errors import DataVerdict
from datakit.masks.findings import Findings
from datakit.masks.plan import ProofSettings, proof_hash
from datakit.template.model import Model
from datakit.versions.manifest import FILE, Part, Sealed, changed_parts
from datakit.versions.store import Version

FOLDER: Final = "proofs"


class Packs(BaseModel):
    """The packs of one kind: how many, tokens that one may hold, and tokens in all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packs: int
    length: int
    tokens: int


class ProofManifest(Sealed):
    """Everything there is to know about a proof but its rows.

    proof: 12 hex digits. version, model: fingerprints of what it is about. settings: masks, stage and arguments.
    max_length: tokens that rows of a kind were held to, None where to none. clock: the day that a dated template
    wrote, None where it writes none. rows: looked at; left_out: of them. kinds: rows that are left, by kind. total,
    trained: tokens of the rows that are left. packs: what they make where they are packed, by kind. content: blake2b
    over keys, ids and labels of the rows, in their order.
    """

    format: int
    proof: str
    version: str
    model: str
    model_name: str
    settings: dict[str, Any]
    max_length: dict[str, int | None]
    clock: str | None
    rows: int
    left_out: int
    passed: bool
    kinds: dict[str, int]
    total: int
    trained: int
    packs: dict[str, Packs]
    findings: list[dict[str, Any]]
    content: str
    parts: dict[str, Part]
    libraries: dict[str, str]


@dataclass(frozen=True)
class Proof:
    """A proof: its manifest, and its folder where it is part of a version."""

    manifest: ProofManifest
    path: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether its rows may be trained on."""
        return self.manifest.passed

    @property
    def findings(self) -> Findings:
        """What was found."""
        return Findings.from_rows(self.manifest.findings)

    def data_files(self, kind: str) -> list[Path]:
        """The Parquet files of one kind, in order; none where the proof is no part of a version."""
        return sorted((self.path / "data").glob(f"{kind}-*.parquet")) if self.path is not None else []

    def frame(self, kind: str) -> pl.DataFrame:
        """The rows of one kind: id, source, line, and for messages and text input_ids and labels."""
        return pl.read_parquet(self.data_files(kind))


def find(version: Version, model: Model, settings: ProofSettings) -> Proof:
    """The committed proof of a version for a model by these settings, every byte of it checked.

    Raises:
        DataVerdict: there is none, or it is damaged.
    """
    name = proof_hash(version.manifest.fingerprint, model, settings)
    folder = version.path / FOLDER / name
    if not (folder / FILE).is_file():
        raise DataVerdict(
            version.reference,
            f"no proof for {model.name} by these settings{_others(version, model)}",
            f"{FOLDER}/{name}",
            f"Make it: datakit masks {version.path.parent} --model DIR --commit",
        )
    proof = read(folder)
    if faults := verify(proof):
        raise faults[0]
    return proof


def _others(version: Version, model: Model) -> str:
    """What the proofs that are there were made for: M30 is a proof of another template than the one in use."""
    found = [read(path.parent).manifest for path in sorted((version.path / FOLDER).glob(f"[0-9a-f]*/{FILE}"))]
    if not found:
        return ""
    if all(manifest.model != model.fingerprint for manifest in found):
        return "; its proofs are of other templates or tokenizers (M30)"
    return "; there is one by other settings"


def read(folder: Path) -> Proof:
    """The proof of a folder, its parts not looked at.

    Raises:
        DataVerdict: its manifest is unreadable or was changed.
    """
    return Proof(ProofManifest.read_sealed(folder, f"Remove {folder} and make the proof again"), folder)


def verify(proof: Proof) -> list[DataVerdict]:
    """What is wrong with a proof's files; empty when it is whole."""
    if proof.path is None:
        return []
    return changed_parts(proof.path, proof.manifest.parts, f"Remove {proof.path} and make the proof again")
