"""Rings that do not hold water are repaired towards the larger area, and every repair is told.

A repaired ring encloses all that its lines enclose: inner pieces are filled, loose ends stay as lines that count by
their distance. One that collapses becomes the hull of its points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from anonymize.zones.shapes import Polygon, Positions

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

LEAST_POSITIONS: Final = 4  # a triangle that is closed
MOST_PAIRS_PER_EDGE: Final = 40  # of edges whose boxes meet; a tangle beyond it could take hours to sort out
FREE_PAIRS: Final = 20_000
PAIRS_AT_ONCE: Final = 5_000_000  # 80 MB


def valid_rings(rings: list[Positions]) -> list[bool]:
    """Which of these closed rings enclose an area without crossing themselves; asked of all at once."""
    import shapely

    valid = [False] * len(rings)
    long = [number for number, ring in enumerate(rings) if len(ring) >= LEAST_POSITIONS]
    if long:
        lengths = [len(rings[number]) for number in long]
        owner = np.repeat(np.arange(len(long)), lengths)
        polygons = shapely.polygons(
            shapely.linearrings(np.concatenate([rings[n] for n in long]), indices=owner)
        )
        for number, is_valid in zip(long, np.atleast_1d(shapely.is_valid(polygons)).tolist(), strict=True):
            valid[number] = is_valid
    return valid


def holes_fit(shell: Positions, holes: list[Positions]) -> bool:
    """Whether holes lie inside the shell and apart, so that they may be honoured."""
    import shapely

    return all(len(hole) >= LEAST_POSITIONS for hole in holes) and bool(
        shapely.is_valid(shapely.Polygon(shell, holes))
    )


def repaired(ring: Positions) -> tuple[list[Polygon], str]:
    """Polygons instead of a ring that is not valid, and what was done."""
    import shapely

    if len(ring) >= LEAST_POSITIONS and not _is_tangle(ring):
        parts = _parts(shapely.make_valid(shapely.Polygon(ring)))
        areas = [part for part in parts if part.geom_type == "Polygon"]
        if areas:
            rings = [_ring(area.exterior.coords) for area in areas]
            rings += [_there_and_back(part.coords) for part in parts if part.geom_type != "Polygon"]
            return [Polygon((ring,)) for ring in rings], "a ring that crosses itself was repaired"
        return [_hull(ring)], "a ring without area became the hull of its points"
    if len(ring) >= LEAST_POSITIONS:
        return [_hull(ring)], "a ring that crosses itself too often became the hull of its points"
    return [_hull(ring)], "a ring of fewer than three points became the hull of its points"


def _parts(geometry: BaseGeometry) -> list[Any]:
    """The simple parts of a geometry."""
    parts = getattr(geometry, "geoms", None)
    if parts is None:
        return [] if geometry.is_empty else [geometry]
    return [simple for part in parts for simple in _parts(part)]


def _hull(ring: Positions) -> Polygon:
    import shapely

    hull: Any = shapely.MultiPoint(ring).convex_hull
    return Polygon(
        (_ring(hull.exterior.coords) if hull.geom_type == "Polygon" else _there_and_back(hull.coords),)
    )


def _ring(coordinates: Any) -> Positions:
    ring = np.array(coordinates, np.float64)[:, :2]
    ring.flags.writeable = False
    return ring


def _there_and_back(coordinates: Any) -> Positions:
    """A line or a point as a closed ring without area."""
    line = np.array(coordinates, np.float64)[:, :2]
    return _ring(np.concatenate((line, line[::-1])))


def _is_tangle(ring: Positions) -> bool:
    """Whether so many edges may cross that sorting them out has no bound worth waiting for."""
    import shapely

    edges = len(ring) - 1
    low, high = np.minimum(ring[:-1], ring[1:]), np.maximum(ring[:-1], ring[1:])
    boxes = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    tree = shapely.STRtree(boxes)
    pairs, at_once = 0, max(1, PAIRS_AT_ONCE // edges)
    for first in range(0, edges, at_once):
        pairs += tree.query(boxes[first : first + at_once]).shape[1]
        if pairs > FREE_PAIRS + MOST_PAIRS_PER_EDGE * edges:
            return True
    return False
