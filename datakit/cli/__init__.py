"""The command line: one file a verb; only this room prints, exits and reads flags."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code; a Ctrl-C while it still loads is no traceback."""
    try:
        from datakit.cli.app import main as run
    except KeyboardInterrupt:
        sys.stderr.write("datakit: interrupted. Nothing was begun\n")
        sys.exit(130)
    run()
