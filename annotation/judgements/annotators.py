"""Who is who in a campaign: the server's users, their names, and the pseudonyms that stand in every version.

annotators.json (mode 0600) is the only file of ours that holds names. Pseudonyms, a01, a02, …, go by the time of the
first answer, so that they are the same whether a campaign is pulled once or every hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from datakit.errors import DataVerdict
from datakit.files import write_whole

FILE: Final = "annotators.json"


@dataclass(frozen=True)
class Annotator:
    """A user of the server: name and pseudonym."""

    name: str
    pseudonym: str


Annotators = Mapping[str, Annotator]
"""The server's user id (hex) to who that is. Two ids have one pseudonym where an account was made anew."""

_SHAPE: Final = TypeAdapter(dict[str, Annotator])


def read_annotators(folder: Path) -> dict[str, Annotator]:
    """The annotators of a campaign's folder; empty before the first answer.

    Raises:
        DataVerdict: the file is damaged; what stands in it is not told, for it holds names.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return _SHAPE.validate_json(path.read_bytes())
    except ValidationError:
        raise DataVerdict(
            str(path), "cannot be read", "who is behind each pseudonym", "Restore it from a copy"
        ) from None


def write_annotators(folder: Path, annotators: Annotators) -> None:
    """Write annotators.json, which nobody but its owner may read."""
    plain = {user: {"name": who.name, "pseudonym": who.pseudonym} for user, who in annotators.items()}
    text = orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    write_whole(folder / FILE, text + "\n", mode=0o600)


def meet(known: Annotators, first_answers: Iterable[tuple[str, str]], names: Mapping[str, str]) -> dict[str, Annotator]:
    """The annotators once some users were met: new ones get the next pseudonyms, renamed ones their new name.

    A user whose name belonged to an account that is gone is the same person, with a new account.

    Args:
        known: who was met before.
        first_answers: (time, user id) of answers, in any order.
        names: user id to name, of all users that the server has now.
    """
    met = {user: Annotator(names.get(user, who.name), who.pseudonym) for user, who in sorted(known.items())}
    gone = {who.name: who.pseudonym for user, who in met.items() if user not in names and who.name}
    number = len({who.pseudonym for who in met.values()})
    for _, user in sorted(first_answers):
        if user in met:
            continue
        name = names.get(user, "")
        if name not in gone:
            number += 1
        met[user] = Annotator(name, gone.get(name, f"a{number:02}"))
    return met
