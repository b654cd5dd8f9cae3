"""A small flat world in metres for the gate's tests: circles as zones, fixes by east and north."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anonymize.zones.fixes import Fix
from anonymize.zones.rules import ZonesInForce

LON_DEG, LAT_DEG = 11.0, 48.0
M_PER_LAT_DEG, M_PER_LON_DEG = 111_191.0, 74_625.0  # WGS 84 at 48 degrees north
T0_S = 1_800_000_000.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Circle:
    east_m: float
    north_m: float
    radius_m: float
    active_s: tuple[float, float] = (-math.inf, math.inf)


def metres(point: Point) -> Point:
    return (point[0] - LON_DEG) * M_PER_LON_DEG, (point[1] - LAT_DEG) * M_PER_LAT_DEG


def segment_distance_m(p: Point, a: Point, b: Point) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    length2 = dx * dx + dy * dy
    share = 0.0 if length2 == 0.0 else ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length2
    share = min(1.0, max(0.0, share))
    return math.hypot(a[0] + share * dx - p[0], a[1] + share * dy - p[1])


class CircleZones:
    """Answers like the index of a loaded list, and remembers what it was asked."""

    def __init__(self, *circles: Circle) -> None:
        self.circles = circles
        self.asked: list[dict[str, float]] = []
        self.fault: Exception | None = None

    def touches(
        self, start: Point, end: Point, *, margin_m: float, time_s: float, clock_uncertainty_s: float = 60.0
    ) -> bool:
        self.asked.append(
            {"margin_m": margin_m, "time_s": time_s, "clock_uncertainty_s": clock_uncertainty_s}
        )
        if self.fault is not None:
            raise self.fault
        a, b = metres(start), metres(end)
        return any(
            segment_distance_m((circle.east_m, circle.north_m), a, b) <= circle.radius_m + margin_m
            and circle.active_s[0] - clock_uncertainty_s <= time_s <= circle.active_s[1] + clock_uncertainty_s
            for circle in self.circles
        )


def signed(*circles: Circle) -> ZonesInForce:
    return ZonesInForce(CircleZones(*circles), signed=True)


def fix(
    seconds: float, east_m: float = 0.0, north_m: float = 0.0, accuracy_m: float | None = 3.0, **more: object
) -> Fix:
    """A fix so many seconds after T0, so many metres from the middle."""
    place = LON_DEG + east_m / M_PER_LON_DEG, LAT_DEG + north_m / M_PER_LAT_DEG
    return Fix(*place, accuracy_m, T0_S + seconds, **more)
