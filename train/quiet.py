"""Silence while libraries are imported and trainers work: what they say is said by datakit, or decided by it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, no library warns and none draws a bar of its own; errors are heard."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _put_away_bars()
            yield
    finally:
        logging.disable(level)


def _put_away_bars() -> None:
    """Bars of weights that are loaded and rows that are mapped; datakit draws its own. Nobody else's are lost by it."""
    try:
        import datasets
        from transformers.utils import logging as talk
    except ImportError:
        return  # the extra is missing, and whoever needs it says so
    datasets.disable_progress_bars()
    talk.disable_progress_bar()
