"""How far a camera sees from the vehicle, and how its clock stands to the time of the fixes.

The law speaks of what is recorded, so the view counts, not only where the car stands: a radius, or, where the
camera's direction is configured and the feed gives the vehicle's heading, the smallest circle round the wedge
that it sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from anonymize.errors import UsageError
from anonymize.zones.fixes import Fix, distance_between_m, moved

FRONT_VIEW_M: Final = 150.0  # GEOFENCE.md
OTHER_VIEW_M: Final = 50.0  # GEOFENCE.md
OTHER_CAMERAS: Final = frozenset({"rear", "back", "left", "right", "cabin", "inside"})
MOST_TURN_DEG: Final = 60.0  # a sharper turn between two fixes makes the wedge a circle
MOST_LAT_DEG: Final = 89.0  # nearer to a pole "east" turns too fast

LonLat = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Wedge:
    """The sector a camera sees.

    Parameters
    ----------
    yaw_deg : float
        Optical axis against the vehicle's nose, clockwise, degrees.
    field_of_view_deg : float
        Whole horizontal angle, more than 0, at most 360.
    range_m : float
        How far the camera sees, m.
    heading_uncertainty_deg : float
        Half the angle by which heading and mounting may be wrong.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    yaw_deg: float
    field_of_view_deg: float
    range_m: float
    heading_uncertainty_deg: float = 10.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.yaw_deg) and 0.0 < self.field_of_view_deg <= 360.0):
            raise UsageError(
                "a camera's yaw_deg is finite, its field_of_view_deg more than 0 and at most 360"
            )
        if not (0.0 < self.range_m < math.inf and 0.0 <= self.heading_uncertainty_deg <= 180.0):
            raise UsageError("a camera's range_m is more than 0 m, its heading_uncertainty_deg 0 to 180")

    def circle(self) -> tuple[float, float]:
        """Offset along the axis and radius, m, of a circle that holds the sector."""
        half = math.radians(self.field_of_view_deg / 2.0 + self.heading_uncertainty_deg)
        if half >= math.pi / 2.0:
            return 0.0, self.range_m
        if half > math.pi / 4.0:
            return self.range_m * math.cos(half), self.range_m * math.sin(half)
        through_corners_m = self.range_m / (2.0 * math.cos(half))
        return through_corners_m, through_corners_m


@dataclass(frozen=True, slots=True)
class CameraView:
    """What the gate must know of a camera.

    Parameters
    ----------
    view_m : float
        Radius within which something may be seen, m.
    clock_offset_s : float
        The camera's clock minus the time of the fixes, s.
    clock_uncertainty_s : float
        How wrong that offset, and the stamp of one frame, may be to either side, s.
    wedge : Wedge or None
        Used instead of `view_m`; where a fix has no heading, a circle of the wedge's range.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    view_m: float = FRONT_VIEW_M
    clock_offset_s: float = 0.0
    clock_uncertainty_s: float = 0.1
    wedge: Wedge | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.view_m < math.inf:
            raise UsageError(f"view_m is {self.view_m}; wanted 0 m or more")
        if not (math.isfinite(self.clock_offset_s) and 0.0 <= self.clock_uncertainty_s < math.inf):
            raise UsageError("a camera's clock_offset_s is finite, its clock_uncertainty_s 0 s or more")

    def seen_from(self, start: Fix, end: Fix) -> tuple[LonLat, LonLat, float]:
        """A segment, and a radius in m round it, that hold all that is seen on the way between two fixes."""
        here, there = (start.lon_deg, start.lat_deg), (end.lon_deg, end.lat_deg)
        if self.wedge is None:
            return here, there, self.view_m
        turn_deg = _turn_deg(start, end)
        offset_m, radius_m = self.wedge.circle()
        too_far_north = max(abs(start.lat_deg), abs(end.lat_deg)) > MOST_LAT_DEG
        if turn_deg is None or turn_deg > MOST_TURN_DEG or too_far_north:
            return here, there, self.wedge.range_m
        # the circle's centre runs along an arc that bulges from its chord, and need not turn while it moves
        half_turn = math.radians(turn_deg / 2.0)
        bulge_m = offset_m * (1.0 - math.cos(half_turn))
        out_of_step_m = min(distance_between_m(start, end), 2.0 * offset_m * math.sin(half_turn))
        return self._centre(start, offset_m), self._centre(end, offset_m), radius_m + bulge_m + out_of_step_m

    def _centre(self, fix: Fix, offset_m: float) -> LonLat:
        assert self.wedge is not None and fix.heading_deg is not None
        axis = math.radians(fix.heading_deg + self.wedge.yaw_deg)
        return moved(fix, offset_m * math.sin(axis), offset_m * math.cos(axis))


def _turn_deg(start: Fix, end: Fix) -> float | None:
    """Angle between the headings of two fixes, 0 to 180; None where one has none."""
    if start.heading_deg is None or end.heading_deg is None:
        return None
    turn_deg = end.heading_deg - start.heading_deg
    return abs((turn_deg + 180.0) % 360.0 - 180.0) if math.isfinite(turn_deg) else None


def default_view(camera: str) -> CameraView:
    """The view of a camera that nobody configured: the wider one unless its name says that it looks aside."""
    return CameraView(OTHER_VIEW_M if camera in OTHER_CAMERAS else FRONT_VIEW_M)
