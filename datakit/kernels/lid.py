"""fastText's language identification, lid.176, read from its file and computed by a kernel.

The file is a supervised model with hierarchical softmax, its input matrix quantized (Joulin et al. 2016,
"FastText.zip", arXiv 1612.03651; layout: fastText 0.9.2, `src/fasttext.cc`, `dictionary.cc`, `quantmatrix.cc`). The
kernel adds and multiplies in the order of fastText's own code, so labels are the same and probabilities differ by the
last bit at most (a test holds this). It takes a quarter of the time and makes no object of a text.
"""

from __future__ import annotations

import struct
from functools import cache
from math import log
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datakit.kernels.jit import inner, kernel

MODEL: Final = Path(__file__).parent / "data" / "lid.176.ftz"

_MAGIC: Final = (793712314, 12)
_LABEL: Final = b"__label__"
_DIMENSIONS: Final = 16
_BUCKETS: Final = np.uint32(2_000_000)
_LEAST, _MOST = 2, 4  # characters of an n-gram
_NONE: Final = np.uint16(0xFFFF)
_FNV: Final = np.uint32(2166136261)
_FNV_PRIME: Final = np.uint32(16777619)
_WORD: Final = np.uint64(0xCBF29CE484222325)
_WORD_PRIME: Final = np.uint64(0x100000001B3)
_WORD_SLOTS: Final = 1 << 15
_HIGH: Final = np.uint32(0xFFFFFF00)
_OPEN, _CLOSE = np.uint8(ord("<")), np.uint8(ord(">"))  # what fastText puts around a word
_FLOOR: Final = np.float32(log(1e-5))  # fastText's logarithm of a probability of 0


class Model(NamedTuple):
    """The tables of the model.

    labels: ISO codes, most frequent first (not for the kernel). rows: float32, shape (words + n-grams, 16), the input
    matrix; grams: uint16, row of an n-gram less `words`, by its bucket; _NONE where it was pruned. keys and numbers:
    open addressing by the hash of a word, 0 where free; the row of each. output: float32, shape (labels, 16); left and
    right: int32, the children of each node of the tree, -1 for leaves, which are the first nodes; the last is the root.
    """

    labels: tuple[str, ...]
    rows: NDArray[np.float32]
    words: int
    grams: NDArray[np.uint16]
    keys: NDArray[np.uint64]
    numbers: NDArray[np.int32]
    output: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]


