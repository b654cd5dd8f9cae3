"""What every feed gives, and how a feed's own figures of quality become a 68 % radius.

Rule for accuracy: standard deviations (GST) where they are there, else the horizontal dilution of precision
times the range error of a single-frequency receiver, else none: the gate then drops, and the archive option
`--track-accuracy-m` would change that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from anonymize.errors import TrackError
from anonymize.zones.datum import in_gcj02_area, to_wgs84
from anonymize.zones.fixes import Fix

RADIUS_68_OF_SIGMA: Final = math.sqrt(
    -2.0 * math.log(0.32)
)  # Rayleigh: radius of 68 % over the error of one axis
RANGE_ERROR_M: Final = (
    6.0  # 1 sigma of one range: GPS SPS Performance Standard 2020 plus ionosphere and multipath
)
MOST_BYTES: Final = 1 << 29  # a day at 10 Hz with all sentences is some 300 MB


@dataclass(slots=True)
class FeedCounts:
    """What a log held, in numbers alone.

    Attributes
    ----------
    read : int
        Lines, rows or points.
    damaged : int
        Those that cannot be read, or whose checksum is wrong.
    unchecked : int
        NMEA sentences without a checksum: not used.
    undated : int
        Positions without date or time: not used.
    """

    read: int = 0
    damaged: int = 0
    unchecked: int = 0
    undated: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Track:
    """The fixes of one log in its own order, believed or not: that is for the gate to say.

    Attributes
    ----------
    time_uncertainty_s : float
        How wrong the times of its fixes may be, s; more than 0 where the log does not say exactly.
    film_start_s : float or None
        Of a track that came in a video: UTC of the film's time 0, s since 1970.
    """

    fixes: tuple[Fix, ...]
    counts: FeedCounts = field(default_factory=FeedCounts)
    time_uncertainty_s: float = 0.0
    film_start_s: float | None = None

    def in_wgs84(self, datum: str) -> Track:
        """The same track, its positions read as `datum`: map services in China export GCJ-02 or BD-09.

        Raises
        ------
        TrackError
            A position lies where the datum is not defined.
        """
        if datum == "wgs84" or not self.fixes:
            return self
        lon = np.array([fix.lon_deg for fix in self.fixes])
        lat = np.array([fix.lat_deg for fix in self.fixes])
        known = np.isfinite(lon) & np.isfinite(lat)
        if not bool(np.all(in_gcj02_area(lon[known], lat[known]))):
            raise TrackError(f"the track lies outside the area where {datum} is defined")
        lon[known], lat[known] = to_wgs84(lon[known], lat[known], datum)
        moved = zip(self.fixes, lon.tolist(), lat.tolist(), strict=True)
        return replace(self, fixes=tuple(replace(fix, lon_deg=x, lat_deg=y) for fix, x, y in moved))

    def __repr__(self) -> str:
        return f"<Track of {len(self.fixes)} fixes>"


def read_bytes(path: str | Path) -> bytes:
    """The file's content, at most 512 MB."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as fault:
        raise TrackError(f"{path}: cannot be read as a position log: {fault.strerror}") from None
    if len(content) > MOST_BYTES:
        raise TrackError(f"{path}: a position log of more than {MOST_BYTES >> 20} MB; split it")
    return content


def radius_of_hdop_m(hdop: float | None) -> float | None:
    """68 % radius, m, of a horizontal dilution of precision; None where it is missing or cannot be."""
    if hdop is None or not 0.0 < hdop < math.inf:
        return None
    return RADIUS_68_OF_SIGMA / math.sqrt(2.0) * RANGE_ERROR_M * hdop  # HDOP spans two axes


def radius_of_deviations_m(
    latitude_m: float | None, longitude_m: float | None, semi_major_m: float | None
) -> float | None:
    """68 % radius, m, of standard deviations; None where one is missing or cannot be.

    The error is taken as a circle of the ellipse's longer axis. A receiver that gives none, or one shorter
    than the deviation of an axis, gets the longest that the two axes allow.
    """
    if latitude_m is None or longitude_m is None:
        return None
    longest_m = math.hypot(latitude_m, longitude_m)
    if not (latitude_m >= 0.0 and longitude_m >= 0.0 and 0.0 < longest_m < math.inf):
        return None
    if semi_major_m is not None and max(latitude_m, longitude_m) <= semi_major_m < longest_m:
        longest_m = semi_major_m
    return RADIUS_68_OF_SIGMA * longest_m
