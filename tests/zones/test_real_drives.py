"""Real drives of ../shared/data/gnss with a zone laid across each: what lies inside is gone, the rest is there.

The oracle is the drive itself: fixes joined by straight lines, distances by haversine. The list and its index are
the product's own.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from datetime import date
from fractions import Fraction

import numpy as np
import pytest

from anonymize.frames import CapturedFrame, FrameMemory, ReleasedFrame, _seal_anonymized
from anonymize.zones.feeds import read_track
from anonymize.zones.fixes import Fix
from anonymize.zones.rules import ArchiveOptions, ZonesInForce
from anonymize.zones.zone_gate import ZoneGate

pytest.importorskip("shapely")

ROAD = "time=utc_ms,unit=ms,lat=latitude,lon=longitude"
RADIUS_M = 120.0
VIEW_M = 150.0
DRIVES = [  # log, columns, date, the options that it needs
    ("mountain_view_drive.nmea", None, None, ArchiveOptions(unsigned_zones=True)),
    ("mountain_view_drive_reference.nmea", None, date(2020, 2, 7), ArchiveOptions(unsigned_zones=True)),
    ("tahoe_drive.nmea", None, None, ArchiveOptions(unsigned_zones=True)),
    ("visnjan_car.gpx", None, None, ArchiveOptions(10.0, 49.0, 30.0, unsigned_zones=True)),
    ("highway280_phone.csv", ROAD, None, ArchiveOptions(10.0, unsigned_zones=True)),
    ("highway280_ublox.csv", ROAD, None, ArchiveOptions(10.0, unsigned_zones=True)),
]


def haversine_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    (lon1, lat1), (lon2, lat2) = (map(math.radians, point) for point in (a, b))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2.0 * 6_371_000.0 * math.asin(math.sqrt(half))


def circle_list(lon_deg: float, lat_deg: float, radius_m: float) -> bytes:
    """An unsigned list of one circle, GeoJSON with an ED-318 circle."""
    feature = {
        "type": "Feature",
        "geometry": {
            "type": "Point",
            "coordinates": [lon_deg, lat_deg],
            "extent": {"subType": "Circle", "radius": radius_m},
        },
        "properties": {},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def frame_at(time_s: float) -> CapturedFrame:
    return CapturedFrame((np.zeros((2, 2, 3), np.uint8),), "bgr24", 0, Fraction(1, 30), captured_at_s=time_s)


def kept_times(gate: ZoneGate, times_s: list[float]) -> set[float]:
    kept = set()
    for time_s in times_s:
        frame = frame_at(time_s)
        if gate.admit(frame):
            (released,) = gate.release(_seal_anonymized(frame, frame.planes, FrameMemory()))
            assert isinstance(released, ReleasedFrame)
            kept.add(time_s)
    return kept


def place_at(fixes: list[Fix], times_s: list[float], time_s: float) -> tuple[float, float]:
    after = min(max(1, bisect_right(times_s, time_s)), len(fixes) - 1)
    a, b = fixes[after - 1], fixes[after]
    share = min(1.0, max(0.0, (time_s - a.time_s) / (b.time_s - a.time_s)))
    return a.lon_deg + share * (b.lon_deg - a.lon_deg), a.lat_deg + share * (b.lat_deg - a.lat_deg)


@pytest.mark.parametrize(("name", "columns", "first_date", "options"), DRIVES)
def test_the_stretch_inside_is_gone_and_the_rest_is_there(data_dir, name, columns, first_date, options):
    from anonymize.zones.index import ZoneIndex
    from anonymize.zones.lists import parse_zones

    fixes = list(read_track(data_dir / "gnss" / name, columns=columns, first_date=first_date).fixes)
    fix_times_s = [fix.time_s for fix in fixes]
    # where the drive is fastest, so that it leaves the zone again
    middle = max(range(5, len(fixes) - 5), key=lambda i: haversine_m(
        (fixes[i - 5].lon_deg, fixes[i - 5].lat_deg), (fixes[i + 5].lon_deg, fixes[i + 5].lat_deg)))  # fmt: skip
    centre = fixes[middle].lon_deg, fixes[middle].lat_deg
    times_s = [fixes[0].time_s + i / 2.0 for i in range(int(2 * (fixes[-1].time_s - fixes[0].time_s)))]
    index = ZoneIndex(parse_zones(circle_list(*centre, RADIUS_M), datum="wgs84"))
    zoned = kept_times(ZoneGate.for_track(ZonesInForce(index), fixes, options), times_s)
    away = ZoneIndex(parse_zones(circle_list(centre[0], -centre[1], RADIUS_M), datum="wgs84"))
    free = kept_times(ZoneGate.for_track(ZonesInForce(away), fixes, options), times_s)
    distance_m = {t: haversine_m(centre, place_at(fixes, fix_times_s, t)) for t in times_s}
    assert zoned < free
    assert min(distance_m[t] for t in zoned) > RADIUS_M + VIEW_M + 2.46 * 5.0 + 11.0
    # what is lost to the zone was within its margin, that of leaving, the scrub and the widest gap
    reach_s = 3.0 + 3.0 + 2.0 * (options.max_gap_s or 2.0)
    widest_m = RADIUS_M + VIEW_M + 2.46 * 100.0 + 31.0 + options.top_speed_mps * reach_s
    assert max(distance_m[t] for t in free - zoned) < widest_m
    slow_gaps = name.startswith(("visnjan", "highway280"))  # short logs: one zone takes most of them
    assert len(zoned) > (0 if slow_gaps else 0.5 * len(free))


@pytest.mark.parametrize("name", ["visnjan_car.gpx", "highway280_phone.csv"])
def test_without_its_options_nothing_of_such_a_log_is_kept(data_dir, name):
    from tests.zones.places import Circle, CircleZones

    fixes = read_track(data_dir / "gnss" / name, columns=ROAD if name.endswith("csv") else None).fixes
    gate = ZoneGate.for_track(ZonesInForce(CircleZones(Circle(0.0, 0.0, 1.0)), signed=True), fixes)
    assert kept_times(gate, [fix.time_s + 0.5 for fix in fixes]) == set()
