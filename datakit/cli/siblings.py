"""The packages that are installed beside `datakit` under names that others might bear too: is `train` really ours?"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from datakit.errors import UsageFault


def check_sibling(name: str) -> None:
    """Make sure, before it is imported, that a package is the one that came with datakit.

    Raises:
        UsageFault: it is not there, or another file stands in its way.
    """
    ours = Path(__file__).resolve().parents[2] / name / "__init__.py"
    spec = find_spec(name)
    if spec is None:
        raise UsageFault(f"the package {name!r}", "is not installed", str(ours), "Install datakit again")
    found = Path(spec.origin or next(iter(spec.submodule_search_locations or [""]))).resolve()
    if found != ours:
        raise UsageFault(
            f"the package {name!r}",
            f"another one of this name is found first: {found}",
            str(ours),
            f"Rename it, or start datakit from another folder: `{name}` has to be datakit's own",
        )
