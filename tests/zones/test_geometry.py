"""Signed distances of whole zones: the agreed vectors and cases worked by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

pytest.importorskip("shapely", reason="the extra `zones` is not installed")

from anonymize.zones.geometry import outline, signed_distance_m, zone_area_km2
from anonymize.zones.lists import parse_zones
from tests.zones.vectors import vectors

SQUARE = [[116.39, 39.91], [116.4, 39.91], [116.4, 39.918], [116.39, 39.918], [116.39, 39.91]]
HOLE = [[116.394, 39.913], [116.396, 39.913], [116.396, 39.915], [116.394, 39.915], [116.394, 39.913]]


def zone_of(kind, coordinates, **own):
    """The one zone of a list with our own fields `own`."""
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}
    feature["properties"] = {"radius_m": own.pop("radius_m")} if "radius_m" in own else {}
    document = {"type": "FeatureCollection", "zone_list": {"datum": "wgs84", **own}, "features": [feature]}
    return parse_zones(json.dumps(document).encode()).zones[0]


def vector_zones():
    given = vectors("geofence")
    return {
        "A": zone_of("Polygon", [given["zoneA"]]),
        "B": zone_of("Polygon", [given["zoneA"], given["zoneB_hole"]], honour_holes=True),
        "C": zone_of("MultiPolygon", given["zoneC_multipolygon"]),
        "D": zone_of("Polygon", [given["zoneD"]]),
        "A_gcj02_unconverted": zone_of("Polygon", [given["zoneA_gcj02"]]),
        "A_gcj02_converted": zone_of("Polygon", [given["zoneA_gcj02"]], datum="gcj02"),
    }


def test_vectors():
    zones = vector_zones()
    for zone, name, lat, lon, inside, distance_m in vectors("geofence")["vectors"]:
        found_m = signed_distance_m(zones[zone], (lon, lat))
        assert (found_m < 0.0) is inside, name
        if distance_m is not None:
            # the three of tens of kilometres are told to a ten-thousandth
            assert found_m == pytest.approx(distance_m, abs=0.01, rel=1e-4), name


def test_a_gcj02_list_is_converted_at_load():
    """The converted zone lies where the WGS-84 one does, to centimetres; unconverted it is 427 + 106 m off."""
    zones = vector_zones()
    for _, _, lat, lon, _, distance_m in [v for v in vectors("geofence")["vectors"] if v[0] == "A"]:
        assert signed_distance_m(zones["A_gcj02_converted"], (lon, lat)) == pytest.approx(distance_m, abs=0.1)


def test_by_hand():
    """10 m of latitude at 39.9 degrees are 10 / 111 032 degrees."""
    zone = zone_of("Polygon", [SQUARE])
    assert signed_distance_m(zone, (116.395, 39.918 + 10.0 / 111_032.0)) == pytest.approx(10.0, abs=0.01)
    assert signed_distance_m(zone, (116.395, 39.918 - 10.0 / 111_032.0)) == pytest.approx(-10.0, abs=0.01)


def test_holes_count_only_where_the_list_says_so():
    inside_hole = (116.395, 39.914)
    assert signed_distance_m(zone_of("Polygon", [SQUARE, HOLE]), inside_hole) < -400.0
    assert signed_distance_m(zone_of("Polygon", [SQUARE, HOLE], honour_holes=True), inside_hole) > 80.0


@pytest.mark.parametrize("radius_m", [100.0, 4_999.0, 5_001.0, 60_000.0])
@pytest.mark.parametrize("lat", [0.0, 46.43, 71.0])
def test_circles_by_geographiclib(radius_m, lat):
    geodesic = pytest.importorskip("geographiclib.geodesic").Geodesic.WGS84
    zone = zone_of("Point", [6.9, lat], radius_m=radius_m)
    for course in (0.0, 45.0, 90.0, 200.0):
        for off_m in (-20.0, 30.0):
            there = geodesic.Direct(lat, 6.9, course, radius_m + off_m)
            assert signed_distance_m(zone, (there["lon2"], there["lat2"])) == pytest.approx(off_m, abs=0.01)


def test_the_seam_at_180_degrees_is_no_border():
    parts = [
        [[[179.9, 0], [180, 0], [180, 0.2], [179.9, 0.2], [179.9, 0]]],
        [[[-180, 0], [-179.9, 0], [-179.9, 0.2], [-180, 0.2], [-180, 0]]],
    ]
    zone = zone_of("MultiPolygon", parts)
    assert signed_distance_m(zone, (180.0, 0.1)) == pytest.approx(-11_057.0, abs=15.0)
    assert signed_distance_m(zone, (-179.99, 0.1)) < -9_900.0


def test_areas():
    square = [[10, 0], [11, 0], [11, 1], [10, 1], [10, 0]]
    assert zone_area_km2(zone_of("Polygon", [square])) == pytest.approx(12_308.8, rel=0.006)
    assert zone_area_km2(zone_of("Point", [10, 0], radius_m=1000)) == pytest.approx(math.pi, rel=1e-9)
    hole = [[10.25, 0.25], [10.75, 0.25], [10.75, 0.75], [10.25, 0.75], [10.25, 0.25]]
    with_hole = zone_of("Polygon", [square, hole], honour_holes=True)
    assert zone_area_km2(with_hole) == pytest.approx(0.75 * 12_308.8, rel=0.006)


@pytest.mark.parametrize("lat", [0.0, 60.0, -75.0])
def test_the_outline_of_a_circle_holds_it(lat):
    geodesic = pytest.importorskip("geographiclib.geodesic").Geodesic.WGS84
    zone = zone_of("Point", [10.0, lat], radius_m=3000.0)
    (ring,) = outline(zone.shapes[0])
    drawn = zone_of("Polygon", [ring.tolist()])
    for course in np.linspace(0.0, 360.0, 37):
        there = geodesic.Direct(lat, 10.0, course, 2999.0)
        assert signed_distance_m(drawn, (there["lon2"], there["lat2"])) <= 0.5
