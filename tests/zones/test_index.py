"""The index answers as if it asked every zone, and True wherever it cannot know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("shapely", reason="the extra `zones` is not installed")

from anonymize.zones.errors import ZoneListError
from anonymize.zones.geometry import signed_distance_m
from anonymize.zones.index import SECRET_LIMIT_M, ZoneIndex, secret_margin_m
from anonymize.zones.shapes import Circle, Polygon, Zone, ZoneList
from anonymize.zones.windows import Window

M_PER_DEG = 111_195.0
KEY = b"0123456789abcdef"
NOON = 1_655_553_600.0


def zone(number, *shapes, **fields):
    return Zone(number, f"zone {number}", fields.pop("site_id", f"site {number}"), shapes, **fields)


def box(west, south, east, north):
    ring = np.array([[west, south], [east, south], [east, north], [west, north], [west, south]])
    return Polygon((ring,))


def index_of(*zones, **options):
    return ZoneIndex(ZoneList(zones, "geojson"), **options)


def touches(index, start, end=None, margin_m=0.0, time_s=NOON, **options):
    return index.touches(start, end or start, margin_m=margin_m, time_s=time_s, **options)


def metres_north(lat, metres):
    return lat + metres / 111_032.0


SQUARE = box(116.39, 39.91, 116.4, 39.918)


def test_the_seam_of_the_gate():
    """The call that the gate makes, with keywords."""
    index = index_of(zone(1, SQUARE))
    near = (116.395, metres_north(39.918, 100.0))
    assert index.touches(near, near, margin_m=101.0, time_s=NOON, clock_uncertainty_s=60.0)
    assert not index.touches(near, near, margin_m=99.0, time_s=NOON, clock_uncertainty_s=60.0)
    assert len(index) == 1
    assert repr(index) == "<ZoneIndex of 1 zones>"


def test_the_path_counts_not_its_ends():
    index = index_of(zone(1, SQUARE))
    assert touches(index, (116.38, 39.914), (116.41, 39.914))
    assert not touches(index, (116.38, 39.92), (116.41, 39.92))


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 181.0])
def test_what_is_no_place_touches(odd):
    """`contains(Point(nan, 1))` would say outside."""
    index = index_of(zone(1, SQUARE))
    for start, end in [
        ((odd, 0.0), (0.0, 0.0)),
        ((0.0, odd), (0.0, 0.0)),
        ((0.0, 0.0), (odd, 0.0)),
        ((0.0, 0.0), (0.0, odd)),
    ]:
        assert touches(index, start, end)
    for beyond in ((0.0, 91.0), (0.0, -91.0), (-181.0, 0.0), (181.0, 0.0)):
        assert touches(index, beyond)
        assert touches(index, beyond, (0.0, 0.0))
        assert touches(index, (0.0, 0.0), beyond)


@pytest.mark.parametrize("margin_m", [math.nan, math.inf, -1.0])
def test_what_is_no_margin_touches(margin_m):
    assert touches(index_of(zone(1, SQUARE)), (0.0, 0.0), margin_m=margin_m)


def test_margins_add_up():
    """Of the query, of the zone, of the site's secret."""
    secret_m = secret_margin_m(KEY, "site 1")
    index = index_of(zone(1, SQUARE, margin_m=40.0), margin_key=KEY)
    edge_m = 25.0 + 40.0 + secret_m
    assert touches(index, (116.395, metres_north(39.918, edge_m - 0.5)), margin_m=25.0)
    assert not touches(index, (116.395, metres_north(39.918, edge_m + 0.5)), margin_m=25.0)


def test_the_secret_margin_is_the_sites():
    """As `openssl dgst -sha256 -mac HMAC` says; the same for all versions, other for other keys and sites."""
    sites = [f"site {k}" for k in range(300)]
    margins = [secret_margin_m(KEY, site) for site in sites]
    assert margins == [secret_margin_m(KEY, site) for site in sites]
    assert all(0.0 <= margin < SECRET_LIMIT_M for margin in margins)
    assert 85.0 < np.mean(margins) < 115.0
    assert secret_margin_m(KEY[::-1], sites[0]) != margins[0]
    assert secret_margin_m(KEY, "site 1") == 76.355


def test_a_short_key_is_refused():
    with pytest.raises(ZoneListError, match="15 bytes"):
        index_of(zone(1, SQUARE), margin_key=b"x" * 15)


def test_nothing_to_keep_away_from_is_refused():
    for zones in ((), (zone(1, SQUARE), zone(2)), (zone(1, Polygon(())),)):
        with pytest.raises(ZoneListError, match="no "):
            index_of(*zones)


