"""Read a recipe file, lay `--set` values over it, and report every fault at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from datakit.errors import RecipeError
from datakit.recipe.recipe import Recipe


def load_recipe(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a TOML file with `overrides` laid over it; the defaults where `path` is None.

    Args:
        path: a TOML file. Paths inside it are relative to it and come back absolute.
        overrides: `key.path=value` each, the value in TOML (a bare word counts as a string).

    Raises:
        RecipeError: every unknown key, wrong value and unreadable override, together.
    """
    where = str(path) if path is not None else "recipe"
    tables = _read_toml(Path(path)) if path is not None else {}
    faults = [fault for text in overrides if (fault := _override(tables, text)) is not None]
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as error:
        raise RecipeError.of([*faults, *_faults(where, error, tables)]) from None
    if faults:
        raise RecipeError.of(faults)
    return recipe if path is None else _resolve(recipe, Path(path).resolve())


def recipe_from(tables: Mapping[str, Any]) -> Recipe:
    """The recipe that a mapping of tables describes, as `load_recipe` would read it from a file.

    Raises:
        RecipeError: every fault, together.
    """
    try:
        return Recipe.model_validate(dict(tables))
    except ValidationError as error:
        raise RecipeError.of(_faults("recipe", error, tables)) from None


def recipe_over(tables: Mapping[str, Any], overrides: Sequence[str]) -> Recipe:
    """The recipe of a mapping of tables, e.g. a manifest's, with `overrides` laid over it; the mapping stays as it is.

    Raises:
        RecipeError: every fault, together.
    """
    copy = deepcopy(dict(tables))
    faults = [fault for text in overrides if (fault := _override(copy, text)) is not None]
    try:
        recipe = Recipe.model_validate(copy)
    except ValidationError as error:
        raise RecipeError.of([*faults, *_faults("recipe", error, copy)]) from None
    if faults:
        raise RecipeError.of(faults)
    return recipe


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.toml")], n=1)
        hint = f"Did you mean {path.with_name(near[0])}?" if near else "Check the path of --recipe"
        raise RecipeError(str(path), "no such recipe", "a TOML file", hint) from None
    except OSError as error:
        raise RecipeError(str(path), f"cannot be read ({error.strerror})", "a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), f"not valid TOML: {error}", cure="Mend the line that is named") from None


def _override(tables: dict[str, Any], text: str) -> RecipeError | None:
    """Lay one `key.path=value` over the tables; a fault where it cannot be read."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        return RecipeError(f"--set {text}", "no '='", "key.path=value", "For example --set clean.near.threshold=0.9")
    *parents, last = key.strip().split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            return RecipeError(f"--set {text}", f"'{parent}' is a value, not a table", "the path of one key")
    try:
        table[last] = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value.strip()  # a bare word, as shells make them: --set clean.pii.mode=drop
    return None


def _faults(where: str, error: ValidationError, tables: Mapping[str, Any]) -> Iterable[RecipeError]:
    """Pydantic's findings in our words: path, what stands there, what is accepted, the nearest name."""
    for finding in error.errors(include_url=False):
        path = [part for part in finding["loc"] if isinstance(part, str) and not part.startswith("function-")]
        place = f"{where}: {'.'.join(str(part) for part in finding['loc'] if not str(part).startswith('function-'))}"
        if finding["type"] == "extra_forbidden":
            names = _names_beside(path)
            near = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
            cure = f"Did you mean '{near[0]}'?" if near else ""
            yield RecipeError(place, "unknown key", f"one of {', '.join(names)}" if names else "no such key", cure)
        elif finding["type"] in _EXPECTED:
            yield RecipeError(place, f"found {_shown(finding.get('input'))}", _EXPECTED[finding["type"]])
        else:
            message = finding["msg"].removeprefix("Value error, ")
            yield RecipeError(place, f"{_shown(finding.get('input'))}: {message[:1].lower()}{message[1:]}")


# What the words of pydantic mean in a TOML file.
_EXPECTED: Final = {
    "tuple_type": 'a list, e.g. ["zh", "en"]',
    "model_type": "a table",
    "mapping_type": "a table",
    "string_type": "a text in quotes",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_type": "a whole number",
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _names_beside(path: Sequence[str]) -> list[str]:
    """The keys that the table holding `path` accepts."""
    model: type[BaseModel] = Recipe
    parents = iter(path[:-1])
    for name in parents:
        field = model.model_fields.get(name)
        inner = _table_of(field.annotation) if field is not None else None
        if field is None or inner is None:
            return []
        if get_origin(field.annotation) is Mapping:
            next(parents, None)  # the table stands under a name of its own
        model = inner
    return sorted(model.model_fields)


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The table type inside an annotation such as `Bounds | bool`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for part in get_args(annotation) if (table := _table_of(part)) is not None), None)


def _resolve(recipe: Recipe, file: Path) -> Recipe:
    """The recipe with the paths of its tables made absolute."""
    data, folder = recipe.data, file.parent
    update: dict[str, Any] = {"input": tuple(path if "://" in path else str(folder / path) for path in data.input)}
    if data.output is not None:
        update["output"] = str(folder / data.output)
    named = {name: getattr(recipe.model, name) for name in ("base", "template")}
    model = {name: str(folder / path) for name, path in named.items() if path is not None}
    return recipe.model_copy(
        update={
            "data": data.model_copy(update=update),
            "annotate": recipe.annotate.at(folder, file.stem),
            "model": recipe.model.model_copy(update=model),
            "train": recipe.train.at(folder),
            "evaluate": recipe.evaluate.at(folder),
        }
    )
