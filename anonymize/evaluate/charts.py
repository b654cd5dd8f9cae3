"""Line charts as SVG text, drawn by hand: no library, no script, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 460, 320, 52, 44, 14, 14
COLOURS: Final = ("#1b6ca8", "#c8553d", "#3a7d44", "#7d5ba6", "#8a6d00", "#4f5d75")


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one model; `marked` is the one in force, drawn as a dot."""

    name: str
    points: tuple[tuple[float, float], ...]
    marked: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """Range, ticks and words of one axis; logarithmic where sizes are shown."""

    words: str
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """0 to 1 along the axis."""
        low, high = self.ticks[0], self.ticks[-1]
        value = min(max(value, low), high)
        if self.logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)


SHARES: Final = tuple(tick / 10 for tick in range(0, 11, 2))


def chart(title: str, across: Axis, up: Axis, lines: Sequence[Line]) -> str:
    """One chart with a grid, a line a model and a legend."""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18 * len(lines)}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_grid(across, up),
    ]
    for row, line in enumerate(lines):
        colour = COLOURS[row % len(COLOURS)]
        places = [_at(across, up, point) for point in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if line.marked is not None:
            x, y = _at(across, up, line.marked)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
        y = HEIGHT + 18 * row + 6
        parts.append(f'<rect x="{LEFT}" y="{y - 6}" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 26}" y="{y}">{escape(line.name)}</text>')
    return "".join([*parts, "</svg>"])


def _at(across: Axis, up: Axis, point: tuple[float, float]) -> tuple[float, float]:
    x = LEFT + across.place(point[0]) * (WIDTH - LEFT - RIGHT)
    y = HEIGHT - BOTTOM - up.place(point[1]) * (HEIGHT - BOTTOM - TOP)
    return x, y


def _grid(across: Axis, up: Axis) -> list[str]:
    parts = []
    for tick in across.ticks:
        x, y = _at(across, up, (tick, up.ticks[0]))
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{tick:g}</text>')
    for tick in up.ticks:
        x, y = _at(across, up, (across.ticks[0], tick))
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across.words)}</text>'
    )
    middle = (HEIGHT - BOTTOM + TOP) / 2
    turn = f'transform="rotate(-90 14 {middle:.0f})"'
    parts.append(f'<text x="14" y="{middle:.0f}" text-anchor="middle" {turn}>{escape(up.words)}</text>')
    return parts
