"""Zone lists written again: GeoJSON with our fields, or ED-318, in the datum that is wanted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from anonymize.zones.datum import DATUMS, from_wgs84, in_gcj02_area
from anonymize.zones.drafts import UNNAMED_SITE
from anonymize.zones.errors import ZoneListError
from anonymize.zones.positions import cut_edges
from anonymize.zones.shapes import Circle, Polygon, Positions, Zone, ZoneList
from anonymize.zones.windows import limited_applicability

DIGITS = 9  # of a degree: 0.1 mm


def written(zone_list: ZoneList, *, to_format: str = "geojson", datum: str = "wgs84") -> str:
    """The list as JSON text; what was repaired is written as repaired, holes only where they are honoured.

    Parameters
    ----------
    to_format : str
        "geojson" or "ed318".
    datum : str
        "wgs84", "gcj02" or "bd09"; the file names it.

    Raises
    ------
    ZoneListError
        The format or the datum is not known, or a zone lies where the datum is not defined.
    """
    if to_format not in ("geojson", "ed318"):
        raise ZoneListError("can be written as geojson or ed318")
    if datum not in DATUMS:
        raise ZoneListError(f"`datum` is none of {', '.join(DATUMS)}")
    feature = _geojson_feature if to_format == "geojson" else _ed318_feature
    own = {"datum": datum, "honour_holes": zone_list.honour_holes, "name": zone_list.name}
    document: dict[str, Any] = {"type": "FeatureCollection", "zone_list": own}
    if to_format == "ed318":
        document["title"] = [{"text": zone_list.name, "lang": "en"}]
    document["features"] = [feature(zone, datum) for zone in zone_list]
    return json.dumps(document, ensure_ascii=False, indent=1)


def _geojson_feature(zone: Zone, datum: str) -> dict[str, Any]:
    properties = _own_fields(zone)
    if zone.windows:
        properties["limitedApplicability"] = limited_applicability(zone.windows)
    feature: dict[str, Any] = {
        "type": "Feature",
        "properties": properties,
        "geometry": _geometry(zone, datum),
    }
    if zone.zone_id:
        feature["id"] = zone.zone_id
    return feature


def _ed318_feature(zone: Zone, datum: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "identifier": zone.zone_id,
        "country": "",
        "type": "PROHIBITED",
        "variant": "COMMON",
        "zoneAuthority": [],
        "extendedProperties": {**_own_fields(zone), "datum": datum},
    }
    if zone.windows:
        properties["limitedApplicability"] = limited_applicability(zone.windows)
    return {"type": "Feature", "properties": properties, "geometry": _geometry(zone, datum)}


def _own_fields(zone: Zone) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if zone.site_id != UNNAMED_SITE:
        fields["site"] = zone.site_id
    if zone.margin_m:
        fields["margin_m"] = zone.margin_m
    if zone.purpose:
        fields["purpose"] = zone.purpose
    return fields


def _geometry(zone: Zone, datum: str) -> dict[str, Any]:
    polygons = [shape for shape in zone.shapes if isinstance(shape, Polygon)]
    circles = [shape for shape in zone.shapes if isinstance(shape, Circle)]
    parts = [_point(circle, datum, zone.number) for circle in circles]
    rings = [[_listed(ring, datum, zone.number) for ring in polygon.rings] for polygon in polygons]
    if len(rings) == 1:
        parts.append({"type": "Polygon", "coordinates": rings[0]})
    elif rings:
        parts.append({"type": "MultiPolygon", "coordinates": rings})
    return parts[0] if len(parts) == 1 else {"type": "GeometryCollection", "geometries": parts}


def _point(circle: Circle, datum: str, number: int) -> dict[str, Any]:
    centre = _listed(np.array([[circle.lon_deg, circle.lat_deg]]), datum, number)[0]
    return {
        "type": "Point",
        "coordinates": centre,
        "extent": {"subType": "Circle", "radius": circle.radius_m},
    }


def _listed(ring: Positions, datum: str, number: int) -> list[list[float]]:
    """Positions in `datum`, as lists."""
    if datum != "wgs84":
        ring = cut_edges(ring)
        lon, lat = from_wgs84(ring[:, 0], ring[:, 1], datum)
        if not bool(np.all(in_gcj02_area(lon, lat) & in_gcj02_area(ring[:, 0], ring[:, 1]))):
            raise ZoneListError(f"feature {number}: lies outside the area where {datum} is defined")
        ring = np.column_stack((lon, lat))
    listed: list[list[float]] = ring.round(DIGITS).tolist()
    return listed
