"""The report as one HTML page that needs nothing beside it: tables, curves, worst misses with everything hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from anonymize.evaluate.charts import SHARES, Axis, Line, chart
from anonymize.evaluate.crops import Crop
from anonymize.evaluate.findings import Finding
from anonymize.evaluate.text import figure_words, number_words, rate_words
from anonymize.evaluate.track_text import tracks_part

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#20242a;background:#fff;max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;font-size:13px;margin:.6em 0}
td,th{padding:.25em .6em;border-bottom:1px solid #dde1e6;text-align:left}td.n{text-align:right;
font-variant-numeric:tabular-nums}.row{display:flex;flex-wrap:wrap;gap:1em}.row svg{width:460px;max-width:100%}
svg text{font:12px system-ui,sans-serif;fill:#444b55}.grid{stroke:#e4e7eb}figure{margin:0;width:240px}
figure svg{width:240px}figcaption{font-size:12px;color:#444b55}p.note{color:#444b55;max-width:70ch}
""".replace("\n", "")
SECURITY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
COLUMNS: Final = (
    "in scope",
    "detection",
    "false",
    "coverage",
    "recall IoU 0.5",
    "AP",
    "× boxes",
    "× boxes met",
    "% of rest",
)
MEANING: Final = (
    "Detection: at least half of the box is hidden (GB/T 44464-2024; faces from 32 px, plates from 16 px). "
    "False: hidden areas of that size that touch no such object. Coverage: at least 90 % of the box, from 16 px. "
    "In brackets the one-sided 95 % Clopper–Pearson bound, then the 5th to 95th percentile over resampled pictures."
)
HIDDEN_HERE: Final = (
    "The largest misses in scope. The miss (dashed), every other labelled face and plate and all that the network "
    "finds are hidden here; what nobody labelled or found may not be."
)
LISTED: Final = 2000  # findings on the page; `--findings` has all


def as_page(
    report: Mapping[str, Any], findings: Sequence[Finding], crops: Mapping[str, Sequence[Crop]]
) -> str:
    """The whole page.

    Parameters
    ----------
    report : mapping
        From `whole_report`.
    findings : sequence of Finding
        Of all models.
    crops : mapping of model name to crops
    """
    left_out = ", ".join(report.get("excluded_sources") or []) or "none"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<meta http-equiv='Content-Security-Policy' content=\"{SECURITY}\">",
        f"<title>Acceptance report</title><style>{STYLE}</style></head><body><h1>Acceptance report</h1>",
        f"<p>{report['pictures']} pictures, looked at in {escape(str(report['size']))} size.</p>",
        f"<p>The headline leaves out these sources, whose scenes may have been trained on: {escape(left_out)}.</p>",
        *(
            [tracks_part(report["models"])]
            if "frames" in report
            else [
                _figures(report["models"]),
                _curves(report["models"]),
                _worst(crops),
                _finding_rows(findings),
            ]
        ),
        "</body></html>",
    ]
    return "\n".join(parts)


def _figures(models: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"<h2>Rates</h2><p class='note'>{MEANING}</p>"]
    for label in sorted({label for model in models for label in model["classes"]}):
        rows = [
            "<tr><th>pictures</th><th>model</th>"
            + "".join(f"<th>{column}</th>" for column in COLUMNS)
            + "</tr>"
        ]
        of_label = [model for model in models if label in model["classes"]]
        for group in of_label[0]["classes"][label]["groups"]:
            for model in of_label:
                values = model["classes"][label]["groups"].get(group)
                rows += [_figure_row(group, model["name"], values)] if values else []
        parts.append(f"<h3>{escape(label)}s</h3><table>{''.join(rows)}</table>")
    return "".join(parts)


def _figure_row(group: str, model: str, values: Mapping[str, Any]) -> str:
    first = f"<td>{escape(group)} ({values['pictures']})</td><td>{escape(model)}</td>"
    return f"<tr>{first}{''.join(f'<td class=n>{cell}</td>' for cell in figure_words(values, _with_interval))}</tr>"


def _with_interval(rate: Mapping[str, Any]) -> str:
    low, high = rate["bootstrap"]
    between = "" if low is None or high is None else f"<br>{low:.3f}–{high:.3f}"
    return rate_words(rate) + between


