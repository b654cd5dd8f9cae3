"""The metric kernel against its twin and against GeographicLib; a path that touches is never missed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from anonymize_kernels import zone_distance as kernel
from anonymize_reference import zone_distance as twin
from hypothesis import given, settings
from hypothesis import strategies as st

M_PER_DEG = 111_195.0
FEW = settings(max_examples=60, deadline=None)
SHARES = st.floats(0.0, 1.0)


def geodesic(lon1, lat1, lon2, lat2):
    """Length by C. F. F. Karney's GeographicLib."""
    return pytest.importorskip("geographiclib.geodesic").Geodesic.WGS84.Inverse(lat1, lon1, lat2, lon2)["s12"]


def star(lon, lat, radii_m, turn=0.0):
    """A closed ring round a position, one corner a radius."""
    angles = turn + np.linspace(0.0, 2.0 * math.pi, len(radii_m), endpoint=False)
    radii = np.array(radii_m) / M_PER_DEG
    ring = np.column_stack(
        (lon + radii * np.cos(angles) / math.cos(math.radians(lat)), lat + radii * np.sin(angles))
    )
    return np.concatenate((ring, ring[:1]))


def measured(ring, start, end, limit, reference=None):
    """The kernel's distance and inside for one ring."""
    bounds = np.array([0, len(ring)], np.int64)
    reference = float(0.5 * (ring[:, 0].min() + ring[:, 0].max())) if reference is None else reference
    lons, lats = np.ascontiguousarray(ring[:, 0]), np.ascontiguousarray(ring[:, 1])
    return kernel.polygon_distance(bounds, lons, lats, reference, *start, *end, limit)


def touches(ring, start, end, limit):
    distance, inside = measured(ring, start, end, limit)
    return inside or distance <= limit


def offset(lon, lat, east_m, north_m):
    return lon + east_m / M_PER_DEG / math.cos(math.radians(lat)), lat + north_m / M_PER_DEG


@given(*[st.tuples(st.floats(-180, 180), st.floats(-90, 90))] * 2)
@FEW
def test_geodesic_is_right_to_a_millimetre(one, other):
    found, wanted = kernel.geodesic_m(*one, *other), geodesic(*one, *other)
    assert abs(found - wanted) < 1e-3 or wanted > 19_900_000.0 <= found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 0), (0, 0)),
        ((0, 90), (77, 90)),
        ((0, 90), (0, -90)),
        ((-179.9, 10), (179.9, 10)),
        ((5, 0), (6, 0)),
    ],
)
def test_geodesic_in_odd_places(one, other):
    assert kernel.geodesic_m(*map(float, one), *map(float, other)) == pytest.approx(
        geodesic(*one, *other), abs=1e-3
    )


@given(
    st.floats(-179, 179),
    st.floats(-84, 84),
    st.lists(st.floats(20.0, 300.0), min_size=3, max_size=9),
    st.tuples(st.floats(-900, 900), st.floats(-900, 900)),
    st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
)
@FEW
def test_the_twin_agrees(lon, lat, radii_m, from_m, by_m):
    ring = star(lon, lat, radii_m)
    start = offset(lon, lat, *from_m)
    end = offset(*start, *by_m)
    if twin.inside(start, [ring]) or twin.inside(end, [ring]):
        assert touches(ring, start, end, 0.01)
        return
    wanted = twin.chord_m(np.array([start, end]), ring, step_m=2.0)
    slack = 2.0 + 0.002 * wanted
    assert touches(ring, start, end, wanted + 0.01)
    assert not touches(ring, start, end, max(0.0, wanted - slack)) or wanted < slack


