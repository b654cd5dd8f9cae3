"""The way of the vehicle as a chain of legs between believed fixes, in order of time and without holes.

A fix that is not believed makes no leg of its own: it breaks the chain, and the leg that bridges the break
carries its fault. So everything between two believed fixes is either a believed leg or a faulty one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Final

from anonymize.zones.fixes import (
    FROZEN_AFTER_S,
    TIME_NOISE_S,
    FineReason,
    Fix,
    fault_of_fix,
    fault_of_step,
    stands_frozen,
)
from anonymize.zones.rules import GateRules

# A fix that is later than its arrival by more than this, or older by so much more than the feed's latency, says that a
# clock stepped. With the bounds for frames (`zone_gate`) no step goes unseen that is longer than the scrub of 3 s.
AHEAD_S: Final = 1.0
LATE_S: Final = 1.0


@dataclass(slots=True, repr=False, eq=False)
class Leg:
    """What lies between two believed fixes that follow one another; `fault` says why it forbids recording."""

    start: Fix
    end: Fix
    fault: FineReason | None

    @property
    def seconds(self) -> float:
        """Duration, s."""
        return self.end.time_s - self.start.time_s


class Legs:
    """Takes fixes as they come, with the time of their arrival, and keeps the chain."""

    def __init__(self, rules: GateRules) -> None:
        self._rules = rules
        self.legs: list[Leg] = []
        self.end_times_s: list[float] = []
        self.forgot = False  # earlier legs were forgotten: nobody knows any more where they led
        self.break_reason: FineReason | None = None  # the chain is broken behind its last fix
        self._broken_until_s = -math.inf  # latest time that a fix which is not believed was of
        self._frozen_since_s: float | None = None
        self._tainted_from: int | None = None  # all legs from this one on are faulty already

    @property
    def newest_s(self) -> float:
        """Time of the last believed fix; there must be one."""
        return self.end_times_s[-1]

    @property
    def first_s(self) -> float:
        """Time at which the chain begins; there must be a fix."""
        return self.legs[0].start.time_s

    @property
    def settled_s(self) -> float:
        """Up to when no later fix can change what is known: at most to where what may be a freeze began."""
        return self.newest_s if self._frozen_since_s is None else self._frozen_since_s

    def add(self, fix: Fix, now_s: float) -> int:
        """Index of the first leg that is new or changed (the number of legs where none is)."""
        if fix.accuracy_m is None and self._rules.track_accuracy_m is not None:
            fix = replace(fix, accuracy_m=self._rules.track_accuracy_m)
        if self.legs and fix == self.legs[-1].end:
            return len(self.legs)  # delivered twice
        fault = fault_of_fix(fix) or self._fault_of_time(fix, now_s)
        if fault is not None:
            self.break_reason = fault
            # overtaken by earlier fixes it must still break the leg that it lies in; a glitch of 2099 must not last
            self._broken_until_s = max(self._broken_until_s, min(fix.time_s, now_s + AHEAD_S))
            return self._taint(fix.time_s, fault)
        if not self.legs:
            self._append(Leg(fix, fix, None))
            return 0
        last = self.legs[-1].end
        step_fault = fault_of_step(
            last, fix, max_gap_s=self._rules.max_gap_s, max_speed_mps=self._rules.max_speed_mps
        )
        self._append(Leg(last, fix, self.break_reason or step_fault))
        return self._watch_freeze(last, fix)

    def forget_before(self, time_s: float) -> int:
        """Drop legs that ended before `time_s`, the last one excepted; how many."""
        count = min(bisect_left(self.end_times_s, time_s), len(self.legs) - 1)
        if count <= 0:
            return 0
        del self.legs[:count], self.end_times_s[:count]
        self._tainted_from = None
        self.forgot = True
        return count

    def _append(self, leg: Leg) -> None:
        self.legs.append(leg)
        self.end_times_s.append(leg.end.time_s)
        self._tainted_from = None
        if leg.end.time_s > self._broken_until_s:
            self.break_reason = None

    def _fault_of_time(self, fix: Fix, now_s: float) -> FineReason | None:
        # asked so that a NaN of the clock is a fault
        arrived_in_time = now_s - LATE_S - self._rules.feed_latency_s <= fix.time_s <= now_s + AHEAD_S
        goes_on = not self.legs or fix.time_s > self.newest_s
        return None if arrived_in_time and goes_on else FineReason.TIME

    def _taint(self, from_s: float, fault: FineReason) -> int:
        """A fix that came late, or a freeze found out late, makes every leg from `from_s` on faulty."""
        count = len(self.legs)
        # a clock that fell back to 1980 says nothing of the chain; nor does a NaN
        if not self.legs or not from_s >= self.first_s:
            return count
        first = bisect_left(self.end_times_s, from_s)
        for leg in self.legs[first : self._tainted_from]:
            leg.fault = leg.fault or fault
        if first < count:
            self._tainted_from = min(first, count if self._tainted_from is None else self._tainted_from)
        return first

    def _watch_freeze(self, last: Fix, fix: Fix) -> int:
        newest = len(self.legs) - 1
        if not stands_frozen(last, fix):
            self._frozen_since_s = None
            return newest
        if self._frozen_since_s is None:
            self._frozen_since_s = last.time_s
        if fix.time_s - self._frozen_since_s < FROZEN_AFTER_S - TIME_NOISE_S:
            return newest
        known_s = self.newest_s if self.legs[-2].fault is FineReason.FROZEN else self._frozen_since_s
        return self._taint(known_s, FineReason.FROZEN)
