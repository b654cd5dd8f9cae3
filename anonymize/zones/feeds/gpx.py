"""GPX 1.0 and 1.1 as fixes, read by gpxpy.

A point's accuracy comes from its `hdop`; most files have none. A break between segments breaks the way.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from anonymize.errors import TrackError
from anonymize.zones.feeds.track import FeedCounts, Track, radius_of_hdop_m
from anonymize.zones.fixes import Fix

_DIMENSIONS = {"2d": 2, "3d": 3, "dgps": 3, "pps": 3, "none": 0}


def read_gpx(content: bytes) -> Track:
    """The fixes of all tracks, segment by segment in order of their first time.

    Raises
    ------
    TrackError
        It is no GPX, or gpxpy is not installed. The message holds nothing of the file.
    """
    counts = FeedCounts()
    segments = []
    for track in _parse(content).tracks:
        for segment in track.segments:
            fixes = _fixes(segment.points, counts)
            if fixes:
                segments.append(fixes)
    segments.sort(key=lambda fixes: fixes[0].time_s)
    return Track(tuple(fix for fixes in segments for fix in fixes), counts)


def _parse(content: bytes) -> Any:
    try:
        import gpxpy
    except ImportError:
        raise TrackError("reading GPX needs gpxpy: install vehicle-anonymize[zones]") from None
    if b"<gpx" not in content:
        raise TrackError("this is XML but no GPX")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise TrackError("this GPX declares a document type or entities; wanted plain GPX")
    log = logging.getLogger("gpxpy.parser")  # it writes the whole file, places and all, to its debug log
    was_disabled, log.disabled = log.disabled, True
    try:
        return gpxpy.parse(content)
    except Exception:  # noqa: BLE001 - gpxpy raises what its XML library and its converters raise
        raise TrackError("this is no GPX that gpxpy can read") from None
    finally:
        log.disabled = was_disabled


def _fixes(points: list[Any], counts: FeedCounts) -> list[Fix]:
    fixes = []
    continues = False
    for point in points:
        counts.read += 1
        if point.time is None:
            counts.undated += 1
            continues = False  # a place without a time may lie anywhere between its neighbours
            continue
        fixes.append(
            Fix(
                lon_deg=float(point.longitude),
                lat_deg=float(point.latitude),
                accuracy_m=radius_of_hdop_m(point.horizontal_dilution),
                time_s=_seconds(point.time),
                dimensions=_DIMENSIONS.get(point.type_of_gpx_fix),
                continues=continues,
            )
        )
        continues = True
    return fixes


def _seconds(when: datetime) -> float:
    """GPX times are UTC, with or without a Z."""
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
