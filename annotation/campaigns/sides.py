"""Which answer stands where: drawn by the seed, in balance, and known to the campaign's files alone.

People lean to one side. If every pair showed its chosen answer first, a lean would look like agreement with the data;
with sides drawn in balance it cancels out, and can be measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from annotation.campaigns.items import lot


def orders(items: Sequence[str], answers: int, seed: int) -> list[list[int]]:
    """For each item the answers in the order of their places: place p shows answer `orders[…][p]`.

    Of two answers, either stands first in half of the items (of an odd number, in one more or less, by lot). Of more,
    each item draws a permutation.

    Args:
        items: ids; what an item draws among the same items does not depend on where it stands in the list.
        answers: answers that an item shows.
        seed: the campaign's.
    """
    if answers == 2:
        ranked = sorted(items, key=lambda item: lot(seed, "side", item))
        first = lot(seed, "first side", *ranked[:1]) % 2
        swapped = {item: (place + first) % 2 for place, item in enumerate(ranked)}
        return [[1, 0] if swapped[item] else [0, 1] for item in items]
    return [sorted(range(answers), key=lambda answer: lot(seed, "place", item, answer)) for item in items]


def swapped(order: Sequence[int]) -> list[int]:
    """The order of a repeat: what stood first stands last."""
    return list(reversed(order))


def arrange(asks: Sequence[str], hidden: Sequence[str], repeats: Sequence[tuple[str, str]], seed: int) -> list[str]:
    """The order in which the items of a batch are sent: drawn by lot, repeats far from what they repeat.

    Args:
        asks: items that are judged for their own sake.
        hidden: gold items; they stand anywhere.
        repeats: (repeat, the ask that it repeats).
        seed: the campaign's.

    Returns:
        Every item once. Between a repeat and its ask lie at least half of `asks` and `hidden`, rounded down; which of
        the two comes first is left to chance.
    """
    line = sorted([*asks, *hidden], key=lambda item: lot(seed, "place in line", item))
    place = {item: number for number, item in enumerate(line)}
    size = len(line)
    after: dict[int, list[str]] = {}  # what follows which place
    for repeat, ask in repeats:
        half, jitter = size // 2, lot(seed, "how far", repeat) % (size // 8 + 1)
        far = place[ask] + half + jitter if place[ask] + half < size else place[ask] - half - jitter
        after.setdefault(min(max(far, 0), size - 1), []).append(repeat)
    return [item for number, ask in enumerate(line) for item in (ask, *after.get(number, ()))]
