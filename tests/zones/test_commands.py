"""What the commands say and write."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("shapely", reason="the extra `zones` is not installed")

from anonymize.errors import UsageError
from anonymize.zones import commands
from anonymize.zones.authority import new_key
from anonymize.zones.errors import ZoneListError, ZoneTrustError
from anonymize.zones.fixes import Fix
from anonymize.zones.geometry import signed_distance_m
from anonymize.zones.lists import load_zones, parse_zones
from anonymize.zones.preview import preview_html
from anonymize.zones.views import CameraView
from anonymize.zones.writing import written

SQUARE = [[116.39, 39.91], [116.4, 39.91], [116.4, 39.918], [116.39, 39.918], [116.39, 39.91]]
BOW_TIE = [[116.5, 39.9], [116.51, 39.91], [116.51, 39.9], [116.5, 39.91], [116.5, 39.9]]
WEEKENDS = [{"schedule": [{"day": ["SAT", "SUN"], "startTime": "17:00:00Z", "endTime": "23:59:59Z"}]}]


def document(**top):
    features = [
        {
            "type": "Feature",
            "id": "first",
            "properties": {"margin_m": 25, "purpose": "<b>army</b>", "limitedApplicability": WEEKENDS},
            "geometry": {"type": "MultiPolygon", "coordinates": [[SQUARE], [BOW_TIE]]},
        },
        {
            "type": "Feature",
            "properties": {"site": "second", "radius_m": 700},
            "geometry": {"type": "Point", "coordinates": [117.0, 40.0]},
        },
    ]
    return {"type": "FeatureCollection", "features": features, **top}


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps(document()))
    return path


def test_check_says_what_is_there(listed):
    text = commands.check(listed)
    for line in ("geojson", "wgs84", "2 on 2 sites", "3 polygons", "1 circles", "0 to 25 m", "repaired  1"):
        assert line in text
    assert "feature 1: a ring that crosses itself was repaired" in text
    assert re.search(r"area +2\.\d{3} km2|area +3\.\d{3} km2", text)


def test_check_counts_what_it_does_not_list(tmp_path):
    path = tmp_path / "many.geojson"
    feature = {
        "type": "Feature",
        "id": "a",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [BOW_TIE]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature] * 50}))
    assert "and 30 more: 50 x a ring that crosses itself was repaired" in commands.check(path)


def test_check_refuses_as_a_vehicle_would(tmp_path):
    path = tmp_path / "bad.geojson"
    path.write_text("{}")
    with pytest.raises(ZoneListError):
        commands.check(path)


@pytest.mark.parametrize("to_format", ["geojson", "ed318"])
@pytest.mark.parametrize("to_datum", ["wgs84", "gcj02", "bd09"])
def test_convert_keeps_zones_where_they_are(listed, tmp_path, to_format, to_datum):
    """Read again they are the same zones: place to a centimetre, windows, margins, sites."""
    output = tmp_path / "out.json"
    said = commands.convert(listed, output, to_format=to_format, to_datum=to_datum)
    assert "2 zones written" in said
    assert output.stat().st_mode & 0o777 == 0o600
    before, after = load_zones(listed), load_zones(output)
    assert after.source_format == to_format
    assert after.datums == (to_datum,)
    for old, new in zip(before, after, strict=True):
        assert (old.site_id, old.margin_m, old.purpose, old.windows) == (
            new.site_id,
            new.margin_m,
            new.purpose,
            new.windows,
        )
        for place in ((116.395, 39.909), (116.398, 39.914), (116.502, 39.905), (117.0, 40.006)):
            assert signed_distance_m(new, place) == pytest.approx(signed_distance_m(old, place), abs=0.02)


def test_convert_states_the_datum_of_a_bare_file(listed, tmp_path):
    commands.convert(listed, tmp_path / "out.json", datum="gcj02")
    moved = load_zones(tmp_path / "out.json")
    assert 300.0 < signed_distance_m(moved.zones[0], (116.3901, 39.9101)) + 600.0 < 1200.0
    with pytest.raises(ZoneListError, match="another datum"):
        commands.convert(tmp_path / "out.json", tmp_path / "again.json", datum="gcj02")


def test_convert_refuses_what_cannot_be(listed, tmp_path):
    with pytest.raises(ZoneListError, match="geojson or ed318"):
        commands.convert(listed, tmp_path / "x", to_format="kml")
    with pytest.raises(ZoneListError, match="datum"):
        commands.convert(listed, tmp_path / "x", to_datum="nad27")
    far = document()
    far["features"][1]["geometry"]["coordinates"] = [2.35, 48.85]
    with pytest.raises(ZoneListError, match="feature 2"):
        written(parse_zones(json.dumps(far).encode()), datum="gcj02")
    assert not (tmp_path / "x").exists()


def test_honoured_holes_are_written(tmp_path):
    hole = [[116.394, 39.913], [116.396, 39.913], [116.396, 39.915], [116.394, 39.915], [116.394, 39.913]]
    with_hole = document(zone_list={"datum": "wgs84", "honour_holes": True, "name": "N"})
    with_hole["features"][0]["geometry"] = {"type": "Polygon", "coordinates": [SQUARE, hole]}
    text = written(parse_zones(json.dumps(with_hole).encode()))
    again = parse_zones(text.encode())
    assert again.name == "N"
    assert signed_distance_m(again.zones[0], (116.395, 39.914)) > 80.0


@given(
    st.lists(st.tuples(st.floats(-179, 179), st.floats(-85, 85), st.floats(1, 5000)), min_size=1, max_size=4)
)
@settings(max_examples=30, deadline=None)
def test_circles_come_back(circles):
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {
                "type": "Point",
                "coordinates": [lon, lat],
                "extent": {"subType": "Circle", "radius": radius},
            },
        }
        for lon, lat, radius in circles
    ]
    before = parse_zones(json.dumps({"type": "FeatureCollection", "features": features}).encode())
    after = parse_zones(written(before, to_format="ed318").encode())
    for old, new in zip(before, after, strict=True):
        (was,), (now,) = old.shapes, new.shapes
        assert (now.lon_deg, now.lat_deg) == pytest.approx((was.lon_deg, was.lat_deg), abs=1e-9)
        assert now.radius_m == was.radius_m


def test_sign_and_verify(listed, tmp_path):
    pytest.importorskip("tuf", reason="the extra `zones` is not installed")
    keys = [tmp_path / "k1", tmp_path / "k2"]
    public = [new_key(key) for key in keys]
    folder = tmp_path / "signed"
    said = commands.sign(listed, folder, keys[:1], public_keys=public, threshold=2)
    assert "vehicles trust metadata/1.root.json" in said
    assert "version 1: 1 of 2 signatures, vehicles refuse it" in said
    root = folder / "metadata" / "1.root.json"
    with pytest.raises(ZoneTrustError):
        commands.verify(folder, root)
    assert "2 of 2 signatures, complete" in commands.sign(None, folder, keys[1:])
    assert "version 1, 2 zones" in commands.verify(folder, root, state=tmp_path / "state")
    assert "version 2" in commands.sign(listed, folder, keys)
    assert "version 2, 2 zones" in commands.verify(folder, root)
    with pytest.raises(UsageError, match="no key"):
        commands.sign(listed, folder, [])
    with pytest.raises(UsageError, match="root file"):
        commands.verify(folder, tmp_path / "none")


def test_verify_tells_an_expired_list(listed, tmp_path):
    pytest.importorskip("tuf", reason="the extra `zones` is not installed")
    import time

    public = new_key(tmp_path / "k")
    commands.sign(listed, tmp_path / "s", [tmp_path / "k"], public_keys=[public], valid_days=1, grace_days=30)
    said = commands.verify(
        tmp_path / "s", tmp_path / "s/metadata/1.root.json", now_s=time.time() + 3 * 86_400
    )
    assert "over, still enforced" in said


def test_preview_is_one_page_that_says_secret(listed, tmp_path):
    """A drive of 26 m/s through the first zone on a Saturday: the ends are kept, the middle is not."""
    fixes = [Fix(116.36 + 0.0003 * k, 39.914, 4.0, 1_800_122_400.0 + k) for k in range(234)]
    said = commands.preview(listed, tmp_path / "map.html", fixes=fixes, view=CameraView(50.0))
    assert "as secret as the list" in said
    kept, of = map(int, re.search(r"(\d+) of (\d+) positions kept", said).groups())
    assert of == 234
    # the zone is 33 steps long; margin 2.46 x 5 + 11 + 50 + 25 m of its own, 3 s and hysteresis, both ends 3 s
    assert 234 - 33 - 2 * 4 - 16 - 8 <= kept <= 234 - 33 - 2 * 4 - 6 - 6
    page = (tmp_path / "map.html").read_text()
    assert (tmp_path / "map.html").stat().st_mode & 0o777 == 0o600
    assert "Secret" in page
    assert "http" not in page.replace('charset="utf-8"', "")
    assert "<b>army" not in page
    assert "&lt;b&gt;army" in page
    assert "73.3 m and the zone's own" in page
    assert page.count('class="zone"') == 2
    assert page.count('class="kept"') == 2


def test_of_a_long_list_the_zones_near_the_drive_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("anonymize.zones.preview.MOST_ZONES", 3)
    features = [
        {
            "type": "Feature",
            "id": f"zone{k}",
            "properties": {"radius_m": 50},
            "geometry": {"type": "Point", "coordinates": [11.0 + 0.1 * k, 48.0]},
        }
        for k in range(9)
    ]
    zone_list = parse_zones(json.dumps({"type": "FeatureCollection", "features": features}).encode())
    assert sorted(re.findall(r"zone\d", preview_html(zone_list))) == ["zone0", "zone1", "zone2"]
    page = preview_html(zone_list, drive=[(11.5, 48.0, True), (11.501, 48.0, True)])
    assert sorted(re.findall(r"zone\d", page)) == ["zone4", "zone5", "zone6"]
    assert "Only 3 of them" in page
    # what is looked at first is the drive, 75 m long
    assert float(re.search(r'viewBox="\S+ \S+ (\S+) ', page)[1]) < 200.0


@pytest.mark.parametrize("margin_m", [-1.0, math.nan, math.inf, 1e9])
def test_a_margin_that_is_no_length_is_refused(listed, tmp_path, margin_m):
    with pytest.raises(UsageError, match="margin"):
        commands.preview(listed, tmp_path / "map.html", margin_m=margin_m)
    assert not (tmp_path / "map.html").exists()


def test_preview_of_odd_shapes():
    """A circle, a flat ring, zones on both sides of 180 degrees."""
    far = document()
    far["features"] = far["features"][1:]
    for ring in (
        [[10.0, 50.0], [10.01, 50.0]],
        [[10.0, 50.0]],
        [[179.99, 0.0], [180.0, 0.0], [180.0, 1.0], [179.99, 0.0]],
    ):
        shape = {"type": "Polygon", "coordinates": [ring]}
        far["features"].append({"type": "Feature", "properties": {}, "geometry": shape})
    page = preview_html(parse_zones(json.dumps(far).encode()), margin_m=10.0, margin_key=b"k" * 16)
    numbers = [float(n) for n in re.findall(r"[-\d.]+", re.findall(r'viewBox="([^"]+)"', page)[0])]
    assert np.isfinite(numbers).all()
    assert "nan" not in page
