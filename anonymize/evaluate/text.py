"""The report as a table for a terminal; models stand under one another within each row's group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = tuple[str, ...]
WHAT_IT_MEANS = """\
detection: share of objects in scope with at least half of the box hidden (GB/T 44464-2024; faces from 32 px,
plates from 16 px); false: share of hidden areas of that size that touch no such object; coverage: at least 90 %
of the box hidden, from 16 px. In brackets the one-sided 95 % Clopper-Pearson bound: lower, of a false rate upper.
x boxes: hidden px for each px of a labelled box, and the same of hits alone (growth by 1.3 gives 1.69); % of rest:
hidden px outside every box."""


def as_text(report: Mapping[str, Any]) -> str:
    """Tables by group and by height, hidden areas, signs, causes and drops."""
    models = report["models"]
    parts = [_head(report), as_table(_group_rows(models)), WHAT_IT_MEANS, as_table(_height_rows(models))]
    parts += [line for model in models for line in _notes(model)]
    return "\n\n".join(part for part in parts if part)


def _head(report: Mapping[str, Any]) -> str:
    left_out = ", ".join(report.get("excluded_sources") or []) or "none"
    return (
        f"{report['pictures']} pictures at {report['size']} size; the headline leaves out: {left_out} "
        f"({len(report['sources'])} sources)"
    )


def as_table(rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell; all but the first three to the right."""
    if len(rows) < 2:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def figure_words(values: Mapping[str, Any], show_rate: Callable[[Mapping[str, Any]], str]) -> tuple[str, ...]:
    """The figures of one group in the order of the table's columns; `show_rate` words a rate with its bounds."""
    scope, hidden = values["in_scope"], values["hidden_area"]
    rest = hidden["share_of_rest"]
    return (
        str(scope["detection_rate"]["of"]),
        show_rate(scope["detection_rate"]),
        show_rate(scope["false_rate"]),
        show_rate(values["from_16_px"]["coverage_recall"]),
        show_rate(scope["recall_iou50"]),
        number_words(scope["ap"]),
        number_words(hidden["times_boxes"], 2),
        number_words(hidden["times_boxes_met"], 2),
        number_words(None if rest is None else 100 * rest, 2),
    )


def rate_words(rate: Mapping[str, Any]) -> str:
    """`0.940 (0.905)`, or a dash where there was nothing to count."""
    if rate["value"] is None:
        return "-"
    return f"{rate['value']:.3f} ({rate['bound']:.3f})"


def number_words(value: float | None, digits: int = 3) -> str:
    """Fixed digits, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def _group_rows(models: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows: list[Row] = [
        (
            "class",
            "pictures",
            "model",
            "in scope",
            "detection",
            "false",
            "coverage",
            "recall IoU 0.5",
            "AP",
            "x boxes",
            "x boxes met",
            "% of rest",
        )
    ]
    for label, group in _keys(models):
        for model in models:
            values = model["classes"].get(label, {}).get("groups", {}).get(group)
            if values is None:
                continue
            rows.append(
                (
                    label,
                    f"{group} ({values['pictures']})",
                    model["name"],
                    *figure_words(values, rate_words),
                )
            )
    return rows


def _keys(models: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Class and group of every row, each once, in the order of the first model that has it."""
    keys: dict[tuple[str, str], None] = {}
    for model in models:
        for label, values in model["classes"].items():
            keys |= dict.fromkeys((label, group) for group in values["groups"])
    return sorted(keys, key=lambda key: key[0])


def _height_rows(models: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows: list[Row] = [
        ("class", "shorter side", "model", "objects", "detection", "coverage", "recall IoU 0.5", "false")
    ]
    for label in sorted({label for model in models for label in model["classes"]}):
        for bucket in range(5):
            for model in models:
                if label not in model["classes"]:
                    continue
                values = model["classes"][label]["by_height"]["all"][bucket]
                below = values["below_px"]
                size = (
                    f">= {values['from_px']:.0f} px"
                    if below is None
                    else f"{values['from_px']:.0f} - {below:.0f} px"
                )
                names = ("detection_rate", "coverage_recall", "recall_iou50", "false_rate")
                rates = tuple(rate_words(values[name]) for name in names)
                rows.append((label, size, model["name"], str(values["detection_rate"]["of"]), *rates))
    return rows


def _notes(model: Mapping[str, Any]) -> list[str]:
    thresholds = ", ".join(f"{label} {value:g}" for label, value in model["thresholds"].items())
    lines = [f"{model['name']}  sha256 {model['sha256'][:16]}, thresholds {thresholds}"]
    for name, rate in (model.get("signs") or {}).items():
        lines.append(
            f"  traffic signs, {name.replace('_', ' ')}: {rate['hits']} of {rate['of']}, {rate_words(rate)}"
        )
    for key, counts in model["causes"].items():
        causes = ", ".join(f"{cause} {count}" for cause, count in counts.items())
        lines.append(f"  in scope, {key}: {sum(counts.values())} ({causes})")
    lines += [f"  dropped as {dropped['reason']}: {dropped['picture']}" for dropped in model["dropped"]]
    return ["\n".join(lines)]
