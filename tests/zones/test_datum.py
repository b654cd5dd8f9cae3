"""Datums: worked values, the agreed vectors, and inverses that give back what went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymize.zones import datum
from tests.zones.vectors import vectors

CHINA = st.tuples(st.floats(73.0, 136.0), st.floats(3.0, 54.0))
METRES_PER_DEG = 111_195.0


def off_m(found, wanted):
    """Distance in m between two (lon, lat) pairs of scalars, close together."""
    by_lon = (float(found[0]) - wanted[0]) * np.cos(np.radians(wanted[1]))
    return float(np.hypot(by_lon, float(found[1]) - wanted[1])) * METRES_PER_DEG


def one(function, lon_deg, lat_deg):
    lon, lat = function(np.array([lon_deg]), np.array([lat_deg]))
    return lon[0], lat[0]


def test_worked_by_hand():
    """Beijing, from the public formula in another language."""
    assert off_m(one(datum.wgs84_to_gcj02, 116.377817, 39.911954), (116.3840472246, 39.9133454554)) < 1e-3
    assert off_m(one(datum.wgs84_to_bd09, 116.377817, 39.911954), (116.3904547131, 39.919575551)) < 1e-3


def test_vectors_both_ways():
    for case in vectors("datum"):
        wgs, gcj, bd = (case[name][::-1] for name in ("wgs84", "gcj02", "bd09"))
        assert off_m(one(datum.wgs84_to_gcj02, *wgs), gcj) < 1e-3
        assert off_m(one(datum.wgs84_to_bd09, *wgs), bd) < 1e-3
        assert off_m(one(datum.gcj02_to_bd09, *gcj), bd) < 1e-3
        assert off_m(one(datum.gcj02_to_wgs84, *gcj), wgs) < 1e-3
        assert off_m(one(datum.bd09_to_wgs84, *bd), wgs) < 1e-3


def test_a_vendors_example():
    """A map vendor's documentation, within the tolerances stated for it."""
    for case in vectors("vendor_datum"):
        gcj, bd, wgs = (case[name][::-1] for name in ("gcj02", "bd09", "wgs84"))
        assert off_m(one(datum.gcj02_to_bd09, *gcj), bd) < case["tol_bd_m"]
        assert off_m(one(datum.gcj02_to_wgs84, *gcj), wgs) < case["tol_wgs_m"]


@given(CHINA)
def test_inverses_give_back_what_went_in(place):
    for name in datum.DATUMS:
        there = one(lambda lon, lat, name=name: datum.from_wgs84(lon, lat, name), *place)
        assert off_m(one(lambda lon, lat, name=name: datum.to_wgs84(lon, lat, name), *there), place) < 2e-4


@given(CHINA)
def test_the_offset_is_of_the_known_size(place):
    """18 to 713 m for GCJ-02 within China; over the whole area it is defined in a little more."""
    assert 1.0 < off_m(one(datum.wgs84_to_gcj02, *place), place) < 1_200.0


def test_one_step_is_not_enough():
    """The widespread inverse of one step leaves metres; ours does not."""
    lon, lat = np.array([100.5]), np.array([30.25])
    moved = datum.wgs84_to_gcj02(lon, lat)
    again = datum.wgs84_to_gcj02(*moved)
    one_step = 2 * moved[0] - again[0], 2 * moved[1] - again[1]
    assert off_m((one_step[0][0], one_step[1][0]), (100.5, 30.25)) > 0.1
    assert off_m(one(datum.gcj02_to_wgs84, moved[0][0], moved[1][0]), (100.5, 30.25)) < 2e-4


@pytest.mark.parametrize(
    ("lon", "lat", "within"), [(116.4, 39.9, True), (2.35, 48.85, False), (127.0, 37.5, True)]
)
def test_where_it_is_defined(lon, lat, within):
    assert bool(datum.in_gcj02_area(np.array(lon), np.array(lat))) is within


def test_empty_arrays():
    lon, lat = datum.to_wgs84(np.empty(0), np.empty(0), "bd09")
    assert lon.shape == lat.shape == (0,)
