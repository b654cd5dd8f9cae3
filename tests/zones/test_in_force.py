"""A list that was loaded, or refused, as the gate asks it."""

from __future__ import annotations

import json

import pytest

from anonymize.zones.errors import ZoneListError, ZoneTrustError
from anonymize.zones.fixes import FineReason
from anonymize.zones.in_force import refused_list, signed_in_force, unsigned_in_force

pytest.importorskip("shapely")

SQUARE = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [[[11.0, 48.0], [11.01, 48.0], [11.01, 48.01], [11.0, 48.0]]]},
    "properties": {},
}  # fmt: skip


def test_lists_in_force():
    from anonymize.zones.lists import parse_zones
    from anonymize.zones.signed import SignedZones

    zone_list = parse_zones(
        json.dumps({"type": "FeatureCollection", "features": [SQUARE]}).encode(), datum="wgs84"
    )
    signed = signed_in_force(SignedZones(zone_list, 3, 0.0, 50.0, 100.0, b"0123456789abcdef"))
    assert signed.fault_at(100.0, unsigned_allowed=False) is None
    assert signed.fault_at(100.1, unsigned_allowed=False) is FineReason.LIST_EXPIRED
    unsigned = unsigned_in_force(zone_list)
    assert unsigned.fault_at(100.1, unsigned_allowed=True) is None
    assert unsigned.fault_at(100.1, unsigned_allowed=False) is FineReason.LIST_UNSIGNED
    for zones in (signed, unsigned):
        assert zones.index.touches((11.005, 48.001), (11.005, 48.002), margin_m=1.0, time_s=0.0)


@pytest.mark.parametrize(
    ("refusal", "fault"),
    [
        (ZoneListError("broken"), FineReason.LIST_MISSING),
        (ZoneTrustError("gone", "missing"), FineReason.LIST_MISSING),
        (ZoneTrustError("another hash", "altered"), FineReason.LIST_UNSIGNED),
        (ZoneTrustError("two of three keys", "unsigned"), FineReason.LIST_UNSIGNED),
        (ZoneTrustError("version 3 after 4", "old_version"), FineReason.LIST_OLD_VERSION),
        (ZoneTrustError("half a cache", "state"), FineReason.LIST_OLD_VERSION),
        (ZoneTrustError("past its grace", "expired"), FineReason.LIST_EXPIRED),
        (ZoneTrustError("1970", "clock"), FineReason.CLOCK_BEFORE_BUILD),
    ],
)
def test_a_refused_list_records_nothing(refusal, fault):
    assert refused_list(refusal).fault_at(0.0, unsigned_allowed=True) is fault
