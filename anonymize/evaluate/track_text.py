"""The track measures as a table for a terminal, and as a part of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from anonymize.evaluate.charts import SHARES, Axis, Line, chart
from anonymize.evaluate.text import Row, as_table, number_words, rate_words
from anonymize.evaluate.track_modes import LABELS

MEANING: Final = """\
every frame: share of objects hidden in every frame in which they are in scope (in brackets the one-sided 95 % lower
bound), by 90 % of the box and by half of it; run: longest run of frames in which less than 90 % is hidden, median and
95th percentile over all visible objects, and over those in scope while they are; % of rest: hidden px outside boxes."""
WORDS: Final = {"two_sided": "two-sided", "with_tracking": "with", "without_tracking": "without"}


def tracks_text(report: Mapping[str, Any]) -> str:
    """One row a class, model and mode."""
    models = report["models"]
    parts = [
        f"{report['pictures']} clips of {report['frames']} frames at 30/s, {report['size']} size, seed {report['seed']}"
    ]
    parts += [as_table(_rows(models)), MEANING]
    for model in models:
        notes = [f"{model['name']}  sha256 {model['sha256'][:16]}"]
        least = model["hidden_share_of_rest"][LABELS]
        if least is not None:
            notes += [f"  of the rest, growing the labelled boxes alone would hide {100 * least:.2f} %"]
        notes += [] if model["h264"] else ["  without H.264: PyAV is not installed"]
        notes += [f"  {model['dropped_frames']} frames were dropped"] if model["dropped_frames"] else []
        parts.append("\n".join(notes))
    return "\n\n".join(part for part in parts if part)


def _rows(models: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows: list[Row] = [
        (
            "class",
            "model",
            "tracking",
            "objects",
            "every frame",
            "half hidden",
            "recall",
            "run, all",
            "run, scope",
            "% of rest",
        )
    ]
    for label, model in _classes(models):
        values = model["tracks"][label]
        for mode, words in WORDS.items():
            most, half = values[mode]["hidden"], values[mode]["half_hidden"]
            rest = model["hidden_share_of_rest"][mode]
            rows.append(
                (
                    label,
                    model["name"],
                    words,
                    str(values["objects_in_scope"]),
                    rate_words(most["hidden_in_every_frame"]),
                    rate_words(half["hidden_in_every_frame"]),
                    number_words(most["frame_recall"]),
                    _run(most["longest_unhidden_run_frames"]),
                    _run(most["longest_unhidden_run_in_scope_frames"]),
                    number_words(None if rest is None else 100 * rest, 2),
                )
            )
    return rows


def _classes(models: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for label in sorted({label for model in models for label in model["tracks"]}):
        yield from ((label, model) for model in models if label in model["tracks"])


def _run(run: Mapping[str, float | None]) -> str:
    return f"{number_words(run['median'], 0)} / {number_words(run['p95'], 0)}"


def tracks_part(models: Sequence[Mapping[str, Any]]) -> str:
    """The table and recall by frame, as HTML."""
    head, *rows = _rows(models)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    table = [f"<tr>{cells}</tr>"]
    table += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    charts = []
    for label in sorted({label for model in models for label in model["tracks"]}):
        lines = [
            Line(
                f"{model['name']}, {words} tracking",
                _points(model["tracks"][label][mode]["hidden"]["recall_by_frame"]),
            )
            for of, model in _classes(models)
            if of == label
            for mode, words in WORDS.items()
        ]
        last = max((len(line.points) for line in lines), default=0)
        frames = Axis("frame of the clip", tuple(float(tick) for tick in range(0, last + 15, 15)))
        charts.append(
            chart(
                f"{label}s: recall by frame", frames, Axis(f"{label}s in scope, 90 % hidden", SHARES), lines
            )
        )
    words = escape(MEANING.replace("\n", " "))
    return (
        f"<h2>Tracks</h2><p class='note'>{words}</p><table>{''.join(table)}</table>"
        f"<div class='row'>{''.join(charts)}</div>"
    )


def _points(shares: Sequence[float | None]) -> tuple[tuple[float, float], ...]:
    return tuple((float(frame), share) for frame, share in enumerate(shares) if share is not None)
