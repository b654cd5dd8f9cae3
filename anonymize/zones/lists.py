"""Zone lists from files: GeoJSON, ED-318, ED-269. A list loads whole or not at all; WGS-84 from here on."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from anonymize.zones.drafts import UNNAMED_SITE, JsonObject, ListDraft, ZoneDraft, datum_in
from anonymize.zones.ed269 import read_ed269
from anonymize.zones.ed318 import read_ed318
from anonymize.zones.errors import ZoneListError
from anonymize.zones.geojson import read_geojson
from anonymize.zones.positions import check_positions, ring_of, ring_to_wgs84
from anonymize.zones.repair import holes_fit, repaired, valid_rings
from anonymize.zones.shapes import Circle, Polygon, Positions, Zone, ZoneList

__all__ = ["Circle", "Polygon", "Zone", "ZoneList", "load_zones", "parse_zones"]

MOST_FILE_BYTES: Final = 512 * 1024 * 1024
MOST_ARRAYS: Final = 6_000_000  # every position is one: what is parsed stays below 2 GB
MOST_COMMAS: Final = 24_000_000
MOST_OBJECTS: Final = 2_000_000
READERS: Final[dict[str, Callable[[JsonObject], ListDraft]]] = {
    "geojson": read_geojson,
    "ed318": read_ed318,
    "ed269": read_ed269,
}


def load_zones(path: str | Path, *, datum: str | None = None) -> ZoneList:
    """Zones of a GeoJSON, ED-318 or ED-269 file, all in WGS-84.

    Parameters
    ----------
    path : path
    datum : str or None
        States the datum of a file that names none ("wgs84", "gcj02", "bd09"). It is never guessed.

    Raises
    ------
    ZoneListError
        The file cannot be read, or a part of it cannot be relied on: then nothing of it is used.
    """
    try:
        size = Path(path).stat().st_size
        if size > MOST_FILE_BYTES:
            raise ZoneListError(f"the zone list has {size} bytes; at most {MOST_FILE_BYTES} are read")
        content = Path(path).read_bytes()
    except OSError as error:
        raise ZoneListError(f"the zone list cannot be read: {error.strerror}") from error
    return parse_zones(content, datum=datum)


def parse_zones(content: bytes, *, datum: str | None = None) -> ZoneList:
    """The same from bytes.

    Raises
    ------
    ZoneListError
        As for `load_zones`.
    """
    with _no_collection():
        document = _parse(content)
        if datum is not None:
            document = _with_datum(document, datum)
        draft = READERS[_format_of(document)](document)
        del document
        return _assemble(draft)


@contextmanager
def _no_collection() -> Iterator[None]:
    """The cyclic collector finds nothing in millions of fresh lists, and doubles the time looking."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parse(content: bytes) -> JsonObject:
    """The JSON object of a file, within bounds of memory, without repeated names."""
    counts = (
        (content.count(b"["), MOST_ARRAYS),
        (content.count(b","), MOST_COMMAS),
        (content.count(b"{"), MOST_OBJECTS),
    )
    if len(content) > MOST_FILE_BYTES or any(count > most for count, most in counts):
        raise ZoneListError(f"the zone list is too large: more than {MOST_ARRAYS} positions, or as much else")
    try:
        document = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_without_repeats, parse_constant=_no_number
        )
    except UnicodeDecodeError:
        raise ZoneListError("the zone list is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ZoneListError(f"the zone list is no JSON: {error.msg}, line {error.lineno}") from None
    except RecursionError:
        raise ZoneListError("the zone list is nested too deeply") from None
    except ZoneListError:
        raise
    except ValueError:  # a whole number of thousands of digits
        raise ZoneListError("the zone list holds a number that is no coordinate") from None
    if not isinstance(document, dict):
        raise ZoneListError("the zone list is no JSON object")
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ZoneListError("the zone list names a field twice in one object")
    return fields


def _no_number(_: str) -> float:
    raise ZoneListError("the zone list holds NaN or Infinity, which are no numbers in JSON")


def _with_datum(document: JsonObject, datum: str) -> JsonObject:
    own = document.get("zone_list")
    for fields in (document, own if isinstance(own, dict) else {}):
        if datum_in(fields) not in (None, datum):
            raise ZoneListError("the file names another datum than was stated")
    return {**document, "datum": datum}


def _format_of(document: JsonObject) -> str:
    features = document.get("features")
    first = features[0] if isinstance(features, list) and features else None
    if document.get("type") in ("FeatureCollection", "Feature"):
        fields = first.get("properties") if isinstance(first, dict) else None
        is_uas_zone = isinstance(fields, dict) and {"identifier", "country", "type"} <= set(fields)
        return "ed318" if is_uas_zone else "geojson"
    if isinstance(first, dict) and isinstance(first.get("geometry"), list):
        return "ed269"
    raise ZoneListError(
        "neither GeoJSON nor ED-318 (`type` FeatureCollection) nor ED-269 (`features` with volumes)"
    )


def _assemble(draft: ListDraft) -> ZoneList:
    if not draft.zones:
        raise ZoneListError("no zone in the list; a list of nothing would forbid nothing")
    _note_unnamed(draft)
    repairs: list[str] = []
    rings = _checked_rings(draft, repairs)
    valid = valid_rings(rings)
    zones, first = [], 0
    for zone in draft.zones:
        shapes: list[Polygon | Circle] = []
        for raw in zone.polygons:
            last = first + len(raw)
            shapes += _polygons(zone, rings[first:last], valid[first:last], draft.honour_holes, repairs)
            first = last
        for _, radius_m in zone.circles:
            (lon_deg, lat_deg), first = rings[first][0].tolist(), first + 1
            shapes.append(Circle(lon_deg, lat_deg, radius_m))
        zones.append(
            Zone(
                zone.number,
                zone.zone_id,
                zone.site_id,
                tuple(shapes),
                windows=zone.windows,
                margin_m=zone.margin_m,
                purpose=zone.purpose,
            )
        )
    return ZoneList(
        zones=tuple(zones),
        source_format=draft.source_format,
        datums=tuple(sorted({zone.datum for zone in draft.zones})),
        honour_holes=draft.honour_holes,
        name=draft.name,
        repairs=tuple(repairs),
        notes=tuple(draft.notes),
        left_out=tuple(draft.left_out),
        valid_to_s=draft.valid_to_s,
    )


def _checked_rings(draft: ListDraft, repairs: list[str]) -> list[Positions]:
    """All rings in the order of the file, closed, in WGS-84; a circle's centre is a ring of one position."""
    rings: list[Positions] = []
    owners: list[ZoneDraft] = []
    for zone in draft.zones:
        before = len(rings)
        for polygon in zone.polygons:
            rings += [ring_of(ring, zone.number) for ring in polygon]
        rings += [ring_of([position], zone.number) for position, _ in zone.circles]
        owners += [zone] * (len(rings) - before)
    check_positions(rings, [zone.number for zone in owners])
    for place, zone in enumerate(owners):
        ring = rings[place]
        if ring[0, 0] != ring[-1, 0] or ring[0, 1] != ring[-1, 1]:
            ring = np.concatenate((ring, ring[:1]))
            repairs.append(f"feature {zone.number}: a ring that was open was closed")
        rings[place] = ring_to_wgs84(ring, zone.datum, zone.number)
    if any(zone.datum != "wgs84" for zone in draft.zones):
        check_positions(rings, [zone.number for zone in owners])
    for ring in rings:
        ring.flags.writeable = False
    return rings


def _polygons(
    zone: ZoneDraft, rings: list[Positions], valid: list[bool], honour_holes: bool, repairs: list[str]
) -> list[Polygon]:
    """Polygons of one polygon of the file: its shell, and its holes where these are honoured and fit."""
    shell, holes = rings[0], rings[1:]
    if not valid[0]:
        polygons, what = repaired(shell)
        repairs.append(f"feature {zone.number}: {what}{'; its holes are ignored' if holes else ''}")
        return polygons
    if not honour_holes or not holes:
        return [Polygon((shell,))]
    if all(valid) and holes_fit(shell, holes):
        return [Polygon(tuple(rings))]
    repairs.append(f"feature {zone.number}: holes that do not lie inside and apart are ignored")
    return [Polygon((shell,))]


def _note_unnamed(draft: ListDraft) -> None:
    unnamed = sum(zone.site_id == UNNAMED_SITE for zone in draft.zones)
    if unnamed:
        draft.notes.append(f"{unnamed} features name neither `site` nor an id: they share one secret margin")
