"""report.html: what became of the rows, in one self-contained page that opens offline."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import polars as pl

from datakit.records import KINDS
from datakit.versions.manifest import Manifest

EXAMPLES: Final = 3  # dropped rows that are shown, a reason
_SHOWN: Final = 300  # characters of a row that are shown

_STYLE: Final = """
:root { color-scheme: light dark; --bar: #3b7dd8; --line: #8884; }
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } rect { fill: var(--bar); }
blockquote { margin: .25rem 0 1rem; padding-left: 1rem; border-left: 3px solid var(--line); white-space: pre-wrap; }
blockquote, code { overflow-wrap: anywhere; }
"""


def report_page(manifest: Manifest, folder: Path) -> str:
    """The page of a version whose files lie finished in `folder`.

    Shows rows by decision, by reason and by kind, and a few dropped rows a reason with what they were compared to.
    """
    parts = [_decisions(manifest), _reasons(manifest), _kinds(manifest), _examples(folder, manifest)]
    title = f"datakit {manifest.version}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>Version <code>{manifest.version}</code></h1>\n{''.join(parts)}</body></html>\n"
    )


def _decisions(manifest: Manifest) -> str:
    rows = manifest.counts.rows
    head = "".join(f'<th class="n">{name}</th>' for name in rows)
    return f"<h2>Rows</h2><table><tr>{head}</tr><tr>{''.join(_number(count) for count in rows.values())}</tr></table>\n"


def _reasons(manifest: Manifest) -> str:
    reasons = manifest.counts.reasons
    if not reasons:
        return "<h2>Reasons</h2><p>No row was dropped or rejected.</p>\n"
    longest = max(reasons.values())
    lines = [
        f"<tr><td>{escape(reason)}</td>{_number(count)}"
        f'<td><svg width="300" height="12" role="img" aria-label="{count}">'
        f'<rect width="{max(1, 300 * count / longest):.0f}" height="12"/></svg></td></tr>'
        for reason, count in reasons.items()
    ]
    return f'<h2>Reasons</h2><table><tr><th>reason</th><th class="n">rows</th><th></th></tr>{"".join(lines)}</table>\n'


def _kinds(manifest: Manifest) -> str:
    lines = [f"<tr><td>{escape(kind)}</td>{_number(count)}</tr>" for kind, count in manifest.counts.kinds.items()]
    return f'<h2>Kinds</h2><table><tr><th>kind</th><th class="n">rows</th></tr>{"".join(lines)}</table>\n'


def _examples(folder: Path, manifest: Manifest) -> str:
    """A few dropped rows of every reason, with value, threshold and twin."""
    ledger = pl.scan_parquet(folder / "ledger.parquet").filter(pl.col("decision") == "dropped")
    shown = ledger.group_by("reason", maintain_order=True).head(EXAMPLES).collect(engine="streaming")
    texts = _texts(folder, shown)
    parts = ["<h2>Examples of dropped rows</h2>"] if shown.height else []
    for reason in manifest.counts.reasons:
        rows = shown.filter(pl.col("reason") == reason)
        if rows.height:
            parts.append(f"<h3>{escape(reason)}</h3>")
        for row in rows.iter_rows(named=True):
            text = texts.get((row["source"], row["line"]), "")
            parts.append(f"<p><code>{escape(row['source'])}:{row['line']}</code>{_why(row)}</p>")
            parts.append(f"<blockquote>{escape(text[:_SHOWN])}{'…' if len(text) > _SHOWN else ''}</blockquote>")
    return "\n".join(parts)


def _why(row: dict[str, object]) -> str:
    if row["twin_source"] is not None:
        like = f", similarity {row['similarity']:.3f}" if row["similarity"] is not None else ""
        return f" — twin of <code>{escape(str(row['twin_source']))}:{row['twin_line']}</code>{like}"
    if row["value"] is None:
        return ""
    return f" — measured {row['value']:.4g}, threshold {row['threshold']:.4g}"


def _texts(folder: Path, rows: pl.DataFrame) -> dict[tuple[str, int], str]:
    """What the rows say, by key; personal data is masked in dropped rows as it is in kept ones."""
    found: dict[tuple[str, int], str] = {}
    for kind in KINDS:
        path = folder / "dropped" / f"{kind}.parquet"
        if path.exists():
            mine = (
                pl.scan_parquet(path)
                .join(rows.lazy().select("source", "line"), on=["source", "line"], how="semi")
                .collect(engine="streaming")
            )
            for record in mine.iter_rows(named=True):
                found[record["source"], record["line"]] = _said(record)
    return found


def _said(record: dict[str, object]) -> str:
    """A record as plain lines: its text, or its messages with their roles."""
    lines: list[str] = []
    for name in ("text", "prompt", "messages", "chosen", "rejected", "completion"):
        value = record.get(name)
        if isinstance(value, str):
            lines.append(value)
        elif isinstance(value, list):
            where = f"{name} " if name != "messages" else ""
            lines += [f"{where}{turn['role']}: {turn['content'] or turn['tool_calls'] or ''}" for turn in value]
    return "\n".join(lines)


def _number(count: int) -> str:
    return f'<td class="n">{count:,}</td>'
