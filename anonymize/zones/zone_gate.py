"""The gate with zones: frames wait, hidden, until it is certain that they may exist.

Nothing of a place leaves it: to the caller every drop is `withheld`, fine reasons are counts per day.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from anonymize.errors import UsageError
from anonymize.frames import AnonymizedFrame, CapturedFrame, Dropped, Reason, ReleasedFrame, _seal_released
from anonymize.zones.day_counts import DayCounts
from anonymize.zones.decide import Answer, Decider
from anonymize.zones.fixes import FineReason, Fix
from anonymize.zones.hold import Group, GroupEncoder, Hold, ReleasedGroup, own
from anonymize.zones.legs import LATE_S
from anonymize.zones.rules import SCRUB_S, ArchiveOptions, GateRules, ZonesInForce
from anonymize.zones.views import CameraView

Outcome = ReleasedFrame | Dropped

HOLD_BYTES: Final = 1 << 29  # 5 s of raw 1080p NV12 at 30 frames/s is 467 MB; encoded some 45
GROUP_S: Final = 1.0  # SAFETY 3: the longest group live
REMEMBER_S: Final = 60.0  # of fixes: much more than any frame may be late
# A live frame stamped longer ago, or ahead, comes from a camera whose clock is wrong. Beyond what a fix may be late
# (2 s) or early (1 s) this leaves 3 s by which a frame and a fix can be apart unseen: the scrub.
FRAME_LATE_S: Final = 2.0
FRAME_AHEAD_S: Final = 1.0


class ZoneGate:
    """A gate for live use; `for_track` makes one for a recorded track. May be given fixes by another thread.

    What is bounded: the bytes of all that waits or was released and not fetched yet (`hold_bytes`; the oldest
    is discarded and counted; groups in the making come on top), and its time: `rules.hold_timeout_s` (6 s)
    from its arrival, plus the length of a group. With fixes at 1 Hz a frame waits 3 to 4.4 s. Raw 1080p NV12
    at 30 frames/s takes 93 MB for each of these seconds, which the default just holds; encoded frames of
    300 kB take 9 MB: give `encoders`. Whatever waits is lost at power-off. Time-outs and overflow are looked
    at when a frame comes; without frames nothing is released.

    Parameters
    ----------
    zones : ZonesInForce
        The list and whether it may be relied on.
    rules : GateRules or None
    views : mapping of camera name to CameraView
    encoders : callable or None
        Makes a `GroupEncoder` for a camera's name. Then groups are held, and fetched by `take_groups`; without
        it each frame is held in memory of its own, and returned by `release`.
    group_s : float
        Length of a group, s, at most 1; 0 makes each frame a group (for encoders without prediction).
    hold_bytes : int
    clock : callable
        UTC, s since 1970, in the time of the fixes.

    Raises
    ------
    UsageError
        An option of archives, a scrub of less than 3 s, a value out of its range.
    """

    def __init__(
        self,
        zones: ZonesInForce,
        rules: GateRules | None = None,
        *,
        views: Mapping[str, CameraView] | None = None,
        encoders: Callable[[str], GroupEncoder] | None = None,
        group_s: float = GROUP_S,
        hold_bytes: int = HOLD_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        rules = rules or GateRules()
        if rules.archive is not None:
            raise UsageError(
                "live zones take no option of archives; use ZoneGate.for_track for a recorded track"
            )
        if rules.scrub_s < SCRUB_S or rules.not_before_s is None:
            raise UsageError(f"live zones scrub at least {SCRUB_S:g} s and know when they were built")
        if rules.scrub_s < rules.feed_latency_s + LATE_S + FRAME_AHEAD_S:
            raise UsageError(
                f"a feed late by up to {rules.feed_latency_s:g} s hides steps of a clock; wanted scrub_s of at least "
                f"{rules.feed_latency_s + LATE_S + FRAME_AHEAD_S:g} s"
            )
        if not 0.0 <= group_s <= GROUP_S or hold_bytes < 1:
            raise UsageError(f"group_s is 0 to {GROUP_S:g} s, hold_bytes at least 1")
        self.withheld = DayCounts()
        self._decider = Decider(zones, rules, views)
        self._hold_timeout_s = rules.hold_timeout_s
        self._encoders, self._group_s, self._clock = encoders, group_s, clock
        self._live = True
        self._hold = Hold(hold_bytes)
        self._lock = threading.RLock()
        self._open: dict[str, Group] = {}
        self._encoder_of: dict[str, GroupEncoder] = {}
        self._last_stamp_s: dict[str, float] = {}
        self._dropped: list[Dropped] = []
        self._look_again_s = -float("inf")

    @classmethod
    def for_track(
        cls,
        zones: ZonesInForce,
        fixes: Iterable[Fix],
        options: ArchiveOptions | None = None,
        *,
        views: Mapping[str, CameraView] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> ZoneGate:
        """A gate that knows the whole track: every frame is decided at once, before any work where it drops.

        `clock` serves the expiry of the list and the day of the counts alone.
        """
        gate = cls(zones, clock=clock)
        gate._live = False
        rules = GateRules(not_before_s=None, archive=options or ArchiveOptions())
        gate._decider = Decider(zones, rules, views)
        for fix in fixes:
            gate._decider.add_fix(fix, fix.time_s)
        gate._decider.end_of_fixes()
        return gate

    def fix(self, fix: Fix) -> None:
        """Take a fix that has just come. What it decides is returned by the next `release` or `collect`."""
        with self._lock:
            now_s = self._clock()
            self._decider.add_fix(fix, now_s)
            self._decider.forget_before(now_s - REMEMBER_S)
            self._look_again_s = -float("inf")

    def replace_zones(self, zones: ZonesInForce) -> None:
        """Put a newer list in force, for all that is not decided yet."""
        with self._lock:
            self._decider.replace_zones(zones)
            self._look_again_s = -float("inf")

    def admit(self, captured: CapturedFrame) -> bool:
        """False where the frame is certain to be dropped; nothing of it need be computed then."""
        with self._lock:
            now_s = self._clock()
            self._settle(now_s)
            fault = self._stamp_fault(captured, now_s)
            fault = fault or self._decider.refuses(captured.camera, captured.captured_at_s, now_s)
            if fault is None:
                return True
            self._close_group(captured.camera, now_s)
            self.withheld.add(fault, now_s)
            return False

    def release(self, hidden: AnonymizedFrame) -> list[Outcome]:
        """Take a hidden frame; what is decided now, perhaps of seconds ago, in each camera's order."""
        if type(hidden) is not AnonymizedFrame:
            raise TypeError("the gate takes an AnonymizedFrame")
        with self._lock:
            now_s = self._clock()
            captured_s = hidden.captured_at_s
            if captured_s is None:
                self._count_drop(FineReason.CAPTURE_TIME, hidden.camera, 1, now_s)
                return self._hand_out(now_s)
            at = {"arrived_s": now_s, "now_s": now_s}
            decision = self._decider.decide(hidden.camera, captured_s, captured_s, **at)
            if decision.answer is Answer.DROP:
                self._close_group(hidden.camera, now_s)
                self._count_drop(decision.reason, hidden.camera, 1, now_s)
            elif self._encoders is not None:
                self._encode(hidden, captured_s, now_s)
            elif decision.answer is Answer.KEEP and not self._waits(hidden.camera):
                return [*self._hand_out(now_s), _seal_released(hidden)]
            else:
                self._keep_waiting(hidden, captured_s, now_s)
            return self._hand_out(now_s)

    def collect(self) -> list[Outcome]:
        """What fixes and time have decided since; for callers whose frames pause."""
        with self._lock:
            return self._hand_out(self._clock())

    def close(self) -> list[Outcome]:
        """End: no fix comes any more. What is not certain by now is discarded."""
        with self._lock:
            now_s = self._clock()
            self._decider.end_of_fixes()
            for camera in list(self._open):
                self._close_group(camera, now_s)
            self._look_again_s = -float("inf")
            return self._hand_out(now_s)

    def take_groups(self) -> list[ReleasedGroup]:
        """The encoded groups that may be stored now, in each camera's order."""
        with self._lock:
            self._settle(self._clock())
            return [group.seal() for group in self._hold.take_kept()]

    @property
    def held_bytes(self) -> int:
        """Bytes of all that waits or was not fetched, groups in the making included."""
        with self._lock:
            return self._hold.size_bytes + sum(group.size_bytes for group in self._open.values())

    @property
    def held_s(self) -> tuple[float, float] | None:
        """Capture times (of the cameras' clocks, UTC, s) of the first and the last to come of all that waits."""
        with self._lock:
            waiting = list(self._hold)
            return (waiting[0].first_s, waiting[-1].last_s) if waiting else None

    def _stamp_fault(self, captured: CapturedFrame, now_s: float) -> FineReason | None:
        """A live camera whose clock stands, runs back or is far off may be stamping a place that is behind us."""
        if captured.captured_at_s is None:
            return FineReason.CAPTURE_TIME
        if not self._live:
            return None
        stamp_s = captured.captured_at_s - self._decider.view_of(captured.camera).clock_offset_s
        if not now_s - FRAME_LATE_S <= stamp_s <= now_s + FRAME_AHEAD_S:
            return FineReason.CAPTURE_TIME
        if stamp_s <= self._last_stamp_s.get(captured.camera, -float("inf")):
            return FineReason.CAPTURE_TIME
        self._last_stamp_s[captured.camera] = stamp_s
        return None

    def _waits(self, camera: str) -> bool:
        return any(group.camera == camera for group in self._hold)

    def _keep_waiting(self, hidden: AnonymizedFrame, captured_s: float, now_s: float) -> None:
        owned = own(hidden)
        group = Group(hidden.camera, captured_s, captured_s, now_s, hidden.time_base, [hidden.pts], owned)
        group.size_bytes = sum(plane.nbytes for plane in owned.planes)
        self._hold_group(group, now_s)

    def _encode(self, hidden: AnonymizedFrame, captured_s: float, now_s: float) -> None:
        """Encode into the camera's open group, or into a new one where that is long enough or of another clock."""
        assert self._encoders is not None
        camera = hidden.camera
        group = self._open.get(camera)
        if group is not None and not (
            0.0 <= captured_s - group.first_s < self._group_s and group.time_base == hidden.time_base
        ):
            self._close_group(camera, now_s)
            group = None
        if group is None:
            group = self._open[camera] = Group(camera, captured_s, captured_s, now_s, hidden.time_base)
        try:
            if camera not in self._encoder_of:
                self._encoder_of[camera] = self._encoders(camera)
            chunk = self._encoder_of[camera].encode(hidden)
        except BaseException:
            self._abandon_group(camera, now_s)
            raise
        group.pts.append(hidden.pts)
        group.chunks.append(chunk)
        group.size_bytes += len(chunk)
        group.last_s, group.arrived_s = max(group.last_s, captured_s), now_s
        if self._group_s == 0.0:
            self._close_group(camera, now_s)

    def _close_group(self, camera: str, now_s: float) -> None:
        """The open group of a camera is complete and waits."""
        group = self._open.get(camera)
        if group is None:
            return
        try:
            rest = self._encoder_of[camera].close_group()
        except BaseException:
            self._abandon_group(camera, now_s)
            raise
        del self._open[camera]
        group.chunks.append(rest)
        group.size_bytes += len(rest)
        self._hold_group(group, now_s)

    def _abandon_group(self, camera: str, now_s: float) -> None:
        """An encoder failed: its group cannot be shown, and nothing of it may reach the next one."""
        group = self._open.pop(camera)
        self._encoder_of.pop(camera, None)
        self._count_drop(FineReason.ENCODER_FAILED, camera, len(group.pts), now_s)
        group.wipe()

    def _hold_group(self, group: Group, now_s: float) -> None:
        self._look_again_s = -float("inf")
        for gone in self._hold.add(group):
            self._count_drop(FineReason.HOLD_OVERFLOW, gone.camera, len(gone.pts), now_s)

    def _settle(self, now_s: float) -> None:
        """Ask again about all that waits, where a fix, a new group or a time-out may have changed the answer."""
        if now_s < self._look_again_s:
            return
        unwanted = set()
        self._look_again_s = now_s + self._hold_timeout_s
        for group in self._hold:
            if group.kept:
                continue
            at = {"arrived_s": group.arrived_s, "now_s": now_s}
            decision = self._decider.decide(group.camera, group.first_s, group.last_s, **at)
            if decision.answer is Answer.DROP:
                unwanted.add(id(group))
                self._count_drop(decision.reason, group.camera, len(group.pts), now_s)
            elif decision.answer is Answer.KEEP:
                group.kept = True
            else:
                self._look_again_s = min(self._look_again_s, group.arrived_s + self._hold_timeout_s)
        self._hold.discard(unwanted)

    def _count_drop(self, reason: FineReason | None, camera: str, frames: int, now_s: float) -> None:
        assert reason is not None
        self.withheld.add(reason, now_s, frames=frames)
        self._dropped += [Dropped(Reason.WITHHELD, camera)] * frames

    def _hand_out(self, now_s: float) -> list[Outcome]:
        self._settle(now_s)
        outcomes: list[Outcome] = list(self._dropped)
        self._dropped.clear()
        if self._encoders is None:
            kept = (group.picture for group in self._hold.take_kept())
            outcomes += [_seal_released(picture) for picture in kept if picture is not None]
        return outcomes
