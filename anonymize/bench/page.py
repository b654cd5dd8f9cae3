"""The report as one HTML page that needs nothing beside it: tables, a histogram and a time line for each run."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from anonymize.bench.charts import histogram_chart, histogram_of, time_chart
from anonymize.bench.histogram import RELATIVE_ERROR
from anonymize.bench.text import (
    COLUMNS,
    MODES,
    duration_rows,
    machine_lines,
    run_lines,
    run_title,
    start_words,
)

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#20242a;background:#fff;max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}h3{font-size:1em;margin-bottom:.3em}
table{border-collapse:collapse;font-size:13px;margin:.6em 0}td,th{padding:.25em .6em;border-bottom:1px solid #dde1e6;
text-align:left;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.row{display:flex;flex-wrap:wrap;gap:1em}.row>*{flex:1 1 300px;min-width:0;max-width:100%}.row svg{max-width:520px}
.wide{overflow-x:auto}svg text{font:12px system-ui,sans-serif;fill:#444b55}.grid{stroke:#e4e7eb}
.deadline{stroke:#c8353d;stroke-dasharray:5 4}.warning{color:#8a3b00}.lost td{color:#a3121b}
p.note{color:#444b55;max-width:70ch}
""".replace("\n", "")
SECURITY: Final = "default-src 'none'; style-src 'unsafe-inline'"
MEANING: Final = (
    "Whole, from due: from when the frame was due until it was hidden; flat out a frame is due when it is begun. "
    "A frame that was lost counts as one that never came. "
    f"Quantiles hold to {RELATIVE_ERROR:.1%}. The dashed line is the deadline."
)


def as_page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<meta http-equiv='Content-Security-Policy' content=\"{SECURITY}\">",
        f"<title>Latency</title><style>{STYLE}</style></head><body><h1>Latency and throughput</h1>",
        f"<p>{escape(report['begun'])}</p>",
        "<p>" + "<br>".join(map(escape, machine_lines(report))) + "</p>",
        *(f"<p class='warning'>Warning: {escape(words)}.</p>" for words in report["warnings"]),
    ]
    if cold := report.get("cold_start"):
        parts.append(f"<p>Start without compiled kernels: {escape(start_words(cold))}.</p>")
    parts.append(f"<p class='note'>{escape(MEANING)}</p>")
    parts += [_run(run) for run in report["runs"]]
    return "\n".join([*parts, "</body></html>"])


def _run(run: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr{' class=lost' if name in ('LOST', 'fault') else ''}><td>{escape(name)}</td><td>{escape(words)}</td></tr>"
        for name, words in run_lines(run)
    )
    modes = "".join(_mode(name, mode, run["key"]["deadline_ms"]) for name, mode in run["modes"].items())
    return f"<h2>{escape(run_title(run))}</h2><table>{rows}</table>{modes}"


def _mode(name: str, mode: Mapping[str, Any], deadline_ms: float) -> str:
    head = "".join(f"<th class=n>{column.replace('_', '.')}</th>" for column in COLUMNS)
    rows = "".join(
        f"<tr><td>{escape(words)}</td>{''.join(f'<td class=n>{escape(figure)}</td>' for figure in figures)}</tr>"
        for words, figures in duration_rows(mode)
    )
    due = deadline_ms if name == "paced" else None
    whole = "latency" if name == "paced" else "service"
    charts = [
        histogram_chart(f"{MODES[name]}: frames by duration", histogram_of(mode, whole), due),
        time_chart(f"{MODES[name]}: over time", mode, whole, due),
    ]
    figures = "".join(f"<div>{chart}</div>" for chart in charts if chart)
    return (
        f"<h3>{MODES[name]}</h3><div class='wide'><table><tr><th>ms</th>{head}</tr>{rows}</table></div>"
        f"<div class='row'>{figures}</div>"
    )
