"""What is believed of a fix and of a step, at every border of every rule."""

from __future__ import annotations

import math

import pytest

from anonymize.zones.fixes import (
    FineReason,
    Fix,
    distance_between_m,
    fault_of_fix,
    fault_of_step,
    moved,
    stands_frozen,
)
from tests.zones.places import fix

NAN, INF = math.nan, math.inf


def at(lon_deg: float = 11.0, lat_deg: float = 48.0, accuracy_m: float | None = 5.0, **more) -> Fix:
    return Fix(lon_deg, lat_deg, accuracy_m, more.pop("time_s", 1_800_000_000.0), **more)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (at(), None),
        (at(180.0, -90.0), None),
        (at(-180.0, 90.0), None),
        (at(time_s=NAN), FineReason.TIME),
        (at(time_s=INF), FineReason.TIME),
        (at(NAN), FineReason.NO_POSITION),
        (at(11.0, NAN), FineReason.NO_POSITION),
        (at(INF), FineReason.NO_POSITION),
        (at(180.1), FineReason.NO_POSITION),
        (at(48.0, 116.4), FineReason.NO_POSITION),  # swapped
        (at(0.0, 0.0), FineReason.ZERO_POSITION),
        (at(-9.9e-5, 9.9e-5), FineReason.ZERO_POSITION),
        (at(0.0, 1e-4), None),
        (at(1e-4, 0.0), None),
        (at(dimensions=2), FineReason.TWO_DIMENSIONAL),
        (at(dimensions=0), FineReason.TWO_DIMENSIONAL),
        (at(dimensions=3), None),
        (at(accuracy_m=None), FineReason.ACCURACY_MISSING),
        (at(accuracy_m=0.0), FineReason.ACCURACY_MISSING),
        (at(accuracy_m=-1.0), FineReason.ACCURACY_MISSING),
        (at(accuracy_m=NAN), FineReason.ACCURACY_MISSING),
        (at(accuracy_m=100.0), None),
        (at(accuracy_m=100.1), FineReason.ACCURACY_POOR),
        (at(accuracy_m=INF), FineReason.ACCURACY_POOR),
        (at(dead_reckoned=True), FineReason.DEAD_RECKONING),
        (at(wheel_speed_mps=0.0), None),
        (at(wheel_speed_mps=-0.1), FineReason.ODOMETRY),
        (at(wheel_speed_mps=NAN), FineReason.ODOMETRY),
        (at(wheel_speed_mps=INF), FineReason.ODOMETRY),
    ],
)
def test_a_fix_alone(given, fault):
    assert fault_of_fix(given) is fault


@pytest.mark.parametrize(
    ("earlier", "later", "fault"),
    [
        (fix(0), fix(2.0), None),
        (fix(0), fix(2.01), FineReason.GAP),
        (fix(0), fix(1, continues=False), FineReason.GAP),
        # slack 2 x 2.46 x 5 m = 24.6 m, so the border of 1 s lies at 94.6 m
        (fix(0), fix(1, 94.0), None),
        (fix(0), fix(1, 95.2), FineReason.SPEED),
        (fix(0), fix(1, 95.2, accuracy_m=10.0), None),
        # odometry 10 m/s: from nothing to 25 m and slack
        (fix(0, wheel_speed_mps=10.0), fix(1, 49.0, wheel_speed_mps=10.0), None),
        (fix(0, wheel_speed_mps=10.0), fix(1, 50.2, wheel_speed_mps=10.0), FineReason.ODOMETRY),
        (fix(0, wheel_speed_mps=10.0), fix(1, 50.2, wheel_speed_mps=11.0), None),
        (fix(0), fix(1, 50.2, wheel_speed_mps=10.0), None),
        (fix(0, wheel_speed_mps=10.0), fix(1, 50.2), None),
        # odometry 40 m/s and the fix stands still: 40 - 15 = 25 m are more than the slack
        (fix(0, wheel_speed_mps=40.0), fix(1, wheel_speed_mps=40.0), FineReason.ODOMETRY),
        (fix(0, wheel_speed_mps=39.0), fix(1, wheel_speed_mps=40.0), None),
    ],
)
def test_a_step(earlier, later, fault):
    assert fault_of_step(earlier, later) is fault


