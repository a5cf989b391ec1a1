"""Where exceptions become words and exit codes.

0 done; 1 the data or a gate says no; 2 wrong use, recipe, missing input, permission; 3 our bug; 4 the
surroundings failed: run again to resume; 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from datakit.errors import DatakitError, Surroundings, UsageFault

BUG = 3
INTERRUPTED = 130


def run(command: Callable[..., Any]) -> int:
    """Run a typer app and say in words what went wrong; the exit code comes back."""
    try:
        command()
    except SystemExit as left:
        if left.code == INTERRUPTED:  # typer turns a Ctrl-C into this exit, without a word
            return _interrupted()
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except KeyboardInterrupt:
        return _interrupted()
    except DatakitError as error:
        return report(error)
    except PermissionError as error:
        return report(UsageFault(str(error.filename), "permission denied", cure="Check who may read and write there"))
    except (OSError, MemoryError) as error:
        return report(Surroundings(str(getattr(error, "filename", None) or "datakit"), str(error) or "out of memory"))
    except Exception as error:  # the edge of the program: whatever is left is our bug and must not look like data
        return _bug(error)
    return 0


def report(error: DatakitError) -> int:
    """Print an error on stderr (and as JSON on stdout where --json was asked for); its exit code comes back."""
    if "--json" in sys.argv:
        plain = {"where": error.where, "found": error.found, "expected": error.expected, "cure": error.cure}
        sys.stdout.write(orjson.dumps({"error": plain, "exit_code": error.exit_code}).decode() + "\n")
    return _say(str(error), "", error.exit_code)


def _interrupted() -> int:
    return _say("interrupted", "Nothing half-written is left; run again to go on or to start over", INTERRUPTED)


def _say(words: str, cure: str, code: int) -> int:
    text = Text("datakit: ", style="bold red").append(Text(words, style="default"))
    Console(stderr=True, highlight=False, soft_wrap=True).print(text.append(f". {cure}" if cure else ""))
    return code


def _bug(error: Exception) -> int:
    """A bug of ours: where in our code, without the values, which could be the user's data."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-4:]]
    return _say(
        f"internal error, {type(error).__name__} at {' < '.join(reversed(places))}",
        "This is a bug in datakit, not in your data: please report it with this line",
        BUG,
    )
