"""`split`: the rows of a version in shares, such as train, validation and test, each a version of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.derivation.draw import draws
from datakit.derivation.groups import groups_of, labels_of
from datakit.derivation.output import finish, write_ledger, write_pairs
from datakit.derivation.rows import Rows, Writer
from datakit.errors import DataVerdict, UsageFault
from datakit.files import disk_faults
from datakit.progress import Progress, Silent
from datakit.versions.store import Version, prepare_output


@dataclass(frozen=True)
class SplitResult:
    """What `split` made. shares: name to version. groups: how many there were; largest: rows of the largest one."""

    parent: Version
    shares: dict[str, Version]
    groups: int
    largest: int


def split(
    version: Version,
    out: Path,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    group_by: Sequence[str] = (),
    stratify: Sequence[str] = (),
    similarity: float = 0.0,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> SplitResult:
    """Give every kept row of a version to one share; rows that belong together to the same one.

    Args:
        version: whose rows.
        out: a folder; each share is a dataset in it, by its name.
        shares: name to size, which are taken in proportion.
        seed: of the draw.
        group_by: keys of meta, or `source`, whose rows stay together.
        stratify: keys of meta, `language` or `source`, whose values are spread alike; kinds always are.
        similarity: pairs from this Jaccard similarity on stay together, of those that the version records.
        progress: hears of progress and notices.
        command: what log.jsonl records as the cause.

    Raises:
        UsageFault: shares or keys are wrong.
        DataVerdict: a share would hold no row.
    """
    listener = progress or Silent()
    _check(shares)
    rows = Rows.of(version)
    groups = groups_of(rows, group_by, similarity)
    given = assign(rows, groups, list(shares.values()), seed, stratify)
    names = list(shares)
    counts = {name: int((given == place).sum()) for place, name in enumerate(names)}
    if lacking := [name for name, count in counts.items() if not count]:
        found = f"no row of {rows.index.height:,} in {np.unique(groups).size:,} groups for {', '.join(lacking)}"
        raise DataVerdict(version.reference, found, cure="Make it larger, or group by less")
    recipe = {
        "parent": version.manifest.fingerprint,
        "shares": {name: float(size) for name, size in shares.items()},
        "rows": counts,
        "seed": seed,
        "group_by": list(group_by),
        "stratify": list(stratify),
        "similarity": similarity,
    }
    written = rows.written()
    made: dict[str, Version] = {}
    for place, name in enumerate(names):
        made[name] = _share(rows, written, given == place, out / name, {"split": {**recipe, "share": name}}, command)
        listener.advance("splitting", place + 1, len(names), "shares")
    sizes = np.bincount(groups, minlength=1)
    return SplitResult(version, made, int((sizes > 0).sum()), int(sizes.max(initial=0)))


def assign(
    rows: Rows, groups: NDArray[np.int64], sizes: Sequence[float], seed: int, stratify: Sequence[str]
) -> NDArray[np.int64]:
    """The place in `sizes` of each row's share, int64.

    In each stratum the groups are lined up in the order they are drawn in, and the line is cut in proportion; a group
    goes to the share that its middle lies in.
    """
    strata = pl.DataFrame({"kind": rows.index["kind"], **{key: labels_of(rows, key) for key in stratify}})
    table = strata.with_columns(
        group=pl.Series(groups), drawn=pl.Series(draws(rows.index["id"], seed)), row=pl.int_range(pl.len())
    )
    # A group is of the stratum of its first row, and draws the least number of its rows.
    first = table.group_by("group").agg(
        pl.col(*strata.columns).sort_by("row").first(), pl.col("drawn").min(), size=pl.len()
    )
    ordered = first.sort(*strata.columns, "drawn", "group").with_columns(pl.col("size").cast(pl.Float64))
    middle = pl.col("size").cum_sum() - pl.col("size") / 2
    lined = ordered.with_columns(at=(middle / pl.col("size").sum()).over(strata.columns))
    cuts = np.cumsum(np.asarray(sizes, dtype=np.float64) / sum(sizes))[:-1]
    shares = np.searchsorted(cuts, lined["at"].to_numpy(), side="right")
    given = table.join(lined.select("group", share=pl.Series(shares)), on="group", how="left", maintain_order="left")
    return given["share"].to_numpy().astype(np.int64)


def _check(shares: Mapping[str, float]) -> None:
    if len(shares) < 2:
        raise UsageFault("shares", f"{len(shares)}", "two or more, e.g. train=0.9 test=0.1")
    for name, size in shares.items():
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            raise UsageFault("shares", f"'{name}'", "a name of letters and digits, that of a folder")
        if not 0 < size < float("inf"):
            raise UsageFault(f"share {name}", f"{size:g}", "a number above 0")


def _share(
    rows: Rows,
    written: pl.Series,
    mine: NDArray[np.bool_],
    dataset: Path,
    recipe: dict[str, object],
    command: Sequence[str],
) -> Version:
    work = prepare_output(dataset)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        stack.enter_context(disk_faults(work))
        folder = work / "version"
        writer = Writer(folder)
        for kind, frame, at in rows.frames():
            inside = frame.filter(mine[at])
            writer.take(kind, inside, np.ones(inside.height, dtype=np.bool_))
        fates = rows.index.with_columns(written, decision=pl.lit("kept"), reason=pl.lit(None, pl.String)).filter(mine)
        write_ledger(folder, fates)
        write_pairs(folder, [rows.version], fates)
        named = command or ("datakit.split", rows.version.reference)
        return finish(folder, dataset, fates, writer.finish(), [rows.version], recipe, named)
