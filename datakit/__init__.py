"""datakit: every row accounted for, every trained token proved.

>>> import datakit
>>> result = datakit.clean(["raw/"], "clean/")  # doctest: +SKIP
>>> result.rows  # doctest: +SKIP
{'in': 790, 'kept': 500, 'edited': 90, 'dropped': 160, 'rejected': 40}
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from datakit.release import VERSION

if TYPE_CHECKING:
    from datakit.cleaning.clean import CleanResult, clean
    from datakit.conversion.convert import ConvertResult, convert

__version__ = VERSION

__all__ = ["CleanResult", "ConvertResult", "__version__", "clean", "convert"]

_LAZY = {
    "clean": "datakit.cleaning.clean",
    "CleanResult": "datakit.cleaning.clean",
    "convert": "datakit.conversion.convert",
    "ConvertResult": "datakit.conversion.convert",
}


def __getattr__(name: str) -> Any:
    """Import what was asked for only now, so that `import datakit` stays light."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'datakit' has no attribute {name!r}")