@given(st.floats(-180, 180), st.floats(85.0, 90.0), st.floats(0, 2 * math.pi), st.floats(10.0, 3_000.0))
@FEW
def test_near_the_poles_nothing_is_missed(lon, lat, course, away_m):
    """A wedge from 87 degrees to the pole and a path anywhere near it."""
    ring = np.array([[0.0, 87.0], [90.0, 87.0], [90.0, 90.0], [0.0, 90.0], [0.0, 87.0]])
    start = (lon, lat)
    end = (lon, max(85.0, lat - 20.0 / M_PER_DEG))
    if twin.inside(end, [ring]):
        assert touches(ring, start, end, 1.0)
        return
    near = np.array([[x, y] for x in np.linspace(0, 90, 91) for y in (87.0, 90.0)])
    near = np.concatenate((near, [[x, y] for x in (0.0, 90.0) for y in np.linspace(87, 90, 200)]))
    distance = float(np.linalg.norm(twin.in_space(near) - twin.in_space(np.array([start])), axis=1).min())
    assert touches(ring, start, end, distance)
    if distance > 40_000.0:
        assert not touches(ring, start, end, 0.9 * distance - 12_000.0)


@given(st.floats(-179, 179), st.floats(-80, 80), st.floats(20.0, 80_000.0), SHARES, st.floats(0, 2 * math.pi))
@FEW
def test_circles(lon, lat, radius_m, share, course):
    """The path runs past the circle; its nearest point by GeographicLib."""
    away_m = radius_m * (0.5 + 1.5 * share) + 200.0 * share
    start = offset(lon, lat, away_m * math.cos(course), away_m * math.sin(course))
    end = offset(*start, 30.0, -20.0)
    path = twin.along(start, end, 10)
    wanted = min(geodesic(lon, lat, *position) for position in path.tolist())
    outside = wanted - radius_m
    assert kernel.near_circle(lon, lat, radius_m, *start, *end, max(0.0, outside) + 0.05)
    tight = outside - 2.0 - 0.002 * (radius_m + max(0.0, outside))
    if tight > 0.0 and radius_m >= kernel.BIG_CIRCLE_M:
        assert not kernel.near_circle(lon, lat, radius_m, *start, *end, outside - 2.0)
    elif tight > 0.0:
        slack = 0.003 * (outside + radius_m) * (1.0 + math.tan(math.radians(abs(lat))))
        assert not kernel.near_circle(lon, lat, radius_m, *start, *end, max(0.0, outside - slack - 2.0)) or (
            outside < slack + 2.0
        )


def test_three_centimetres_at_a_kilometre():
    """The stated error of the linear frame, at 45 degrees, all round; limits this near grow by 31 cm at most."""
    for course in np.linspace(0.0, 2.0 * math.pi, 16):
        corner = offset(10.0, 45.0, 1000.0 * math.cos(course), 1000.0 * math.sin(course))
        point = np.array([corner, corner])
        distance, _ = measured(point, (10.0, 45.0), (10.0, 45.0), math.inf)
        wanted = geodesic(10.0, 45.0, *corner)
        assert abs(distance - wanted) < 0.031
        assert touches(point, (10.0, 45.0), (10.0, 45.0), wanted)
        assert not touches(point, (10.0, 45.0), (10.0, 45.0), wanted - 0.4)


def test_a_path_through_a_thin_zone():
    """Both ends far outside, the edge in between."""
    ring = np.array([[10.0, 49.999], [10.00001, 49.999], [10.00001, 50.001], [10.0, 50.001], [10.0, 49.999]])
    assert touches(ring, (9.999, 50.0), (10.001, 50.0), 0.0)
    assert not touches(ring, (9.999, 50.002), (10.001, 50.002), 100.0)


def test_a_long_edge_is_straight_in_degrees():
    """Along the 50th parallel two degrees wide: the great circle would bulge 0.5 km north."""
    ring = np.array([[100.0, 50.0], [102.0, 50.0], [102.0, 50.6], [100.0, 50.6], [100.0, 50.0]])
    distance, inside = measured(ring, (101.0, 50.001), (101.0, 50.001), math.inf)
    assert inside
    assert distance == pytest.approx(111.229, abs=0.01)


