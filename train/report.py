"""report.html of a run: verdicts, curves, samples, facts, in one self-contained page that opens offline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from datakit.files import write_whole
from train.runs import TIMINGS, Row, Run, flatten

FILE: Final = "report.html"

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --bad: #d22; }
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; } .failed { color: var(--bad); font-weight: bold; } .unknown { opacity: .7; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { min-height: 3em; display: flex; align-items: end; flex-wrap: wrap; gap: 0 1em; }
svg { width: 100%; height: auto; border: 1px solid var(--line); }
polyline { fill: none; stroke-width: 2; stroke-linecap: round; vector-effect: non-scaling-stroke; }
text { font-size: 12px; fill: currentColor; }
.c0 { stroke: #3b7dd8; } .c1 { stroke: #d8843b; } .c2 { stroke: #3ba55d; } .c3 { stroke: #9b59b6; }
.c4 { stroke: #1fa3a3; } .c5 { stroke: #b8860b; } i.c4 { color: #1fa3a3; } i.c5 { color: #b8860b; }
i.c0 { color: #3b7dd8; } i.c1 { color: #d8843b; } i.c2 { color: #3ba55d; } i.c3 { color: #9b59b6; }
.nan { stroke: var(--bad); stroke-dasharray: 4; } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
blockquote { white-space: pre-wrap; overflow-wrap: anywhere; margin: .25rem 0 1rem; padding-left: 1rem;
border-left: 3px solid var(--line); } h3 { white-space: pre-wrap; font-size: 1rem; }
"""
# No script, no network: whatever a model says can do no more than be shown.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

# Curves that share a scale share a chart; what is logged under no such name gets one of its own.
_CHARTS: Final[tuple[tuple[str, ...], ...]] = (
    ("loss",),
    ("rewards/chosen", "rewards/rejected", "rewards/margins"),
    ("rewards/accuracies", "accuracy", "mean_token_accuracy"),
    ("logps/chosen", "logps/rejected"),
    ("margin",),
    ("grad_norm",),
    ("learning_rate",),
)
_NO_CURVES: Final = ("step", "epoch", "total_flos", "num_tokens", "eval_num_tokens", "train_loss")
_HELD: Final = "eval_"  # what is measured on held-out rows stands beside what is measured on the others
_WIDTH, _HEIGHT, _EDGE, _LEFT = 480, 180, 8, 60  # of a chart, in its own units; the scale stands at the left


def write_report(run: Run) -> Path:
    """Write a run's page; its path comes back."""
    path = run.path / FILE
    write_whole(path, report_page(run))
    return path


def report_page(run: Run) -> str:
    """The page's HTML."""
    fields = run.fields
    gates = {**(fields.get("gates") or {}), "rollback": fields.get("rollback") or []}
    parts = [
        f"<p>{escape(str(fields['stage']))}, {escape(run.status)}{_rows(fields.get('rows'))}</p>",
        *(_verdicts(moment, verdicts) for moment, verdicts in gates.items() if verdicts),
        *_samples(fields.get("samples") or []),
        *_curves(run.history()),
        _settings(fields.get("plan") or {}),
        _facts(fields["facts"]),
    ]
    name = escape(run.name)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>Run <code>{name}</code></h1>\n{''.join(parts)}</body></html>\n"
    )


def _rows(rows: Mapping[str, Any] | None) -> str:
    if not rows:
        return ""
    left = "".join(f", {count} {reason}" for reason, count in rows.get("left_out", {}).items())
    return escape(f". Rows: {rows.get('in')} in, {rows.get('trained', '?')} trained{left}")


def _verdicts(moment: str, verdicts: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f'<tr class="{escape(str(verdict["status"]))}"><td>{escape(str(verdict["metric"]))}</td>'
        f"<td>{'not measured' if verdict['value'] is None else escape(_number(verdict['value']))}</td>"
        f"<td>{escape(str(verdict['op']))} {escape(_number(verdict['threshold']))}</td>"
        f"<td>{escape(str(verdict.get('unit', '')))}</td><td>{_counted(verdict.get('samples'))}</td>"
        f"<td>{_outcome(verdict)}</td></tr>"
        for verdict in verdicts
    ]
    head = "<tr><th>metric</th><th>value</th><th>must be</th><th>unit</th><th>samples</th><th></th></tr>"
    return f"<h2>Gate: {escape(moment)}</h2><table>{head}{''.join(lines)}</table>\n"


def _counted(samples: int | None) -> str:
    return "" if samples is None else f"{samples:,}"


