"""Whatever stops a push, the next one goes on from there: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from local_argilla import begin, call
from pushed_rows import campaign_recipe, pairs, version_of

from annotation import client
from annotation.campaigns.campaign import open_campaign
from annotation.campaigns.push import push as push_campaign
from annotation.client import Server
from annotation.server.state import Local
from datakit.errors import DataVerdict, Surroundings, UsageFault
from datakit.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a version of pairs."""
    folder = tmp_path_factory.mktemp("faults")
    version_of(folder, pairs(120))
    return folder


@pytest.fixture(scope="module")
def server(argilla: Local) -> Iterator[Server]:
    with Server.connect(argilla.url, argilla.api_key) as connected:
        yield connected


@pytest.fixture
def recipe(home: Path, workspace: str) -> Recipe:
    return campaign_recipe(home, name=f"对话 {workspace}", workspace=workspace, rows=20, repeats=0.2, batch=6)


def changed(recipe: Recipe, **settings: Any) -> Recipe:
    return recipe.model_copy(update={"annotate": recipe.annotate.model_copy(update=settings)})


def ids(server: Server, recipe: Recipe) -> list[str]:
    """The external ids of a campaign's records on a server, with every repetition."""
    dataset = server.find_dataset(str(recipe.annotate.name), server.workspace(str(recipe.annotate.workspace)))
    pages = server.pages(f"api/v1/datasets/{dataset}/records") if dataset else ()
    return sorted(record["external_id"] for page in pages for record in page)


def test_a_wrong_key_and_a_dead_server(argilla: Local, server: Server, recipe: Recipe) -> None:
    with pytest.raises(UsageFault, match="does not know this key"):
        Server.connect(argilla.url, "wrong")
    with pytest.raises(Surroundings, match="does not answer"):
        Server.connect("http://127.0.0.1:9", "any")
    with pytest.raises(UsageFault, match="the server's URL: argilla"):
        Server.connect("argilla", "any")


