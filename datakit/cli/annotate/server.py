"""`datakit annotate serve | stop | status`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datakit.cli.options import Json
from datakit.cli.result import print_json
from datakit.errors import UsageFault

if TYPE_CHECKING:
    from annotation.server.state import Local

_Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="The folder of the server's data; else $DATAKIT_ARGILLA_HOME, else one in your data folder.",
        show_default=False,
    ),
]


def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port on 127.0.0.1; 0 takes any.")] = 6900,
    home: _Home = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready, and leave it running.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Install Argilla, the first time, without asking.")] = False,
    redis: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", help="A redis to use, not its own.", show_default=False),
    ] = None,
    environment: Annotated[
        Path | None,
        typer.Option("--environment", help="Where Argilla is installed; else your cache.", show_default=False),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option("--python", help="The Python to install Argilla with; else this one.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a real Argilla on this machine, with its web page, until Ctrl-C.

    Example: datakit annotate serve --detach
    """
    from annotation.server import environment as isolated
    from annotation.server import launch
    from annotation.server.state import default_home

    place = environment or isolated.default_environment()
    _install(place, python, yes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends services ends this one in order
    started = launch.start(home or default_home(), place, port=port, redis=redis, detach=detach)
    try:
        _tell(started.local, as_json, detach)
        if not detach:
            typer.echo("Ctrl-C stops it", err=True)
            started.wait()
    except KeyboardInterrupt:
        started.stop()
        typer.echo("stopped", err=True)


def stop(home: _Home = None, as_json: Json = False) -> None:
    """Stop the server; what was annotated stays.

    Example: datakit annotate stop
    """
    from annotation.server import launch
    from annotation.server.state import default_home

    place = home or default_home()
    was_running = launch.stop(place)
    if as_json:
        print_json({"stopped": was_running, "home": str(place.absolute())})
    else:
        typer.echo("stopped" if was_running else f"no server runs in {place}")


def status(home: _Home = None, as_json: Json = False) -> None:
    """Say whether a server runs, where, and how much memory it takes; exit code 1 where none runs.

    Example: datakit annotate status
    """
    from annotation.server.state import default_home, local

    place = (home or default_home()).absolute()
    found = local(place)
    if as_json:
        print_json({"running": found is not None, "home": str(place), **(_facts(found) if found else {})})
    elif found is None:
        typer.echo(f"no server runs in {place}")
    else:
        memory = found.memory()
        parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in memory.items())
        typer.echo(f"Argilla answers at {found.url} (pid {found.pid}), home {place}")
        typer.echo(f"memory: {sum(memory.values()) / 1e6:.0f} MB ({parts})")
    if found is None:
        raise typer.Exit(1)


def _tell(local: Local, as_json: bool, detach: bool) -> None:
    """Say where the server is: of one that is left running, scripts want to read it whether they said so or not."""
    if as_json or detach:
        print_json({"url": local.url, "pid": local.pid, "home": str(local.home)})
    if not as_json:
        typer.echo(f"Argilla answers at {local.url} after {local.seconds:.1f} s (pid {local.pid})", err=detach)
        typer.echo(f"sign in as {local.username}; the password is in {local.home / 'secrets.json'}", err=detach)


def _facts(local: Local) -> dict[str, Any]:
    return {
        "url": local.url,
        "pid": local.pid,
        "seconds": local.seconds,
        "processes": dict(local.processes),
        "memory": local.memory(),
    }


def _install(place: Path, python: Path | None, yes: bool) -> None:
    """Install Argilla where it is missing, after saying what that takes and asking."""
    from annotation.server import environment as isolated
    from datakit.cli.progress import Bar

    why = isolated.missing(place)
    if why is None:
        return
    what = f"{isolated.DOWNLOAD} MB to download, {isolated.DISK} MB on disk"
    typer.echo(f"Argilla's own environment: {place}: {why}. Installing it takes {what}.", err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageFault("datakit annotate serve", f"Argilla has to be installed first ({what})", cure="Add --yes")
        typer.confirm("Install it?", abort=True, err=True)
    with Bar() as bar:
        isolated.make(place, bar, python)
