"""Lists from files: three formats, one value; whole or not at all, and the line says where and why."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("shapely", reason="the extra `zones` is not installed")

from anonymize.zones import lists
from anonymize.zones.datum import wgs84_to_gcj02
from anonymize.zones.drafts import UNNAMED_SITE
from anonymize.zones.errors import ZoneListError
from anonymize.zones.geometry import signed_distance_m
from anonymize.zones.index import ZoneIndex
from anonymize.zones.lists import Circle, load_zones, parse_zones

SQUARE = [[10.0, 50.0], [10.01, 50.0], [10.01, 50.01], [10.0, 50.01], [10.0, 50.0]]
HOLE = [[10.004, 50.004], [10.006, 50.004], [10.006, 50.006], [10.004, 50.006], [10.004, 50.004]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE]}
MIDDLE = (10.005, 50.005)


def geojson(*geometries, properties=None, **top):
    features = [{"type": "Feature", "properties": properties or {}, "geometry": g} for g in geometries]
    return {"type": "FeatureCollection", "features": features, **top}


def parsed(document):
    return parse_zones(json.dumps(document).encode())


def refusal(document):
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(ZoneListError) as caught:
        parse_zones(content)
    return str(caught.value)


def polygon(*rings):
    return geojson({"type": "Polygon", "coordinates": list(rings)})


def ed318(geometry, type="PROHIBITED", **fields):  # noqa: A002 - the format's word
    properties = {"identifier": "DE1", "country": "DEU", "type": type, "variant": "COMMON", **fields}
    return {
        "type": "FeatureCollection",
        "title": [{"text": "Zonen", "lang": "de"}],
        "metadata": {"validTo": "2026-01-01T00:00:00Z"},
        "features": [{"type": "Feature", "properties": properties, "geometry": geometry}],
    }


def ed269(projection, restriction="PROHIBITED", uom="M", **fields):
    volume = {"uomDimensions": uom, "lowerLimit": 0, "upperLimit": 120, "horizontalProjection": projection}
    feature = {
        "identifier": "CH1",
        "country": "CHE",
        "restriction": restriction,
        "geometry": [volume],
        **fields,
    }
    return {"title": "Zonen", "features": [feature]}


def test_geojson_with_our_fields():
    own = {"datum": "wgs84", "margin_m": 30, "name": "Sites"}
    loaded = parsed(
        geojson(
            POLYGON, properties={"id": 7, "site": "S", "purpose": "army", "margin_m": 80.5}, zone_list=own
        )
    )
    (zone,) = loaded.zones
    assert (loaded.source_format, loaded.name, len(loaded)) == ("geojson", "Sites", 1)
    assert (zone.zone_id, zone.site_id, zone.purpose, zone.margin_m) == ("7", "S", "army", 80.5)
    assert parsed(geojson(POLYGON, zone_list=own)).zones[0].margin_m == 30.0


def test_geojson_as_it_comes():
    """No field of ours: WGS-84, no margin, one secret margin for all that has no name."""
    loaded = parsed(geojson(POLYGON, POLYGON))
    assert loaded.datums == ("wgs84",)
    assert {zone.site_id for zone in loaded} == {UNNAMED_SITE}
    assert any("share one secret margin" in note for note in loaded.notes)
    single = parsed({"type": "Feature", "id": "a", "properties": None, "geometry": POLYGON})
    assert single.zones[0].site_id == "a"


def test_values_are_frozen_and_show_no_place():
    loaded = parsed(
        geojson(POLYGON, {"type": "Point", "coordinates": [1, 2]}, properties={"id": "secret", "radius_m": 5})
    )
    with pytest.raises(ValueError, match="read-only"):
        loaded.zones[0].shapes[0].rings[0][0, 0] = 5.0
    with pytest.raises(AttributeError):
        loaded.zones[0].margin_m = 5.0
    for value in (loaded, loaded.zones[0], *loaded.zones[0].shapes, *loaded.zones[1].shapes):
        assert not re.search(r"\d\d|secret", repr(value))


def test_all_geometries():
    far = [[[20.0, 50.0], [20.1, 50.0], [20.1, 50.1], [20.0, 50.0]]]
    many = {"type": "MultiPolygon", "coordinates": [[SQUARE], far]}
    spot = {
        "type": "Point",
        "coordinates": [30.0, 50.0, 120.0],
        "extent": {"subType": "Circle", "radius": 500},
    }
    both = {"type": "GeometryCollection", "geometries": [many, spot]}
    zone = parsed(geojson(both)).zones[0]
    assert len(zone.shapes) == 3
    assert zone.shapes[2] == Circle(30.0, 50.0, 500.0)
    for place in (MIDDLE, (20.09, 50.05), (30.0, 50.0)):
        assert signed_distance_m(zone, place) < 0.0


def test_altitudes_are_left_out():
    high = [[*position, 300.0] for position in SQUARE]
    mixed = [SQUARE[0], *high[1:]]
    for ring in (high, mixed):
        assert signed_distance_m(parsed(polygon(ring)).zones[0], MIDDLE) < 0.0


def test_ed318():
    schedule = [{"schedule": [{"day": ["SAT"], "startTime": "17:00:00Z", "endTime": "23:59:59Z"}]}]
    circle = {
        "type": "Point",
        "coordinates": [6.913146, 46.430758],
        "extent": {"subType": "Circle", "radius": 3000},
    }
    own = {"datum": "WGS-84", "margin_m": 12, "purpose": "party", "site": "S"}
    loaded = parsed(ed318(circle, limitedApplicability=schedule, extendedProperties=own))
    (zone,) = loaded.zones
    assert (loaded.source_format, loaded.name, loaded.valid_to_s) == ("ed318", "Zonen", 1_767_225_600.0)
    assert (zone.zone_id, zone.site_id, zone.margin_m, zone.purpose) == ("DE1", "S", 12.0, "party")
    assert zone.shapes == (Circle(6.913146, 46.430758, 3000.0),)
    assert len(zone.windows) == 1


@pytest.mark.parametrize("kind", ["PROHIBITED", "REQ_AUTHORIZATION", "CONDITIONAL"])
def test_ed318_types_that_forbid(kind):
    assert not parsed(ed318(POLYGON, kind)).notes


def test_ed318_types_that_do_not():
    document = ed318(POLYGON)
    document["features"] += ed318(POLYGON, "NO_RESTRICTION")["features"]
    loaded = parsed(document)
    assert len(loaded) == 1
    assert loaded.left_out == ("feature 2: NO_RESTRICTION forbids nothing",)
    assert "nothing" in refusal(ed318(POLYGON, "USPACE"))


def test_unknown_types_forbid():
    loaded = parsed(ed318(POLYGON, "ADVISORY"))
    assert len(loaded) == 1
    assert "taken as PROHIBITED" in loaded.notes[0]


def test_ed269():
    circle = {"type": "Circle", "center": [8.5, 47.4], "radius": 5500}
    always = [{"permanent": "YES"}]
    loaded = parsed(ed269(circle, "REQ_AUTHORISATION", applicability=always))
    assert (loaded.source_format, loaded.name) == ("ed269", "Zonen")
    assert loaded.zones[0].shapes == (Circle(8.5, 47.4, 5500.0),)
    assert loaded.zones[0].windows == ()
    area = parsed(ed269({"type": "Polygon", "coordinates": [SQUARE]}))
    assert signed_distance_m(area.zones[0], MIDDLE) < 0.0
    assert "taken as metres" in parsed(ed269(circle, uom="FT")).notes[0]


def test_a_gcj02_list_by_list_and_by_feature():
    """Both forms of our field lead back to the WGS-84 square."""
    lon, lat = wgs84_to_gcj02(
        np.array([116.39, 116.4, 116.4, 116.39]), np.array([39.91, 39.91, 39.918, 39.918])
    )
    moved = {"type": "Polygon", "coordinates": [[*np.column_stack((lon, lat)).tolist(), [lon[0], lat[0]]]]}
    by_feature = ed318(moved, extendedProperties={"datum": "gcj02"})
    stated = parse_zones(json.dumps(geojson(moved)).encode(), datum="gcj02")
    for loaded in (parsed(geojson(moved, datum="gcj02")), parsed(by_feature), stated):
        assert loaded.datums == ("gcj02",)
        assert signed_distance_m(loaded.zones[0], (116.395, 39.9100001)) == pytest.approx(0.0, abs=0.2)


def test_a_long_gcj02_edge_stays_where_it_is_straight():
    """Straight on the Chinese map: its middle, 50 km from the corners, is converted as well."""
    edge = {"type": "Polygon", "coordinates": [[[110.0, 30.0], [111.0, 30.0], [111.0, 31.0], [110.0, 30.0]]]}
    zone = parsed(geojson(edge, datum="gcj02")).zones[0]
    (spot,) = parsed(
        geojson({"type": "Point", "coordinates": [110.5, 30.0]}, properties={"radius_m": 1}, datum="gcj02")
    ).zones
    circle = spot.shapes[0]
    assert abs(signed_distance_m(zone, (circle.lon_deg, circle.lat_deg))) < 0.2


def test_a_datum_is_never_guessed():
    """A list that lies in China and says nothing is WGS-84; another than was stated is refused."""
    ring = [[116.39, 39.91], [116.4, 39.91], [116.4, 39.918], [116.39, 39.91]]
    assert parsed(polygon(ring)).datums == ("wgs84",)
    assert "names no `datum`" in refusal(geojson(POLYGON, zone_list={}))
    assert "none of wgs84" in refusal(geojson(POLYGON, datum="NAD27"))
    assert "differ" in refusal(geojson(POLYGON, datum="gcj02", zone_list={"datum": "wgs84"}))
    with pytest.raises(ZoneListError, match="another datum"):
        parse_zones(json.dumps(geojson(POLYGON, datum="wgs84")).encode(), datum="gcj02")
    assert "outside the area" in refusal(geojson(POLYGON, datum="bd09"))


def test_crs_of_old_geojson():
    def named(name):
        return geojson(POLYGON, crs={"type": "name", "properties": {"name": name}})

    for name in ("urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326", "urn:ogc:def:crs:EPSG::4326"):
        assert len(parsed(named(name))) == 1
    for name in ("EPSG:3857", "urn:ogc:def:crs:EPSG::4555", "", 5):
        assert "crs" in refusal(named(name))


def test_holes():
    plain, honoured = polygon(SQUARE, HOLE), polygon(SQUARE, HOLE)
    honoured["zone_list"] = {"datum": "wgs84", "honour_holes": True}
    assert signed_distance_m(parsed(plain).zones[0], MIDDLE) < 0.0
    assert signed_distance_m(parsed(honoured).zones[0], MIDDLE) > 0.0
    outside = [[x + 1.0, y] for x, y in HOLE]
    honoured["features"][0]["geometry"]["coordinates"][1] = outside
    loaded = parsed(honoured)
    assert "holes" in loaded.repairs[0]
    assert signed_distance_m(loaded.zones[0], MIDDLE) < 0.0


BOW_TIE = [[10.0, 50.0], [10.01, 50.01], [10.01, 50.0], [10.0, 50.01], [10.0, 50.0]]
TWICE_ROUND = [
    *SQUARE[:-1],
    [10.0, 49.999],
    [10.011, 49.999],
    [10.011, 50.011],
    [9.999, 50.011],
    [9.999, 50.0],
    SQUARE[0],
]
SPIKE = [
    [10.0, 50.0],
    [10.01, 50.0],
    [10.03, 50.0],
    [10.01, 50.0],
    [10.01, 50.01],
    [10.0, 50.01],
    [10.0, 50.0],
]


@pytest.mark.parametrize(
    ("ring", "repair", "inside"),
    [
        (SQUARE[:-1], "closed", MIDDLE),
        (BOW_TIE, "repaired", (10.002, 50.005)),
        (BOW_TIE, "repaired", (10.008, 50.005)),
        (TWICE_ROUND, "repaired", MIDDLE),
        (SPIKE, "repaired", (10.02, 50.0)),
        ([[10.0, 50.0], [10.01, 50.0], [10.02, 50.0], [10.0, 50.0]], "hull", (10.005, 50.0)),
        ([[10.0, 50.0], [10.01, 50.0]], "hull", (10.005, 50.0)),
        ([[10.0, 50.0]] * 5, "hull", (10.0, 50.0)),
    ],
)
def test_bad_rings_are_repaired_towards_more(ring, repair, inside):
    """All that the ring's lines enclose is inside, and its lines stay near."""
    loaded = parsed(polygon(ring))
    assert any(repair in line and line.startswith("feature 1: ") for line in loaded.repairs)
    assert signed_distance_m(loaded.zones[0], inside) < 0.01
    for corner in ring:
        assert signed_distance_m(loaded.zones[0], tuple(corner)) < 0.01


