"""Coordinates as they stand in a file, turned into arrays of degrees. Nothing is taken for a number that is none."""

from __future__ import annotations

from itertools import chain
from typing import Final

import numpy as np

from anonymize.zones import datum as datums
from anonymize.zones.drafts import refused
from anonymize.zones.shapes import Positions

MOST_POSITIONS_OF_RING: Final = 1_000_000
HALF_TURN_DEG: Final = 180.0
EDGE_DEG: Final = 0.009  # 1 km: a straight edge of that length bends by 9 cm when it is converted


def ring_of(raw: object, number: int) -> Positions:
    """Positions (n, 2) of a ring of feature `number`; altitudes are left out.

    Raises
    ------
    ZoneListError
        It is no list of positions, has none, or more than a million.
    """
    if not isinstance(raw, list) or not raw:
        raise refused(number, "a ring that is no list of positions")
    if len(raw) > MOST_POSITIONS_OF_RING:
        raise refused(number, f"a ring of more than {MOST_POSITIONS_OF_RING} positions")
    try:
        widths = list(map(len, raw))
        flat = list(chain.from_iterable(raw))
    except TypeError:
        raise refused(number, "a position that is no list of numbers") from None
    # numpy would read true as 1 and "5" as 5
    if not set(map(type, flat)) <= {int, float}:
        raise refused(number, "a position that is no list of numbers")
    try:
        numbers = np.array(flat, np.float64)
    except OverflowError:
        raise refused(number, "a coordinate that is no finite number") from None
    width = widths[0]
    if width >= 2 and widths.count(width) == len(widths):
        return numbers.reshape(-1, width)[:, :2]
    if min(widths) < 2:
        raise refused(number, "a position of fewer than two numbers")
    firsts = np.cumsum([0, *widths[:-1]])
    return np.column_stack((numbers[firsts], numbers[firsts + 1]))


def check_positions(rings: list[Positions], numbers: list[int]) -> None:
    """Refuse rings (of the features `numbers`) with a position off the globe, or wider than half of it.

    Raises
    ------
    ZoneListError
        The first one found.
    """
    if not rings:
        return
    all_positions = np.concatenate(rings)
    firsts = np.cumsum([0, *(len(ring) for ring in rings[:-1])])
    beyond = np.abs(all_positions) > (HALF_TURN_DEG, 90.0)
    wrong = ~np.isfinite(all_positions) | beyond
    if wrong.any():
        at = int(np.argmax(wrong.any(axis=1)))
        ring = int(np.searchsorted(firsts, at, side="right")) - 1
        raise refused(
            numbers[ring], f"position {at - int(firsts[ring]) + 1} of a ring: {_why_wrong(all_positions[at])}"
        )
    low, high = np.minimum.reduceat(all_positions, firsts), np.maximum.reduceat(all_positions, firsts)
    wide = high[:, 0] - low[:, 0] > HALF_TURN_DEG
    if wide.any():
        raise refused(
            numbers[int(np.argmax(wide))],
            "a ring wider than 180 degrees; cut it at the 180th meridian into a MultiPolygon (RFC 7946, 3.1.9)",
        )


def _why_wrong(position: Positions) -> str:
    lon, lat = position.tolist()
    if not (np.isfinite(lon) and np.isfinite(lat)):
        return "a coordinate that is no finite number"
    if abs(lat) > 90.0:
        swapped = "; are longitude and latitude swapped?" if abs(lon) <= 90.0 and abs(lat) <= 180.0 else ""
        return f"its latitude is beyond 90 degrees{swapped}"
    return "its longitude is beyond 180 degrees"


def ring_to_wgs84(ring: Positions, datum: str, number: int) -> Positions:
    """A ring of `datum` in WGS-84. Long edges are cut first, so that they stay where they are straight.

    Raises
    ------
    ZoneListError
        Part of it lies where the datum is not defined.
    """
    if datum == "wgs84":
        return ring
    if not bool(np.all(datums.in_gcj02_area(ring[:, 0], ring[:, 1]))):
        raise refused(number, f"lies outside the area where {datum} is defined")
    cut = cut_edges(ring)
    lon, lat = datums.to_wgs84(cut[:, 0], cut[:, 1], datum)
    return np.column_stack((lon, lat))


def cut_edges(ring: Positions) -> Positions:
    """The same ring with no edge longer than about a kilometre."""
    pieces = np.ceil(np.abs(np.diff(ring, axis=0)).max(axis=1, initial=0.0) / EDGE_DEG).astype(np.int64)
    if len(pieces) == 0 or pieces.max() <= 1:
        return ring
    cut = [
        ring[k] + (ring[k + 1] - ring[k]) * (np.arange(count) / count)[:, None]
        for k, count in enumerate(np.maximum(pieces, 1).tolist())
    ]
    return np.concatenate([*cut, ring[-1:]])
