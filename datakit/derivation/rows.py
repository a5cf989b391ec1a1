"""The rows that versions keep, numbered, and as files of a new version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.cleaning.views import written_hashes
from datakit.records import KINDS, SCHEMAS, Kind
from datakit.versions.store import Version

_PACKED: Final[dict[str, Any]] = {"compression": "zstd", "compression_level": 1}


@dataclass(frozen=True)
class Rows:
    """The kept rows of a version. index: kind, source, line, id, one a row, by kind, then in the order of files."""

    version: Version
    index: pl.DataFrame

    @classmethod
    def of(cls, version: Version) -> Rows:
        """The rows of a version."""
        empty = pl.DataFrame(schema={"kind": pl.String, "source": pl.String, "line": pl.Int64, "id": pl.String})
        parts = [
            pl.read_parquet(path, columns=["source", "line", "id"]).select(
                pl.lit(kind).alias("kind"), "source", "line", "id"
            )
            for kind, path in _files(version)
        ]
        return cls(version, pl.concat([empty, *parts]))

    def frames(self) -> Iterator[tuple[Kind, pl.DataFrame, slice]]:
        """The records file by file, with the stretch of the index that each is."""
        start = 0
        for kind, path in _files(self.version):
            frame = pl.read_parquet(path).select(*SCHEMAS[kind])
            yield kind, frame, slice(start, start + frame.height)
            start += frame.height

    def written(self) -> pl.Series:
        """The hash of each record as written, 16 hex digits: its id where cleaning left it as it was."""
        unchanged = np.zeros(self.index.height, dtype=np.bool_)
        if "clean" in self.version.manifest.recipe:
            ledger = pl.read_parquet(self.version.path / "ledger.parquet", columns=["source", "line", "decision"])
            joined = self.index.join(ledger, on=["source", "line"], how="left", maintain_order="left")
            unchanged = (joined["decision"] == "kept").fill_null(value=False).to_numpy()
        hashes = [written_hashes(frame, kind, pl.Series(~unchanged[at])) for kind, frame, at in self.frames()]
        return pl.concat(hashes) if hashes else pl.Series("written", [], dtype=pl.String)


def _files(version: Version) -> Iterator[tuple[Kind, Path]]:
    for kind in KINDS:
        for path in version.data_files(kind):
            yield kind, path


class Writer:
    """Lays kept and dropped rows down as the files of a version below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[str, list[Path]] = {}
        for name in ("data", "dropped"):
            (folder / name).mkdir(parents=True)

    def take(self, kind: Kind, frame: pl.DataFrame, kept: NDArray[np.bool_]) -> None:
        """Take the records of one file in: those that are kept, and the others."""
        for where, rows in (("data", frame.filter(kept)), ("dropped", frame.filter(~kept))):
            if rows.height:
                parts = self._parts.setdefault(f"{where}/{kind}", [])
                parts.append(self._folder / f"{where}-{kind}-{len(parts):05d}.parquet")
                rows.write_parquet(parts[-1], **_PACKED)

    def finish(self) -> dict[str, int]:
        """Name the files as a version has them; rows that are kept by kind."""
        counts: dict[str, int] = {}
        for name, parts in self._parts.items():
            where, _, kind = name.partition("/")
            if where == "data":
                counts[kind] = pl.scan_parquet(parts).select(pl.len()).collect().item()
                for place, part in enumerate(parts):
                    part.rename(self._folder / "data" / f"{kind}-{place:05d}-of-{len(parts):05d}.parquet")
            else:
                pl.scan_parquet(parts).sink_parquet(self._folder / "dropped" / f"{kind}.parquet", **_PACKED)
                for part in parts:
                    part.unlink()
        return {kind: counts[kind] for kind in KINDS if kind in counts}
