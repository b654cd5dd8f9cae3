"""Does a stretch of road come too near to a zone that is active now? Asked of up to 100,000 zones at once.

A tree of boxes (Shapely 2 `STRtree`) finds candidates: each zone's box is grown by the zone's own and its site's
secret margin, the box of the path by this query's margin. Then the metric distance decides, see the kernel
`zone_distance`. All that is uncertain answers True.

The secret margin hides where exactly recording stops. It is one per site and list authority, the same for all
vehicles and versions of a list (SAFETY 25): fresh or per-device margins average out over passes or over a fleet.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from anonymize_kernels.zone_distance import near_any

from anonymize.zones.errors import ZoneListError
from anonymize.zones.shapes import Circle, Polygon, Zone, ZoneList
from anonymize.zones.windows import active

if TYPE_CHECKING:
    from shapely import STRtree

LonLat = tuple[float, float]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

SECRET_LIMIT_M: Final = 200.0  # GEOFENCE.md "Secrecy"
LEAST_KEY_BYTES: Final = 16
PIECE_M: Final = 5_000.0  # longer paths are asked about in pieces, so that each one's frame fits
LEAST_M_PER_DEG: Final = 110_500.0  # of latitude, WGS-84, rounded down
GROWTH: Final = 1.01  # more than the ellipsoid differs from the sphere by which boxes are grown


def secret_margin_m(margin_key: bytes, site_id: str) -> float:
    """Secret margin of a site, m: 0 to 200, `HMAC(list_margin_key, site_id) mod 200 m` to the millimetre."""
    digest = hmac.new(margin_key, site_id.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:16]) % round(1000 * SECRET_LIMIT_M) / 1000.0


class ZoneIndex:
    """The zones of a list, ready to be asked. Immutable; may be asked from several threads.

    Parameters
    ----------
    zone_list : ZoneList
    margin_key : bytes or None
        Key of the list's authority for secret margins, at least 16 bytes. None: no secret margin, so the places
        where recordings stop draw the zones' edges.

    Raises
    ------
    ZoneListError
        The key is too short, or there is nothing to keep away from.
    """

    def __init__(self, zone_list: ZoneList, *, margin_key: bytes | None = None) -> None:
        if margin_key is not None and len(margin_key) < LEAST_KEY_BYTES:
            raise ZoneListError(f"margin key has {len(margin_key)} bytes; wanted at least {LEAST_KEY_BYTES}")
        self._zones = zone_list.zones
        _refuse_nothing(self._zones)
        self._has_windows = np.array([bool(zone.windows) for zone in self._zones], bool)
        self._any_windows = bool(self._has_windows.any())
        self._reach_m = _reaches(self._zones, margin_key)
        self._shapes = _flatten(self._zones)
        self._boxes = _grown_boxes(self._shapes, self._reach_m)
        self._tree = self._build_tree()
        self._near_any(np.empty(0, np.int64), (0.0, 0.0, 0.0, 0.0), 0.0)  # compiles before the camera starts

    def __len__(self) -> int:
        return len(self._zones)

    def __repr__(self) -> str:
        return f"<ZoneIndex of {len(self)} zones>"

    def touches(
        self,
        start: LonLat,
        end: LonLat,
        *,
        margin_m: float,
        time_s: float,
        clock_uncertainty_s: float = 60.0,
    ) -> bool:
        """Whether the straight path between two positions comes too near to a zone that is active.

        Too near is within `margin_m` and the zone's own and secret margins. True too where anything asked is not
        a finite number, out of its range, or negative.

        Parameters
        ----------
        start, end : (longitude, latitude)
            WGS-84, degrees. The path is the short way round, across the 180th meridian if that is shorter.
        margin_m : float
            All margins that this query knows of (accuracy, datum, map, view), m.
        time_s : float
            UTC, s since 1970.
        clock_uncertainty_s : float
            Windows of time are widened by it to both sides, s.
        """
        (lon1, lat1), (lon2, lat2) = start, end
        # asked so that a NaN fails: in Shapely it would read as outside
        in_range = -180.0 <= lon1 <= 180.0 and -180.0 <= lon2 <= 180.0 and -90.0 <= lat1 <= 90.0
        if not (in_range and -90.0 <= lat2 <= 90.0 and 0.0 <= margin_m < math.inf):
            return True
        lon2 += 360.0 * round((lon1 - lon2) / 360.0)
        length_m = (math.hypot(lon2 - lon1, lat2 - lat1) + 1e-9) * 112_000.0
        if length_m <= PIECE_M:
            return self._touches_piece((lon1, lat1, lon2, lat2), margin_m, time_s, clock_uncertainty_s)
        pieces = math.ceil(length_m / PIECE_M)
        by_lon, by_lat = (lon2 - lon1) / pieces, (lat2 - lat1) / pieces
        for k in range(pieces):
            piece = (
                lon1 + k * by_lon,
                lat1 + k * by_lat,
                lon1 + (k + 1) * by_lon,
                lat1 + (k + 1) * by_lat,
            )
            if self._touches_piece(piece, margin_m, time_s, clock_uncertainty_s):
                return True
        return False

    def _touches_piece(
        self, path: tuple[float, float, float, float], margin_m: float, time_s: float, uncertainty_s: float
    ) -> bool:
        candidates = self._candidates(path, margin_m)
        if candidates.size == 0:
            return False
        if self._any_windows:
            candidates = self._active(candidates, time_s, uncertainty_s)
        return self._near_any(candidates, path, margin_m)

    def _near_any(self, candidates: Counts, path: tuple[float, float, float, float], margin_m: float) -> bool:
        shapes = self._shapes
        return bool(
            near_any(
                candidates,
                shapes.of_zone,
                shapes.rings_of_shape,
                shapes.vertices_of_ring,
                shapes.lons,
                shapes.lats,
                shapes.references,
                self._reach_m,
                *path,
                margin_m,
            )
        )

    def _active(self, candidates: Counts, time_s: float, uncertainty_s: float) -> Counts:
        kept = [
            zone
            for zone in candidates.tolist()
            if not self._has_windows[zone] or active(self._zones[zone].windows, time_s, uncertainty_s)
        ]
        return np.array(kept, np.int64)

    def _candidates(self, path: tuple[float, float, float, float], margin_m: float) -> Counts:
        """Zones whose grown box meets the grown box of the path."""
        from shapely import box

        lon1, lat1, lon2, lat2 = path
        south, north = (lat1, lat2) if lat1 <= lat2 else (lat2, lat1)
        west, east = (lon1, lon2) if lon1 <= lon2 else (lon2, lon1)
        by_lon, by_lat = grown_by_deg(max(-south, north), margin_m)
        west, east, south, north = west - by_lon, east + by_lon, south - by_lat, north + by_lat
        found = self._tree.query(box(west, south, east, north))
        # zones are stored once, near the 180th meridian with boxes that reach beyond it
        if west - 360.0 <= self._easternmost and east - 360.0 >= self._westernmost:
            found = np.append(found, self._tree.query(box(west - 360.0, south, east - 360.0, north)))
        if east + 360.0 >= self._westernmost and west + 360.0 <= self._easternmost:
            found = np.append(found, self._tree.query(box(west + 360.0, south, east + 360.0, north)))
        return found

    def _build_tree(self) -> STRtree:
        from shapely import STRtree, box

        boxes = self._boxes
        self._westernmost, self._easternmost = float(boxes[:, 0].min()), float(boxes[:, 2].max())
        return STRtree(box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]))


def _refuse_nothing(zones: tuple[Zone, ...]) -> None:
    """A list, a zone or a polygon of nothing would be passed by everywhere."""
    if not zones:
        raise ZoneListError("no zone in the list; a list of nothing would forbid nothing")
    for zone in zones:
        empty = any(isinstance(shape, Polygon) and not shape.rings for shape in zone.shapes)
        if empty or not zone.shapes:
            raise ZoneListError(f"feature {zone.number}: has no geometry, so it cannot be enforced")


def grown_by_deg(lat_deg: float, metres: float) -> tuple[float, float]:
    """Degrees of longitude and latitude that hold all within `metres` of a box whose most polar latitude is given.

    Longitude 360 where the pole is within reach.
    """
    by_lat_deg = GROWTH * metres / LEAST_M_PER_DEG
    if abs(lat_deg) + by_lat_deg >= 89.9:
        return 360.0, by_lat_deg
    sine = math.sin(math.radians(by_lat_deg)) / math.cos(math.radians(lat_deg))
    return math.degrees(math.asin(min(1.0, sine))), by_lat_deg


@dataclass(frozen=True, slots=True)
class FlatShapes:
    """All shapes of all zones as the kernel takes them."""

    of_zone: Counts
    rings_of_shape: Counts
    vertices_of_ring: Counts
    lons: Floats
    lats: Floats
    references: Floats
    boxes: Floats  # (shapes, 4): west, south, east, north; of a circle its centre


def _flatten(zones: tuple[Zone, ...]) -> FlatShapes:
    rings: list[Floats] = []
    of_zone, rings_of_shape = [0], [0]
    circles: dict[int, Circle] = {}
    for zone in zones:
        for shape in zone.shapes:
            if isinstance(shape, Circle):
                circles[len(rings_of_shape) - 1] = shape
            else:
                rings += shape.rings
            rings_of_shape.append(len(rings))
        of_zone.append(len(rings_of_shape) - 1)
    vertices_of_ring = np.cumsum([0, *(len(ring) for ring in rings)], dtype=np.int64)
    positions = np.concatenate(rings) if rings else np.empty((0, 2))
    shapes = np.array(rings_of_shape, np.int64)
    boxes = _boxes(positions, vertices_of_ring, shapes)
    references = np.zeros((len(shapes) - 1, 4))
    for number, circle in circles.items():
        references[number, 1:] = circle.lon_deg, circle.lat_deg, circle.radius_m
        boxes[number] = circle.lon_deg, circle.lat_deg, circle.lon_deg, circle.lat_deg
    references[:, 0] = 0.5 * (boxes[:, 0] + boxes[:, 2])
    lons, lats = np.ascontiguousarray(positions[:, 0]), np.ascontiguousarray(positions[:, 1])
    return FlatShapes(np.array(of_zone, np.int64), shapes, vertices_of_ring, lons, lats, references, boxes)


def _boxes(positions: Floats, vertices_of_ring: Counts, rings_of_shape: Counts) -> Floats:
    """West, south, east, north of each shape; zeros where it has no ring."""
    boxes = np.zeros((len(rings_of_shape) - 1, 4))
    has_rings = rings_of_shape[:-1] < rings_of_shape[1:]
    starts = vertices_of_ring[rings_of_shape[:-1][has_rings]]
    if len(starts):
        boxes[has_rings, :2] = np.minimum.reduceat(positions, starts)
        boxes[has_rings, 2:] = np.maximum.reduceat(positions, starts)
    return boxes


def _reaches(zones: tuple[Zone, ...], margin_key: bytes | None) -> Floats:
    """Margin of each zone that no query knows of: its own and its site's secret one, m."""
    reaches = np.array([zone.margin_m for zone in zones], np.float64)
    if margin_key is not None:
        reaches += [secret_margin_m(margin_key, zone.site_id) for zone in zones]
    return reaches


def _grown_boxes(shapes: FlatShapes, reaches: Floats) -> Floats:
    """Box of each zone, grown by its margins and by the radii of its circles, degrees."""
    zones = len(shapes.of_zone) - 1
    grown = np.empty((zones, 4))
    zone_of_shape = np.repeat(np.arange(zones), np.diff(shapes.of_zone))
    metres = reaches[zone_of_shape] + shapes.references[:, 3]
    most_polar = np.maximum(-shapes.boxes[:, 1], shapes.boxes[:, 3])
    by_lat = GROWTH * metres / LEAST_M_PER_DEG
    cosine = np.maximum(np.cos(np.radians(most_polar)), 1e-9)
    by_lon = np.degrees(np.arcsin(np.minimum(1.0, np.sin(np.radians(np.minimum(by_lat, 90.0))) / cosine)))
    by_lon[most_polar + by_lat >= 89.9] = 360.0
    boxes = shapes.boxes + np.column_stack((-by_lon, -by_lat, by_lon, by_lat))
    grown[:, :2] = np.minimum.reduceat(boxes[:, :2], shapes.of_zone[:-1])
    grown[:, 2:] = np.maximum.reduceat(boxes[:, 2:], shapes.of_zone[:-1])
    return grown
