"""An Argilla in memory: what pull asks of one, with faults that a real server shows once in a thousand times."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from annotation.client import Server

DATASET = str(uuid.UUID(int=7))


def identity(*words: object) -> str:
    """A UUID that is the same for the same words."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, words))))


@dataclass
class Pretended:
    """A server with one dataset.

    records: external id to id. responses: (external id, user name) to response. hidden: external ids that the search
    does not find. fault: called with the number and path of every request; what it gives is answered in its place.
    """

    dataset_name: str
    workspace: str
    users: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    responses: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    fault: Callable[[int, str], httpx.Response | None] = lambda number, path: None
    asked: list[str] = field(default_factory=list)
    clock: int = 0

    def server(self) -> Server:
        """A client of it."""
        found = Server("http://pretended", "key")
        found.http.close()
        found.http = httpx.Client(base_url="http://pretended", transport=httpx.MockTransport(self._answer))
        return found

    def say(self, item: str, user: str, values: dict[str, Any] | None, status: str = "submitted") -> None:
        """Somebody answers an item, or changes their answer."""
        self.users.setdefault(user, identity("user", user))
        self.clock += 1
        before = self.responses.get((item, user))
        now = self._now()
        self.responses[item, user] = {
            "id": before["id"] if before else identity("response", self.records[item], self.users[user], self.clock),
            "user_id": self.users[user],
            "record_id": self.records[item],
            "status": status,
            "values": values and {name: {"value": value} for name, value in values.items()},
            "inserted_at": before["inserted_at"] if before else now,
            "updated_at": now,
        }

    def remove_record(self, item: str) -> None:
        """Delete a record and what was said of it."""
        del self.records[item]
        self.responses = {key: said for key, said in self.responses.items() if key[0] != item}

    def remove_user(self, user: str) -> None:
        """Delete somebody and, as Argilla does, all that they said."""
        del self.users[user]
        self.responses = {key: said for key, said in self.responses.items() if key[1] != user}

    def _now(self) -> str:
        return f"2026-11-24T{self.clock // 3600:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}"

    def _record(self, item: str) -> dict[str, Any]:
        said = [response for (about, _), response in self.responses.items() if about == item]
        return {"id": self.records[item], "external_id": item, "responses": said}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/")
        self.asked.append(path)
        return self.fault(len(self.asked), path) or httpx.Response(200, content=orjson.dumps(self._told(path, request)))

    def _told(self, path: str, request: httpx.Request) -> Any:
        offset, limit = (int(request.url.params.get(name, 0)) for name in ("offset", "limit"))
        place = f"datasets/{DATASET}"
        if path == "me/workspaces":
            return {"items": [{"id": identity("space"), "name": self.workspace}]}
        if path == "me/datasets":
            return {"items": [{"id": DATASET, "name": self.dataset_name, "status": "ready"}]}
        if path == "users":
            return {"items": [{"id": number, "username": name} for name, number in self.users.items()]}
        if path == place:
            return {"last_activity_at": self._now()}
        if path == f"{place}/users/progress":
            counts: dict[str, dict[str, int]] = {}
            for (_, user), said in self.responses.items():
                mine = counts.setdefault(user, {})
                mine[said["status"]] = mine.get(said["status"], 0) + 1
            return {"users": [{"username": user, "pending": mine} for user, mine in counts.items()]}
        if path == f"{place}/records":
            found = [self._record(item) for item in list(self.records)]
            return {"items": found[offset : offset + limit], "total": len(found)}
        assert path == f"{place}/records/search", path
        answered = sorted({item for item, _ in self.responses} - self.hidden, key=lambda item: self.records[item])
        found = [{"record": self._record(item)} for item in answered]
        return {"items": found[offset : offset + limit], "total": len(found)}