def test_a_tangle_becomes_its_hull():
    """Five thousand random corners would take for ever to sort out."""
    random = np.random.default_rng(3)
    ring = (np.array([10.0, 50.0]) + random.uniform(0.0, 0.01, (5000, 2))).tolist()
    loaded = parsed(polygon(ring))
    assert "too often" in loaded.repairs[-1]
    assert signed_distance_m(loaded.zones[0], MIDDLE) < 0.0


NAN_CASES = [
    (b'{"type": "FeatureCollection", "features": [NaN]}', "NaN"),
    (b'{"a": Infinity}', "NaN"),
    (b'{"type": 1, "type": 2}', "twice"),
    (b"[]", "no JSON object"),
    (b"", "no JSON"),
    (b"\xff\xfe{}", "UTF-8"),
    (b"[" * 200_000, "deep"),
    (b'{"a":' * 200_000, "deep"),
    (b'{"a": ' + b"1" * 5000 + b"}", "no coordinate"),
    (b'{"features": []}', "neither"),
    (b'{"type": "FeatureCollection"}', "features"),
    (b'{"type": "FeatureCollection", "features": {}}', "features"),
    (b'{"type": "FeatureCollection", "features": [7]}', "feature 1: is no object"),
    (b'{"type": "FeatureCollection", "features": []}', "no zone"),
]


