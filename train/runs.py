"""A run on disk: what was trained on what, how it went, and whether it may go on.

    runs/2026-11-23T23-14-55-sales-sft/
      record.json                what the run is: facts, places, rows, verdicts, status; always whole
      metrics.jsonl              one line a logged step
      checkpoints/checkpoint-20/ see train/checkpoints.py
      model/                     what was trained: weights or an adapter, tokenizer, run.json
      report.html

`facts` are what must be equal for the run to go on: recipe, dataset, proof, template, base, seed, libraries.
`places` are where these lay, relative to the run's folder, so that a project can be moved; they are not compared.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson

from datakit.errors import DataVerdict, MissingInput, Surroundings, UsageFault
from datakit.files import disk_faults, write_whole

FORMAT: Final = 1
RECORD: Final = "record.json"
SIGNATURE: Final = "run.json"
METRICS: Final = "metrics.jsonl"
_LOCK: Final = ".lock"

UNFINISHED: Final = ("running", "interrupted", "failed")
"""Statuses of a run that may be gone on with; the others are done and stopped (by a gate)."""

TIMINGS: Final = ("_runtime", "_per_second")
"""Ends of metrics that say how fast the machine was, and nothing of the model."""

Row = dict[str, float]
"""One logged step: metric to value; always with `step`."""


class Run:
    """One run: its folder and its record.

    Attributes:
        path: the run's folder.
        fields: the record as JSON types; changed through `record` alone.
    """

    def __init__(self, path: Path, fields: dict[str, Any]) -> None:
        self.path, self.fields = path, fields

    @classmethod
    def start(
        cls,
        folder: Path,
        stage: str,
        recipe_name: str,
        facts: Mapping[str, Any],
        places: Mapping[str, Path] | None = None,
        parent: Mapping[str, Any] | None = None,
    ) -> Run:
        """A new run in a folder of its own below `folder`.

        Args:
            folder: the folder of all runs; made where it is missing.
            stage: what is trained, e.g. sft.
            recipe_name: the recipe's file stem.
            facts: what must be equal for the run to go on; JSON types.
            places: where dataset, proof, base and recipe lie.
            parent: run and checkpoint that this one starts from, where it is a fork.
        """
        path = _new_folder(folder, f"{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}-{recipe_name}-{stage}")
        run = cls(path, {})
        run.record(
            format=FORMAT,
            run=path.name,
            stage=stage,
            recipe=recipe_name,
            status="running",
            started=time.time(),
            facts=plain(facts),
            places={name: os.path.relpath(place.resolve(), path.resolve()) for name, place in (places or {}).items()},
            parent=dict(parent) if parent else None,
        )
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run of a folder.

        Raises:
            MissingInput: there is no run.
            DataVerdict: its record is damaged.
        """
        record = path / RECORD
        if not record.is_file():
            raise MissingInput(str(path), "no run here", f"a folder with a {RECORD}", "`datakit runs list` names them")
        try:
            fields = orjson.loads(record.read_bytes())
        except orjson.JSONDecodeError as error:
            raise DataVerdict(str(record), f"not a record ({error})", cure="Restore it, or remove the run") from None
        if not isinstance(fields, dict) or not {"run", "stage", "recipe", "status", "facts"} <= fields.keys():
            raise DataVerdict(str(record), "not a record of a run", cure="Restore it, or remove the run")
        return cls(path, fields)

    @classmethod
    def of_model(cls, folder: Path) -> Run | None:
        """The run that a saved model comes from; None where it is a base, or its run is gone."""
        if (folder.parent / RECORD).is_file():
            return cls.open(folder.parent)
        if not (folder / SIGNATURE).is_file():
            return None
        path = Path(os.path.normpath(folder.absolute() / orjson.loads((folder / SIGNATURE).read_bytes())["folder"]))
        return cls.open(path) if (path / RECORD).is_file() else None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def status(self) -> str:
        """Running, done, stopped, interrupted or failed; killed where the record says running and nobody runs it."""
        status = str(self.fields["status"])
        return "killed" if status == "running" and not self._is_held() else status

    @property
    def metrics_path(self) -> Path:
        """Where the logged steps stand."""
        return self.path / METRICS

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints: the trainer's output folder."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Where the trained model is saved."""
        return self.path / "model"

    def place(self, name: str) -> Path | None:
        """Where a thing that the run used lay: dataset, proof, base, recipe."""
        found = self.fields.get("places", {}).get(name)
        return Path(os.path.normpath(self.path.absolute() / found)) if found else None

    def record(self, **fields: Any) -> None:
        """Put fields into the record and write it whole; a field that is there already is replaced."""
        self.fields = {**self.fields, **plain(fields)}
        write_whole(self.path / RECORD, orjson.dumps(self.fields, option=orjson.OPT_INDENT_2).decode() + "\n")

    def finish(self, status: str) -> None:
        """Record how the run ended: done, or stopped by a gate."""
        self.record(status=status, ended=time.time())

    def log(self, row: Mapping[str, float]) -> None:
        """Append one logged step; a value that is no finite number is kept as a text, not lost as null."""
        with disk_faults(self.metrics_path), self.metrics_path.open("ab") as file:
            file.write(_line(row))

    def history(self) -> list[Row]:
        """The logged steps, in order; a last line that a killed run left half-written is passed over."""
        if not self.metrics_path.is_file():
            return []
        rows = []
        for line in self.metrics_path.read_bytes().splitlines():
            with suppress(orjson.JSONDecodeError):
                rows.append({name: float(value) for name, value in orjson.loads(line).items()})
        return rows

    def forget_after(self, step: int) -> None:
        """Drop logged steps behind `step`: the run goes on from there and logs them again."""
        kept = [_line(row) for row in self.history() if row["step"] <= step]
        write_whole(self.metrics_path, b"".join(kept).decode())

    def sign(self, folder: Path) -> None:
        """Write into a saved model which run made it, so that a copy of it can still be traced."""
        known = {name: self.fields.get(name) for name in ("run", "stage", "recipe", "facts", "rows")}
        known["folder"] = os.path.relpath(self.path.resolve(), folder.resolve())
        write_whole(folder / SIGNATURE, orjson.dumps(known, option=orjson.OPT_INDENT_2).decode() + "\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run while it is trained: nobody else may, and how it ends is recorded.

        Raises:
            UsageFault: another process trains it.
        """
        with _lock(self.path / _LOCK) as free:
            if not free:
                cure = "Wait for it, or stop it with Ctrl-C; it saves a checkpoint first"
                raise UsageFault(str(self.path), "another process is training this run", cure=cure)
            self.record(status="running", error=None)
            try:
                yield
            except KeyboardInterrupt:
                self.finish("interrupted")
                raise
            except BaseException as error:
                with suppress(Surroundings):  # of a full disk, the first error is the one to tell
                    self.record(status="failed", ended=time.time(), error=f"{type(error).__name__}: {error}")
                raise

    def _is_held(self) -> bool:
        if not (self.path / _LOCK).is_file():
            return False
        with _lock(self.path / _LOCK) as free:
            return not free


def list_runs(folder: Path) -> tuple[list[Run], list[DataVerdict]]:
    """The runs below a folder, oldest first, and what is wrong with those that cannot be read."""
    runs, faults = [], []
    for record in sorted(folder.glob(f"*/{RECORD}")):
        try:
            runs.append(Run.open(record.parent))
        except DataVerdict as fault:
            faults.append(fault)
    return sorted(runs, key=lambda run: (run.fields.get("started", 0), run.name)), faults


def find_run(reference: str, folder: Path) -> Run:
    """The run that a reference names: its folder, its saved model, or a part of its name that no other run has.

    Raises:
        MissingInput: none answers, or more than one; the candidates are listed.
    """
    path = Path(reference)
    if (path / RECORD).is_file():
        return Run.open(path)
    if (made_by := Run.of_model(path)) is not None:
        return made_by
    if (path / SIGNATURE).is_file():  # a model that was moved away from its run
        reference = orjson.loads((path / SIGNATURE).read_bytes())["run"]
    names = [run.name for run in list_runs(folder)[0]]
    matches = [name for name in names if name == reference] or [name for name in names if reference in name]
    if len(matches) != 1:
        found = f"{len(matches)} runs in {folder} are called so" if matches else f"no such run, nor in {folder}"
        near = ", ".join((matches or names)[-5:]) or "none"
        raise MissingInput(reference, found, "a run's folder, or a part of its name", f"The last ones: {near}")
    return Run.open(folder / matches[0])


def flatten(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts as one level, by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs between the facts of two runs: dotted name, value there, value here; None where it is missing."""
    old, new = flatten(plain(before)), flatten(plain(after))
    return [(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _line(row: Mapping[str, float]) -> bytes:
    return orjson.dumps(_finite(row)) + b"\n"


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back, so that a record equals itself when it is read again; NaN and infinities as texts."""
    read: dict[str, Any] = orjson.loads(orjson.dumps(_finite(fields), option=orjson.OPT_NON_STR_KEYS, default=str))
    return read


def _finite(value: Any) -> Any:
    """The same with NaN and infinities as texts, which JSON would turn into null."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _new_folder(folder: Path, name: str) -> Path:
    """A folder of that name, or with a number behind it where two runs start in one second."""
    for number in range(1, 1000):
        path = folder / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise Surroundings(str(folder / name), "999 runs were started in this second", cure="Wait a second")


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Whether the lock could be had, held until the end of the block; a killed process lets go of it."""
    import fcntl

    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
