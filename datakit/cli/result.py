"""The result of a command as `--json` prints it."""

from __future__ import annotations

import typer


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    import orjson

    typer.echo(orjson.dumps(value).decode())