@pytest.mark.parametrize(("content", "why"), NAN_CASES)
def test_files_that_are_none(content, why):
    assert why in refusal(content)


@pytest.mark.parametrize(
    ("ring", "why"),
    [
        ([[39.9, 116.4], [40.0, 116.4], [40.0, 116.5], [39.9, 116.4]], "swapped"),
        ([[1.0, 91.0], [2.0, 1.0], [3.0, 1.0], [1.0, 91.0]], "latitude"),
        ([[1.0, 1.0], [2.0, 1.0], [200.0, 1.0], [1.0, 1.0]], "position 3 of a ring: its longitude"),
        ([[1.0, 1.0], [1e999, 1.0], [3.0, 1.0], [1.0, 1.0]], "NaN or Infinity"),
        ([[1.0, 1.0], [10**400, 1.0], [3.0, 1.0], [1.0, 1.0]], "no finite number"),
        ([[1.0, 1.0], [1e308, 1.0], [3.0, 1.0], [1.0, 1.0]], "longitude"),
        ([[179.0, 1.0], [-179.0, 1.0], [-179.0, 2.0], [179.0, 1.0]], "180th meridian"),
        ([[-180.0, 60.0], [180.0, 60.0], [180.0, 90.0], [-180.0, 90.0], [-180.0, 60.0]], "wider than 180"),
        ([[1.0, True], [2.0, 2.0], [3.0, 1.0], [1.0, 1.0]], "no list of numbers"),
        ([["1", "2"], [2.0, 2.0], [3.0, 1.0]], "no list of numbers"),
        ([[1.0, None], [2.0, 2.0], [3.0, 1.0]], "no list of numbers"),
        ([[[1.0, 2.0]], [2.0, 2.0], [3.0, 1.0]], "no list of numbers"),
        ([[1.0], [2.0, 2.0], [3.0, 1.0]], "fewer than two"),
        ([1.0, 2.0, 3.0], "no list of numbers"),
        (["ab", "cd"], "no list of numbers"),
        ([{"x": 1}], "no list of numbers"),
        ([], "no list of positions"),
        ("ring", "no list of positions"),
    ],
)
def test_rings_that_cannot_be_used(ring, why):
    """Second of two features; the line names it by its number and holds no coordinate."""
    document = polygon(ring)
    document["features"].insert(0, geojson(POLYGON)["features"][0])
    line = refusal(json.dumps(document).encode())
    assert why in line
    assert "feature 2" in line or "NaN" in why
    assert "116" not in line


