"""The vectors nearest to one vector, by reading all of them: exact, and quick enough for what people label."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .conditions import Fragment

if TYPE_CHECKING:
    import numpy as np

CHUNK = 4096  # vectors in memory at once


def nearest(
    connection: sqlite3.Connection,
    settings: int,
    vector: array[float],
    hits: Fragment,
    excluded: str | None,
    count: int,
) -> list[tuple[str, float]]:
    """Record ids (32 hex digits) and scores, (1 + cosine) / 2, of the nearest `count` among the hits, best first.

    Args:
        connection: of the store; the vectors are packed.
        settings: the number of the vector settings.
        vector: of length one.
        hits: FROM and WHERE of the documents that may be found.
        excluded: a record that is not found.
        count: how many, at most.
    """
    import numpy as np  # here: 25 MB that a server without vectors need not hold

    wanted = np.frombuffer(vector, dtype=np.float32)
    source, values = hits
    rows = connection.execute(
        f"""SELECT doc, packed FROM datakit_vectors WHERE settings = ? AND packed IS NOT NULL AND length(packed) = ?
            AND doc IN (SELECT d.doc FROM {source})""",
        [settings, wanted.nbytes, *values],
    )
    best: list[tuple[float, int]] = []
    for docs, matrix in _chunks(rows, len(wanted)):
        cosines = matrix @ wanted
        keep = np.argsort(-cosines, kind="stable")[: count + 1]
        best += [(float(cosines[at]), docs[at]) for at in keep]
        best = sorted(best, key=lambda one: (-one[0], one[1]))[: count + 1]
    found = []
    for cosine, doc in best:
        [record] = connection.execute("SELECT record FROM datakit_documents WHERE doc = ?", (doc,)).fetchone()
        if record != excluded:
            found.append((record, (1.0 + cosine) / 2.0))
    return found[:count]


def _chunks(rows: sqlite3.Cursor, width: int) -> Iterator[tuple[list[int], np.ndarray[Any, np.dtype[np.float32]]]]:
    import numpy as np

    while chunk := rows.fetchmany(CHUNK):
        packed = b"".join(vector for _, vector in chunk)
        yield [doc for doc, _ in chunk], np.frombuffer(packed, dtype=np.float32).reshape(len(chunk), width)
