"""ED-269, the format before ED-318, for import only: `geometry` is a list of volumes. Altitudes count as ground."""

from __future__ import annotations

from typing import Any

from anonymize.zones.drafts import (
    JsonObject,
    ListDraft,
    ZoneDraft,
    add_circle,
    add_polygon,
    objects_in,
    own_fields,
    refused,
    take_windows,
    text_in,
)
from anonymize.zones.ed318 import extended_properties, first_text, is_free
from anonymize.zones.geojson import list_fields


def read_ed269(document: JsonObject) -> ListDraft:
    """Draft of an ED-269 list.

    Raises
    ------
    ZoneListError
        Something of it is not as the format says.
    """
    draft = ListDraft("ed269")
    datum, margin_m = list_fields(document, draft)
    draft.name = draft.name or first_text(document.get("title"))
    for number, feature in enumerate(objects_in(document.get("features")), 1):
        if is_free(draft, number, feature.get("restriction")):
            continue
        zone = ZoneDraft(number, text_in(feature, "identifier", number), datum=datum, margin_m=margin_m)
        own_fields(zone, extended_properties(feature, number))
        take_windows(draft, zone, feature.get("applicability"))
        volumes = feature.get("geometry")
        if not isinstance(volumes, list) or not volumes:
            raise refused(number, "has no geometry, so it cannot be enforced")
        for volume in volumes:
            _take_volume(draft, zone, volume)
        draft.zones.append(zone)
    return draft


def _take_volume(draft: ListDraft, zone: ZoneDraft, volume: Any) -> None:
    projection = volume.get("horizontalProjection") if isinstance(volume, dict) else None
    if not isinstance(projection, dict):
        raise refused(zone.number, "a volume without `horizontalProjection`")
    kind = projection.get("type")
    if kind == "Circle":
        if volume.get("uomDimensions") == "FT":
            draft.note(zone.number, "a circle in a volume measured in feet: its radius is taken as metres")
        add_circle(zone, projection.get("center"), projection.get("radius"))
    elif kind == "Polygon":
        add_polygon(zone, projection.get("coordinates"))
    else:
        raise refused(zone.number, "a projection that is neither Polygon nor Circle")