class _Reader:
    """Values one behind the other in the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def values(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"<{layout}", self.data, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return found

    def array(self, dtype: str, count: int) -> NDArray[np.float32]:
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += found.nbytes
        return found


@cache
def load() -> Model:
    """The shipped model: 8 MB, 20 ms.

    Raises:
        ValueError: the file is not the model that datakit ships.
    """
    reader = _Reader(MODEL.read_bytes())
    if reader.values("ii") != _MAGIC or reader.values("12id")[0] != _DIMENSIONS:
        raise ValueError(f"{MODEL}: not lid.176")
    entries, words, labels, _, pruned = reader.values("iiiqq")
    names: list[bytes] = []
    counts: list[int] = []
    for _ in range(entries):
        end = reader.data.index(b"\0", reader.at)
        names.append(reader.data[reader.at : end])
        reader.at = end + 1
        counts.append(reader.values("qb")[0])
    kept = reader.array("<i4", 2 * pruned).reshape(-1, 2)
    grams = np.full(int(_BUCKETS), _NONE, np.uint16)
    grams[kept[:, 0]] = kept[:, 1]
    rows = _dequantized(reader)
    reader.values("?qq")  # the output matrix is not quantized
    output = reader.array("<f4", labels * _DIMENSIONS).reshape(labels, _DIMENSIONS)
    left, right = _tree(counts[words:])
    codes = tuple(name.removeprefix(_LABEL).decode() for name in names[words:])
    return Model(codes, rows, words, grams, *_word_table(names[:words]), output, left, right)


def _dequantized(reader: _Reader) -> NDArray[np.float32]:
    """The input matrix: eight pairs of values a row, each pair one of 256, times a norm that is one of 256."""
    reader.values("??")
    height, _, size = reader.values("qqi")
    codes = reader.array("u1", size).reshape(height, -1)
    reader.values("iiii")
    centroids = reader.array("<f4", _DIMENSIONS * 256).reshape(codes.shape[1], 256, -1)
    norm_codes = reader.array("u1", height)
    reader.values("iiii")
    norms = reader.array("<f4", 256)[norm_codes]
    pairs = centroids[np.arange(codes.shape[1]), codes].reshape(height, _DIMENSIONS)
    return np.ascontiguousarray(pairs * norms[:, None])


def _tree(counts: list[int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Left and right children of every node of the Huffman tree over labels in descending order of frequency."""
    labels = len(counts)
    weights = counts + [10**15] * (labels - 1)
    left, right = np.full(2 * labels - 1, -1, np.int32), np.full(2 * labels - 1, -1, np.int32)
    leaf, node = labels - 1, labels
    for parent in range(labels, 2 * labels - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        left[parent], right[parent] = pair
        weights[parent] = weights[pair[0]] + weights[pair[1]]
    return left, right


def _word_table(words: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    keys, numbers = np.zeros(_WORD_SLOTS, np.uint64), np.zeros(_WORD_SLOTS, np.int32)
    for number, word in enumerate(words):
        key = int(_WORD)
        for byte in word:
            key = (key ^ byte) * int(_WORD_PRIME) % 2**64
        slot = key % _WORD_SLOTS
        while keys[slot]:
            slot = (slot + 1) % _WORD_SLOTS
        keys[slot], numbers[slot] = key, number
    return keys, numbers


@inner
def _add(rows: NDArray[np.float32], row: int, hidden: NDArray[np.float32]) -> None:
    for place in range(_DIMENSIONS):
        hidden[place] += rows[row, place]


@inner
def _hash_character(data: NDArray[np.uint8], at: int, stop: int, value: np.uint32) -> tuple[np.uint32, int]:
    """The hash of an n-gram with one more character, and where that ends."""
    while True:
        byte = np.uint32(data[at])  # fastText reads bytes as signed and widens them
        value = np.uint32((value ^ (byte | _HIGH if byte >= 0x80 else byte)) * _FNV_PRIME)
        at += 1
        if at == stop or data[at] & 0xC0 != 0x80:
            return value, at


@inner
def _add_word(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    rows: NDArray[np.float32],
    words: int,
    grams: NDArray[np.uint16],
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    hidden: NDArray[np.float32],
) -> int:
    """Add a word, which stands between `<` and `>`, and its n-grams to `hidden`; how many rows that were."""
    key = _WORD
    for at in range(start + 1, stop - 1):
        key = (key ^ np.uint64(data[at])) * _WORD_PRIME
    slot = np.int64(key & np.uint64(_WORD_SLOTS - 1))
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & (_WORD_SLOTS - 1)
    count = 0
    if keys[slot] == key:
        _add(rows, int(np.int64(numbers[slot])), hidden)
        count += 1
    for first in range(start, stop):
        if data[first] & 0xC0 == 0x80:
            continue
        value, at = _FNV, first
        for length in range(1, _MOST + 1):
            if at == stop:
                break
            value, at = _hash_character(data, at, stop, value)
            if length >= _LEAST and grams[value % _BUCKETS] != _NONE:
                _add(rows, words + int(np.int64(grams[value % _BUCKETS])), hidden)
                count += 1
    return count


@inner
def _rank(
    hidden: NDArray[np.float32],
    output: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    stack: NDArray[np.int32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Write the most probable labels and their log probabilities, the best first; both hold -1 and _FLOOR on entry."""
    wanted = labels.shape[0]
    stack[0], scores[0] = left.shape[0] - 1, np.float32(0)
    top = 1
    while top:
        top -= 1
        node, score = stack[top], scores[top]
        if score < values[wanted - 1]:
            continue
        if left[node] < 0:
            place = wanted - 1
            while place > 0 and values[place - 1] < score:
                values[place], labels[place] = values[place - 1], labels[place - 1]
                place -= 1
            values[place], labels[place] = score, node
            continue
        dot = np.float32(0)
        for index in range(_DIMENSIONS):
            dot += output[node - output.shape[0], index] * hidden[index]
        share = np.float32(1.0 / np.float64(np.float32(1) + np.float32(np.exp(-dot))))
        rest = np.float32(1.0 - np.float64(share))
        stack[top], scores[top] = right[node], score + np.float32(log(np.float64(share) + 1e-5))
        stack[top + 1], scores[top + 1] = left[node], score + np.float32(log(np.float64(rest) + 1e-5))
        top += 2


@kernel
def _classify(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    rows: NDArray[np.float32],
    words: int,
    grams: NDArray[np.uint16],
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    output: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    wanted: NDArray[np.int64],
    labels: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Classify every text; `data` is changed: each word gets its brackets where the blanks around it were."""
    hidden = np.empty(_DIMENSIONS, np.float32)
    stack, scores = np.empty(left.shape[0], np.int32), np.empty(left.shape[0], np.float32)
    for text in range(labels.shape[0]):
        for place in range(_DIMENSIONS):
            hidden[place] = 0
        count = 1
        start = offsets[text]
        for at in range(start + 1, offsets[text + 1]):
            if data[at] == 0x20:
                if at - start > 1:
                    data[start], data[at] = _OPEN, _CLOSE
                    count += _add_word(data, start, at + 1, rows, words, grams, keys, numbers, hidden)
                start = at
        _add(rows, int(np.int64(0)), hidden)  # what fastText makes of the end of the line
        for place in range(_DIMENSIONS):
            hidden[place] *= np.float32(1.0 / count)
        _rank(hidden, output, left, right, stack, scores, labels[text, : wanted[text]], values[text, : wanted[text]])


def classify(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The most probable labels of each text, numbers in `Model.labels` (-1: none), and their probabilities.

    data, offsets: as in `TextBuffer`, UTF-8; each text on one line, its words parted by single spaces, and a space
    before the first and behind the last. `data` is used up. wanted: int64, how many labels each text is to get.
    Shapes (n, most wanted), int32 and float32; what is beyond the wanted has label -1.
    """
    shape = (len(offsets) - 1, int(wanted.max(initial=1)))
    labels, values = np.full(shape, -1, np.int32), np.full(shape, _FLOOR, np.float32)
    _classify(data, offsets, *load()[1:], wanted, labels, values)
    return labels, np.exp(values)
