"""Damaged lists and logs: ours is the only error, what loads is whole, and no fix lies where none can be."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("shapely", reason="the extra `zones` is not installed")
pytest.importorskip("gpxpy", reason="the extra `zones` is not installed")

from anonymize.errors import TrackError
from anonymize.zones.errors import ZoneListError
from anonymize.zones.feeds import read_track
from anonymize.zones.fixes import fault_of_fix
from anonymize.zones.lists import parse_zones

SQUARE = [[[11.0, 48.0], [11.01, 48.0], [11.01, 48.01], [11.0, 48.01], [11.0, 48.0]]]
UAS = {"identifier": "a1", "country": "AUT", "type": "PROHIBITED", "variant": "COMMON"}
POLYGON = {"type": "Polygon", "coordinates": SQUARE}
CIRCLE = {"type": "Point", "coordinates": [11.0, 48.0], "extent": {"subType": "Circle", "radius": 50.0}}
TIMES = [{"startDateTime": "2026-01-01T00:00:00Z", "schedule": [{"day": ["SAT"], "startTime": "09:00:00Z"}]}]
LISTS = [
    {
        "type": "FeatureCollection",
        "zone_list": {"datum": "wgs84", "margin_m": 10},
        "features": [
            {
                "type": "Feature",
                "id": "x",
                "properties": {"site": "s", "limitedApplicability": TIMES},
                "geometry": shape,
            }
            for shape in (POLYGON, CIRCLE)
        ],
    },
    {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": UAS, "geometry": shape} for shape in (POLYGON, CIRCLE)
        ],
    },
    {
        "features": [
            UAS
            | {"geometry": [{"uomDimensions": "M", "horizontalProjection": POLYGON}]}
            | {"applicability": [{"permanent": "YES"}]}
            for _ in range(2)
        ]
    },
]
ODD = st.sampled_from(
    [
        b"null",
        b"true",
        b"NaN",
        b"1e999",
        b"-1",
        b"[]",
        b"{}",
        b'""',
        b"9" * 400,
        b"[[",
        b"}",
        b'"type":',
        b"181",
    ]
)
DAMAGE = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), ODD | st.binary(max_size=3)), min_size=1, max_size=3
)


def damaged(content: bytes, damage: list[tuple[float, int, bytes]]) -> bytes:
    for share, length, put in damage:
        at = int(share * len(content))
        content = content[:at] + put + content[at + length :]
    return content


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(LISTS), DAMAGE)
def test_a_damaged_list_loads_whole_or_not_at_all(document, damage):
    content = damaged(json.dumps(document).encode(), damage)
    with contextlib.suppress(ZoneListError):
        zones = parse_zones(content)
        features = json.loads(content)["features"]
        assert len(zones) + len(zones.left_out) == len(features)
        for zone in zones:
            assert zone.shapes


@pytest.mark.parametrize("document", LISTS)
def test_undamaged_they_load(document):
    assert len(parse_zones(json.dumps(document).encode())) == 2


GPX = b"""<gpx version="1.1" creator="x"><trk><trkseg>
<trkpt lat="48.0" lon="11.0"><time>2026-01-01T00:00:00Z</time><fix>3d</fix><hdop>1.2</hdop></trkpt>
<trkpt lat="48.001" lon="11.0"><time>2026-01-01T00:00:01Z</time><fix>3d</fix><hdop>1.2</hdop></trkpt>
</trkseg></trk></gpx>"""
CSV = b"time_s,lon_deg,lat_deg,accuracy_m,hdop\n1.8e9,11.0,48.0,3.0,1.0\n1800000001,11.0,48.001,,1.0\n"
LINES = b"".join(
    json.dumps({"time_s": 1.8e9 + k, "lon_deg": 11.0, "lat_deg": 48.0, "accuracy_m": 3}).encode() + b"\n"
    for k in range(3)
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([GPX, CSV, LINES]), DAMAGE)
def test_a_damaged_log_gives_no_place_that_cannot_be(tmp_path_factory, log, damage):
    path = tmp_path_factory.getbasetemp() / "damaged.log"
    path.write_bytes(damaged(log, damage))
    with contextlib.suppress(TrackError):
        for fix in read_track(path).fixes:
            if fault_of_fix(fix) is None:
                assert math.isfinite(fix.time_s)
                assert abs(fix.lat_deg) <= 90.0
                assert abs(fix.lon_deg) <= 180.0
                assert 0.0 < fix.accuracy_m <= 100.0
