"""Responses as they lie on the server, read so that none is missed however busy people are.

What Argilla's interface allows, in order of cost: a dataset's time of last activity and its counts of responses tell
whether anything has changed at all (two small answers); a search gives the records that somebody has answered; the
listing of all records is the truth of its database. It does not tell which responses are new: the time of a record does
not move when a response to it is edited. So nothing is read where nothing has changed, else what is answered, and
everything where the search disagrees with the counts or misses a response that was there before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from annotation.campaigns.campaign import Campaign
from annotation.client import Server
from datakit.errors import Surroundings, UsageFault
from datakit.progress import Progress

_PAGE: Final = 200  # records an answer; they come with their dialogues, and a small server is slow with long ones
_WINDOW: Final = 10_000  # Elasticsearch shows no more of one search
_TRIES: Final = 3
_ANSWERED: Final = {
    "filters": {
        "type": "and",
        "and": [
            {
                "type": "terms",
                "scope": {"entity": "response", "property": "status"},
                "values": ["submitted", "discarded", "draft"],
            }
        ],
    },
    # Without an order a search comes in a random one; pages need one that stays.
    "sort": [{"scope": {"entity": "record", "property": "id"}, "order": "asc"}],
}

Read = Literal["nothing", "answered", "everything"]


@dataclass(frozen=True)
class Response:
    """What one user said of one record. id, record, user: the server's, in hex; item: the record's external id.

    values: question to value, as the page sent it. first, last: when it was made and when it was changed, as UTC time.
    """

    id: str
    record: str
    item: str | None
    user: str
    status: str
    values: Mapping[str, Any]
    first: str
    last: str


@dataclass(frozen=True)
class Pulse:
    """Whether anything has changed: equal digests, equal responses. count: how many there are."""

    digest: str
    count: int


@dataclass(frozen=True)
class Reading:
    """What was read, and how much was looked at; records: all that there are, known after reading everything."""

    responses: tuple[Response, ...]
    read: Read
    records: frozenset[str] | None = None


class RemoteDataset:
    """A campaign's dataset on a server; it is read only, so that every call may be repeated."""

    def __init__(self, server: Server, dataset: str) -> None:
        self._server = server
        self.id = dataset
        self._place = f"api/v1/datasets/{dataset}"

    @classmethod
    def of(cls, campaign: Campaign, server: Server) -> RemoteDataset:
        """The dataset that a campaign was pushed to.

        Raises:
            UsageFault: the server does not have it.
            Surroundings: the server does not answer.
        """
        name, workspace = campaign.manifest.dataset_name, campaign.manifest.workspace
        spaces = server.request("GET", "api/v1/me/workspaces")["items"]
        space = next((str(space["id"]) for space in spaces if space["name"] == workspace), None)
        dataset = server.find_dataset(name, space) if space is not None else None
        if dataset is None:
            raise UsageFault(
                server.url,
                f"no dataset {name!r} in a workspace {workspace!r}",
                f"the campaign as it was pushed to {campaign.manifest.url}",
                "Check --server; `datakit annotate push` brings a campaign to a server that lost it",
            )
        return cls(server, dataset)

    def pulse(self) -> Pulse:
        """Whether anything has changed; deleting a user or a record shows in the counts."""
        about = self._server.request("GET", self._place)
        people = self._server.request("GET", f"{self._place}/users/progress")["users"]
        told = orjson.dumps([self.id, about["last_activity_at"], people], option=orjson.OPT_SORT_KEYS)
        counts = [group.values() for user in people for group in user.values() if isinstance(group, dict)]
        digest = hashlib.blake2b(told, digest_size=16).hexdigest()
        return Pulse(digest, sum(number for group in counts for number in group))

    def names(self) -> dict[str, str]:
        """User id to name, of all users of the server."""
        users = self._server.request("GET", "api/v1/users")["items"]
        return {_hex(user["id"]): str(user["username"]) for user in users}

    def read(self, pulse: Pulse, expected: Iterable[str], progress: Progress, *, full: bool = False) -> Reading:
        """All responses that there are.

        Args:
            pulse: taken before.
            expected: ids of responses that were there when the server was last read.
            progress: hears the records that were read.
            full: read every record, whatever the search says.
        """
        if not full and pulse.count <= _WINDOW:
            found = {answer.id: answer for page in self._answered(progress) for answer in page}
            agrees = len(found) == pulse.count or self.pulse() != pulse  # who answers meanwhile is read the next time
            if agrees and found.keys() >= set(expected):
                return Reading(tuple(found.values()), "answered")
        return self._everything(progress)

    def _answered(self, progress: Progress) -> Iterator[list[Response]]:
        offset = 0
        while True:
            page = self._server.request(
                "POST",
                f"{self._place}/records/search",
                json=_ANSWERED,
                params={"include": "responses", "offset": offset, "limit": _PAGE},
                changes=False,
            )
            yield [answer for found in page["items"] for answer in _responses(found["record"])]
            offset += len(page["items"])
            progress.advance("pull", offset, page["total"], "records")
            if len(page["items"]) < _PAGE:
                return

    def _everything(self, progress: Progress) -> Reading:
        """All records, page by page; once more where records came or went meanwhile, for then one may be missed."""
        for _ in range(_TRIES):
            found: dict[str, list[Response]] = {}
            totals = set()
            while True:
                page = self._server.request(
                    "GET",
                    f"{self._place}/records",
                    params={"include": "responses", "offset": len(found), "limit": _PAGE},
                )
                before = len(found)
                found |= {_hex(record["id"]): _responses(record) for record in page["items"]}
                totals.add(page["total"])
                progress.advance("pull", len(found), page["total"], "records")
                if len(page["items"]) < _PAGE or len(found) == before:
                    break
            if totals == {len(found)}:
                answers = tuple(answer for answers in found.values() for answer in answers)
                return Reading(answers, "everything", frozenset(found))
        raise Surroundings(
            self._server.url, "records come and go while they are read", cure="Run again when nobody pushes or deletes"
        )


def utc(time: str) -> str:
    """A time of the server, which is UTC and says so or not, in one form that sorts as text."""
    moment = datetime.fromisoformat(time)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _responses(record: Mapping[str, Any]) -> list[Response]:
    return [
        Response(
            id=_hex(answer["id"]),
            record=_hex(record["id"]),
            item=record["external_id"],
            user=_hex(answer["user_id"]),
            status=answer["status"],
            values={name: value["value"] for name, value in (answer["values"] or {}).items()},
            first=utc(answer["inserted_at"]),
            last=utc(answer["updated_at"]),
        )
        for answer in record.get("responses") or ()
    ]


def _hex(number: str) -> str:
    return UUID(number).hex
