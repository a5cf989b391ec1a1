"""An Argilla server, as campaigns need it, over the REST interface that its own SDK speaks too.

The SDK itself is not used: it knows workspaces with ASCII names only and fails on a server that has any other; it
builds an object for every record that it sends and again for every one that comes back; it cannot say which record of a
batch was refused; and it brings pandas and datasets along. What is needed of the interface is a page of calls.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from datakit.errors import MissingExtra, Surroundings, UsageFault

try:
    import httpx
except ImportError:
    raise MissingExtra("httpx", "not installed", cure="pip install 'datakit[annotation]'") from None

PAGE: Final = 500
"""Records a request; also the most that the server takes at once."""

_KEY: Final = "X-Argilla-Api-Key"
_TIMEOUT: Final = 120.0  # seconds; 500 long records take a small server half a minute
_PAUSES: Final = (0.5, 2.0)  # seconds before the second and the third try
_RESUME: Final = "See that the server runs (`datakit annotate status`), then run again: what is done stays done"
_HOW: Final = "Start one with `datakit annotate serve`, or set ARGILLA_API_URL and ARGILLA_API_KEY"


class Refused(UsageFault):
    """The server understood and said no; `status` is HTTP's number."""

    status = 0


class Server:
    """An Argilla server and the right to change it; a context manager, at whose end its connections are closed.

    Attributes:
        url: without a slash at its end.
        http: a client of the REST interface that sends the key along; paths begin with `api/v1/`.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        self.http = httpx.Client(base_url=self.url, headers={_KEY: api_key}, timeout=_TIMEOUT)

    @classmethod
    def connect(cls, url: str, api_key: str) -> Server:
        """Open a server with its owner's key.

        Raises:
            UsageFault: the key is wrong, or the URL is that of something else.
            Surroundings: nobody answers.
        """
        with _in_our_words(url):
            server = cls(url, api_key)
        try:
            me = server.request("GET", "api/v1/me")
            if not isinstance(me, dict) or "username" not in me:
                raise UsageFault(url, "this is no Argilla", "the URL of a server", "Check --server or ARGILLA_API_URL")
        except BaseException:
            server.http.close()
            raise
        return server

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        changes: bool | None = None,
    ) -> Any:
        """The JSON that a call answers with; calls that may be repeated are, twice, before they count as failed.

        Args:
            method: of HTTP.
            path: begins with `api/v1/`.
            json: the body.
            params: of the query.
            changes: whether a repetition could change something twice; by default every POST.

        Raises:
            Refused: the server says no (HTTP 4xx).
            Surroundings: it does not answer, or fails.
        """

        def call() -> Any:
            with _in_our_words(self.url):
                answer = self.http.request(method, path, json=json, params=params)
                answer.raise_for_status()
                return answer.json() if answer.content else None

        once = method == "POST" if changes is None else changes
        return call() if once else _patiently(call)

    def pages(self, path: str, params: Mapping[str, Any] | None = None, size: int = PAGE) -> Iterator[list[Any]]:
        """The items of a listing, a page at a time."""
        offset = 0
        while True:
            items = self.request("GET", path, params={**(params or {}), "offset": offset, "limit": size})["items"]
            if items:
                yield items
            if len(items) < size:
                return
            offset += len(items)

    def workspace(self, name: str) -> str:
        """The id of a workspace, which is made where it is not there yet."""
        spaces = self.request("GET", "api/v1/me/workspaces")["items"]
        found = next((space for space in spaces if space["name"] == name), None)
        return str((found or self.request("POST", "api/v1/workspaces", json={"name": name}))["id"])

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of some user names that the server does not know."""
        known = {user["username"] for user in self.request("GET", "api/v1/users")["items"]}
        return [name for name in names if name not in known]

    def users(self, names: Iterable[str], workspace: str, passwords: Mapping[str, str]) -> None:
        """Let people into a workspace (an id); those whom the server does not know are made.

        The passwords of those whom it knows stay as they are.

        Args:
            names: user names.
            workspace: an id.
            passwords: of those who are to be made.
        """
        known = {user["username"]: user for user in self.request("GET", "api/v1/users")["items"]}
        inside = {user["username"] for user in self.request("GET", f"api/v1/workspaces/{workspace}/users")["items"]}
        for name in names:
            if name not in known:
                person = {"username": name, "first_name": name, "role": "annotator", "password": passwords[name]}
                known[name] = self.request("POST", "api/v1/users", json=person)
            if name not in inside and known[name]["role"] != "owner":  # owners are everywhere
                self.request("POST", f"api/v1/workspaces/{workspace}/users", json={"user_id": known[name]["id"]})

    def find_dataset(self, name: str, workspace: str) -> str | None:
        """The id of a published dataset of a workspace (an id), or None."""
        return self._datasets(name, workspace).get("ready")

    def _datasets(self, name: str, workspace: str) -> dict[str, str]:
        """Status ("draft" or "ready") to id, of the dataset of a name."""
        found = self.request("GET", "api/v1/me/datasets", params={"workspace_id": workspace})["items"]
        return {dataset["status"]: str(dataset["id"]) for dataset in found if dataset["name"] == name}

    def make_dataset(
        self,
        name: str,
        workspace: str,
        *,
        guideline: str,
        fields: Sequence[Mapping[str, Any]],
        questions: Sequence[Mapping[str, Any]],
        overlap: int,
    ) -> str:
        """Make and publish a dataset; its id. One that somebody was interrupted in making is replaced.

        Args:
            name: its name in the workspace.
            workspace: an id.
            guideline: Markdown, shown beside every record.
            fields: as `annotation.campaigns.fields` describes them.
            questions: as `annotation.campaigns.questions` describes them.
            overlap: submitted responses that complete a record.
        """
        if draft := self._datasets(name, workspace).get("draft"):  # it holds no record: only published ones take any
            self.request("DELETE", f"api/v1/datasets/{draft}")
        settings = {"guidelines": guideline, "allow_extra_metadata": False, "distribution": distribution(overlap)}
        made = self.request("POST", "api/v1/datasets", json={"name": name, "workspace_id": workspace, **settings})
        place = f"api/v1/datasets/{made['id']}"
        for field in fields:
            shape = {"type": field["type"], "use_markdown": field["markdown"]}
            named = {key: field[key] for key in ("name", "title", "required")}
            self.request("POST", f"{place}/fields", json={**named, "settings": shape})
        for question in questions:
            asked = {"name": question["name"], "title": question["title"], "required": True}
            self.request("POST", f"{place}/questions", json={**asked, "settings": _shape(question)})
        self.request("PUT", f"{place}/publish")
        return str(made["id"])

    def external_ids(self, dataset: str) -> set[str]:
        """The external ids of all records of a dataset (an id)."""
        if self.request("GET", f"api/v1/datasets/{dataset}/progress")["total"] == 0:
            return set()
        pages = self.pages(f"api/v1/datasets/{dataset}/records")
        return {record["external_id"] for page in pages for record in page if record["external_id"] is not None}

    def log(self, dataset: str, records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Put records into a dataset (an id), those that are there already staying single.

        Args:
            dataset: an id.
            records: at most `PAGE`, each with `external_id` and `fields`.

        Returns:
            (external id, the server's reason) of every record that it refused; all others are there.
        """
        try:
            self.request("PUT", f"api/v1/datasets/{dataset}/records/bulk", json={"items": list(records)})
        except Refused as error:
            if error.status != httpx.codes.UNPROCESSABLE_ENTITY:
                raise
            if len(records) == 1:
                return [(str(records[0]["external_id"]), error.found)]
            middle = len(records) // 2  # one record spoils a batch: halve until it stands alone
            return [*self.log(dataset, records[:middle]), *self.log(dataset, records[middle:])]
        return []


def server_from(url: str | None = None) -> Server:
    """The server that a command means: `url`, else ARGILLA_API_URL, else the one that `annotate serve` started here.

    Raises:
        UsageFault: there is none, or no key for it.
        Surroundings: it does not answer.
    """
    from annotation.server.state import local

    ours = local()
    url = url or os.environ.get("ARGILLA_API_URL") or (ours.url if ours else None)
    if url is None:
        raise UsageFault("Argilla", "no server is named and none runs here", cure=_HOW)
    key = os.environ.get("ARGILLA_API_KEY")
    if ours and url.rstrip("/") == ours.url.rstrip("/"):
        key = ours.api_key
    if not key:
        raise UsageFault(url, "no key for this server", "ARGILLA_API_KEY with an owner's key", "Set it and run again")
    return Server.connect(url, key)


def distribution(overlap: int) -> dict[str, Any]:
    """How the server shares records out: one is complete after so many submitted responses."""
    return {"strategy": "overlap", "min_submitted": overlap}


def _shape(question: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a question in Argilla's words, from ours (annotation.campaigns.questions)."""
    options = [{"value": value, "text": text} for value, text in question.get("options", {}).items()]
    match question["kind"]:
        case "preference":
            return {"type": "label_selection", "options": options}
        case "labels":
            return {"type": "multi_label_selection" if question["multiple"] else "label_selection", "options": options}
        case "ranking":
            return {"type": "ranking", "options": options}
        case "rating":
            return {"type": "rating", "options": [{"value": value} for value in question["values"]]}
        case "spans":
            return {"type": "span", "field": question["field"], "options": options}
        case _:
            return {"type": "text"}


def _patiently(call: Callable[[], Any]) -> Any:
    for pause in _PAUSES:
        try:
            return call()
        except Surroundings:
            time.sleep(pause)
    return call()


@contextmanager
def _in_our_words(url: str) -> Iterator[None]:
    """Turn what the network and the server say into our errors."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _said_no(url, error.response) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise UsageFault("the server's URL", url, "http://host:port", "Check --server or ARGILLA_API_URL") from None
    except httpx.HTTPError as error:
        raise Surroundings(url, f"does not answer ({type(error).__name__})", cure=_RESUME) from None
    except ValueError:  # a page in place of JSON
        raise UsageFault(
            url, "this is no Argilla", "the URL of a server", "Check --server or ARGILLA_API_URL"
        ) from None


def _said_no(url: str, answer: httpx.Response) -> Exception:
    status, detail = answer.status_code, _detail(answer)
    if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS:
        return Surroundings(url, f"failed with HTTP {status} ({detail})", cure=_RESUME)
    if status == httpx.codes.UNAUTHORIZED:
        return UsageFault(url, "does not know this key", "an owner's key", "Check ARGILLA_API_KEY")
    if status == httpx.codes.FORBIDDEN:
        return UsageFault(url, f"this key may not do that ({detail})", "an owner's key", "Check ARGILLA_API_KEY")
    refusal = Refused(url, f"HTTP {status}: {detail}", cure="Mend what the server names")
    refusal.status = status
    return refusal


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
    return str(detail.get("params", detail) if isinstance(detail, dict) else detail)[:500]