@pytest.mark.parametrize(
    ("geometry", "why"),
    [
        (None, "no geometry"),
        ({"type": "LineString", "coordinates": SQUARE}, "no Polygon"),
        ({"type": "Point", "coordinates": [1.0, 2.0]}, "radius"),
        ({"type": "Point", "coordinates": [1.0, 2.0], "extent": {"subType": "Circle"}}, "radius"),
        (
            {"type": "Point", "coordinates": [1.0, 2.0], "extent": {"subType": "Circle", "radius": -5}},
            "radius",
        ),
        (
            {"type": "Point", "coordinates": [1.0, 2.0], "extent": {"subType": "Circle", "radius": 1e9}},
            "radius",
        ),
        (
            {"type": "Point", "coordinates": [1.0, 2.0], "extent": {"subType": "Square", "radius": 5}},
            "no circle",
        ),
        ({"type": "Point", "coordinates": "here", "extent": {"subType": "Circle", "radius": 5}}, "numbers"),
        ({"type": "Polygon", "coordinates": []}, "without a ring"),
        ({"type": "Polygon"}, "without a ring"),
        ({"type": "MultiPolygon", "coordinates": []}, "no Polygon"),
        ({"type": "MultiPolygon", "coordinates": [5]}, "without a ring"),
        ({"type": "GeometryCollection", "geometries": []}, "empty"),
        ({"type": ["Polygon"]}, "no Polygon"),
        ([1.0, 2.0], "no geometry"),
    ],
)
def test_geometries_that_cannot_be_enforced(geometry, why):
    line = refusal(geojson(POLYGON, geometry))
    assert line.startswith("feature 2: ")
    assert why in line


