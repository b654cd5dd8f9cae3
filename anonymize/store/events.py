"""What a ledger row may say: a list of events, the fields of each, and the one form of every field.

A field name has one meaning everywhere. No form has room for a position, a heading, a zone's id, a time of day or a
piece of a picture: texts are words of letters, digests, days, or the fixed words listed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from anonymize.store.errors import RowError

if TYPE_CHECKING:
    from anonymize.settings import Area, Settings

JsonValue = None | bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

MOST_COUNT: Final = (1 << 53) - 1  # what every reader of JSON holds exactly
MOST_EXCEPTIONS: Final = 64
CLASSES: Final = ("general", "personal", "sensitive", "important")
CAUSES: Final = ("retention", "owner", "withdrawn", "size_limit", "consent_expired", "damaged")
METHODS: Final = ("key_destroyed", "logical_deletion")

_SIDE = r"(?:[0-9]|[1-9][0-9]{1,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4])"  # 0 to 16384 px
_EXCEPTION: Final = re.compile(
    r"not_looked_for=(?:face|plate)"
    r"|threshold\.(?:face|plate)=0\.[0-9]{3}"
    rf"|never={_SIDE},{_SIDE},{_SIDE},{_SIDE}"
    r"|released_false_hits=[1-9][0-9]{0,8}"
    r"|late=predict"
    r"|style\.(?:face|plate)=(?:blur|mosaic)"
    r"|growth=[01]\.[0-9]{2}"
)


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_COUNT


def _is_day(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_exceptions(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) <= MOST_EXCEPTIONS
        and all(isinstance(one, str) and _EXCEPTION.fullmatch(one) for one in value)
    )


_digest = _matches(r"[0-9a-f]{64}")
_word = _matches(r"[a-z](?:[a-z]|[_-](?=[a-z])){0,47}")  # letters alone: no figure of a position fits in
_name = _matches(r"[A-Za-z](?:[A-Za-z]|[ ._-](?=[A-Za-z])){0,63}")

# Every field that there is, and whether a value has its form.
FIELDS: Final[dict[str, Callable[[Any], bool]]] = {
    "approval": _digest,  # SHA-256 of the approval's note
    "assessment": _digest,  # SHA-256 of the assessment's number, which itself is not kept here
    "bundle": _digest,  # SHA-256 of the bundle's manifest
    "bytes": _is_count,
    "cause": lambda value: value in CAUSES,
    "class": lambda value: value in CLASSES,
    "classes": lambda value: (
        isinstance(value, Mapping) and set(value) <= set(CLASSES) and all(map(_is_count, value.values()))
    ),
    "content": _digest,  # SHA-256 of the object before it was encrypted: what an export hands over
    "contact": _digest,  # SHA-256 of what the owner wrote: it is no business of whoever reads the ledger
    "count": _is_count,
    "digest": _digest,  # SHA-256 of the stored bytes
    "epoch": _is_day,  # of the key of the day
    "exceptions": _is_exceptions,
    "frames": _is_count,
    "jurisdiction": _matches(r"[A-Z]{2}(?:-[A-Z]{1,3})?"),  # ISO 3166
    "kind": lambda value: value in ("export", "read", "handover"),  # the last does not leave the country
    "method": lambda value: value in METHODS,
    "model": _digest,
    "of_day": _is_day,
    "persons": _is_count,
    "policy": _digest,
    "purpose": _word,
    "reason": _word,
    "recipient": _name,
    "region": _matches(r"[A-Z]{2}(?:-[A-Z]{1,3})?"),
    "release": _matches(r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2}"),  # of this software
    "retain_until": _is_day,
    "rule": _word,
    "segment_row": _is_count,
    "sensitive": _is_count,
    "set": _digest,  # SHA-256 over the digests of a set of objects
    "sink": _name,
    "until": _is_day,
    "zone_list": lambda value: value is None or _is_count(value),  # version; None where no zones are in force
}


@dataclass(frozen=True, slots=True)
class Event:
    """The fields that an event must have and those that it may have."""

    wanted: frozenset[str]
    allowed: frozenset[str]


def _event(wanted: str, also: str = "") -> Event:
    return Event(frozenset(wanted.split()), frozenset((wanted + " " + also).split()))


_EXPORT: Final = "bytes classes count jurisdiction kind persons policy purpose recipient sensitive set"

EVENTS: Final[dict[str, Event]] = {
    # recording
    "consent.given": _event("purpose until", "contact"),
    "consent.withdrawn": _event("", "purpose"),
    "consent.expired": _event("", "purpose"),
    "recording.begun": _event("exceptions model policy", "purpose region release zone_list"),
    "recording.ended": _event("", "count frames reason"),
    "frames.dropped": _event("count of_day reason"),
    # what is kept
    "segment.stored": _event(
        "bytes class digest exceptions frames model region retain_until",
        "content epoch persons policy purpose sensitive zone_list",
    ),
    "segment.deleted": _event("cause class digest method", "bytes epoch region segment_row"),
    "segment.missing": _event("digest", "segment_row"),
    "epoch.destroyed": _event("epoch method", "count"),
    "store.repaired": _event("count reason"),
    "store.fault": _event("reason", "count"),
    "store.over_limit": _event("bytes", "count"),
    # who saw it, and who took it
    "segment.read": _event("count jurisdiction purpose recipient set", "bytes classes"),
    "owner.asked": _event("", "count"),
    "export.begun": _event(_EXPORT, "approval assessment sink"),
    "export.made": _event("bundle set"),
    "export.failed": _event("reason set"),
    "export.refused": _event("jurisdiction kind recipient rule set", "count sink"),
    "export.warned": _event("persons recipient rule sensitive"),
}


def checked(event: str, fields: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The fields of a row, if the allow-list knows them all and each has its form.

    Raises
    ------
    RowError
        It does not. The message names event and field, never the value.
    """
    known = EVENTS.get(event)
    if known is None:
        raise RowError("an event came that the ledger does not know; see anonymize/store/events.py")
    for name in known.wanted - set(fields):
        raise RowError(f"{event}: field `{name}` is missing")
    for name, value in fields.items():
        if name not in known.allowed:
            raise RowError(f"{event}: a field came that it may not have; wanted {sorted(known.allowed)}")
        if not FIELDS[name](value):
            raise RowError(f"{event}: field `{name}` has not its form")
    return dict(fields)


