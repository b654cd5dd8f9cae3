"""What a row of the ledger may hold, and what it has no room for (STORAGE.md "Ledger", SAFETY 22 and 24)."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from anonymize.deadline import Budget
from anonymize.frames import Label
from anonymize.hide import Styles
from anonymize.settings import Settings
from anonymize.store.errors import RowError
from anonymize.store.events import EVENTS, FIELDS, checked, exceptions_of
from tests.store.ledgers import Clock, digest, opened

# What must never be in a row, however it is written: places, zones, headings, moments, pixels, free text.
NEVER = [
    39.9087,
    116.3975,
    -33.8,
    "39.9087",
    "39.9087,116.3975",
    "N39 54.52 E116 23.85",
    "116-397",
    "POINT(116.3975 39.9087)",
    "wx4g0ec1",
    "8PFRW95W+",
    [116.3975, 39.9087],
    [116, 39],
    {"lon": 116, "lat": 39},
    {"personal": 116.3975},
    {"personal": -1},
    {"lon_deg": 116},
    "zone-17",
    "a17",
    "271.5",
    "2026-11-18T10:13:20Z",
    "2026-11-18 10:13",
    "10:13:20",
    "2026-13-01",
    "2026-02-30",
    -1,
    1 << 53,
    1.0,
    float("nan"),
    True,
    b"\xff\xd8",
    "data:image/jpeg;base64,/9j/",
    "\ud800",
    'x","event":"export.begun',
    "never=116.3975,39.9087,117,40",
    ["never=116.3975,39.9087,117,40"],
    ["never=1163975,399087,1,2"],
    ["never=10,20,30"],
    ["growth=1.3"],
    ["anything"],
    ["style.face=veil"],
]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_no_field_has_room_for_a_place_a_moment_or_a_picture(name):
    for value in NEVER:
        assert not FIELDS[name](value), (name, value)


GOOD = {
    "approval": digest(1), "assessment": digest(2), "bundle": digest(3), "bytes": 0, "cause": "owner",
    "class": "general", "classes": {"personal": 3}, "contact": digest(4), "content": digest(5), "count": (1 << 53) - 1,
    "digest": digest(6),
    "epoch": "2026-11-18", "exceptions": ["never=0,16384,9999,10"], "frames": 1, "jurisdiction": "DE", "kind": "read",
    "method": "key_destroyed", "model": digest(7), "of_day": "2024-02-29", "persons": 2, "policy": digest(8),
    "purpose": "accident_record", "reason": "no_fix", "recipient": "Example Works GmbH", "region": "CN-SH",
    "release": "0.1.0", "retain_until": "2026-12-02", "rule": "policy-deny", "segment_row": 4, "sensitive": 0,
    "set": digest(9), "sink": "depot shanghai", "until": "2027-01-01", "zone_list": None,
}  # fmt: skip


def test_every_event_takes_its_fields_and_no_other():
    assert set(GOOD) == set(FIELDS)
    used = set()
    for event, known in EVENTS.items():
        full = {name: GOOD[name] for name in known.allowed}
        assert checked(event, full) == full
        used |= known.allowed
        for name in known.wanted:
            with pytest.raises(RowError, match=f"`{name}` is missing"):
                checked(event, {other: value for other, value in full.items() if other != name})
        for name in [
            *(set(FIELDS) - known.allowed),
            "lon_deg",
            "note",
            "row",
            "day",
            "event",
            "time_s",
            "zone",
        ]:
            with pytest.raises(RowError, match="may not have"):
                checked(event, {**full, name: GOOD.get(name, 1)})
    assert used == set(FIELDS)
    with pytest.raises(RowError):
        checked("zone.entered", {})


def test_an_error_names_the_field_and_not_the_value():
    with pytest.raises(RowError) as caught:
        checked("frames.dropped", {"count": 1, "of_day": "2026-11-18", "reason": "39.9087,116.3975"})
    assert "reason" in str(caught.value)
    assert "116" not in str(caught.value)


def test_what_a_stored_segment_must_say_includes_its_exceptions():
    """SAFETY 22: none can be forgotten."""
    for event in ("segment.stored", "recording.begun"):
        assert "exceptions" in EVENTS[event].wanted
    settings = Settings(
        classes=frozenset({Label.PLATE}),
        thresholds={Label.PLATE: 0.4567},
        never=((-5.0, 10.5, 20000.0, 30.2),),
    )
    found = exceptions_of(settings, released_false_hits=2)
    assert found == [
        "never=0,10,16384,31", "not_looked_for=face", "released_false_hits=2", "threshold.plate=0.456",
    ]  # fmt: skip
    assert FIELDS["exceptions"](found)
    assert exceptions_of(Settings()) == []
    assert len(found) == len(settings.exceptions()) + 1  # a line in the report for each of them


def test_weak_styles_small_growth_and_prediction_are_exceptions():
    settings = Settings(
        styles=Styles(face="blur", plate="mosaic", growth=1.1),
        weak_on_video=True,
        budget=Budget(50.0, "predict"),
    )
    found = exceptions_of(settings)
    assert found == ["growth=1.10", "late=predict", "style.face=blur", "style.plate=mosaic"]
    assert FIELDS["exceptions"](found)
    assert len(found) == len(settings.exceptions())


def test_the_file_holds_no_time_of_day(tmp_path):
    """Two ledgers of the same rows, written at other hours of the same day, are the same in every table."""
    seen = []
    for hour in (1, 7):
        path = tmp_path / f"ledger{hour}"
        with opened(path, clock=Clock(1_795_000_000.0 + hour * 3600)) as ledger:
            ledger.append("frames.dropped", {"count": 9, "of_day": "2026-11-18", "reason": "no_fix"})
        with closing(sqlite3.connect(path)) as connection:
            seen.append("\n".join(connection.iterdump()))
    assert seen[0] == seen[1]
