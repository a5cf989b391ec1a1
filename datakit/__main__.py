"""`python -m datakit`: the same as the `datakit` script."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # With -m, Python puts the working folder first on the path: a stray train.py or polars.py there would shadow ours.
    sys.path.pop(0)
    from datakit.cli import main

    main()