def test_a_url_of_something_else() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>a page</html>")

        def log_message(self, *words: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as somebody:
        thread = threading.Thread(target=somebody.serve_forever)
        thread.start()
        try:
            with pytest.raises(UsageFault, match="this is no Argilla"):
                Server.connect(f"http://127.0.0.1:{somebody.server_port}", "any")
        finally:
            somebody.shutdown()
            thread.join()


def test_a_push_that_breaks_goes_on(
    argilla: Local, server: Server, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every call that a push makes, in turn, the network breaks; the next push ends with the same records."""
    monkeypatch.setattr(client, "_PAUSES", ())
    clean = client.httpx.Client.send
    left = [0]

    def send(self: Any, *words: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise client.httpx.ReadTimeout("the network is gone")
        return clean(self, *words, **more)

    monkeypatch.setattr(client.httpx.Client, "send", send)
    people = (f"broken {recipe.annotate.workspace}",)
    for calls in range(1, 60):
        left[0] = calls
        try:
            result = push_campaign(changed(recipe, annotators=people), server)
            break
        except Surroundings as error:
            assert "run again" in str(error)
    assert calls > 10, "it broke at several places"
    left[0] = 1_000
    assert ids(server, recipe) == sorted(open_campaign(recipe).items()["item"]) and result.items == 24


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_push_that_is_killed_goes_on(argilla: Local, server: Server, home: Path, recipe: Recipe) -> None:
    file = home / f"{recipe.annotate.workspace}.toml"
    table = recipe.annotate.model_dump(mode="json", exclude_defaults=True) | {"batch": 1, "rows": 60}
    lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in table.items()]
    file.write_text("[annotate]\n" + "\n".join(lines), encoding="utf-8")
    environment = {**os.environ, "ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
    command = [sys.executable, "-m", "datakit", "annotate", "push", str(file), "--json"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    campaign = Path(recipe.annotate.folder) / str(recipe.annotate.name) / "campaign.json"
    while running.poll() is None and not (campaign.is_file() and _sent(argilla, server, recipe) > 3):
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.communicate() == (b"", b"") and running.returncode == -signal.SIGKILL
    assert 3 < _sent(argilla, server, recipe) < 72
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    result = orjson.loads(done.stdout)
    assert result["items"] == 72 == result["pushed"] + result["already"] and result["already"] > 3
    assert _sent(argilla, server, recipe) == 72
    assert result.keys() >= {"campaign", "items", "pushed", "already", "left_out", "url", "annotators"}


def _sent(argilla: Local, server: Server, recipe: Recipe) -> int:
    dataset = server.find_dataset(str(recipe.annotate.name), server.workspace(str(recipe.annotate.workspace)))
    return 0 if dataset is None else int(call(argilla, "GET", f"datasets/{dataset}/progress")["total"])


def test_a_server_that_dies_and_comes_back_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes are killed between two batches; its data survive, its port does not."""
    monkeypatch.setattr(client, "_PAUSES", ())
    version_of(tmp_path, pairs(30))
    recipe = campaign_recipe(tmp_path, workspace="工作区 一", rows=24, repeats=0.0, batch=6, annotators=("李雷",))
    first = begin(tmp_path / "argilla")
    send, sent = Server.log, []

    def log(self: Server, dataset: str, rows: Any) -> Any:
        sent.append(len(rows))
        if len(sent) == 3:
            os.kill(first.local.processes["server"], signal.SIGKILL)
            while _answers(first.local):
                time.sleep(0.02)
        return send(self, dataset, rows)

    monkeypatch.setattr(Server, "log", log)
    with Server.connect(first.local.url, first.local.api_key) as server, pytest.raises(Surroundings, match="run again"):
        push_campaign(recipe, server)
    first.stop()
    passwords = (open_campaign(recipe).path / "passwords.json").read_bytes()
    second = begin(tmp_path / "argilla")
    try:
        with Server.connect(second.local.url, second.local.api_key) as server:
            assert len(ids(server, recipe)) == 12
            result = push_campaign(recipe, server)
            assert (result.items, result.pushed, result.already) == (24, 12, 12)
            campaign = open_campaign(recipe)
            assert ids(server, recipe) == sorted(campaign.items()["item"])
            assert campaign.manifest.url == second.local.url
        assert (campaign.path / "passwords.json").read_bytes() == passwords
    finally:
        second.stop()


def _answers(local: Local) -> bool:
    try:
        return bool(call(local, "GET", "version"))
    except OSError:
        return False


def test_a_record_that_was_deleted_on_the_server_comes_again(server: Server, recipe: Recipe) -> None:
    first = push_campaign(recipe, server)
    dataset = first.url.split("/")[-2]
    gone = next(iter(server.pages(f"api/v1/datasets/{dataset}/records")))[0]
    server.request("DELETE", f"api/v1/records/{gone['id']}")
    again = push_campaign(recipe, server)
    assert (again.pushed, again.already) == (1, 23)
    assert ids(server, recipe) == sorted(open_campaign(recipe).items()["item"])


def test_a_campaign_whose_files_were_changed_is_refused(server: Server, recipe: Recipe) -> None:
    push_campaign(recipe, server)
    folder = open_campaign(recipe).path
    items = next(folder.glob("items-*.parquet"))
    whole = items.read_bytes()
    items.write_bytes(whole[:-1] + b"x")
    with pytest.raises(DataVerdict, match="changed since it was written"):
        push_campaign(recipe, server)
    items.write_bytes(whole)
    (folder / "campaign.json").write_text((folder / "campaign.json").read_text().replace('"seed": 42', '"seed": 43'))
    with pytest.raises(DataVerdict, match="changed after it was written"):
        push_campaign(recipe, server)


@pytest.mark.parametrize("words", [("--dry-run",), ("--set", "annotate.guideline=none.md"), ()])
def test_the_command_says_what_it_did_or_what_is_wrong(
    home: Path, recipe: Recipe, argilla: Local, words: tuple[str, ...]
) -> None:
    file = home / f"命令 {recipe.annotate.workspace}.toml"
    lines = ['folder = "campaigns"', 'dataset = "clean"', 'guideline = "guideline.md"', "rows = 10", "repeats = 0.0"]
    file.write_text("\n".join(["[annotate]", *lines, f'annotators = ["{file.stem}"]']), encoding="utf-8")
    environment = {**os.environ, "ARGILLA_API_KEY": argilla.api_key}
    command = [sys.executable, "-m", "datakit", "annotate", "push", str(file), "--server", argilla.url, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "--set" in words:
        assert done.returncode == 2 and "annotate.guideline" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    planned = (
        f"{file.stem}: 10 items; 10 {'to be sent' if words else 'sent'}, 0 there before\nannotators: {file.stem}\n"
    )
    assert done.stdout.startswith(planned)
    assert ("passwords.json" in done.stdout) == ("/annotation-mode" in done.stdout) == (not words)
