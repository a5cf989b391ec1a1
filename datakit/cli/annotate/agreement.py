"""`datakit annotate agreement` and `datakit annotate report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from datakit.cli.annotate.where import Where, opened
from datakit.cli.options import Json, Overrides
from datakit.cli.paths import near
from datakit.cli.result import print_json
from datakit.errors import UsageFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from annotation.measures.agreement import Agreement, By
    from annotation.measures.quality import Quality
    from annotation.measures.shares import Share

_Where = Annotated[
    Path | None,
    typer.Argument(metavar="RECIPE|CAMPAIGN", help="A recipe, or a campaign's folder.", show_default=False),
]


_PAIRS = 15  # pairs of annotators that are told on the terminal, the least agreeing; --json has all


def agreement(
    where: _Where = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Any table instead: item, annotator, value.", show_default=False),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="NAMES", help="What the table calls them: item=id,value=label.", show_default=False
        ),
    ] = None,
    wide: Annotated[
        str | None,
        typer.Option("--wide", metavar="NAMES", help="Columns of a table with one an annotator.", show_default=False),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", metavar="PART", help="question, pair, day, week or stratum; repeatable.", show_default=False
        ),
    ] = None,
    level: Annotated[
        Literal["nominal", "ordinal", "interval"] | None,
        typer.Option("--level", help="Which alpha to read; else by the kind of question.", show_default=False),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option("--order", metavar="VALUES", help="Values from least to most: bad,fair,good.", show_default=False),
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=0, help="Of the bootstrap; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure how far annotators agree: per cent, Cohen, Fleiss, Krippendorff, with intervals; and each annotator.

    Example: datakit annotate agreement --table judgements.csv --by pair
    """
    from annotation.measures.agreement import agreement as measure

    if (where is None) == (table is None):
        raise UsageFault("annotate agreement", "needs one of a campaign and --table", cure="Give one of them")
    answers, quality, own = _read(where, sets or [], table, _named(columns), _listed(wide))
    found = measure(answers, level or own, seed, resamples, order=_listed(order) or None, by=_parts(by or []))
    if as_json:
        plain: dict[str, Any] = found.to_json()
        if quality is not None:
            plain["quality"] = {name: one.to_json() for name, one in quality.items()}
        print_json(plain)
        return
    _show(found)
    if quality:
        _show_quality(quality)


def report(
    where: Where,
    language: Annotated[
        Literal["en", "zh"], typer.Option("--language", help="Which of the page's languages is shown first.")
    ] = "en",
    sets: Overrides = None,
    as_json: Json = False,
) -> None:
    """Write a campaign's page: progress, agreement over time, annotators, disagreements side by side.

    Example: datakit annotate report recipes/sales.toml
    """
    from annotation.reports.report import write_report

    path = write_report(opened(where, sets)[1], language)
    if as_json:
        print_json({"path": str(path), "bytes": path.stat().st_size})
    else:
        typer.echo(str(near(path)))


def _read(
    where: Path | None, sets: Sequence[str], table: Path | None, names: Mapping[str, str], wide: Sequence[str]
) -> tuple[pl.DataFrame, Mapping[str, Quality] | None, Literal["nominal", "ordinal", "interval"]]:
    """The answers, the annotators' quality where there is a campaign, and the level of what was asked."""
    if where is None:
        from annotation.measures.table import read_table

        assert table is not None
        return read_table(table, names, wide), None, "nominal"
    from annotation.judgements.judgements import KIND, pulled
    from annotation.measures.judged import judged, level_of
    from annotation.measures.quality import annotator_quality

    campaign = opened(where, sets)[1]
    judgements = pulled(campaign).frame(KIND)
    return judged(judgements, as_shown=True), annotator_quality(judgements, campaign.items()), level_of(judgements)


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _parts(names: Sequence[str]) -> list[By]:
    from annotation.measures.agreement import BY

    for name in names:
        if name not in BY:
            raise UsageFault(f"--by {name}", "unknown", f"one of {', '.join(BY)}")
    return [part for part in BY if part in names]


def _named(text: str | None) -> dict[str, str]:
    """`item=id,value=label` as a mapping."""
    known = ("item", "annotator", "value", "question", "stratum", "answered_at")
    names = {}
    for part in _listed(text):
        name, _, column = part.partition("=")
        if name not in known or not column:
            raise UsageFault(f"--columns {part}", "cannot be read", f"NAME=COLUMN, NAME one of {', '.join(known)}")
        names[name] = column
    return names


def _show(found: Agreement) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{found.items:,} items, {found.compared:,} compared; {found.answers:,} answers of "
        f"{len(found.annotators)} annotators\n"
    )
    whole = Table("measure", box=None, header_style="bold", pad_edge=False)
    whole.add_column("value", justify="right")
    whole.add_column("95 % interval", justify="right")
    for name, value, interval in _rows(found):
        whole.add_row(name, _number(value), _reach(interval))
    console.print(whole)
    for note in found.notes:
        console.print(f"note: {note}", markup=False)
    for by, parts in found.by.items():
        table = Table(by, box=None, header_style="bold", pad_edge=False)
        for name in ("compared", "percent", "Fleiss", f"alpha {found.level}", "95 % interval"):
            table.add_column(name, justify="right")
        for name, part in parts.items():
            reach = _reach(part.interval["krippendorff"][part.level])
            table.add_row(
                _plain(name), f"{part.compared:,}", *map(_number, (part.percent, part.fleiss, part.alpha)), reach
            )
        console.print("\n", table, sep="", end="")


def _rows(found: Agreement) -> list[tuple[Any, float | None, tuple[float, float] | None]]:
    """What is told of the whole, as name, value, interval; the lowest kappas where there are many pairs."""
    reach = found.interval
    pairs = sorted(found.cohen.items(), key=lambda pair: 2.0 if pair[1] is None else pair[1])[:_PAIRS]
    return [
        ("percent", found.percent, reach["percent"]),
        *((_plain(f"Cohen {pair}"), kappa, reach["cohen"][pair]) for pair, kappa in pairs),
        *(
            (_plain(f"Cohen {pair}, {weights}"), found.weighted[weights][pair], None)
            for weights in (found.weighted if found.level != "nominal" else ())
            for pair, _ in pairs
        ),
        ("Fleiss", found.fleiss, reach["fleiss"]),
        *((f"Krippendorff {name}", alpha, reach["krippendorff"][name]) for name, alpha in found.krippendorff.items()),
    ]


def _show_quality(quality: Mapping[str, Quality]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("annotator", box=None, header_style="bold", pad_edge=False)
    for name in ("items", "gold right", "left side", "p", "same again", "estimated", "seconds"):
        table.add_column(name, justify="right")
    for name, one in quality.items():
        table.add_row(
            _plain(name),
            f"{one.items:,}",
            _share(one.gold),
            _share(one.left),
            _number(None if one.left is None else one.left.p),
            _share(one.consistency),
            _number(one.estimated),
            "–" if one.seconds is None else f"{one.seconds:,.0f}",
        )
    Console(highlight=False).print("\n", table, sep="", end="")


def _plain(text: str) -> Any:
    """A name as it is: no square bracket of it is taken for a style."""
    from rich.text import Text

    return Text(text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _share(found: Share | None) -> str:
    return _number(None if found is None else found.value)


def _reach(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}"