def exceptions_of(settings: Settings, *, released_false_hits: int = 0) -> list[str]:
    """What hides less than the default, in the words of a row (SAFETY 22); empty where nothing does."""
    from anonymize.frames import Label
    from anonymize.settings import DEFAULT_GROWTH

    found = [f"not_looked_for={one}" for one in (Label.FACE, Label.PLATE) if one not in settings.classes]
    found += [
        f"threshold.{label}=0.{math.floor(value * 1000):03d}"
        for label, value in (settings.thresholds or {}).items()
    ]
    found += [f"never={_outwards(area)}" for area in settings.never]
    if any(one.late == "predict" for one in (settings.budget, *settings.budgets.values())):
        found.append("late=predict")
    styles = {Label.FACE: settings.styles.face, Label.PLATE: settings.styles.plate}
    found += [f"style.{label}={style}" for label, style in styles.items() if style.weak]
    if settings.styles.growth < DEFAULT_GROWTH:
        found.append(f"growth={settings.styles.growth:.2f}")
    if released_false_hits:
        found.append(f"released_false_hits={released_false_hits}")
    return sorted(found)


def _outwards(area: Area) -> str:
    """Whole px that hold the area, as far as a picture may reach."""
    from anonymize.frames import MAX_SIDE_PX

    whole = (math.floor(area[0]), math.floor(area[1]), math.ceil(area[2]), math.ceil(area[3]))
    return ",".join(str(min(max(side, 0), MAX_SIDE_PX)) for side in whole)
