"""Published tables of ratings, and tables made from grids; shared by the tests of agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

# Fleiss (1971), table 1: 30 patients, 6 psychiatrists each. A digit: how many said depression, personality disorder,
# schizophrenia, neurosis, other.
FLEISS_1971 = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
""".split()  # noqa: SIM905  # a table reads better as one

# Krippendorff (2011), section C: a line an observer, a digit a unit, a dot where nothing was said.
KRIPPENDORFF_2011 = ["123321412...", "12332241253.".replace("3.", ".3"), ".3332342251.", "12332441251."]

# Dawid and Skene (1979), table 1: a word a patient; the first anaesthetist looked three times, four others once.
DAWID_SKENE_1979 = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212 1211111
1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111 1111111 1121121
1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
""".split()  # noqa: SIM905  # a table reads better as one


def grid(lines: Sequence[str], names: Sequence[str] = "abcdefgh") -> pl.DataFrame:
    """The table of some lines, one an annotator, a character an item; a dot where nothing was said."""
    rows = [
        (f"u{place:03}", name, said)
        for name, line in zip(names, lines, strict=False)
        for place, said in enumerate(line)
        if said != "."
    ]
    return pl.DataFrame(rows, schema=["item", "annotator", "value"], orient="row")


def counted(words: Sequence[str]) -> pl.DataFrame:
    """The table of some words, one an item, digit c of which says how many annotators said category c."""
    said = ["".join(str(code) * int(digit) for code, digit in enumerate(word)) for word in words]
    return grid(["".join(letters) for letters in zip(*said, strict=True)])


def answers(said: Mapping[tuple[str, str], object]) -> pl.DataFrame:
    """The table of some answers by item and annotator."""
    rows = [(item, annotator, value) for (item, annotator), value in said.items()]
    return pl.DataFrame(rows, schema=["item", "annotator", "value"], orient="row", strict=False)
