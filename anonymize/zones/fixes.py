"""What one position fix is, and which fixes and steps between fixes are believed.

Whatever is not believed drops frames (GEOFENCE.md, "States that drop"). The fine reasons here are counted
per day and go nowhere else: to the caller every drop of the gate is `withheld`, because a list of fine
reasons with times is a map of the secret places. For the same reason a fix has a `repr` without its place.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

K_999_OF_68: Final = 2.46  # sqrt(ln 0.001 / ln 0.32): 99.9 % radius of a Rayleigh error over its 68 % radius
R68_FLOOR_M: Final = 5.0  # GEOFENCE.md: no receiver is believed to be better
R68_LIMIT_M: Final = 100.0  # above it the margin (2.46 x) says nothing useful: dropped
MAX_GAP_S: Final = 2.0  # GEOFENCE.md
MAX_SPEED_MPS: Final = 70.0  # GEOFENCE.md: 252 km/h
MAX_OFF_ODOMETRY_MPS: Final = 15.0  # GEOFENCE.md
FROZEN_AFTER_S: Final = 5.0  # GEOFENCE.md
WHEELS_TURN_MPS: Final = 0.5  # slowest speed that wheel sensors tell from standing still
NULL_ISLAND_DEG: Final = 1e-4  # 11 m round (0, 0)
TIME_NOISE_S: Final = 1e-6  # float64 seconds since 1970 resolve 0.24 us

_SEMI_MAJOR_M: Final = 6_378_137.0  # WGS 84
_ECC2: Final = 6.694_379_990_14e-3  # WGS 84


class FineReason(enum.StrEnum):
    """Why a frame is withheld, for the day counts alone; never shown with a frame, a time or a place."""

    ZONE = "zone"
    LEAVING = "leaving"
    SCRUB = "scrub"
    NO_FIX = "no_fix"
    ONE_SIDED = "one_sided"
    GAP = "gap"
    NO_POSITION = "no_position"
    ZERO_POSITION = "zero_position"
    TWO_DIMENSIONAL = "two_dimensional"
    ACCURACY_MISSING = "accuracy_missing"
    ACCURACY_POOR = "accuracy_poor"
    DEAD_RECKONING = "dead_reckoning"
    TIME = "time"
    SPEED = "speed"
    ODOMETRY = "odometry"
    FROZEN = "frozen"
    LIST_MISSING = "list_missing"
    LIST_UNSIGNED = "list_unsigned"
    LIST_OLD_VERSION = "list_old_version"
    LIST_EXPIRED = "list_expired"
    SCHEDULE_UNKNOWN = "schedule_unknown"
    ZONES_FAILED = "zones_failed"
    CLOCK_BEFORE_BUILD = "clock_before_build"
    CAPTURE_TIME = "capture_time"
    HOLD_TIMED_OUT = "hold_timed_out"
    HOLD_OVERFLOW = "hold_overflow"
    ENCODER_FAILED = "encoder_failed"


@dataclass(frozen=True, slots=True, repr=False)
class Fix:
    """One position of the vehicle, WGS 84. Any number is taken; what cannot be is a drop, not an error.

    Parameters
    ----------
    lon_deg, lat_deg : float
        NaN where the receiver says that it has no position.
    accuracy_m : float or None
        Radius that holds 68 % of the horizontal error, m; None where the feed has none.
    time_s : float
        UTC, s since 1970.
    dimensions : int or None
        3 or 2 as the receiver says; None where the feed does not say.
    dead_reckoned : bool
        Extrapolated, simulated or typed in: it may forbid a frame, never allow one.
    wheel_speed_mps : float or None
        Speed by odometry at this time, m/s; None where there is none.
    heading_deg : float or None
        Where the vehicle's nose points, clockwise from true north. Not the course over ground, which points
        backwards when reversing.
    continues : bool
        False where the log says that reception was interrupted before this fix.
    """

    lon_deg: float
    lat_deg: float
    accuracy_m: float | None
    time_s: float
    dimensions: int | None = None
    dead_reckoned: bool = False
    wheel_speed_mps: float | None = None
    heading_deg: float | None = None
    continues: bool = True

    def __repr__(self) -> str:
        return "<Fix>"

    @property
    def r68_m(self) -> float:
        """`accuracy_m`, but at least 5 m; infinite where it is missing or no radius."""
        return max(R68_FLOOR_M, self.accuracy_m) if self.accuracy_m and self.accuracy_m > 0.0 else math.inf


def fault_of_fix(fix: Fix) -> FineReason | None:
    """Why a fix is not believed, looked at alone; None if it is."""
    if not math.isfinite(fix.time_s):
        return FineReason.TIME
    # a NaN compares false with everything, so each range is asked for, not its opposite
    if not (-180.0 <= fix.lon_deg <= 180.0 and -90.0 <= fix.lat_deg <= 90.0):
        return FineReason.NO_POSITION
    if abs(fix.lon_deg) < NULL_ISLAND_DEG and abs(fix.lat_deg) < NULL_ISLAND_DEG:
        return FineReason.ZERO_POSITION
    if fix.dimensions is not None and fix.dimensions != 3:
        return FineReason.TWO_DIMENSIONAL
    if fix.accuracy_m is None or not fix.accuracy_m > 0.0:
        return FineReason.ACCURACY_MISSING
    if fix.accuracy_m > R68_LIMIT_M:
        return FineReason.ACCURACY_POOR
    if fix.dead_reckoned:
        return FineReason.DEAD_RECKONING
    if fix.wheel_speed_mps is not None and not 0.0 <= fix.wheel_speed_mps < math.inf:
        return FineReason.ODOMETRY
    return None


def fault_of_step(
    earlier: Fix, later: Fix, *, max_gap_s: float = MAX_GAP_S, max_speed_mps: float = MAX_SPEED_MPS
) -> FineReason | None:
    """Why the way between two fixes, each believed alone and in order of time, is not; None if it is."""
    seconds = later.time_s - earlier.time_s
    if not later.continues or seconds > max_gap_s + TIME_NOISE_S:
        return FineReason.GAP
    slack_m = K_999_OF_68 * (earlier.r68_m + later.r68_m)
    distance_m = distance_between_m(earlier, later)
    if distance_m - slack_m > max_speed_mps * seconds:
        return FineReason.SPEED
    if earlier.wheel_speed_mps is not None and later.wheel_speed_mps is not None:
        slow, fast = sorted((earlier.wheel_speed_mps, later.wheel_speed_mps))
        if distance_m - slack_m > (fast + MAX_OFF_ODOMETRY_MPS) * seconds:
            return FineReason.ODOMETRY
        if distance_m + slack_m < (slow - MAX_OFF_ODOMETRY_MPS) * seconds:
            return FineReason.ODOMETRY
    return None


def stands_frozen(earlier: Fix, later: Fix) -> bool:
    """Whether two fixes are equal to the last digit although the wheels turn at both."""
    return (
        (earlier.lon_deg, earlier.lat_deg) == (later.lon_deg, later.lat_deg)
        and (earlier.wheel_speed_mps or 0.0) > WHEELS_TURN_MPS
        and (later.wheel_speed_mps or 0.0) > WHEELS_TURN_MPS
    )


def distance_between_m(first: Fix, second: Fix) -> float:
    """Chord of the ellipsoid, m: right at the poles and the antimeridian, 1 mm short on 10 km."""
    return math.dist(_earth_centred_m(first), _earth_centred_m(second))


def _earth_centred_m(fix: Fix) -> tuple[float, float, float]:
    lon, lat = math.radians(fix.lon_deg), math.radians(fix.lat_deg)
    normal_m = _SEMI_MAJOR_M / math.sqrt(1.0 - _ECC2 * math.sin(lat) ** 2)
    across_m = normal_m * math.cos(lat)
    return across_m * math.cos(lon), across_m * math.sin(lon), normal_m * (1.0 - _ECC2) * math.sin(lat)


def moved(fix: Fix, east_m: float, north_m: float) -> tuple[float, float]:
    """Longitude and latitude, degrees, of the point so many metres (at most some hundred) from a fix."""
    lat = math.radians(fix.lat_deg)
    flat = 1.0 - _ECC2 * math.sin(lat) ** 2
    meridian_m, normal_m = _SEMI_MAJOR_M * (1.0 - _ECC2) / flat**1.5, _SEMI_MAJOR_M / math.sqrt(flat)
    lon_deg = fix.lon_deg + math.degrees(east_m / (normal_m * math.cos(lat)))
    return (lon_deg + 180.0) % 360.0 - 180.0, fix.lat_deg + math.degrees(north_m / meridian_m)
