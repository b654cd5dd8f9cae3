"""Histogram and time line of a run as SVG text, drawn by hand: no library, no script, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from anonymize.bench.histogram import Histogram, merged, middle_ms

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 230, 50, 12, 14, 40
BARS: Final = 60
TICKS_MS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
BLUE, RED, GREY = "#1b6ca8", "#c8353d", "#4f5d75"


def histogram_of(mode: Mapping[str, Any], name: str) -> Histogram:
    """All windows of a run together."""
    windows = mode["windows"]
    return merged(
        Histogram.from_list(window["counts"].get(name, []), never=window["never"].get(name, 0))
        for window in windows
    )


def histogram_chart(title: str, counted: Histogram, deadline_ms: float | None) -> str:
    """Frames by duration; both axes logarithmic, for it is the rare long frame that matters."""
    if not counted.counts:
        return ""
    low, high = middle_ms(min(counted.counts)) / 1.1, middle_ms(max(counted.counts)) * 1.1
    if deadline_ms is not None:
        low, high = min(low, deadline_ms / 1.1), max(high, deadline_ms * 1.1)
    span = math.log(high / low)
    bars = [0] * BARS
    for bucket, count in counted.counts.items():
        bars[min(BARS - 1, int(math.log(middle_ms(bucket) / low) / span * BARS))] += count
    top = math.log10(max(bars)) + 0.3
    parts = [_head(title)]
    for decade in range(int(top) + 1):
        y = _down(decade + 0.15 if decade else 0.15, top + 0.15)
        parts.append(
            _line(LEFT, y, WIDTH - RIGHT, y, "grid") + _text(LEFT - 6, y + 4, f"{10**decade:,}", "end")
        )
    across = (WIDTH - LEFT - RIGHT) / BARS
    for place, count in enumerate(bars):
        if count:
            y = _down(math.log10(count) + 0.15, top + 0.15)
            parts.append(
                f'<rect x="{LEFT + place * across:.1f}" y="{y:.1f}" width="{across - 0.6:.1f}" '
                f'height="{HEIGHT - BOTTOM - y:.1f}" fill="{BLUE}"/>'
            )
    for tick in _ticks(low, high):
        x = LEFT + math.log(tick / low) / span * (WIDTH - LEFT - RIGHT)
        parts.append(_text(x, HEIGHT - BOTTOM + 15, f"{tick:g}", "middle"))
    if deadline_ms is not None:
        x = LEFT + math.log(deadline_ms / low) / span * (WIDTH - LEFT - RIGHT)
        parts.append(_line(x, TOP, x, HEIGHT - BOTTOM, "deadline"))
    never = f"; {counted.never:,} never came" if counted.never else ""
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, f"ms (frames: {counted.total:,}{never})", "middle"))
    return "".join([*parts, "</svg>"])


def time_chart(title: str, mode: Mapping[str, Any], name: str, deadline_ms: float | None) -> str:
    """Median and longest frame of each stretch of the run, and the stretches in which frames were missed."""
    points: list[tuple[float, float, float, bool]] = []
    nothing_came = [window["at_s"] for window in mode["windows"] if not window["counts"].get(name)]
    for window in mode["windows"]:
        counted = Histogram.from_list(window["counts"].get(name, []))
        if counted.counts:
            lost = bool(window["misses"] or window["never"])
            points.append(
                (window["at_s"], counted.quantile_ms(0.5), window["max_ms"] or counted.max_ms, lost)
            )
    if not points:
        return ""
    end_s = max(max([points[-1][0], *nothing_came]) + mode["window_s"], 1e-9)
    high = max([longest for _, _, longest, _ in points] + [deadline_ms or 0.0]) * 1.1
    parts = [_head(title)]
    for tick in _even_ticks(high):
        y = _down(tick, high)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "grid") + _text(LEFT - 6, y + 4, f"{tick:g}", "end"))
    across = (WIDTH - LEFT - RIGHT) / end_s
    middles = [LEFT + (at_s + mode["window_s"] / 2) * across for at_s, *_ in points]
    for values, colour in (([p[2] for p in points], GREY), ([p[1] for p in points], BLUE)):
        path = " ".join(f"{x:.1f},{_down(value, high):.1f}" for x, value in zip(middles, values, strict=True))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    for x, (_, _, longest, lost) in zip(middles, points, strict=True):
        if lost:
            parts.append(f'<circle cx="{x:.1f}" cy="{_down(longest, high):.1f}" r="3.2" fill="{RED}"/>')
    for at_s in nothing_came:
        x = LEFT + (at_s + mode["window_s"] / 2) * across
        parts.append(f'<circle cx="{x:.1f}" cy="{TOP}" r="3.2" fill="{RED}"/>')
    if deadline_ms is not None:
        y = _down(deadline_ms, high)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "deadline"))
    for share in (0, 0.5, 1):
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        parts.append(
            _text(x, HEIGHT - BOTTOM + 15, f"{share * end_s:.3g}", ("start", "middle", "end")[int(share * 2)])
        )
    words = "s · blue: median ms · grey: longest ms" + (
        " · red: missed or lost" if nothing_came or any(p[3] for p in points) else ""
    )
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, words, "middle"))
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> Sequence[float]:
    inside = [tick for tick in TICKS_MS if low <= tick <= high]
    if len(inside) >= 2:
        return inside
    return [float(f"{low * (high / low) ** share:.3g}") for share in (0.05, 0.5, 0.95)]


def _even_ticks(high: float) -> Sequence[float]:
    """Round steps from 0 on, three to seven of them."""
    rough = high / 6
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= rough)
    return [float(f"{step * place:g}") for place in range(int(high / step) + 1)]


def _down(value: float, high: float) -> float:
    return HEIGHT - BOTTOM - value / high * (HEIGHT - BOTTOM - TOP)


def _head(title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
