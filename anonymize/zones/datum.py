"""Chinese map datums to WGS-84 and back: arrays of longitude and latitude in degrees.

GCJ-02 has never been published; these are the formulas everyone uses (they match an independent table of 664 cities
to 0.74 m). They hold in `GCJ02_AREA` alone: outside it Chinese maps carry no offset. BD-09 is GCJ-02 with a second
one. The inverses are iterated until the forward formula gives the position back to a tenth of a millimetre.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

Degrees = npt.NDArray[np.float64]
Pair = tuple[Degrees, Degrees]

DATUMS: Final = ("wgs84", "gcj02", "bd09")
GCJ02_AREA: Final = (72.004, 0.8293, 137.8347, 55.8271)  # west, south, east, north

_SEMI_MAJOR_M: Final = 6_378_245.0  # Krasovsky 1940
_ECC2: Final = 0.00669342162296594323
_ORIGIN_LON_DEG: Final = 105.0
_ORIGIN_LAT_DEG: Final = 35.0
_BD_PI: Final = np.pi * 3000.0 / 180.0  # not pi: a known bug, up to 86 m
_BD_LON_DEG: Final = 0.0065
_BD_LAT_DEG: Final = 0.006
_SMALL_DEG: Final = 1e-9  # 0.1 mm
_MOST_STEPS: Final = 20  # two give 0.2 mm


def to_wgs84(lon_deg: Degrees, lat_deg: Degrees, datum: str) -> Pair:
    """WGS-84 longitudes and latitudes of positions in `datum` ("wgs84", "gcj02", "bd09"), degrees."""
    return {"wgs84": _unchanged, "gcj02": gcj02_to_wgs84, "bd09": bd09_to_wgs84}[datum](lon_deg, lat_deg)


def from_wgs84(lon_deg: Degrees, lat_deg: Degrees, datum: str) -> Pair:
    """Longitudes and latitudes in `datum` of WGS-84 positions, degrees."""
    return {"wgs84": _unchanged, "gcj02": wgs84_to_gcj02, "bd09": wgs84_to_bd09}[datum](lon_deg, lat_deg)


def in_gcj02_area(lon_deg: Degrees, lat_deg: Degrees) -> npt.NDArray[np.bool_]:
    """Where GCJ-02 and BD-09 mean anything; it holds Seoul and Delhi too, so it says nothing about a list's datum."""
    west, south, east, north = GCJ02_AREA
    return (lon_deg >= west) & (lon_deg <= east) & (lat_deg >= south) & (lat_deg <= north)


def wgs84_to_gcj02(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """GCJ-02 longitudes and latitudes, degrees."""
    by_lon_deg, by_lat_deg = _gcj02_offset(lon_deg, lat_deg)
    return lon_deg + by_lon_deg, lat_deg + by_lat_deg


def gcj02_to_wgs84(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """WGS-84 longitudes and latitudes, degrees."""
    return _inverse(wgs84_to_gcj02, lon_deg, lat_deg)


def gcj02_to_bd09(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """BD-09 longitudes and latitudes, degrees."""
    radius = np.hypot(lon_deg, lat_deg) + 2e-5 * np.sin(lat_deg * _BD_PI)
    angle = np.arctan2(lat_deg, lon_deg) + 3e-6 * np.cos(lon_deg * _BD_PI)
    return radius * np.cos(angle) + _BD_LON_DEG, radius * np.sin(angle) + _BD_LAT_DEG


def bd09_to_gcj02(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """GCJ-02 longitudes and latitudes, degrees."""
    return _inverse(gcj02_to_bd09, lon_deg, lat_deg)


def wgs84_to_bd09(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """BD-09 longitudes and latitudes, degrees."""
    return gcj02_to_bd09(*wgs84_to_gcj02(lon_deg, lat_deg))


def bd09_to_wgs84(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """WGS-84 longitudes and latitudes, degrees."""
    return gcj02_to_wgs84(*bd09_to_gcj02(lon_deg, lat_deg))


def _unchanged(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    return lon_deg, lat_deg


def _inverse(forward: Callable[[Degrees, Degrees], Pair], lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """The positions that `forward` moves to these ones."""
    lon, lat = np.array(lon_deg, np.float64), np.array(lat_deg, np.float64)
    for _ in range(_MOST_STEPS):
        moved_lon, moved_lat = forward(lon, lat)
        by_lon, by_lat = lon_deg - moved_lon, lat_deg - moved_lat
        lon, lat = lon + by_lon, lat + by_lat
        if max(np.max(np.abs(by_lon), initial=0.0), np.max(np.abs(by_lat), initial=0.0)) < _SMALL_DEG:
            break
    return lon, lat


def _gcj02_offset(lon_deg: Degrees, lat_deg: Degrees) -> Pair:
    """What GCJ-02 adds to WGS-84, degrees."""
    x, y = lon_deg - _ORIGIN_LON_DEG, lat_deg - _ORIGIN_LAT_DEG
    root, waves = np.sqrt(np.abs(x)), 20.0 * np.sin(6.0 * x * np.pi) + 20.0 * np.sin(2.0 * x * np.pi)
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    east += (waves + 20.0 * np.sin(x * np.pi) + 40.0 * np.sin(x / 3.0 * np.pi)) * 2.0 / 3.0
    east += (150.0 * np.sin(x / 12.0 * np.pi) + 300.0 * np.sin(x / 30.0 * np.pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    north += (waves + 20.0 * np.sin(y * np.pi) + 40.0 * np.sin(y / 3.0 * np.pi)) * 2.0 / 3.0
    north += (160.0 * np.sin(y / 12.0 * np.pi) + 320.0 * np.sin(y * np.pi / 30.0)) * 2.0 / 3.0
    sine = np.sin(np.radians(lat_deg))
    w2 = 1.0 - _ECC2 * sine * sine
    normal_m = _SEMI_MAJOR_M / np.sqrt(w2)
    by_lat_deg = np.degrees(north / (normal_m * (1.0 - _ECC2) / w2))
    return np.degrees(east / (normal_m * np.cos(np.radians(lat_deg)))), by_lat_deg
