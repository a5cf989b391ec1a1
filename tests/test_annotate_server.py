"""A server on this machine: started, stopped, killed, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_argilla import all_gone, begin, call, installed, living

from annotation.server import environment, state
from datakit.errors import Surroundings, UsageFault
from datakit.progress import Silent

if sys.platform != "linux":
    pytest.skip("who is left is told by /proc", allow_module_level=True)

SERVE = [sys.executable, "-m", "datakit", "annotate", "serve", "--port", "0", "--json"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose server, if one is left, is ended after the test."""
    place = tmp_path / "家 home"
    yield place
    if place.exists():
        datakit("stop", "--home", str(place))
        assert all_gone(place), living(place)


def datakit(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "datakit", "annotate", *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )


def serve_detached(home: Path, *words: str, **variables: str) -> dict[str, object]:
    installed()
    done = datakit("serve", "--detach", "--port", "0", "--home", str(home), *words, **variables)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@contextmanager
def foreground(home: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    installed()
    command = [*SERVE, "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_a_server_serves_and_stops(home: Path) -> None:
    told = serve_detached(home)
    assert told.keys() == {"url", "pid", "home"}
    server = state.local(home)
    assert server is not None
    assert (server.url, server.pid, str(server.home)) == (told["url"], told["pid"], told["home"])
    assert call(server, "GET", "version") == {"version": "2.8.0"}
    assert call(server, "GET", "me")["role"] == "owner"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        call(server, "GET", "me", key="argilla.apikey")  # the key that the whole world knows
    with urllib.request.urlopen(f"{server.url}/sign-in") as page:
        assert "font-src 'self'" in page.headers["Content-Security-Policy"]  # no annotator is told of to Google
        assert "<title>Argilla</title>" in page.read().decode()
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o077 == 0
    said = json.loads(datakit("status", "--home", str(home), "--json").stdout)
    assert said["running"] and said["url"] == server.url
    assert said["processes"].keys() == said["memory"].keys() == {"supervisor", "server", "worker", "redis"}
    assert {line.split()[0] for line in living(home)} == set(map(str, said["processes"].values()))
    assert 0 < sum(said["memory"].values()) < 700e6
    run = (home / "run").resolve()
    assert run.is_dir()
    assert any((home / "page").iterdir())

    stopped = datakit("stop", "--home", str(home), "--json")
    assert json.loads(stopped.stdout)["stopped"] is True
    assert all_gone(home)
    assert not run.exists()
    assert not (home / "page").exists()
    assert state.local(home) is None
    again = datakit("stop", "--home", str(home))
    assert again.returncode == 0
    assert "no server runs" in again.stdout
    status = datakit("status", "--home", str(home), "--json")
    assert status.returncode == 1
    assert json.loads(status.stdout)["running"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_in_the_foreground(home: Path, number: signal.Signals) -> None:
    with foreground(home) as (process, _):
        process.send_signal(number)
        assert process.wait() == 0
        assert all_gone(home)


def test_ctrl_c_before_it_is_ready_leaves_nothing(home: Path) -> None:
    installed()
    process = subprocess.Popen([*SERVE, "--home", str(home)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not living(home):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait() in (0, 130)
    assert all_gone(home)


@pytest.mark.parametrize("who", ["command", "supervisor", "server", "worker", "redis"])
def test_who_is_killed_takes_the_others_along(home: Path, who: str) -> None:
    with foreground(home) as (process, told):
        server = state.local(home)
        assert server is not None
        assert server.pid == told["pid"]
        os.kill({"command": process.pid, **server.processes}[who], signal.SIGKILL)
        said, _ = process.communicate()
        assert all_gone(home), living(home)
        assert state.local(home) is None
        if who != "command":
            assert process.returncode == 4
            assert "died" in said


def test_what_was_made_outlives_a_kill_and_a_stop(home: Path) -> None:
    first = begin(home)
    made = call(first.local, "POST", "workspaces", {"name": "先做的"})
    for pid in first.local.processes.values():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(Surroundings, match="died"):
        first.wait()
    first.stop()
    second = begin(home)
    assert second.local.api_key == first.local.api_key
    assert [item["id"] for item in call(second.local, "GET", "me/workspaces")["items"]] == [made["id"]]
    more = call(second.local, "POST", "workspaces", {"name": "second"})
    second.stop()
    third = begin(home)
    kept = [item["id"] for item in call(third.local, "GET", "me/workspaces")["items"]]
    third.stop()
    assert kept == [made["id"], more["id"]]


def test_the_worker_works(argilla: state.Local, workspace: str) -> None:
    """A record with one answer is complete as soon as one is enough: a background job says so."""
    spaces = call(argilla, "GET", "me/workspaces")["items"]
    space = next(item["id"] for item in spaces if item["name"] == workspace)
    overlap = {"strategy": "overlap", "min_submitted": 2}
    dataset = call(argilla, "POST", "datasets", {"name": "d", "workspace_id": space, "distribution": overlap})["id"]
    call(argilla, "POST", f"datasets/{dataset}/fields", {"name": "t", "title": "t", "settings": {"type": "text"}})
    question = {"name": "q", "title": "q", "required": True, "settings": {"type": "text"}}
    call(argilla, "POST", f"datasets/{dataset}/questions", question)
    call(argilla, "PUT", f"datasets/{dataset}/publish")
    call(argilla, "POST", f"datasets/{dataset}/records/bulk", {"items": [{"fields": {"t": "你好"}}]})
    record = call(argilla, "GET", f"datasets/{dataset}/records")["items"][0]
    answer = {"values": {"q": {"value": "好"}}, "status": "submitted"}
    call(argilla, "POST", f"records/{record['id']}/responses", answer)
    assert call(argilla, "GET", f"records/{record['id']}")["status"] == "pending"
    call(argilla, "PATCH", f"datasets/{dataset}", {"distribution": {**overlap, "min_submitted": 1}})
    until = time.monotonic() + 120
    while call(argilla, "GET", f"records/{record['id']}")["status"] != "completed":
        assert time.monotonic() < until, "the job was not done"
        time.sleep(0.05)


def test_nothing_is_told_to_others_and_the_users_settings_are_not_taken(home: Path, tmp_path: Path) -> None:
    """A server that tells nobody, though it was shown where; and whose database is its own."""
    with socket.create_server(("127.0.0.1", 0)) as hub:
        hub.settimeout(0)
        other = tmp_path / "other.db"
        serve_detached(
            home,
            HF_ENDPOINT=f"http://127.0.0.1:{hub.getsockname()[1]}",
            HF_HUB_DISABLE_TELEMETRY="0",
            ARGILLA_DATABASE_URL=f"sqlite+aiosqlite:///{other}",
            ARGILLA_HOME_PATH=str(tmp_path / "other"),
        )
        server = state.local(home)
        assert server is not None
        call(server, "GET", "me")
        datakit("stop", "--home", str(home))
        with pytest.raises(BlockingIOError):
            hub.accept()
    assert not other.exists()
    assert not (tmp_path / "other").exists()
    assert (home / "argilla.db").stat().st_size > 0


def test_a_port_or_a_home_in_use_is_named(argilla: state.Local, home: Path) -> None:
    taken = argilla.url.rpartition(":")[2]
    done = datakit("serve", "--detach", "--port", taken, "--home", str(home))
    assert done.returncode == 2
    assert f"port {taken} cannot be had" in done.stderr
    assert "--port" in done.stderr
    assert all_gone(home)
    done = datakit("serve", "--detach", "--port", "0", "--home", str(argilla.home))
    assert done.returncode == 2
    assert f"pid {argilla.pid}" in done.stderr
    assert "datakit annotate stop" in done.stderr
    assert call(argilla, "GET", "version") == {"version": "2.8.0"}


def test_a_redis_that_does_not_answer_is_told(home: Path) -> None:
    installed()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = datakit("serve", "--detach", "--port", "0", "--home", str(home), "--redis", f"redis://127.0.0.1:{port}/0")
    assert done.returncode == 4
    assert "redis.exceptions.ConnectionError" in done.stderr
    assert all_gone(home)


def test_a_given_redis_is_used(home: Path, tmp_path: Path) -> None:
    binary = environment.redis_of(installed())
    assert binary is not None
    place = Path(os.path.relpath(tmp_path / "r.sock"))
    redis = subprocess.Popen([binary, "--port", "0", "--unixsocket", place, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        serve_detached(home, "--redis", f"unix://{tmp_path / 'r.sock'}")
        server = state.local(home)
        assert server is not None
        assert "redis" not in server.processes
        datakit("stop", "--home", str(home))
        assert all_gone(home)
        assert redis.poll() is None
    finally:
        redis.kill()
        redis.wait()


def test_secrets_that_are_damaged_open_or_removed(home: Path) -> None:
    began = begin(home)
    call(began.local, "POST", "workspaces", {"name": "kept"})
    began.stop()
    place = home / "secrets.json"
    whole = place.read_text()
    place.write_text(whole[:40])
    with pytest.raises(UsageFault, match=r"damaged; expected JSON with auth_secret.* Remove the file"):
        begin(home)
    place.write_text(whole)
    place.chmod(0o644)
    with pytest.raises(UsageFault, match=r"others may read it \(mode 644\)"):
        begin(home)
    place.unlink()
    again = begin(home)
    assert again.local.api_key != began.local.api_key
    assert [item["name"] for item in call(again.local, "GET", "me/workspaces")["items"]] == ["kept"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        call(again.local, "GET", "me", key=began.local.api_key)
    again.stop()


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageFault, match="cannot be written to"):
        state.make_home(tmp_path / "file" / "home")


def test_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(state.HOME, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert state.default_home() == tmp_path / "datakit" / "argilla"
    assert state.local() is None
    monkeypatch.setenv(state.HOME, str(tmp_path / "named"))
    assert state.default_home() == tmp_path / "named"


def test_installing_is_asked_for(tmp_path: Path) -> None:
    done = datakit("serve", "--environment", str(tmp_path / "new"), "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert "134 MB to download, 600 MB on disk" in done.stderr
    assert "Add --yes" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_environment_is_whole_or_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a requirements file that asks for nothing, so that no network is needed."""
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    environment.REQUIREMENTS.write_text("# nothing\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = environment.default_environment()
    assert place.parent == tmp_path / "cache" / "datakit"
    assert environment.missing(place) == "it is not there"
    environment.make(place, Silent())
    assert environment.missing(place) is None
    made = (place / "whole.json").stat().st_ino
    environment.make(place, Silent())
    assert (place / "whole.json").stat().st_ino == made  # nothing was done

    next(place.rglob("pip/__init__.py")).write_text("# not pip\n")
    assert environment.missing(place) == "it is damaged"
    environment.make(place, Silent())
    assert environment.missing(place) is None
    (place / "bin" / "python").unlink()
    assert environment.missing(place) == "the Python that it was made with is gone"
    (place / "whole.json").unlink()  # as a kill during the installation leaves it
    assert environment.missing(place) == "it was not made to its end"
    environment.REQUIREMENTS.write_text("# something else\n")
    assert environment.default_environment() != place


def test_what_cannot_be_an_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageFault, match="holds something else"):
        environment.make(tmp_path, Silent())
    with pytest.raises(UsageFault, match="is no Python that runs"):
        environment.make(tmp_path / "new", Silent(), tmp_path / "mine.txt")
    monkeypatch.setattr(environment, "PYTHONS", ((3, 8), (3, 8)))
    with pytest.raises(UsageFault, match=r"Python 3\.\d+; expected 3.11 to 3.13"):
        environment.make(tmp_path / "new", Silent())
    monkeypatch.undo()
    monkeypatch.setattr(environment, "DISK", 1 << 40)
    with pytest.raises(Surroundings, match=r"\d+ MB free; expected \d+ MB"):
        environment.make(tmp_path / "new", Silent())
    monkeypatch.undo()
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    environment.REQUIREMENTS.write_text("./no-such-wheel.whl\n")
    with pytest.raises(Surroundings, match="pip install"):
        environment.make(tmp_path / "new", Silent())
    assert environment.missing(tmp_path / "new") == "it was not made to its end"


def test_every_requirement_is_pinned() -> None:
    lines = environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert "argilla-server==2.8.0" in packages
    assert all(line.partition(";")[0].count("==") == 1 for line in packages)
