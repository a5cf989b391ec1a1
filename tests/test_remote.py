"""Inputs elsewhere: fetched, tried again, and a clear end where the network fails."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from file_rows import jsonl, texts

import datakit
from datakit.cli import main
from datakit.errors import InputError, MissingExtra, MissingInput, Surroundings
from datakit.recipe.load import load_recipe
from datakit.sources import remote
from datakit.sources.discover import discover

fsspec = pytest.importorskip("fsspec", reason="the extra remote is not installed")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    for path in system.find("/"):
        system.rm(path)


def put(system: Any, path: str, data: bytes) -> None:
    with system.open(path, "wb") as file:
        file.write(data)


def test_files_folders_and_globs(memory: Any) -> None:
    put(memory, "/bucket/raw/a.jsonl", jsonl(["a"]))
    put(memory, "/bucket/raw/deep/b.csv", b"text\nb\n")
    put(memory, "/bucket/raw/photo.png", b"x")
    assert texts("memory://bucket/raw/a.jsonl") == ["a"]  # type: ignore[arg-type]
    names = [file.source for file in discover(["memory://bucket/raw"])]
    assert names == ["a.jsonl", "deep/b.csv"]
    assert [file.source for file in discover(["memory://bucket/raw/*.jsonl"])] == ["a.jsonl"]
    assert texts("memory://bucket/raw/**/*.csv") == ["b"]  # type: ignore[arg-type]


def test_equal_names_get_the_names_of_their_places(memory: Any) -> None:
    put(memory, "/one/x.jsonl", jsonl(["a"]))
    put(memory, "/two/x.jsonl", jsonl(["b"]))
    files = discover(["memory://one/x.jsonl", "memory://two/x.jsonl"])
    assert [file.source for file in files] == ["one/x.jsonl", "two/x.jsonl"]


def test_the_same_rows_make_the_same_version_wherever_they_lie(memory: Any, tmp_path: Path) -> None:
    rows = jsonl(["一行中文，写得够长，可以留下来。", "another row of words"])
    (tmp_path / "x.jsonl").write_bytes(rows)
    put(memory, "/place/x.jsonl", rows)
    here = datakit.clean(tmp_path / "x.jsonl", tmp_path / "here")
    there = datakit.clean("memory://place/x.jsonl", tmp_path / "there")
    assert here.path.name == there.path.name
    assert datakit.clean("memory://place/x.jsonl", tmp_path / "there").unchanged
    assert datakit.clean(f"file://{tmp_path}/x.jsonl", tmp_path / "here").unchanged


def test_a_recipe_names_places_too(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[data]\ninput = ["memory://a/b.jsonl", "raw"]\n')
    assert load_recipe(tmp_path / "r.toml").data.input == ("memory://a/b.jsonl", str(tmp_path / "raw"))


def test_what_is_not_there(memory: Any) -> None:
    put(memory, "/only/a.png", b"x")
    with pytest.raises(MissingInput, match="nosuch"):
        discover(["memory://nosuch/x.jsonl"])
    with pytest.raises(MissingInput, match=r"a\.png"):
        discover(["memory://only"])
    with pytest.raises(InputError, match="nosuchprotocol"):
        discover(["nosuchprotocol://x/y.jsonl"])


def test_a_protocol_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtra, match="pip install s3fs"):
        discover(["s3://bucket/x.jsonl"])
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtra, match=r"pip install 'datakit\[remote\]'"):
        discover(["s3://bucket/x.jsonl"])


# --- a web server of our own


class Handler(SimpleHTTPRequestHandler):
    failures: dict[str, int]

    def do_GET(self) -> None:
        name = self.path.partition("?")[0]
        if self.failures.get(name, 0):
            self.failures[name] -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path, dict[str, int]]]:
    pytest.importorskip("aiohttp")
    folder = tmp_path / "web"
    folder.mkdir()
    failures: dict[str, int] = {}
    handler = type("Served", (Handler,), {"failures": failures})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder, failures
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_of_a_web_server(web: tuple[str, Path, dict[str, int]]) -> None:
    address, folder, failures = web
    (folder / "a.jsonl").write_bytes(jsonl(["a" * 3_000_000, "b"]))
    (folder / "deep").mkdir()
    (folder / "deep" / "b.jsonl").write_bytes(jsonl(["c"]))
    found = discover([f"{address}/a.jsonl?key=secret"])
    assert [file.source for file in found] == ["a.jsonl"]
    assert found[0].path.read_bytes() == (folder / "a.jsonl").read_bytes()
    assert {file.source for file in discover([f"{address}/"])} == {"a.jsonl", "deep/b.jsonl"}
    failures["/a.jsonl"] = 2
    assert len(texts(f"{address}/a.jsonl")) == 2  # type: ignore[arg-type]
    assert failures["/a.jsonl"] == 0


def test_the_log_holds_no_secrets(web: tuple[str, Path, dict[str, int]], tmp_path: Path) -> None:
    address, folder, _ = web
    (folder / "a.jsonl").write_bytes(jsonl(["a row of words that is long enough to stay"]))
    datakit.clean(f"{address}/a.jsonl?key=secret", tmp_path / "out")
    written = (tmp_path / "out" / "log.jsonl").read_text(encoding="utf-8")
    assert f"{address}/a.jsonl" in written
    assert "secret" not in written


def test_where_the_network_fails(
    web: tuple[str, Path, dict[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, folder, failures = web
    (folder / "a.jsonl").write_bytes(jsonl(["a"]))
    failures["/a.jsonl"] = 100
    with pytest.raises(Surroundings, match="4 tries") as busy:
        discover([f"{address}/a.jsonl?key=secret"])
    assert "secret" not in str(busy.value)
    with pytest.raises(MissingInput, match="not found"):
        discover([f"{address}/nosuch.jsonl"])
    with pytest.raises(Surroundings) as caught:
        discover(["http://user:hidden@127.0.0.1:9/a.jsonl"])
    assert "hidden" not in str(caught.value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["datakit", "clean", f"{address}/a.jsonl", "-o", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as left:
            main()
    assert left.value.code == 4
    said = capsys.readouterr().err
    assert "Check the network" in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()
