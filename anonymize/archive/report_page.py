"""The report as one HTML page that needs nothing beside it and holds no picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import accumulate
from typing import Any, Final

from anonymize.archive.words import amount, remaining
from anonymize.evaluate.charts import Axis, Line, chart

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#20242a;background:#fff;max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;font-size:13px;margin:.6em 0}
td,th{padding:.25em .6em;border-bottom:1px solid #dde1e6;text-align:left;vertical-align:top;overflow-wrap:anywhere}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.row{display:flex;flex-wrap:wrap;
gap:1em}.row svg{width:460px;max-width:100%}svg text{font:12px system-ui,sans-serif;fill:#444b55}.grid{stroke:#e4e7eb}
.bad{color:#a3121b}.warning{color:#8a3b00}p.note{color:#444b55;max-width:70ch}
""".replace("\n", "")
SECURITY: Final = "default-src 'none'; style-src 'unsafe-inline'"
LISTED: Final = 2000  # files on the page; JSON has all
TIMES: Final = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "s"))
SIZES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
POINTS: Final = 200  # of a line
NOTE: Final = (
    "Hidden means masked: gait, clothes, place and time remain. Audio is not anonymised, and text burned into the "
    "picture is not looked for."
)


def as_page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    exceptions = "".join(f"<li>{escape(line)}</li>" for line in report["exceptions"])
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<meta http-equiv='Content-Security-Policy' content=\"{SECURITY}\">",
        f"<title>Archive report</title><style>{STYLE}</style></head><body><h1>Archive report</h1>",
        f"<p>{escape(report['output'])}</p><p class='note'>{NOTE}</p>",
        "<h2>Exceptions in force</h2>",
        f"<ul class='warning'>{exceptions}</ul>" if exceptions else "<p>None.</p>",
        _totals(report),
        _counts(report),
        _plots(report),
        _runs(report["runs"]),
        _looks(report["wants_a_look"]),
        _each(report["each"]),
        _named("Not read", report["unreadable"]),
        _named("Files of other kinds, left out", report["left_out"]),
        "</body></html>",
    ]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int] = frozenset()) -> str:
    def cells(tag: str, words: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if place in numbers else ''}>{escape(word)}</{tag}>"
            for place, word in enumerate(words)
        )

    top = f"<tr>{cells('th', head)}</tr>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _totals(report: Mapping[str, Any]) -> str:
    files, objects = report["files"], report["objects"]
    rows = [(name, str(count)) for name, count in files.items()]
    rows += [
        ("faces hidden (objects)", str(objects.get("face", 0))),
        ("plates hidden (objects)", str(objects.get("plate", 0))),
        ("frames", str(report["frames"])),
        ("duration of video", remaining(report["duration_s"])),
        ("sources", amount(report["source_bytes"])),
        ("outputs", amount(report["output_bytes"])),
        ("groups of pictures copied bit for bit", f"{report['copied_groups']} of {report['groups']}"),
        ("network, SHA-256", str(report["model_sha256"])),
        ("settings, SHA-256", str(report["settings_digest"])),
    ]
    return "<h2>In all</h2>" + _table((), rows, frozenset({1}))


def _counts(report: Mapping[str, Any]) -> str:
    origins = [(name, str(one["boxes"]), f"{one['share']:.1%}") for name, one in report["origins"].items()]
    bins = [
        (f"{place / 10:.1f} to {(place + 1) / 10:.1f}", str(count))
        for place, count in enumerate(report["confidence_histogram"])
        if count
    ]
    dropped = [(name, str(count)) for name, count in report["dropped"].items()]
    parts = [
        "<h2>Hidden boxes</h2><div class='row'>",
        _table(("origin", "boxes", "share"), origins, frozenset({1, 2})),
    ]
    parts.append(_table(("confidence", "boxes"), bins, frozenset({1})))
    if dropped:
        parts.append(_table(("dropped as", "frames or messages"), dropped, frozenset({1})))
    return "".join([*parts, "</div>"])


