"""Pieces of a page in two languages that needs no script and no network: words, numbers, tables, a chart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from annotation.measures.bootstrap import Interval
from annotation.measures.shares import Share

# No script, no network: whatever a row says can do no more than be shown.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bar: #3b7dd8; --bad: #c8362b; }
@media (prefers-color-scheme: dark) { :root { --bar: #6ea8f7; --bad: #ff7a6e; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 66rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
body:has(#english:checked) span[lang=zh], body:has(#chinese:checked) span[lang=en] { display: none; }
h1 { margin: .25rem 0; overflow-wrap: anywhere; } h2 { margin: 2.5rem 0 .5rem; } h3 { margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 48rem; } .quiet { opacity: .75; font-size: .9rem; }
fieldset { border: 0; padding: 0; margin: 0; float: right; } fieldset label { margin-inline: .15rem .75rem; }
:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .3rem .65rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; word-break: keep-all; }
th { font-weight: 600; vertical-align: bottom; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.n { white-space: nowrap; }
td small { opacity: .75; display: block; } .bad { color: var(--bad); font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; min-width: 9rem; }
.tiles b { display: block; font-size: 1.6rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.stack { display: flex; height: 1.25rem; border-radius: .3rem; overflow: hidden; background: var(--soft); max-width: 48rem; }
.stack i { background: var(--bar); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; background: var(--bar); margin-right: .35rem; }
.pairs { display: flex; flex-wrap: wrap; gap: 0 2.5rem; } td.heat { background: color-mix(in srgb, var(--bar) var(--share), transparent); }
svg { width: 100%; height: auto; max-width: 50rem; display: block; } svg text { font-size: 12px; fill: currentColor; }
svg .grid { stroke: var(--line); } svg .reach { stroke: var(--bar); stroke-width: 2; opacity: .5; }
svg polyline { fill: none; stroke: var(--bar); stroke-width: 2; } svg circle { fill: var(--bar); }
summary { cursor: pointer; padding: .25rem 0; } details { margin: .25rem 0; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: 1rem 0; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
.side { border-top: 3px solid var(--line); padding-top: .5rem; min-width: 0; } .side h4 { margin: 0 0 .25rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 .5rem; max-width: none; } .role { opacity: .7; font-size: .85rem; margin: 0; }
.votes { display: flex; flex-wrap: wrap; gap: .4rem; margin: .25rem 0 .75rem; padding: 0; list-style: none; }
.votes li { border: 1px solid var(--line); border-radius: 1rem; padding: 0 .7rem; font-size: .9rem; }
@media print { fieldset { display: none; } article { break-inside: avoid; } }
"""  # noqa: E501

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _LEFT = 800, 260, 12, 28, 48  # of the chart, in its own units
_LABELS: Final = 8  # dates below the chart, that they do not run into each other


def both(english: str, chinese: str) -> str:
    """Words in both languages, of which the page shows one. They are ours: they may hold tags."""
    return f'<span lang="en">{english}</span><span lang="zh">{chinese}</span>'


def document(title: str, body: str, language: str) -> str:
    """The whole page; `language`, en or zh, is shown until the reader picks the other."""
    picks = "".join(
        f'<input type="radio" name="language" id="{name}"{" checked" if code == language else ""}>'
        f'<label for="{name}" lang="{code}">{label}</label>'
        for name, code, label in (("english", "en", "English"), ("chinese", "zh", "中文"))
    )
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f'<body><fieldset aria-label="Language / 语言">{picks}</fieldset>\n{body}</body></html>\n'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML. A heading or cell that begins with a tab is a number."""
    lines = "".join(f"<tr>{''.join(_cell(cell, 'td') for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{"".join(_cell(cell, "th") for cell in head)}</tr>{lines}</table></div>\n'


def _cell(cell: str, tag: str) -> str:
    return f'<{tag} class="n">{cell[1:]}</{tag}>' if cell.startswith("\t") else f"<{tag}>{cell}</{tag}>"


_VALUES: Final = {
    "first": ("first", "第一个"),
    "second": ("second", "第二个"),
    "tie": ("tie", "不分上下"),
    "both_bad": ("both bad", "都不可用"),
}


def answer(value: str) -> str:
    """A value that was given, in words where it is one of a preference."""
    return both(*_VALUES[value]) if value in _VALUES else escape(value)


def number(value: float | None) -> str:
    """A kappa or alpha, with two digits."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def percentage(value: float | None) -> str:
    """A share, per cent."""
    return "–" if value is None else f"{100 * value:.1f} %"


def reach(interval: Interval | None, *, percent: bool = False) -> str:
    """An interval, small."""
    if interval is None:
        return ""
    written = percentage if percent else number
    return f"<small>{written(interval[0])} … {written(interval[1])}</small>"


def share(found: Share | None, *, leans: bool = False) -> str:
    """A share with its interval and count, as a cell; marked where it is that of a side and leans to one."""
    if found is None:
        return "\t–"
    side = "←" if found.value > 0.5 else "→"  # a mark that does not need colour
    value = f'<span class="bad">{side} {percentage(found.value)}</span>' if leans else percentage(found.value)
    interval = f"{100 * found.low:.0f} … {100 * found.high:.0f} %, n = {found.of:,}"
    chance = "" if found.p is None else f"<small>p {'&lt; 0.001' if found.p < 0.001 else f'= {found.p:.3f}'}</small>"
    return f"\t{value}<small>{interval}</small>{chance}"


def chart(points: Sequence[tuple[str, float | None, Interval | None]], label: str, lines: Sequence[float]) -> str:
    """A line over dates, from the lowest value (at most 0) to 1, with an interval at each; dashes at `lines`."""
    ends = [end for _, value, interval in points for end in (value, *(interval or ())) if end is not None]
    low = min(0.0, *ends) if ends else 0.0
    step = (_WIDTH - _LEFT) / max(1, len(points))

    def x(place: int) -> float:
        return _LEFT + step * (place + 0.5)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (1 - low))

    parts = []
    for level in sorted({low, 0.0, 1.0, *lines}):
        dashes = ' stroke-dasharray="4"' if level in lines else ""
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}"{dashes}/>')
        if level >= 0 or level < -0.1:  # else the two would stand on each other
            parts.append(f'<text x="{_LEFT - 6}" y="{y(level) + 4:.1f}" text-anchor="end">{number(level)}</text>')
    spots = [f"{x(place):.1f},{y(value):.1f}" for place, (_, value, _) in enumerate(points) if value is not None]
    parts.append(f'<polyline points="{" ".join(spots)}"/>')
    every = -(-len(points) // _LABELS)
    for place, (name, value, interval) in enumerate(points):
        if interval is not None:
            parts.append(
                f'<line class="reach" x1="{x(place):.1f}" x2="{x(place):.1f}" '
                f'y1="{y(interval[0]):.1f}" y2="{y(interval[1]):.1f}"/>'
            )
        if value is not None:
            parts.append(
                f'<circle cx="{x(place):.1f}" cy="{y(value):.1f}" r="4">'
                f"<title>{escape(name)}: {number(value)}</title></circle>"
            )
        if place % every == 0:
            parts.append(f'<text x="{x(place):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(name)}</text>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>\n'
