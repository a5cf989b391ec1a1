"""The command line: one file a verb; only this room prints, exits and reads flags."""

from __future__ import annotations

import atexit
import gc
import sys


def main() -> None:
    """Run the command line and leave with its exit code; a Ctrl-C while it still loads is no traceback."""
    # By default Python looks for cycles every 700 new objects: importing makes hundreds of thousands and no cycle.
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)  # nor does it look through everything once more before it leaves
    try:
        from datakit.cli.app import main as run
    except KeyboardInterrupt:
        sys.stderr.write("datakit: interrupted. Nothing was begun\n")
        sys.exit(130)
    run()
