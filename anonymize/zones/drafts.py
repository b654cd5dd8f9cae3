"""What the readers of the formats take out of a file, before any coordinate is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from anonymize.zones.datum import DATUMS
from anonymize.zones.errors import ZoneListError
from anonymize.zones.windows import Window, windows_of

JsonObject = Mapping[str, Any]

UNNAMED_SITE: Final = (
    "unnamed"  # features without a name share one secret margin: one that changes would wear off
)
MOST_MARGIN_M: Final = 100_000.0
MOST_RADIUS_M: Final = 1_000_000.0
MOST_NESTING: Final = 8  # geometry collections in geometry collections


@dataclass(slots=True)
class ZoneDraft:
    """One feature: coordinates as they stand in the file."""

    number: int
    zone_id: str = ""
    site_id: str = UNNAMED_SITE
    purpose: str = ""
    margin_m: float = 0.0
    datum: str = "wgs84"
    windows: tuple[Window, ...] = ()
    polygons: list[list[Any]] = field(default_factory=list)  # lists of rings
    circles: list[tuple[Any, float]] = field(default_factory=list)  # position and radius in m


@dataclass(slots=True)
class ListDraft:
    """A whole file."""

    source_format: str
    name: str = ""
    honour_holes: bool = False
    valid_to_s: float | None = None
    zones: list[ZoneDraft] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def note(self, number: int, line: str) -> None:
        """Something of a feature that was taken in the stricter sense."""
        self.notes.append(f"feature {number}: {line}")


def refused(number: int, why: str) -> ZoneListError:
    """The error that refuses a list because of one feature."""
    return ZoneListError(f"feature {number}: {why}")


def objects_in(features: object) -> list[JsonObject]:
    """The features of a list, each an object."""
    if not isinstance(features, list):
        raise ZoneListError("`features` is missing or no list")
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict):
            raise refused(number, "is no object")
    return features


def number_in(fields: JsonObject, key: str, most: float, number: int) -> float:
    """A number from 0 to `most`; 0 where it is missing."""
    value = fields.get(key)
    if value is None:
        return 0.0
    # asked so that a NaN fails; True is an int in Python, not in a zone list
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= most:
        raise refused(number, f"`{key}` is no number from 0 to {most:g} m")
    return float(value)


def text_in(fields: JsonObject, key: str, number: int) -> str:
    """A text, or a whole number as text; empty where it is missing."""
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refused(number, f"`{key}` is no text")
    return str(value)


def datum_in(fields: JsonObject, key: str = "datum") -> str | None:
    """A datum that we know; None where none is named."""
    value = fields.get(key)
    if value is None:
        return None
    word = value.lower().replace("-", "").replace("_", "") if isinstance(value, str) else ""
    if word not in DATUMS:
        raise ZoneListError(f"`{key}` is none of {', '.join(DATUMS)}")
    return word


def own_fields(zone: ZoneDraft, fields: JsonObject) -> None:
    """Take our own fields of a feature: `datum`, `margin_m`, `purpose`, `site`."""
    try:
        zone.datum = datum_in(fields) or zone.datum
    except ZoneListError as error:
        raise refused(zone.number, str(error)) from None
    if fields.get("margin_m") is not None:
        zone.margin_m = number_in(fields, "margin_m", MOST_MARGIN_M, zone.number)
    zone.purpose = text_in(fields, "purpose", zone.number) or zone.purpose
    zone.site_id = text_in(fields, "site", zone.number) or zone.zone_id or UNNAMED_SITE


def take_windows(draft: ListDraft, zone: ZoneDraft, applicability: object) -> None:
    """Take the time windows of a feature; what is not understood counts as always active, and is noted."""
    zone.windows, lines = windows_of(applicability)
    for line in lines:
        draft.note(zone.number, line)


def add_circle(zone: ZoneDraft, position: object, radius: object) -> None:
    """Add a circle of `radius` metres."""
    is_number = isinstance(radius, int | float) and not isinstance(radius, bool)
    if not is_number or not 0.0 < radius <= MOST_RADIUS_M:  # type: ignore[operator]
        raise refused(zone.number, f"a circle's radius is no number above 0, at most {MOST_RADIUS_M:g} m")
    zone.circles.append((position, float(radius)))  # type: ignore[arg-type]


def add_polygon(zone: ZoneDraft, rings: object) -> None:
    """Add a polygon: a list of rings."""
    if not isinstance(rings, list) or not rings:
        raise refused(zone.number, "a polygon without a ring")
    zone.polygons.append(rings)