def test_a_longer_gap_and_a_lower_speed_can_be_asked_for():
    assert fault_of_step(fix(0), fix(10), max_gap_s=10.0) is None
    assert fault_of_step(fix(0), fix(1, 60.0), max_speed_mps=30.0) is FineReason.SPEED


def test_frozen_needs_turning_wheels_at_both_ends_and_every_digit():
    assert stands_frozen(fix(0, wheel_speed_mps=0.6), fix(1, wheel_speed_mps=0.6))
    assert not stands_frozen(fix(0, wheel_speed_mps=0.5), fix(1, wheel_speed_mps=0.6))
    assert not stands_frozen(fix(0, wheel_speed_mps=0.6), fix(1, wheel_speed_mps=0.5))
    assert not stands_frozen(fix(0), fix(1, wheel_speed_mps=9.0))
    assert not stands_frozen(fix(0, wheel_speed_mps=9.0), fix(1))
    assert not stands_frozen(fix(0, wheel_speed_mps=9.0), fix(1, 1e-3, wheel_speed_mps=9.0))


@pytest.mark.parametrize(
    ("first", "second", "metres"),
    [
        (at(0.0, 10.0), at(0.0, 10.001), 110.608),  # meridian arc at 10 degrees: 110.608 km a degree
        (at(5.0, 60.0), at(5.001, 60.0), 55.800),  # one degree of longitude at 60 degrees: 55.800 km
        (at(180.0, 0.0), at(-179.999, 0.0), 111.319),  # across the antimeridian
        (at(0.0, 90.0), at(123.0, 90.0), 0.0),  # the pole is one point
    ],
)
def test_distances_are_those_of_the_ellipsoid(first, second, metres):
    assert distance_between_m(first, second) == pytest.approx(metres, abs=1e-3)


@pytest.mark.parametrize("lat_deg", [0.0, 48.0, -71.0, 88.9])
@pytest.mark.parametrize("lon_deg", [11.0, 179.9999, -180.0])
def test_moved_goes_as_far_as_told(lon_deg, lat_deg):
    start = at(lon_deg, lat_deg)
    there = at(*moved(start, 60.0, -80.0))
    assert distance_between_m(start, there) == pytest.approx(100.0, abs=0.02)
    assert -180.0 <= there.lon_deg <= 180.0
    assert there.lat_deg < lat_deg


def test_the_radius_is_at_least_five_metres_and_infinite_where_there_is_none():
    assert at(accuracy_m=0.01).r68_m == 5.0
    assert at(accuracy_m=12.5).r68_m == 12.5
    for none in (None, 0.0, NAN, -3.0):
        assert at(accuracy_m=none).r68_m == INF


def test_no_place_in_the_repr():
    assert repr(at(116.395, 39.914)) == "<Fix>"
    assert "116" not in str([at(116.395, 39.914)])


@pytest.mark.parametrize(("metres", "fault"), [(69.0, None), (72.0, FineReason.ODOMETRY)])
def test_odometry_counts_by_the_second(metres, fault):
    """In 1.5 s at 15 m/s by the wheels: at most 1.5 x 30 m and the accuracy of both ends, 24.6 m."""
    earlier, later = fix(0, wheel_speed_mps=15.0), fix(1.5, metres, wheel_speed_mps=15.0)
    assert fault_of_step(earlier, later) is fault


@pytest.mark.parametrize(("metres", "fault"), [(13.5, None), (12.0, FineReason.ODOMETRY)])
def test_standing_still_on_turning_wheels_counts_by_the_second(metres, fault):
    """In 1.5 s at 40 m/s by the wheels: at least 1.5 x 25 m, less 24.6 m."""
    earlier, later = fix(0, wheel_speed_mps=40.0), fix(1.5, metres, wheel_speed_mps=40.0)
    assert fault_of_step(earlier, later) is fault