def _plots(report: Mapping[str, Any]) -> str:
    done = [one for one in report["each"] if one["state"] == "done"]
    if len(done) < 2:
        return ""
    by_time = sorted(done, key=lambda one: one["recorded_s"])
    since, times = _times([one["recorded_s"] for one in by_time])
    objects = {
        label: accumulate(one["objects"].get(label, 0) for one in by_time) for label in ("face", "plate")
    }
    lines = [(f"{label}s", tuple(zip(times, counts, strict=True))) for label, counts in objects.items()]
    found = _plot("Objects hidden over the time of recording", since, "objects, in all", lines)
    by_end = sorted(done, key=lambda one: one["ended_s"])
    since, times = _times([one["ended_s"] for one in by_end])
    unit, name = _unit(sum(one["source_bytes"] for one in by_end), SIZES)
    sizes = accumulate(one["source_bytes"] / unit for one in by_end)
    line = ("done", tuple(zip(times, sizes, strict=True)))
    worked = _plot("Work over time", since, f"{name} of sources done", [line])
    return f"<h2>Over time</h2><div class='row'>{found}{worked}</div>"


def _times(times_s: Sequence[float]) -> tuple[str, list[float]]:
    """The words of a time axis, and times from the first on in its unit."""
    unit, name = _unit(times_s[-1] - times_s[0], TIMES)
    return f"{name} since {_day(times_s[0])}", [(time_s - times_s[0]) / unit for time_s in times_s]


def _unit(highest: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """The largest unit of which there are two at least, or the smallest one."""
    return next((unit for unit in units if highest >= 2 * unit[0]), units[-1])


def _plot(
    title: str, across: str, up: str, lines: Sequence[tuple[str, tuple[tuple[float, float], ...]]]
) -> str:
    points = [point for _, of_line in lines for point in of_line]
    drawn = [Line(name, _thinned(of_line)) for name, of_line in lines]
    return chart(
        title,
        Axis(across, ticks(max(x for x, _ in points))),
        Axis(up, ticks(max(y for _, y in points))),
        drawn,
    )


def _thinned(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    step = max(1, len(points) // POINTS)
    return (*points[::step], points[-1])


def ticks(highest: float) -> tuple[float, ...]:
    """Round numbers from 0 to at least `highest`, five steps at most."""
    if not highest > 0:
        return (0.0, 1.0)
    power = 10 ** math.floor(math.log10(highest / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= highest)
    return tuple(round(step * number, 10) for number in range(math.ceil(highest / step) + 1))


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            _day(run["begun_s"]), remaining(run["seconds"]), str(run["files"]), amount(run["done_bytes"]),
            str(run["workers"]), "ended" if run["ended"] else "killed, or still running",
        )
        for run in runs
    ]  # fmt: skip
    return "<h2>Runs</h2>" + _table(
        ("begun", "took", "files", "done", "workers", "end"), rows, frozenset({1, 2, 3, 4})
    )


def _looks(files: Sequence[Mapping[str, Any]]) -> str:
    if not files:
        return "<h2>Files that want a look</h2><p>None.</p>"
    rows = [(one["file"], "; ".join(one["why"])) for one in files[:LISTED]]
    return f"<h2>Files that want a look ({len(files)})</h2>" + _table(("file", "why"), rows)


def _each(files: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one["file"], one["state"], str(one["frames"]), f"{one['duration_s']:.1f}",
            str(one["objects"].get("face", 0)), str(one["objects"].get("plate", 0)),
            str(sum(one["dropped"].values())), "; ".join(one["verified"]), "; ".join(one["removed"]),
        )
        for one in files[:LISTED]
    ]  # fmt: skip
    head = ("file", "state", "frames", "s", "faces", "plates", "dropped", "verified", "left out of it")
    more = f"<p>{len(files) - LISTED} more in the JSON.</p>" if len(files) > LISTED else ""
    return "<h2>Every file</h2>" + _table(head, rows, frozenset({2, 3, 4, 5, 6})) + more


def _named(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines[:LISTED])
    return f"<h2>{escape(title)} ({len(lines)})</h2><ul>{shown}</ul>"