def test_flat_rings_count_by_their_distance():
    line = np.array([[10.0, 50.0], [10.01, 50.0], [10.0, 50.0]])
    distance, inside = measured(line, (10.005, 50.001), (10.005, 50.001), math.inf)
    assert not inside
    assert distance == pytest.approx(111.229, abs=0.01)
    spot = np.array([[10.0, 50.0], [10.0, 50.0]])
    assert measured(spot, (10.0, 50.0), (10.0, 50.0), 1.0) == (0.0, False)


def test_across_the_180th_meridian():
    """The same ring written on the other side of the cut."""
    ring = np.array([[179.99, 0.0], [180.0, 0.0], [180.0, 0.01], [179.99, 0.01], [179.99, 0.0]])
    start, end = (-179.999, 0.005), (-179.9985, 0.005)
    distance, inside = measured(ring, start, end, math.inf)
    assert not inside
    assert distance == pytest.approx(111.32, abs=0.1)
    assert not touches(ring, (0.0, 0.005), (0.001, 0.005), 1000.0)


def test_far_shapes_come_back_as_infinite():
    ring = star(10.0, 50.0, [100.0] * 5)
    assert measured(ring, (10.1, 50.0), (10.1, 50.0), 500.0) == (math.inf, False)


def test_candidates_alone_are_looked_at():
    """Two zones, the second a circle, each with a margin of its own."""
    ring = star(10.0, 50.0, [100.0] * 8)
    arguments = (
        np.array([0, 1, 2], np.int64),
        np.array([0, 1, 1], np.int64),
        np.array([0, len(ring)], np.int64),
        np.ascontiguousarray(ring[:, 0]),
        np.ascontiguousarray(ring[:, 1]),
        np.array([[10.0, 0.0, 0.0, 0.0], [0.0, 10.0, 51.0, 100.0]]),
        np.array([0.0, 50.0]),
    )

    def near(candidates, lat, margin):
        path = (10.0, lat, 10.0001, lat)
        return bool(kernel.near_any(np.array(candidates, np.int64), *arguments, *path, margin))

    assert near([0], 50.0, 1.0)
    assert not near([1], 50.0, 1.0)
    assert near([1], 51.0 + 140.0 / M_PER_DEG, 0.0)
    assert not near([1], 51.0 + 160.0 / M_PER_DEG, 0.0)
    assert not near([], 50.0, 1.0)


def test_near_the_pole_the_bend_of_an_edge_is_allowed_for():
    """Just south of the middle of a piece of the 87th parallel, whose chord runs 0.8 m north of it."""
    wedge = np.array([[0.0, 87.0], [90.0, 87.0], [90.0, 90.0], [0.0, 90.0], [0.0, 87.0]])
    place = (45.125, 87.0 - 10.0 / 111_690.0)
    assert touches(wedge, place, place, 10.01)
    far = (45.125, 87.0 - 100.0 / 111_690.0)
    assert not touches(wedge, far, far, 75.0)


def test_near_the_pole_a_corner_under_the_car():
    spot = np.array([[10.0, 88.0], [10.0, 88.0]])
    assert measured(spot, (10.0, 88.0), (10.0, 88.0), 1.0) == (0.0, False)


def test_near_the_pole_holes_are_holes():
    """Two rings: the second one is a hole of 0.1 degrees."""
    shell = [[0.0, 86.0], [10.0, 86.0], [10.0, 87.0], [0.0, 87.0], [0.0, 86.0]]
    hole = [[4.0, 86.4], [6.0, 86.4], [6.0, 86.5], [4.0, 86.5], [4.0, 86.4]]
    both = np.array(shell + hole)
    lons, lats = np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
    bounds = np.array([0, 5, 10], np.int64)
    in_hole, in_zone = (5.0, 86.45), (2.0, 86.45)
    assert kernel.polygon_distance(bounds, lons, lats, 5.0, *in_hole, *in_hole, 5_000.0) == (math.inf, False)
    assert kernel.polygon_distance(bounds, lons, lats, 5.0, *in_zone, *in_zone, 500.0) == (math.inf, True)
    distance, inside = kernel.polygon_distance(bounds, lons, lats, 5.0, *in_hole, *in_hole, 6_000.0)
    assert not inside
    assert distance == pytest.approx(5_584.0, abs=20.0)


