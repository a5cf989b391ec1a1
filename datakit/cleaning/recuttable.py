"""Which settings a version can be cut anew by, from what is stored with it, and what to do about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from datakit.errors import RecipeError, UsageFault
from datakit.recipe.clean import CleanSettings, effective_values
from datakit.recipe.recipe import Recipe

_FREE: Final = ("clean.rules.", "clean.languages", "clean.language.", "clean.near.answers")
"""What is judged anew from stored scores and records, whatever it is set to."""

_NEAR: Final = ("clean.near.threshold", "clean.near.record_from")

_AGAIN: Final = "Run `datakit clean` over the raw files with these settings"


def check_settings(before: Recipe, after: Recipe, where: str) -> None:
    """Refuse settings whose results are not stored, all at once.

    Args:
        before: what the version was made by.
        after: what it is to be cut by.
        where: the version, for messages.

    Raises:
        RecipeError: one or more settings cannot be recut.
    """
    old, new = _values(before), _values(after)
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    faults = [
        RecipeError(f"{where}: {name}", f"{_shown(old.get(name))} → {_shown(new.get(name))}", why, _AGAIN)
        for name in changed
        if (why := _refused(name, before.clean, after.clean)) is not None
    ]
    if faults:
        raise RecipeError.of(faults)


def check_threshold(tables: Mapping[str, Any], overrides: Sequence[str], where: str) -> None:
    """Refuse a near threshold below what pairs were recorded from, before the recipe calls it a contradiction.

    Raises:
        RecipeError: it is below.
    """
    stored = tables.get("clean", {}).get("near", {}).get("record_from")
    for text in overrides:
        name, _, value = (part.strip() for part in text.partition("="))
        if name in _NEAR and stored is not None:
            try:
                below = float(value) < stored
            except ValueError:
                continue  # the recipe says what is wrong with it
            if below:
                expected = f"at least {stored}: pairs below that similarity were not recorded"
                raise RecipeError(f"{where}: {name}", value, expected, _AGAIN)


def _refused(name: str, before: CleanSettings, after: CleanSettings) -> str | None:
    """What was expected of a setting that cannot be recut; None where it can."""
    if name.startswith(_FREE) or name in _NEAR:
        return None
    if name.split(".")[1] in set(before.steps) - set(after.steps):
        return None  # a step that is left out has no settings any more
    if name == "clean.pii.mode":
        # Both mask, and the counts are stored; "tag" leaves texts as they are.
        tags = "tag" in (before.pii.mode, after.pii.mode)
        return "mask or drop, both before and after" if tags else None
    if name == "clean.steps":
        return _refused_steps(before, after)
    if name.startswith("clean.near."):
        return "as it was: it decides which pairs are compared"
    if name.startswith("data."):
        return "as it was: it decides how files are read"
    return "as it was: what it would have given is not stored"


def _refused_steps(before: CleanSettings, after: CleanSettings) -> str | None:
    gone = [step for step in before.steps if step not in after.steps]
    come = [step for step in after.steps if step not in before.steps]
    if come not in ([], ["exact"]):
        return f"no new step but exact: nothing of {', '.join(step for step in come if step != 'exact')} is stored"
    rewriting = [step for step in gone if step in ("normalise", "pii")]
    if rewriting:
        return f"{' and '.join(rewriting)} still on: the texts are stored as edited"
    return None


def _values(recipe: Recipe) -> dict[str, Any]:
    data = recipe.data.model_dump(mode="json", exclude={"input", "output"})
    return _flat({"clean": effective_values(recipe.clean), "data": data})


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


def not_cleaned(where: str) -> UsageFault:
    """A version that something else than `datakit clean` made."""
    return UsageFault(where, "not made by datakit clean", "a version with scores and pairs", "Recut the one it is from")
