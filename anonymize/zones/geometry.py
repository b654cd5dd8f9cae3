"""Distances and areas of single zones in metres, for those who prepare lists and for tests.

The gate asks `ZoneIndex`, not these. The metric is the same: WGS-84, edges straight in longitude and latitude,
3 cm wrong at 1 km; far distances (tens of kilometres) are only told to about a percent.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from anonymize_kernels.zone_distance import geodesic_m, polygon_distance

from anonymize.zones.shapes import Circle, Polygon, Positions, Zone

LonLat = tuple[float, float]

EARTH_RADIUS_M: Final = 6_371_007.2  # sphere of the same surface
CIRCLE_CORNERS: Final = 64


def signed_distance_m(zone: Zone, position: LonLat) -> float:
    """Distance in m to the zone's border, negative inside. Where a zone was cut at 180 degrees is no border."""
    distances = [_shape_distance_m(shape, position) for shape in zone.shapes]
    return min(distances, default=math.inf)


def zone_area_km2(zone: Zone) -> float:
    """Area of all its shapes in km2, to half a percent; where shapes overlap, that counts twice."""
    return math.fsum(_shape_area_m2(shape) for shape in zone.shapes) / 1e6


def outline(shape: Polygon | Circle) -> list[Positions]:
    """Rings of a shape in degrees, to be drawn or written; a circle becomes a polygon round it."""
    if isinstance(shape, Polygon):
        return list(shape.rings)
    # corners outside the circle, so that the polygon holds all of it
    radius_deg = math.degrees(shape.radius_m / EARTH_RADIUS_M) / math.cos(math.pi / CIRCLE_CORNERS) * 1.006
    angles = np.linspace(0.0, 2.0 * math.pi, CIRCLE_CORNERS + 1)
    lats = np.clip(shape.lat_deg + radius_deg * np.sin(angles), -90.0, 90.0)
    cosine = max(math.cos(math.radians(min(89.9, abs(shape.lat_deg) + radius_deg))), 1e-3)
    return [np.column_stack((shape.lon_deg + radius_deg / cosine * np.cos(angles), lats))]


def _shape_distance_m(shape: Polygon | Circle, position: LonLat) -> float:
    if isinstance(shape, Circle):
        return float(geodesic_m(shape.lon_deg, shape.lat_deg, *position)) - shape.radius_m
    _, inside = _distance(list(shape.rings), shape, position)
    borders = (
        [piece for ring in shape.rings for piece in _without_seam(ring)] if inside else list(shape.rings)
    )
    distance_m, _ = _distance(borders, shape, position)
    return -distance_m if inside else distance_m


def _distance(lines: list[Positions], shape: Polygon, position: LonLat) -> tuple[float, bool]:
    """Distance in m to the nearest of these lines, and whether the position lies inside them."""
    if not lines:
        return math.inf, False
    bounds = np.cumsum([0, *(len(line) for line in lines)], dtype=np.int64)
    positions = np.concatenate(lines)
    lons, lats = np.ascontiguousarray(positions[:, 0]), np.ascontiguousarray(positions[:, 1])
    reference = 0.5 * float(shape.rings[0][:, 0].min() + shape.rings[0][:, 0].max())
    distance_m, inside = polygon_distance(bounds, lons, lats, reference, *position, *position, math.inf)
    return float(distance_m), bool(inside)


def _without_seam(ring: Positions) -> list[Positions]:
    """The ring's edges but those that run along the 180th meridian."""
    on_seam = (np.abs(ring[:-1, 0]) == 180.0) & (ring[:-1, 0] == ring[1:, 0])
    if not on_seam.any():
        return [ring]
    return [ring[k : k + 2] for k in np.flatnonzero(~on_seam).tolist()]


def _shape_area_m2(shape: Polygon | Circle) -> float:
    if isinstance(shape, Circle):
        return math.pi * shape.radius_m**2
    areas = [abs(_ring_area_m2(ring)) for ring in shape.rings]
    return areas[0] - math.fsum(areas[1:])


def _ring_area_m2(ring: Positions) -> float:
    """Signed area on the sphere of the same surface (R. G. Chamberlain, W. H. Duquette, JPL 07-03, 2007)."""
    lons, sines = np.radians(ring[:, 0]), np.sin(np.radians(ring[:, 1]))
    return float(np.sum(np.diff(lons) * (sines[:-1] + sines[1:])) * EARTH_RADIUS_M**2 / 2.0)