def test_windows_of_time():
    """Active on Saturdays at 12:00 UTC; a neighbour without windows is always active."""
    window = Window(days=frozenset({5}), start_s=43_000.0, end_s=43_300.0)
    index = index_of(zone(1, SQUARE, windows=(window,)), zone(2, box(10.0, 50.0, 10.01, 50.01)))
    assert touches(index, (116.395, 39.914), time_s=NOON)
    assert not touches(index, (116.395, 39.914), time_s=NOON + 86_400.0)
    assert not touches(index, (116.395, 39.914), time_s=NOON + 170.0)
    assert touches(index, (116.395, 39.914), time_s=NOON + 170.0, clock_uncertainty_s=90.0)
    assert touches(index, (116.395, 39.914), time_s=math.nan)
    assert touches(index, (10.005, 50.005), time_s=NOON + 86_400.0)


def test_across_180_degrees():
    """Zone east of the cut, car west of it, and a path over it."""
    index = index_of(zone(1, box(-180.0, 0.0, -179.99, 0.01)), zone(2, Circle(179.9, 10.0, 20_000.0)))
    assert touches(index, (179.9995, 0.005), margin_m=60.0)
    assert not touches(index, (179.9995, 0.005), margin_m=50.0)
    assert touches(index, (179.9999, 0.005), (-179.9999, 0.005))
    assert touches(index, (-179.95, 10.0))
    assert not touches(index, (-179.8, 10.0), margin_m=1000.0)


def test_at_the_poles():
    index = index_of(zone(1, box(0.0, 89.0, 180.0, 90.0)), zone(2, box(-180.0, -90.0, -90.0, -89.999)))
    assert touches(index, (-90.0, 89.9995), margin_m=60.0)
    assert not touches(index, (-90.0, 89.99), margin_m=900.0)
    assert touches(index, (45.0, -90.0))
    assert touches(index, (90.0, -89.9999), margin_m=30.0)
    assert not touches(index, (45.0, -89.9), margin_m=1000.0)


def test_a_circle_that_holds_the_pole_is_found_from_its_other_side():
    """Centre 56 km from the pole, radius 100 km; a car 22 km beyond the pole."""
    index = index_of(zone(1, Circle(0.0, 89.5, 100_000.0)), zone(2, box(0.0, 0.0, 0.1, 0.1)))
    assert touches(index, (180.0, 89.8))
    assert touches(index, (-100.0, 89.8))
    assert not touches(index, (180.0, 89.5))


def test_near_a_pole_zones_all_round_it_are_found():
    """A zone 33 km from the pole, a car as far on its other side."""
    index = index_of(zone(1, box(0.0, 89.7, 1.0, 89.71)), zone(2, box(0.0, 0.0, 0.1, 0.1)))
    assert touches(index, (180.0, 89.7), margin_m=80_000.0)
    assert not touches(index, (180.0, 89.7), margin_m=50_000.0)


def test_far_south_boxes_grow_by_their_most_polar_side():
    """A zone from 60 to 80 degrees south with a margin of its own of 50 km, a car 48 km east of its south end."""
    far_south = box(0.0, -80.0, 1.0, -60.0)
    index = index_of(zone(1, far_south, margin_m=50_000.0), zone(2, box(100.0, 0.0, 100.1, 0.1)))
    assert touches(index, (1.0 + 48.0 / 19.4, -79.95))
    assert not touches(index, (1.0 + 56.0 / 19.4, -79.95))


def test_a_polygon_west_of_the_180th_meridian_is_met_from_its_east():
    index = index_of(zone(1, box(179.99, 0.0, 180.0, 0.01)), zone(2, box(0.0, 0.0, 0.1, 0.1)))
    assert touches(index, (-179.9995, 0.005), margin_m=60.0)
    assert not touches(index, (-179.9995, 0.005), margin_m=50.0)


def test_a_zone_of_which_one_part_is_empty_is_refused():
    with pytest.raises(ZoneListError, match="no geometry"):
        index_of(zone(1, Circle(11.0, 48.0, 5.0), Polygon(())))


def test_long_paths_are_asked_about_in_pieces():
    """A gap of an archive: 800 km straight through, and past at 60 km."""
    index = index_of(zone(1, SQUARE))
    assert touches(index, (112.0, 39.914), (121.0, 39.914))
    assert not touches(index, (112.0, 40.5), (121.0, 40.5), margin_m=60_000.0)
    assert touches(index, (112.0, 40.5), (121.0, 40.5), margin_m=66_000.0)