def _outcome(verdict: Mapping[str, Any]) -> str:
    """The status; with why, where that is not told by the value."""
    few = ": too few samples" if verdict["status"] == "unknown" and verdict["value"] is not None else ""
    mild = ", a warning" if verdict["status"] == "failed" and not verdict.get("stops", True) else ""
    return escape(f"{verdict['status']}{few}{mild}")


def _curves(history: Sequence[Row]) -> list[str]:
    seen = {name for row in history for name in row if name not in _NO_CURVES and not name.endswith(TIMINGS)}
    known = [_charted(seen, chart) for chart in _CHARTS]
    rest = sorted({name.removeprefix(_HELD) for name in seen.difference(*known)})
    charts = [chart for chart in (*known, *(_charted(seen, (name,)) for name in rest)) if chart]
    if not charts:
        return []
    drawn = "".join(_chart(chart, history) for chart in charts)
    return [f'<h2>Curves</h2><div class="charts">{drawn}</div>\n']


def _charted(seen: set[str], names: Sequence[str]) -> tuple[str, ...]:
    """The curves of one chart that there are: of the trained rows, then of the held-out ones."""
    names = [name for name in names if not name.startswith(_HELD)]
    return tuple(name for name in (*names, *(_HELD + name for name in names)) if name in seen)


def _chart(names: Sequence[str], history: Sequence[Row]) -> str:
    """One chart: a line a metric, broken where a value is no finite number, which is marked."""
    series = {name: [(row["step"], row[name]) for row in history if name in row] for name in names}
    finite = [value for points in series.values() for _, value in points if math.isfinite(value)]
    steps = [step for points in series.values() for step, _ in points]
    begin, last = min(steps), max(steps)
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)

    def place(step: float, value: float) -> tuple[float, float]:
        inner = _HEIGHT - 2 * _EDGE
        share = (value - low) / (high - low) if high > low else 0.5
        far = (step - begin) / (last - begin) if last > begin else 0.5
        return _LEFT + (_WIDTH - _LEFT - _EDGE) * far, _EDGE + inner * (1 - share)

    lines, legend = [], []
    for number, (name, points) in enumerate(series.items()):
        colour = f"c{number % 6}"
        for stretch in _stretches(points):
            spots = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in stretch)
            lines.append(f'<polyline class="{colour}" points="{spots}"/>')
        lines += [
            f'<line class="nan" x1="{place(step, low)[0]:.1f}" x2="{place(step, low)[0]:.1f}" y1="0" y2="{_HEIGHT}"/>'
            for step, value in points
            if not math.isfinite(value)
        ]
        legend.append(f'<span><i class="{colour}">{escape(name)}</i> {points[0][1]:.4g} → {points[-1][1]:.4g}</span>')
    return (
        f"<figure><figcaption>{''.join(legend)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(", ".join(names))}">'
        f'{"".join(lines)}<text x="4" y="14">{high:.4g}</text><text x="4" y="{_HEIGHT - 4}">{low:.4g}</text>'
        f"</svg><small>steps {begin:,.0f} to {last:,.0f}</small></figure>\n"
    )


def _stretches(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Runs of finite values; a single one is drawn as a point, a line from it to itself."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for step, value in points:
        if math.isfinite(value):
            stretches[-1].append((step, value))
        elif stretches[-1]:
            stretches.append([])
    return [stretch if len(stretch) > 1 else stretch * 2 for stretch in stretches if stretch]


def _samples(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = ["<h2>Samples, before and after</h2>"] if samples else []
    for sample in samples:
        parts += [f"<h3>{escape(str(sample['prompt']))}</h3>"]
        sides = (
            f"<div>{side}<blockquote>{escape(str(sample[side])) or '(nothing)'}</blockquote></div>"
            for side in ("before", "after")
        )
        parts.append(f'<div class="pair">{"".join(sides)}</div>\n')
    return parts


def _settings(plan: Mapping[str, Sequence[Any]]) -> str:
    lines = [
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td><td>{escape(str(source))}</td></tr>"
        for name, (value, source) in plan.items()
    ]
    head = "<tr><th>setting</th><th>value</th><th>from</th></tr>"
    return f"<h2>Settings</h2><table>{head}{''.join(lines)}</table>\n" if lines else ""


def _facts(facts: Mapping[str, Any]) -> str:
    lines = [f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in flatten(facts).items()]
    return f"<h2>Facts</h2><table>{''.join(lines)}</table>\n"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
