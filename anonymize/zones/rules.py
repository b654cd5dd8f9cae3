"""What the gate rests on besides fixes: its constants, the archive's options, the list in force."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from anonymize.errors import UsageError
from anonymize.zones.fixes import MAX_GAP_S, MAX_SPEED_MPS, R68_LIMIT_M, FineReason

DATUM_M: Final = 1.0  # GEOFENCE.md: rest of a datum conversion
MAP_M: Final = 10.0  # GEOFENCE.md: how well lists are surveyed
SCRUB_S: Final = 3.0  # GEOFENCE.md
LEAVE_AFTER_S: Final = 3.0  # GEOFENCE.md
LEAVE_MARGIN_M: Final = 20.0  # GEOFENCE.md
WINDOW_UNCERTAINTY_S: Final = 60.0  # GEOFENCE.md "Time windows": clock error by which they are widened
BUILT_AT_S: Final = 1_793_491_200.0  # 2026-11-01 00:00 UTC; `check repository` says when to set it anew

LonLat = tuple[float, float]


class TouchesZones(Protocol):
    """What the gate asks of a loaded list; it adds the zones' own and secret margins itself."""

    def touches(
        self, start: LonLat, end: LonLat, *, margin_m: float, time_s: float, clock_uncertainty_s: float = 60.0
    ) -> bool:
        """Whether the segment comes within `margin_m` of a zone that may be active at `time_s`."""


@dataclass(frozen=True, slots=True)
class ZonesInForce:
    """A zone list and whether it may be relied on.

    Parameters
    ----------
    index : TouchesZones or None
        None where no list could be loaded: nothing is recorded then.
    signed : bool
        Signature, threshold of keys, version and dates were checked.
    store_nothing_after_s : float
        UTC end of the grace period after expiry, s since 1970.
    fault : FineReason or None
        What the loader found wrong with the list, such as an older version than the newest seen.
    """

    index: TouchesZones | None
    signed: bool = False
    store_nothing_after_s: float = math.inf
    fault: FineReason | None = None

    def fault_at(self, now_s: float, *, unsigned_allowed: bool) -> FineReason | None:
        """Why nothing may be recorded under this list now; None if it may."""
        if self.index is None:
            return self.fault or FineReason.LIST_MISSING
        if self.fault is not None:
            return self.fault
        if not self.signed and not unsigned_allowed:
            return FineReason.LIST_UNSIGNED
        # asked so that a NaN on either side is a fault
        return None if now_s <= self.store_nothing_after_s else FineReason.LIST_EXPIRED


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """What may be loosened for recorded tracks, by hand and on record; live use has none of it.

    Parameters
    ----------
    track_accuracy_m : float or None
        68 % radius to assume for fixes that carry none, m.
    max_gap_s : float or None
        Longest gap between two fixes that is bridged, s; the path then grows to all that can be reached.
    top_speed_mps : float
        The fastest that the vehicle can have gone meanwhile, m/s.
    unsigned_zones : bool
        Accept a list without signature.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    track_accuracy_m: float | None = None
    max_gap_s: float | None = None
    top_speed_mps: float = MAX_SPEED_MPS
    unsigned_zones: bool = False

    def __post_init__(self) -> None:
        if self.track_accuracy_m is not None and not 0.0 < self.track_accuracy_m <= R68_LIMIT_M:
            raise UsageError(
                f"track accuracy is {self.track_accuracy_m} m; wanted more than 0, at most {R68_LIMIT_M}"
            )
        if self.max_gap_s is not None and not MAX_GAP_S <= self.max_gap_s < math.inf:
            raise UsageError(f"largest gap is {self.max_gap_s} s; wanted at least {MAX_GAP_S}")
        if not 0.0 < self.top_speed_mps <= MAX_SPEED_MPS:
            raise UsageError(
                f"top speed is {self.top_speed_mps} m/s; wanted more than 0, at most {MAX_SPEED_MPS}"
            )

    def exceptions(self) -> list[str]:
        """A line for each option in use; they belong in every report."""
        lines = []
        if self.track_accuracy_m is not None:
            lines.append(f"fixes without accuracy are taken as good to {self.track_accuracy_m:g} m (68 %)")
        if self.max_gap_s is not None:
            lines.append(
                f"gaps of up to {self.max_gap_s:g} s are bridged at up to {self.top_speed_mps:g} m/s"
            )
        if self.unsigned_zones:
            lines.append("the zone list carries no checked signature")
        return lines


@dataclass(frozen=True, slots=True)
class GateRules:
    """The gate's times; the defaults are those of GEOFENCE.md.

    Parameters
    ----------
    feed_latency_s : float
        Longest delay from a fix to its arrival, s.
    scrub_s : float
        What is dropped before and after each drop of place or plausibility, s. `ZoneGate` takes 3 s or more.
    not_before_s : float or None
        UTC before which no clock can be right; None for archives.
    archive : ArchiveOptions or None
        Only for recorded tracks.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    feed_latency_s: float = 1.0
    scrub_s: float = SCRUB_S
    not_before_s: float | None = BUILT_AT_S
    archive: ArchiveOptions | None = None

    def __post_init__(self) -> None:
        if not (0.0 <= self.feed_latency_s <= 60.0 and 0.0 <= self.scrub_s <= 60.0):
            raise UsageError("feed_latency_s and scrub_s are 0 to 60 s")

    @property
    def max_gap_s(self) -> float:
        """Longest gap between the two fixes around a frame, s."""
        return MAX_GAP_S if self.archive is None else self.archive.max_gap_s or MAX_GAP_S

    @property
    def max_speed_mps(self) -> float:
        """A step between two fixes that is faster is not believed."""
        return MAX_SPEED_MPS if self.archive is None else self.archive.top_speed_mps

    @property
    def track_accuracy_m(self) -> float | None:
        """68 % radius of fixes that carry none."""
        return None if self.archive is None else self.archive.track_accuracy_m

    @property
    def unsigned_allowed(self) -> bool:
        """Whether a list without signature is accepted."""
        return self.archive is not None and self.archive.unsigned_zones

    @property
    def hold_timeout_s(self) -> float:
        """How long a frame waits for its fixes: 6 s by default. So much is lost at power-off."""
        return self.scrub_s + self.max_gap_s + self.feed_latency_s