def test_a_wide_margin_far_north():
    """200 km at 69 degrees: the frame in metres no longer fits, the answer still does."""
    index = index_of(zone(1, box(20.0, 70.0, 20.01, 70.01)))
    assert touches(index, (20.0, 69.0), margin_m=112_000.0)
    assert not touches(index, (20.0, 69.0), margin_m=105_000.0)
    assert touches(index, (25.25, 70.0), margin_m=200_500.0)
    assert not touches(index, (25.25, 70.0), margin_m=180_000.0)


PLACES = st.tuples(st.floats(-180, 180), st.floats(-89, 89))


@given(PLACES, st.integers(0, 2**32), st.floats(0.0, 400.0))
@settings(max_examples=40, deadline=None)
def test_as_if_every_zone_were_asked(place, seed, margin_m):
    """Fifty zones round a place anywhere, against the distances of single zones."""
    random = np.random.default_rng(seed)
    lon, lat = place
    per_lon = M_PER_DEG * max(0.01, math.cos(math.radians(lat)))
    zones = []
    for number in range(50):
        west = lon + random.normal(0.0, 1500.0) / per_lon
        west -= 360.0 * round(west / 360.0)
        south = float(np.clip(lat + random.normal(0.0, 1500.0) / M_PER_DEG, -89.9, 89.9))
        if number % 3 == 0 or west > 179.0 or abs(lat) > 88.0:
            zones.append(zone(number, Circle(west, south, random.uniform(10.0, 300.0))))
        else:
            zones.append(zone(number, box(west, south, west + 200.0 / per_lon, south + 150.0 / M_PER_DEG)))
    index = index_of(*zones)
    nearest_m = min(signed_distance_m(one, place) for one in zones)
    slack_m = 1.0 + 0.002 * (margin_m + 300.0) * (1.0 + math.tan(math.radians(min(abs(lat), 85.0))))
    if nearest_m <= margin_m - slack_m:
        assert touches(index, place, margin_m=margin_m)
    if nearest_m > margin_m + slack_m + (11.0 if abs(lat) > 84.0 else 0.0):
        assert not touches(index, place, margin_m=margin_m)


def test_importing_the_package_stays_light():
    """Shapely and tuf come with the first list, not with the package."""
    import subprocess
    import sys

    code = "import anonymize.zones, sys; print([m for m in ('shapely', 'tuf', 'gpxpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_long_paths_in_every_direction():
    """Along a meridian and across: the zone lies in the last stretch, beside it and before it."""
    index = index_of(zone(1, SQUARE))
    assert touches(index, (116.395, 39.0), (116.395, 39.911))
    assert touches(index, (116.395, 40.9), (116.395, 39.917))
    assert not touches(index, (116.395, 39.0), (116.395, 39.905), margin_m=500.0)
    assert touches(index, (116.395, 39.0), (116.395, 39.905), margin_m=560.0)
    assert touches(index, (115.395, 38.914), (117.395, 40.914))
    assert not touches(index, (115.395, 40.0), (117.395, 40.914))
    assert index.touches((0.0, 0.0), (1.0, 0.0), margin_m=0.0, time_s=NOON) is False


def test_long_paths_to_their_very_end_and_no_other_way():
    index = index_of(zone(1, SQUARE))
    assert touches(index, (115.395, 39.914), (116.391, 39.914))
    assert touches(index, (117.395, 39.914), (116.399, 39.914))
    assert not touches(index, (115.395, 39.914), (116.389, 39.914), margin_m=80.0)
    # 22 km north of the zone, slantwise
    assert not touches(index, (116.195, 39.914), (116.595, 40.314), margin_m=10_000.0)
    assert not touches(index, (116.595, 40.314), (116.195, 39.914), margin_m=10_000.0)


def test_a_path_over_the_180th_meridian_goes_the_short_way():
    index = index_of(zone(1, box(-1.0, 4.0, 1.0, 6.0)))
    assert not touches(index, (179.9, 5.0), (-179.9, 5.0))
    assert not touches(index, (-179.9, 5.0), (179.9, 5.0))


@pytest.mark.parametrize("place", [(180.0, 0.0), (-180.0, 0.0), (0.0, 90.0), (0.0, -90.0)])
def test_the_ends_of_the_globe_are_places(place):
    index = index_of(zone(1, SQUARE))
    assert index.touches(place, place, margin_m=0.0, time_s=NOON) is False
