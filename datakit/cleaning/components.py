"""Rows that hang together by pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def components(edges: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """The smallest row that each row is connected to, itself where it has no edge; int64, shape (rows,).

    edges: pairs of rows, shape (n, 2).
    """
    label: NDArray[np.int64] = np.arange(rows, dtype=np.int64)
    while edges.size:
        before = label.copy()
        low = np.minimum(label[edges[:, 0]], label[edges[:, 1]])
        np.minimum.at(label, edges[:, 0], low)
        np.minimum.at(label, edges[:, 1], low)
        label = label[label]
        if np.array_equal(before, label):
            break
    return label
