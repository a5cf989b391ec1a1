"""`datakit explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from datakit.cli.options import Json
from datakit.cli.result import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datakit.cli.topics import Topic


def explain(
    topic: Annotated[
        str | None, typer.Argument(help="A code such as M9, or a reason such as gopher_words.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain a word that datakit prints: symptom, cause, check, fix and how to verify; without a word, list all.

    Example: datakit explain M9
    """
    from datakit.cli.topics import topics

    known = topics()
    if topic is None:
        _list(known, as_json)
    else:
        _tell(_find(topic, known), as_json)


def _find(name: str, known: Mapping[str, Topic]) -> Topic:
    """The topic of a name, whatever its case.

    Raises:
        UsageFault: there is none; the nearest names are given.
    """
    import difflib

    from datakit.errors import UsageFault

    by_lower = {known_name.lower(): topic for known_name, topic in known.items()}
    if (wanted := name.strip().lower()) in by_lower:
        return by_lower[wanted]
    near = [by_lower[found].name for found in difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.5)]
    cure = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UsageFault(
        "datakit explain", f"nothing is known as '{name}'", "a code or a reason", f"{cure}`datakit explain` lists all"
    )


def _tell(topic: Topic, as_json: bool) -> None:
    if as_json:
        print_json({"topic": topic.name, "family": topic.family, "title": topic.title, **topic.facts, **topic.sections})
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text.assemble((topic.name, "bold"), f"  {topic.title}"))
    console.print(Text(", ".join(f"{name}: {value}" for name, value in topic.facts.items()), style="dim"))
    for heading, words in topic.sections.items():
        console.print(Text.assemble("\n", (heading, "bold")))
        console.print(Padding(Text(words), (0, 0, 0, 2)))


def _list(known: Mapping[str, Topic], as_json: bool) -> None:
    if as_json:
        rows = [{"topic": topic.name, "family": topic.family, "title": topic.title} for topic in known.values()]
        print_json({"topics": rows})
        return
    from datakit.cli.topics import FAMILIES

    width = max(map(len, known))
    for family, heading in FAMILIES.items():
        typer.echo(f"{heading}:")
        for topic in known.values():
            if topic.family == family:
                facts = f"  ({topic.facts['severity']})" if "severity" in topic.facts else ""
                typer.echo(f"  {topic.name:{width}}  {topic.title}{facts}")
