"""Views at their borders; what they hold on the way is in `test_decide`."""

from __future__ import annotations

import math

import pytest

from anonymize.errors import UsageError
from anonymize.zones.fixes import Fix, distance_between_m
from anonymize.zones.rules import GateRules
from anonymize.zones.views import CameraView, Wedge


def at(east_m: float, heading_deg: float | None, lat_deg: float = 48.0) -> Fix:
    return Fix(11.0 + east_m / 74_625.0, lat_deg, 3.0, 1.8e9, heading_deg=heading_deg)


def test_what_is_assumed_of_a_camera():
    view = CameraView()
    assert (view.view_m, view.clock_offset_s, view.clock_uncertainty_s, view.wedge) == (150.0, 0.0, 0.1, None)


@pytest.mark.parametrize("uncertainty_s", [math.inf, math.nan, -0.001])
def test_a_clock_that_may_be_anything_is_refused(uncertainty_s):
    with pytest.raises(UsageError, match="clock_uncertainty_s"):
        CameraView(clock_uncertainty_s=uncertainty_s)


@pytest.mark.parametrize("half_deg", [46.0, 75.0, 89.0])
def test_a_wide_sector_lies_in_a_circle_through_its_corners(half_deg):
    offset_m, radius_m = Wedge(0.0, 2.0 * half_deg, 100.0, 0.0).circle()
    assert offset_m == pytest.approx(100.0 * math.cos(math.radians(half_deg)))
    assert radius_m == pytest.approx(100.0 * math.sin(math.radians(half_deg)))


def test_more_than_a_half_circle_is_a_circle():
    assert Wedge(0.0, 180.0, 100.0, 0.0).circle() == (0.0, 100.0)
    assert Wedge(0.0, 161.0, 100.0).circle() == (0.0, 100.0)


@pytest.mark.parametrize(
    ("first_deg", "second_deg"), [(350.0, 10.0), (10.0, 350.0), (0.0, 20.0), (-170.0, 170.0)]
)
def test_a_turn_over_north_is_the_short_one(first_deg, second_deg):
    wedge = Wedge(0.0, 20.0, 100.0, 10.0)
    offset_m, radius_m = wedge.circle()
    here, there = at(0.0, first_deg), at(30.0, second_deg)
    _, _, seen_m = CameraView(wedge=wedge).seen_from(here, there)
    half_turn = math.radians(10.0)
    more_m = offset_m * (1.0 - math.cos(half_turn)) + 2.0 * offset_m * math.sin(half_turn)
    assert more_m < distance_between_m(here, there)
    assert seen_m == pytest.approx(radius_m + more_m)


@pytest.mark.parametrize(
    ("here", "there", "is_circle"),
    [
        (at(0, 0.0), at(30, 60.0), False),
        (at(0, 0.0), at(30, 60.001), True),
        (at(0, 0.0, 89.0), at(0, 0.0, 89.0), False),
        (at(0, 0.0, 89.001), at(0, 0.0, 88.9), True),
        (at(0, 0.0, 88.9), at(0, 0.0, 89.001), True),
        (at(0, 0.0, -89.001), at(0, 0.0, -88.9), True),
        (at(0, math.inf), at(0, 0.0), True),
        (at(0, 0.0), at(0, None), True),
    ],
)
def test_where_the_direction_says_too_little_it_is_the_whole_circle(here, there, is_circle):
    start, end, radius_m = CameraView(wedge=Wedge(0.0, 20.0, 100.0, 10.0)).seen_from(here, there)
    as_circle = (here.lon_deg, here.lat_deg), (there.lon_deg, there.lat_deg), 100.0
    assert ((start, end, radius_m) == as_circle) is is_circle


@pytest.mark.parametrize("rules", [{"scrub_s": 60.01}, {"feed_latency_s": 60.01}, {"scrub_s": math.nan}])
def test_rules_end_at_a_minute(rules):
    with pytest.raises(UsageError, match="0 to 60 s"):
        GateRules(**rules)


@pytest.mark.parametrize(
    "wedge",
    [
        (0.0, 360.001, 100.0),
        (0.0, 60.0, math.inf),
        (0.0, 60.0, 100.0, 180.001),
        (0.0, math.nan, 1.0),
        (0.0, 60.0, math.nan),
    ],
)
def test_wedges_end_where_a_circle_does(wedge):
    with pytest.raises(UsageError):
        Wedge(*wedge)


def test_a_wedge_may_be_a_whole_circle_and_is_uncertain_by_ten_degrees():
    assert Wedge(0.0, 360.0, 100.0, 180.0).circle() == (0.0, 100.0)
    assert Wedge(0.0, 60.0, 100.0).heading_uncertainty_deg == 10.0
