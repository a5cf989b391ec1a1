"""Rows of a proof as one self-contained HTML page: colours, ids on hover, and an example row of each finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from datakit.masks.codes import CODES
from datakit.masks.labels import IGNORED
from datakit.masks.show import PARTS, Piece, Shown, pieces, said, visible

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --trained: #bfe8c4; --stop: #f6b3ab; --injected: #f5e08a; }
@media (prefers-color-scheme: dark) { :root { --trained: #1e5a2a; --stop: #8a2a20; --injected: #6b5a10; } }
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { font: 15px/1.7 ui-monospace, "Noto Sans Mono CJK SC", monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  border-left: 3px solid var(--line); padding-left: 1rem; }
pre span { box-shadow: inset -1px 0 var(--line); } span:hover { outline: 2px solid; }
.trained { background: var(--trained); } .stop { background: var(--stop); } .injected { background: var(--injected); }
.context { opacity: .7; } .error { font-weight: bold; }
"""

# No script, no network: whatever a row holds can do no more than be shown.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def rows_page(
    title: str,
    rows: Sequence[Shown],
    findings: Sequence[Mapping[str, Any]] = (),
    examples: Mapping[str, Sequence[Shown]] | None = None,
) -> str:
    """The page's HTML.

    Args:
        title: what was proved, e.g. `clean@3f2a, Qwen2.5`.
        rows: shown first, whole.
        findings: as `Findings.to_rows` gives them.
        examples: for a code, a row that has it (of a pair, both sides).
    """
    name = escape(visible(title))
    legend = " ".join(f'<span class="{part}">{escape(words)}</span>' for part, words in PARTS.items())
    parts = [_table(findings), f"<h2>Rows</h2><p>{legend}</p>", *map(_row, rows)]
    for finding in findings:
        if shown := (examples or {}).get(finding["code"]):
            parts += [_example(finding), *map(_row, shown)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{name}</h1>\n{''.join(parts)}</body></html>\n"
    )


def _table(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<h2>Findings</h2><p>None.</p>\n"
    lines = [
        f'<tr><td>{escape(found["code"])}</td><td class="{escape(found["severity"])}">{escape(found["severity"])}</td>'
        f'<td>{escape(found["reach"])}</td><td class="n">{found["count"]:,}</td>'
        f"<td>{escape(CODES[found['code']].title)}</td></tr>"
        for found in findings
    ]
    head = '<tr><th>code</th><th>severity</th><th>reach</th><th class="n">count</th><th></th></tr>'
    return f"<h2>Findings</h2><table>{head}{''.join(lines)}</table>\n"


def _example(finding: Mapping[str, Any]) -> str:
    code = CODES[finding["code"]]
    return (
        f"<h2>{code.code}: {escape(code.title)}</h2>\n"
        f"<p>{escape(code.symptom)} {escape(code.cause)}</p><p>Cure: {escape(code.fix)}</p>\n"
    )


def _row(row: Shown) -> str:
    trained = sum(label != IGNORED for label in row.labels)
    found = "".join(f"<li>{found.code}: {escape(visible(found.detail))}</li>" for found in row.findings)
    return (
        f"<h3><code>{escape(visible(row.title))}</code></h3>\n<p>{trained:,} of {len(row.ids):,} tokens trained</p>"
        f"{f'<ul>{found}</ul>' if found else ''}\n<pre>{''.join(map(_token, pieces(row)))}</pre>\n"
    )


def _token(piece: Piece) -> str:
    ids = ", ".join(map(str, piece.ids))
    labels = "not trained" if set(piece.labels) <= {IGNORED} else f"label {', '.join(map(str, piece.labels))}"
    hover = f' title="id {ids}; {labels}"' if ids else ""
    return f'<span class="{piece.part}"{hover}>{escape(said(piece))}</span>'
