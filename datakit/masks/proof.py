"""The proof: for every row of a version, which tokens are trained, and why that is right.

Batches of rows are proved in worker processes (`batch.py`). Where the length is to be found from the rows, it is known
only then; rows that lose a stop token by it are left out. What is committed is written part by part, checksummed,
renamed into its place; the manifest is written last.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from datakit.engine.local import Workers, available_cores
from datakit.errors import DataVerdict, NoRows, OutputError
from datakit.files import disk_faults
from datakit.masks import overall, packed
from datakit.masks.batch import Batch, BatchResult, bench_of, prove_batch, read_sheet
from datakit.masks.findings import Findings
from datakit.masks.lengths import Held, asked_length, held, length_of
from datakit.masks.parts import shares, write_part
from datakit.masks.plan import FORMAT, Plan, ProofSettings, Stage, proof_hash
from datakit.masks.proofs import FOLDER, Packs, Proof, ProofManifest, find, read
from datakit.masks.prover import ProvedRow
from datakit.progress import Progress, Silent
from datakit.records import Kind
from datakit.release import VERSION
from datakit.template.model import Model
from datakit.versions.manifest import describe_parts
from datakit.versions.store import Version

__all__ = ["Proof", "ProofSettings", "ProvedRow", "Stage", "find", "prove"]

_LIBRARIES: Final = ("transformers", "tokenizers", "jinja2", "polars", "numpy")
_BATCH_BYTES: Final = 1 << 20  # of a version's packed file: some 3 MB of text, 150 MB as encodings
_BATCH_ROWS: Final = 1024
_ROWS_A_WORKER: Final = 10_000  # a worker's start, transformers and tokenizer, costs as much as proving these


def prove(
    version: Version,
    model: Model,
    settings: ProofSettings,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    commit: bool = False,
) -> Proof:
    """Prove every row of a version that the stage trains on.

    Args:
        version: the version.
        model: tokenizer and template.
        settings: what may be trained, and the stage.
        workers: processes; by the number of rows where None. Without effect on the result.
        progress: hears of progress.
        commit: make the proof part of the version, if it passes; one that is there and whole stays as it is.

    Raises:
        MissingExtra: transformers is not installed.
        InputError: the template is missing or no valid Jinja.
        NoRows: the version has no row for this stage.
        OutputError: the version's folder may not be written.
        Surroundings: disk or worker failed.
    """
    if commit and (known := _known(version, model, settings)) is not None:
        return known
    with _work_folder(version, commit) as work:
        job = _Job(version, model, settings, work, commit, progress or Silent())
        job.run(workers)
        manifest = job.manifest()
        if not commit or not manifest.passed:
            return Proof(manifest)
        return _committed(job, manifest, version)


def _known(version: Version, model: Model, settings: ProofSettings) -> Proof | None:
    """A whole proof that was committed before by the same libraries."""
    try:
        found = find(version, model, settings)
    except DataVerdict:
        return None
    return found if found.manifest.libraries == libraries() else None


@contextmanager
def _work_folder(version: Version, commit: bool) -> Iterator[Path]:
    """Where batches are written: inside the version, so that renaming suffices; elsewhere where nothing stays."""
    if not commit:
        with tempfile.TemporaryDirectory(prefix="datakit-masks-") as folder:
            yield Path(folder)
        return
    work = version.path / FOLDER / f".work-{os.getpid()}"
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            str(work), f"cannot be written ({error.strerror})", cure="Check who may write there"
        ) from None
    try:
        with disk_faults(work):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _committed(job: _Job, manifest: ProofManifest, version: Version) -> Proof:
    """The proof with its parts written, in its place."""
    final, content = job.write()
    manifest = manifest.model_copy(update={"content": content, "parts": describe_parts(final)})
    target = version.path / FOLDER / manifest.proof
    if target.exists():  # damaged, or made by other libraries
        shutil.rmtree(target)
    manifest.write(final)
    final.rename(target)
    return read(target)


def libraries() -> dict[str, str]:
    """Name to version of everything that has a hand in a proof."""
    ours = {"datakit": VERSION, "python": platform.python_version()}
    return {**ours, **{name: library_version(name) for name in _LIBRARIES}}


class _Count(NamedTuple):
    """Rows and tokens of one kind."""

    rows: int
    total: int
    trained: int


@dataclass
class _Job:
    """One proof in the making; `keep`: whether its rows will be written."""

    version: Version
    model: Model
    settings: ProofSettings
    work: Path
    keep: bool
    progress: Progress

    def run(self, workers: int | None) -> None:
        """Prove all batches, and find the length that rows are held to."""
        self.clock = datetime.now()
        batches = list(self._batches())
        self.rows = sum(batch.rows for batch in batches)
        if not self.rows:
            kinds = ", ".join(self.settings.kinds())
            raise NoRows(self.version.reference, "no row for this stage", f"rows of {kinds}", "Choose another --stage")
        plan = self.work / f"plan-{time.time_ns()}.pickle"  # workers know a plan by its path
        self.count = workers or max(1, min(available_cores(), self.rows // _ROWS_A_WORKER))
        self.results: list[BatchResult] = []
        step = partial(prove_batch, plan=plan, work=self.work, keep=self.keep)
        with Workers(self.count, [prove_batch.__module__]) as pool:  # they start while the plan is made
            plan.write_bytes(pickle.dumps(Plan(self.model, self.settings, self.clock)))
            self.prover = bench_of(plan).prover
            done = 0
            for result in pool.run_in_order(step, batches):
                self.results.append(result)
                done += result.batch.rows
                self.progress.advance("proving", done, self.rows, "rows")
        self.lengths: dict[Kind, int | None] = {
            kind: length_of(kind, self.settings.masks, self.results)
            for kind in dict.fromkeys(result.batch.kind for result in self.results)
        }

    def _batches(self) -> Iterator[Batch]:
        """Rows of bounded number and size; depends on the version's files alone."""
        number = 0
        for kind in self.settings.kinds():
            for file in self.version.data_files(kind):
                rows = pl.scan_parquet(file).select(pl.len()).collect().item()
                step = max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(1, file.stat().st_size)))
                for first in range(0, rows, step):
                    yield Batch(number, kind, file, first, min(step, rows - first))
                    number += 1

    def manifest(self) -> ProofManifest:
        """The manifest, its parts left to be filled in."""
        findings = Findings()
        for result in self.results:
            findings.merge(result.findings)
        kinds = {kind: self._count(kind, findings) for kind in self.lengths}
        dialogues = kinds.get("messages", _Count(0, 0, 0))
        totals = overall.Totals(
            kinds=tuple(kinds),
            dialogues=sum(result.batch.rows for result in self.results if result.batch.kind == "messages"),
            total=dialogues.total,
            trained=dialogues.trained,
            calling=sum(result.calling for result in self.results),
            unprompted=sum(result.unprompted for result in self.results),
        )
        packs = self._packed(findings)
        for found in self._overall(totals, findings):
            findings.add_template(found.code, found.detail, severity=found.severity)
        left = sum(count.rows for count in kinds.values())
        masks = self.settings.masks
        return ProofManifest(
            format=FORMAT,
            proof=proof_hash(self.version.manifest.fingerprint, self.model, self.settings),
            version=self.version.manifest.fingerprint,
            model=self.model.fingerprint,
            model_name=self.model.name,
            settings=self.settings.values(),
            max_length={kind: length for kind, length in self.lengths.items()},
            clock=self.clock.date().isoformat() if findings.count("M6") else None,
            rows=self.rows,
            left_out=self.rows - left,
            passed=bool(left)
            and not findings.fails(masks.fail_on)
            and self.rows - left <= masks.max_left_out * self.rows,
            kinds={kind: count.rows for kind, count in kinds.items()},
            total=sum(count.total for count in kinds.values()),
            trained=sum(count.trained for count in kinds.values()),
            packs=packs,
            findings=findings.to_rows(),
            content="",
            parts={},
            libraries=libraries(),
        )

    def _held(self, result: BatchResult) -> Held:
        return held(result.batch.number, self.lengths[result.batch.kind], self.settings.masks, self.work)

    def _count(self, kind: Kind, findings: Findings) -> _Count:
        """Rows and tokens of a kind that are left at its length; rows that are not are named."""
        rows = total = trained = 0
        for result in self.results:
            if result.batch.kind == kind:
                left = self._held(result)
                rows, total, trained = rows + left.rows, total + left.total, trained + left.trained
                for _, source, line, code, severity, detail in left.lost.iter_rows():
                    findings.add(code, f"{source}:{line}", detail, severity=severity)
        return _Count(rows, total, trained)

    def _packed(self, findings: Findings) -> dict[str, Packs]:
        """The packs of dialogues and of texts; what packing spoils is added to the findings."""
        strategy = self.settings.packing
        if strategy is None:
            return {}
        masks = self.settings.masks
        kinds = [kind for kind in self.lengths if kind in ("messages", "text")]
        for found in packed.of_attention(strategy, masks.attention, kinds):
            findings.add_template(found.code, found.detail, severity=found.severity)
        return {
            kind: packed.pack_rows(
                packed.rows_left(kind, self.results, self.lengths[kind], self.work), kind, size, strategy, findings
            )
            for kind in kinds
            if (size := asked_length(kind, masks, self.results)) is not None
        }

    def _overall(self, totals: overall.Totals, findings: Findings) -> Iterator[overall.Found]:
        yield from overall.of_tokenizer(self.model)
        yield from overall.of_set(totals, findings)
        if not set(totals.kinds) - {"text"}:
            return
        yield from overall.of_template(self.prover, totals)
        if (sample := self._sample()) is not None:
            yield from overall.of_libraries(self.prover, sample, self.prover.show(sample).input_ids)

    def _sample(self) -> dict[str, Any] | None:
        """The first dialogue, to be compared with transformers."""
        first = next((result.batch for result in self.results if result.batch.kind == "messages"), None)
        return pl.scan_parquet(first.file).head(1).collect().to_dicts()[0] if first is not None else None

    def write(self) -> tuple[Path, str]:
        """Write the parts of the proof; their folder, and a hash over all rows, come back."""
        final = self.work / "proof"
        (final / "data").mkdir(parents=True)
        parts = list(shares(self.results, self.lengths))
        digest = hashlib.blake2b(digest_size=16)
        with Workers(min(self.count, len(parts)), [write_part.__module__]) as pool:
            for done, content in enumerate(
                pool.run_in_order(partial(write_part, work=self.work, final=final), parts), 1
            ):
                digest.update(content.encode())
                self.progress.advance("writing", done, len(parts), "parts")
        self._found().write_parquet(final / "findings.parquet", compression="zstd")
        return final, digest.hexdigest()

    def _found(self) -> pl.DataFrame:
        """All findings of rows, those by the length among them."""
        return pl.concat(
            frame
            for result in self.results
            for frame in (
                read_sheet(self.work, "found", result.batch.number),
                self._held(result).lost,
            )
        )
