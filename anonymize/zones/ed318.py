"""ED-318: the European drone zones, GeoJSON with a `UASZone` in the properties. Altitude layers count as ground.

Our own fields (`datum`, `margin_m`, `purpose`, `site`) stand in `extendedProperties`, or for the whole list in
`zone_list` as in GeoJSON.
"""

from __future__ import annotations

from typing import Final

from anonymize.zones.drafts import (
    JsonObject,
    ListDraft,
    ZoneDraft,
    objects_in,
    own_fields,
    refused,
    take_windows,
    text_in,
)
from anonymize.zones.geojson import list_fields, properties_of, radius_of, take_geometry
from anonymize.zones.windows import instant_s

FORBIDDING: Final = ("PROHIBITED", "REQ_AUTHORIZATION", "REQ_AUTHORISATION", "CONDITIONAL")
FREE: Final = ("NO_RESTRICTION", "USPACE")


def read_ed318(document: JsonObject) -> ListDraft:
    """Draft of an ED-318 collection. Zones that forbid nothing are left out, unknown types forbid.

    Raises
    ------
    ZoneListError
        Something of it is not as the format says.
    """
    draft = ListDraft("ed318")
    datum, margin_m = list_fields(document, draft)
    draft.name = draft.name or first_text(document.get("title") or document.get("name"))
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        draft.valid_to_s = instant_s(metadata.get("validTo"))
    for number, feature in enumerate(objects_in(document.get("features")), 1):
        fields = properties_of(feature, number)
        if is_free(draft, number, fields.get("type")):
            continue
        zone = ZoneDraft(number, text_in(fields, "identifier", number), datum=datum, margin_m=margin_m)
        own_fields(zone, extended_properties(fields, number))
        take_windows(draft, zone, fields.get("limitedApplicability"))
        take_geometry(zone, feature.get("geometry"), radius_of(fields, number))
        draft.zones.append(zone)
    return draft


def is_free(draft: ListDraft, number: int, restriction: object) -> bool:
    """Whether a zone forbids nothing, by its type; noted."""
    if restriction in FREE:
        draft.left_out.append(f"feature {number}: {restriction} forbids nothing")
        return True
    if restriction not in FORBIDDING:
        draft.note(number, "its type is missing or not known: taken as PROHIBITED")
    return False


def extended_properties(fields: JsonObject, number: int) -> JsonObject:
    """`extendedProperties`, where our fields stand."""
    extended = fields.get("extendedProperties")
    if extended is None:
        return {}
    if not isinstance(extended, dict):
        raise refused(number, "`extendedProperties` is no object")
    return extended


def first_text(texts: object) -> str:
    """The first text of a list of {text, lang}; a text as it is."""
    if isinstance(texts, str):
        return texts
    if isinstance(texts, list):
        for text in texts:
            if isinstance(text, dict) and isinstance(text.get("text"), str):
                return str(text["text"])
    return ""