@pytest.mark.parametrize("lat", [0.0, 45.0, 60.0, 75.0])
@pytest.mark.parametrize("limit", [2_000.0, 20_000.0, 120_000.0])
def test_wide_limits_miss_no_small_circle(lat, limit):
    """What the frame gets wrong at tens of kilometres is added to the limit, all round."""
    direct = pytest.importorskip("geographiclib.geodesic").Geodesic.WGS84.Direct
    for course in range(0, 360, 15):
        for radius in (10.0, 4_900.0):
            there = direct(lat, 10.0, course, limit + radius - 0.01)
            place = (there["lon2"], there["lat2"])
            assert kernel.near_circle(10.0, lat, radius, *place, *place, limit)
            assert touches(np.array([[10.0, lat]] * 2), place, place, limit + radius)


@pytest.mark.parametrize("north_m", [-0.7, -1e-6, 0.0, 1e-6, 0.3, 0.7, 1.5])
def test_corners_level_with_the_car(north_m):
    """Inside and outside of a diamond whose corners lie east and west of the car, or nearly."""
    corners = [(200.0, north_m), (0.0, 300.0), (-200.0, north_m), (0.0, -300.0), (200.0, north_m)]
    diamond = np.array([offset(10.0, 50.0, *corner) for corner in corners])
    for east_m, wanted in [(0.0, True), (150.0, True), (-150.0, True), (260.0, False), (-260.0, False)]:
        place = offset(10.0, 50.0, east_m, 0.0)
        assert measured(diamond, place, place, 20.0) == (math.inf, wanted)


@pytest.mark.parametrize(("lon", "lat"), [(179.7, 0.3), (180.0, 0.0), (-179.9, -0.1)])
def test_nearly_opposite_is_far_away_and_never_unknown(lon, lat):
    """Vincenty's series does not settle there."""
    assert kernel.geodesic_m(0.0, 0.0, lon, lat) == pytest.approx(2e7, rel=0.003)


def test_at_a_pole_every_longitude_is_the_same_place():
    for lat in (90.0, -90.0):
        assert kernel.geodesic_m(0.0, lat, 180.0, lat) == pytest.approx(0.0, abs=1e-6)
    assert kernel.geodesic_m(10.0, 20.0, 10.0, 20.0) == 0.0
    assert kernel.geodesic_m(0.0, 90.0, 0.0, -90.0) == pytest.approx(20_003_931.5, abs=1.0)


@pytest.mark.parametrize("closest_m", [50_095.0, 50_105.0])
@pytest.mark.parametrize(
    "ends_m", [(-3_000.0, 1_100.0), (-1_100.0, 3_000.0), (-2_000.0, 2_000.0), (-4_000.0, 1_100.0)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_path_that_only_its_middle_brings_near_a_big_circle(closest_m, ends_m, turned):
    """50 km round (0, 0), 100 m of margin: a path along a meridian whose ends are farther than 50,100 m."""
    lon = closest_m / 111_319.491
    first, last = (end / 110_574.27 for end in (ends_m[::-1] if turned else ends_m))
    assert all(math.hypot(closest_m, end) > 50_101.0 for end in ends_m)
    assert kernel.near_circle(0.0, 0.0, 50_000.0, lon, first, lon, last, 100.0) is (closest_m < 50_100.0)
    assert kernel.near_circle(0.0, 0.0, 50_000.0, -lon, first, -lon, last, 100.0) is (closest_m < 50_100.0)


@pytest.mark.parametrize(("centre", "place"), [(179.9999, -179.9999), (-179.9999, 179.9999)])
def test_a_small_circle_over_the_180th_meridian(centre, place):
    """22.3 m apart at the equator."""
    for margin_m, near in ((13.0, True), (11.0, False)):
        assert kernel.near_circle(centre, 0.0, 10.0, place, 0.0, place, 0.0, margin_m) is near