def test_nested_collections_have_a_bound():
    nested = POLYGON
    for _ in range(9):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    assert "deeper" in refusal(geojson(nested))


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"margin_m": -1}, "margin_m"),
        ({"margin_m": True}, "margin_m"),
        ({"margin_m": "30"}, "margin_m"),
        ({"margin_m": 1e9}, "margin_m"),
        ({"datum": 5}, "datum"),
        ({"site": ["S"]}, "site"),
        ({"radius_m": 5, "radius": 6}, "differ"),
        ([1], "properties"),
    ],
)
def test_our_fields_are_checked(properties, why):
    line = refusal(geojson(POLYGON, properties=properties))
    assert line.startswith("feature 1: ")
    assert why in line


def test_fields_of_the_list_are_checked():
    for own, why in [
        ({"datum": "wgs84", "honor_holes": True}, "unknown fields"),
        ({"datum": "wgs84", "honour_holes": "yes"}, "honour_holes"),
        ({"datum": "wgs84", "margin_m": -5}, "margin_m"),
        ([], "no object"),
    ]:
        assert why in refusal(geojson(POLYGON, zone_list=own))


def test_ten_million_positions_are_refused_before_they_are_parsed():
    content = b'{"type": "FeatureCollection", "features": [' + b"[1,2]," * 10_000_000 + b"0]}"
    assert "too large" in refusal(content)


