"""From a loaded zone list, or from its refusal, to what the gate asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anonymize.zones.errors import ZoneListError, ZoneTrustError
from anonymize.zones.fixes import FineReason
from anonymize.zones.rules import ZonesInForce

if TYPE_CHECKING:
    from anonymize.zones.shapes import ZoneList
    from anonymize.zones.signed import SignedZones

_FAULTS: Final = {
    "altered": FineReason.LIST_UNSIGNED,
    "unsigned": FineReason.LIST_UNSIGNED,
    "old_version": FineReason.LIST_OLD_VERSION,
    "state": FineReason.LIST_OLD_VERSION,  # which version was seen last is not known any more
    "expired": FineReason.LIST_EXPIRED,
    "clock": FineReason.CLOCK_BEFORE_BUILD,
}


def signed_in_force(signed: SignedZones) -> ZonesInForce:
    """A checked list, with its secret margins, until the end of its grace period."""
    from anonymize.zones.index import ZoneIndex

    index = ZoneIndex(signed.zone_list, margin_key=signed.margin_key)
    return ZonesInForce(index, signed=True, store_nothing_after_s=signed.store_nothing_after_s)


def unsigned_in_force(zone_list: ZoneList, *, margin_key: bytes | None = None) -> ZonesInForce:
    """A list without signature: the gate takes it only with `ArchiveOptions(unsigned_zones=True)`."""
    from anonymize.zones.index import ZoneIndex

    return ZonesInForce(ZoneIndex(zone_list, margin_key=margin_key))


def refused_list(refusal: ZoneListError) -> ZonesInForce:
    """What is in force where the list was refused: nothing is recorded, and counted under the fitting reason."""
    reason = refusal.reason if isinstance(refusal, ZoneTrustError) else "missing"
    return ZonesInForce(None, fault=_FAULTS.get(reason, FineReason.LIST_MISSING))
