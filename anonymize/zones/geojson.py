"""GeoJSON (RFC 7946) with our own fields, all of them optional but one.

On the collection: `zone_list` = {`datum` (must be there), `honour_holes`, `margin_m`, `name`}, or `datum` alone.
On a feature's properties: `datum`, `margin_m`, `purpose`, `site`, `limitedApplicability` (as in ED-318), and for a
point its `radius_m`. Without our fields it is WGS-84, as the standard says; the bounding box proves nothing.
"""

from __future__ import annotations

import re
from typing import Any, Final

from anonymize.zones.drafts import (
    MOST_MARGIN_M,
    MOST_NESTING,
    JsonObject,
    ListDraft,
    ZoneDraft,
    add_circle,
    add_polygon,
    datum_in,
    number_in,
    objects_in,
    own_fields,
    refused,
    take_windows,
    text_in,
)
from anonymize.zones.errors import ZoneListError

LIST_FIELDS: Final = {"datum", "honour_holes", "margin_m", "name", "version"}
# CGCS2000 (EPSG 4490) and ETRS89 (4258) lie within a metre of WGS-84, the datum margin
_WGS84_CRS: Final = re.compile(
    r"(urn:ogc:def:crs:)?(OGC:[\d.]*:?CRS84|EPSG:[\d.]*:?(4326|4258|4490))", re.IGNORECASE
)


def read_geojson(document: JsonObject) -> ListDraft:
    """Draft of a GeoJSON FeatureCollection, or of a single Feature.

    Raises
    ------
    ZoneListError
        Something of it is not as the format says.
    """
    draft = ListDraft("geojson")
    datum, margin_m = list_fields(document, draft)
    features = [document] if document.get("type") == "Feature" else document.get("features")
    for number, feature in enumerate(objects_in(features), 1):
        if feature.get("type") != "Feature":
            raise refused(number, 'its `type` is not "Feature"')
        zone = ZoneDraft(number, datum=datum, margin_m=margin_m)
        fields = properties_of(feature, number)
        zone.zone_id = text_in(feature, "id", number) or text_in(fields, "id", number)
        zone.zone_id = zone.zone_id or text_in(fields, "identifier", number)
        own_fields(zone, fields)
        take_windows(draft, zone, fields.get("limitedApplicability"))
        take_geometry(zone, feature.get("geometry"), radius_of(fields, number))
        draft.zones.append(zone)
    return draft


def list_fields(document: JsonObject, draft: ListDraft) -> tuple[str, float]:
    """Our fields on the whole collection: datum and margin in m that hold where a feature has none."""
    _refuse_other_crs(document.get("crs"))
    own = document.get("zone_list")
    if own is None:
        return datum_in(document) or "wgs84", 0.0
    if not isinstance(own, dict):
        raise ZoneListError("`zone_list` is no object")
    unknown = set(own) - LIST_FIELDS
    if unknown:
        raise ZoneListError(f"`zone_list` has unknown fields; known are {', '.join(sorted(LIST_FIELDS))}")
    datum = datum_in(own)
    if datum is None:
        raise ZoneListError("`zone_list` names no `datum`; wanted wgs84, gcj02 or bd09")
    if datum_in(document) not in (None, datum):
        raise ZoneListError("`datum` and `zone_list.datum` differ")
    honour = own.get("honour_holes", False)
    if not isinstance(honour, bool):
        raise ZoneListError("`zone_list.honour_holes` is neither true nor false")
    draft.honour_holes = honour
    draft.name = own["name"] if isinstance(own.get("name"), str) else ""
    try:
        return datum, number_in(own, "margin_m", MOST_MARGIN_M, 0)
    except ZoneListError:
        raise ZoneListError(f"`zone_list.margin_m` is no number from 0 to {MOST_MARGIN_M:g} m") from None


def _refuse_other_crs(crs: object) -> None:
    """A `crs` of GeoJSON 2008 that names another system may not be read as WGS-84."""
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or _WGS84_CRS.fullmatch(name.replace("::", ":")) is None:
        raise ZoneListError("`crs` names a system other than WGS-84; convert the list first")


def properties_of(feature: JsonObject, number: int) -> JsonObject:
    """The properties of a feature; empty where it has none."""
    fields = feature.get("properties")
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise refused(number, "`properties` is no object")
    return fields


def radius_of(fields: JsonObject, number: int) -> object:
    """Radius of a circle that stands with the properties, m; None where none does."""
    radii = [fields[key] for key in ("radius_m", "radius") if fields.get(key) is not None]
    if len(radii) == 2 and radii[0] != radii[1]:
        raise refused(number, "`radius_m` and `radius` differ")
    return radii[0] if radii else None


def take_geometry(zone: ZoneDraft, geometry: Any, radius: object = None, depth: int = 0) -> None:
    """Take a geometry of RFC 7946, or a Point with the `extent` of ED-318."""
    if not isinstance(geometry, dict):
        raise refused(zone.number, "has no geometry, so it cannot be enforced")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        if depth >= MOST_NESTING:
            raise refused(zone.number, f"geometry collections nested deeper than {MOST_NESTING}")
        parts = geometry.get("geometries")
        if not isinstance(parts, list) or not parts:
            raise refused(zone.number, "an empty geometry collection")
        for part in parts:
            take_geometry(zone, part, radius, depth + 1)
        return
    coordinates = geometry.get("coordinates")
    if kind == "Point":
        add_circle(zone, coordinates, _radius_of_point(zone, geometry, radius))
    elif kind == "Polygon":
        add_polygon(zone, coordinates)
    elif kind == "MultiPolygon" and isinstance(coordinates, list) and coordinates:
        for polygon in coordinates:
            add_polygon(zone, polygon)
    else:
        raise refused(zone.number, "its geometry is no Polygon, MultiPolygon or circle (Point with a radius)")


def _radius_of_point(zone: ZoneDraft, geometry: JsonObject, radius: object) -> object:
    extent = geometry.get("extent")
    if extent is None:
        return radius
    if not isinstance(extent, dict) or extent.get("subType") != "Circle":
        raise refused(zone.number, "a point whose `extent` is no circle")
    if radius is not None and extent.get("radius") != radius:
        raise refused(zone.number, "two radii that differ")
    return extent.get("radius")