def _curves(models: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        "<h2>Curves</h2><p class='note'>Headline pictures. A dot is the model's own threshold.</p><div class='row'>"
    ]
    shares = Axis("false rate in scope", SHARES)
    for label in sorted({label for model in models for label in model["classes"]}):
        of_label = [model for model in models if label in model["classes"]]
        for name, words in (
            ("detection_rate", "detection rate in scope"),
            ("coverage_recall", "coverage recall in scope"),
        ):
            lines = [_over_thresholds(model, label, name) for model in of_label]
            parts.append(chart(f"{label}s: {words} against false rate", shares, Axis(words, SHARES), lines))
        sizes = Axis("shorter side, px", (4, 8, 16, 32, 64, 128, 256), logarithmic=True)
        for name, words in (("detection_rate", "half hidden"), ("coverage_recall", "90 % hidden")):
            lines = [_over_sizes(model, label, name) for model in of_label]
            parts.append(
                chart(f"{label}s: {words} against size", sizes, Axis(f"{label}s, {words}", SHARES), lines)
            )
    return "".join([*parts, "</div>"])


def _over_thresholds(model: Mapping[str, Any], label: str, name: str) -> Line:
    values = model["classes"][label]
    points = [(point["false_rate"], point[name]) for point in values["curve"]]
    scope = values["groups"]["headline"]["in_scope"]
    dot = scope["false_rate"]["value"], scope[name]["value"]
    return Line(
        f"{model['name']}, {label}s",
        tuple((x, y) for x, y in points if x is not None and y is not None),
        dot if None not in dot else None,
    )


def _over_sizes(model: Mapping[str, Any], label: str, name: str) -> Line:
    points = []
    for step in model["classes"][label]["by_size"]:
        low, high = max(step["from_px"], 2.8), step["below_px"] or 2 * step["from_px"]
        if step[name]["value"] is not None:
            points.append(((low * high) ** 0.5, step[name]["value"]))
    return Line(f"{model['name']}, {label}s", tuple(points))


def _worst(crops: Mapping[str, Sequence[Crop]]) -> str:
    if not any(crops.values()):
        return ""
    parts = [f"<h2>Worst misses</h2><p class='note'>{HIDDEN_HERE}</p>"]
    for model, of_model in crops.items():
        figures = "".join(map(_figure, of_model))
        parts.append(f"<h3>{escape(model)}</h3><div class='row'>{figures}</div>")
    return "".join(parts)


def _figure(crop: Crop) -> str:
    x1, y1, x2, y2 = crop.xyxy
    words = f"{crop.finding.label}, {crop.finding.shorter_px:.0f} px, {crop.finding.source}"
    if crop.finding.confidence is not None:
        words += f", would be hidden at {crop.finding.confidence:.2f}"
    return (
        f"<figure><svg viewBox='0 0 {crop.width} {crop.height}'><image href='{crop.address}' width='{crop.width}' "
        f"height='{crop.height}'/><rect x='{x1:.1f}' y='{y1:.1f}' width='{x2 - x1:.1f}' height='{y2 - y1:.1f}' "
        "fill='none' stroke='#e0218a' stroke-width='2' stroke-dasharray='6 4'/></svg>"
        f"<figcaption>{escape(words)}</figcaption></figure>"
    )


def _finding_rows(findings: Sequence[Finding]) -> str:
    head = (
        "<tr><th>model</th><th>kind</th><th>class</th><th>picture</th><th>box, px</th><th>shorter side</th>"
    )
    rows = [head + "<th>confidence</th><th>cause</th></tr>"]
    for finding in findings[:LISTED]:
        box = ", ".join(f"{edge:.0f}" for edge in finding.xyxy)
        words = (
            finding.model,
            finding.kind,
            finding.label,
            finding.picture,
            box,
            f"{finding.shorter_px:.0f} px",
        )
        cells = "".join(f"<td>{escape(word)}</td>" for word in words)
        cause = escape(finding.cause or "not looked at")
        rows.append(f"<tr>{cells}<td>{number_words(finding.confidence)}</td><td>{cause}</td></tr>")
    more = f"<p>{len(findings) - LISTED} more.</p>" if len(findings) > LISTED else ""
    return f"<h2>Every miss and false hit in scope</h2><table>{''.join(rows)}</table>{more}"