def test_a_ring_of_more_than_a_million(monkeypatch):
    monkeypatch.setattr("anonymize.zones.positions.MOST_POSITIONS_OF_RING", 4)
    assert "more than 4 positions" in refusal(polygon(SQUARE))


def test_files(tmp_path, monkeypatch):
    path = tmp_path / "zones.geojson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(geojson(POLYGON)).encode())
    assert len(load_zones(path)) == 1
    with pytest.raises(ZoneListError, match="cannot be read"):
        load_zones(tmp_path / "missing")
    monkeypatch.setattr(lists, "MOST_FILE_BYTES", 10)
    with pytest.raises(ZoneListError, match="at most 10"):
        load_zones(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-400, 400)
    | st.floats()
    | st.sampled_from(["Polygon", "Point", "wgs84", ""]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "coordinates", "radius", "datum", "day", "schedule"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
PLACES = st.lists(st.lists(st.floats(-200, 200) | st.integers(-90, 90), min_size=1, max_size=3), max_size=7)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_anything_loads_whole_or_is_refused(data):
    """Ours is the only error, and a list that loads can be asked."""
    fields = st.dictionaries(
        st.sampled_from(
            ["margin_m", "datum", "site", "limitedApplicability", "radius_m", "type", "country", "identifier"]
        ),
        JSON,
        max_size=3,
    )
    shape = st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Polygon", "MultiPolygon", "Point"]),
            "coordinates": PLACES.map(lambda p: [p]) | PLACES | JSON,
        }
    )
    document = data.draw(
        st.fixed_dictionaries(
            {
                "type": st.just("FeatureCollection"),
                "features": st.lists(
                    st.fixed_dictionaries(
                        {"type": st.just("Feature"), "properties": fields | JSON, "geometry": shape | JSON}
                    ),
                    max_size=3,
                )
                | JSON,
            }
        )
        | JSON
    )
    try:
        loaded = parse_zones(json.dumps(document).encode())
    except ZoneListError:
        return
    index = ZoneIndex(loaded)
    for zone in loaded:
        ring = zone.shapes[0]
        place = (ring.lon_deg, ring.lat_deg) if isinstance(ring, Circle) else tuple(ring.rings[0][0].tolist())
        assert index.touches(place, place, margin_m=0.02, time_s=float("nan"))


@pytest.mark.parametrize(
    ("projection", "why"),
    [
        (None, "horizontalProjection"),
        ({"type": "Ellipse"}, "neither Polygon nor Circle"),
        ({"type": "Circle", "center": [8.5, 47.4]}, "radius"),
        ({"type": "Circle", "radius": 5}, "numbers"),
        ({"type": "Polygon"}, "without a ring"),
    ],
)
def test_ed269_volumes_that_cannot_be_enforced(projection, why):
    line = refusal(ed269(projection))
    assert line.startswith("feature 1: ")
    assert why in line


def test_ed269_without_volumes():
    document = ed269({"type": "Polygon", "coordinates": [SQUARE]})
    document["features"].append({**document["features"][0], "geometry": []})
    assert refusal(document).startswith("feature 2: has no geometry")
    document["features"][1] = {**document["features"][0], "restriction": "NO_RESTRICTION", "geometry": []}
    assert len(parsed(document)) == 1


def test_extended_properties_that_are_none():
    assert "extendedProperties" in refusal(ed318(POLYGON, extendedProperties=[1]))


def test_titles():
    document = ed318(POLYGON)
    for title, name in [("T", "T"), ([{"lang": "en"}, {"text": "U", "lang": "en"}], "U"), ([], ""), (5, "")]:
        document["title"] = title
        assert parsed(document).name == name


def test_two_radii_that_differ():
    circle = {"type": "Point", "coordinates": [1.0, 2.0], "extent": {"subType": "Circle", "radius": 5}}
    assert "differ" in refusal(geojson(circle, properties={"radius_m": 6}))
