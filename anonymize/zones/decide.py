"""Which frames may be recorded: a pure state machine of fixes and zones. Every time is an argument.

A frame is kept only if the whole time from 3 s before it to 3 s after it is covered by believed legs (fixes
at most 2.0 s apart) whose swept path stays farther than the margin from every active zone, and if the vehicle
has left the last zone for good. The same rule for one frame and for a closed group of frames: a span of time.

Unknown is never outside. Before the first fix, behind the newest, across a break: nothing is kept there.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from anonymize.zones.fixes import K_999_OF_68, MAX_GAP_S, TIME_NOISE_S, FineReason, Fix, distance_between_m
from anonymize.zones.legs import Leg, Legs
from anonymize.zones.rules import (
    DATUM_M,
    LEAVE_AFTER_S,
    LEAVE_MARGIN_M,
    MAP_M,
    WINDOW_UNCERTAINTY_S,
    GateRules,
    ZonesInForce,
)
from anonymize.zones.views import CameraView, Wedge, default_view


class Answer(enum.Enum):
    """What is to be done with a frame or a group."""

    KEEP = "keep"
    DROP = "drop"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer, and for a drop its fine reason, which is for the day counts alone."""

    answer: Answer
    reason: FineReason | None = None


KEEP: Final = Decision(Answer.KEEP)
WAIT: Final = Decision(Answer.WAIT)


@dataclass(frozen=True, slots=True, repr=False)
class _Judged:
    """A leg as one view sees it, and whether the vehicle counts as inside a zone behind it."""

    forbids: FineReason | None
    inside: bool
    outside_since_s: float | None  # while inside: the start of the current run of legs that are well outside
    free_from_s: float  # frames of this leg before this time are dropped as leaving


_FORGOTTEN: Final = _Judged(None, True, None, math.inf)  # it may have been inside


@dataclass(frozen=True, slots=True)
class _Span:
    """The time of a frame or group in the time of the fixes, clock uncertainty included."""

    first_s: float
    last_s: float


_Sight = tuple[float, Wedge | None]  # what of a CameraView matters for places


class Decider:
    """Takes fixes as they come and answers for spans of time.

    Parameters
    ----------
    zones : ZonesInForce
    rules : GateRules or None
    views : mapping of camera name to CameraView
        A camera that is not named sees 150 m, or 50 m if it is called rear, left, right or the like.
    """

    def __init__(
        self,
        zones: ZonesInForce,
        rules: GateRules | None = None,
        views: Mapping[str, CameraView] | None = None,
    ) -> None:
        self._zones = zones
        self._rules = rules or GateRules()
        self._views = dict(views or {})
        self._legs = Legs(self._rules)
        self._judged: dict[_Sight, list[_Judged]] = {}
        self._ended = False

    def add_fix(self, fix: Fix, now_s: float) -> None:
        """Take a fix that arrived at `now_s` (UTC, s)."""
        self._judge_again_from(self._legs.add(fix, now_s))

    def end_of_fixes(self) -> None:
        """No fix will come any more: nothing waits."""
        self._ended = True

    def replace_zones(self, zones: ZonesInForce) -> None:
        """Put another list in force; what is not decided yet is judged by it from the beginning."""
        self._zones = zones
        self._judge_again_from(0)

    def forget_before(self, time_s: float) -> None:
        """Forget legs that ended before `time_s` (UTC, s); frames of that time are dropped from now on."""
        count = self._legs.forget_before(time_s)
        for judged in self._judged.values():
            del judged[:count]

    def refuses(self, camera: str, captured_s: float | None, now_s: float) -> FineReason | None:
        """Why a frame is certain to be dropped, before any work on it; None if it is not."""
        span = self._span(camera, captured_s, captured_s)
        if span is None:
            return FineReason.CAPTURE_TIME
        refused = self._certain_drop(camera, span, now_s)
        if refused is not None or not self._legs.legs:
            return refused or self._why_undecided(span)
        if self._ended:
            return None if self._is_covered(span) else self._why_undecided(span)
        last_seen = self._judge(self._sight(camera))[-1]
        return last_seen.forbids if last_seen.forbids is FineReason.ZONE else None  # nobody knows what comes

    def decide(
        self, camera: str, first_s: float, last_s: float, *, arrived_s: float, now_s: float
    ) -> Decision:
        """Keep, drop or wait, for what `camera` captured from `first_s` to `last_s` (its own clock, UTC, s).

        Parameters
        ----------
        arrived_s : float
            When the last of it came, UTC, s: from then on it waits at most the rules' `hold_timeout_s`.
        now_s : float
            UTC, s.
        """
        span = self._span(camera, first_s, last_s)
        if span is None:
            return Decision(Answer.DROP, FineReason.CAPTURE_TIME)
        refused = self._certain_drop(camera, span, now_s)
        if refused is not None:
            return Decision(Answer.DROP, refused)
        if self._is_covered(span):
            return KEEP
        if not self._ended and now_s - arrived_s <= self._rules.hold_timeout_s:
            return WAIT
        return Decision(Answer.DROP, self._why_undecided(span))

    def _is_covered(self, span: _Span) -> bool:
        """Whether all that matters for this time is known."""
        return bool(self._legs.legs) and span.last_s + self._rules.scrub_s <= self._legs.settled_s

    def _why_undecided(self, span: _Span) -> FineReason:
        if not self._legs.legs:
            return self._legs.break_reason or FineReason.NO_FIX
        return FineReason.ONE_SIDED if self._legs.newest_s < span.last_s else FineReason.HOLD_TIMED_OUT

    def _span(self, camera: str, first_s: float | None, last_s: float | None) -> _Span | None:
        """None where a time is missing, not finite or in the wrong order."""
        if first_s is None or last_s is None or not (-math.inf < first_s <= last_s < math.inf):
            return None
        view = self.view_of(camera)
        return _Span(
            first_s - view.clock_offset_s - view.clock_uncertainty_s,
            last_s - view.clock_offset_s + view.clock_uncertainty_s,
        )

    def view_of(self, camera: str) -> CameraView:
        """What is known of a camera, or assumed."""
        return self._views.get(camera) or default_view(camera)

    def _certain_drop(self, camera: str, span: _Span, now_s: float) -> FineReason | None:
        """A reason that no later fix can take away."""
        fault = self._zones.fault_at(now_s, unsigned_allowed=self._rules.unsigned_allowed)
        if fault is not None:
            return fault
        if self._rules.not_before_s is not None and not now_s >= self._rules.not_before_s:
            return FineReason.CLOCK_BEFORE_BUILD
        if not self._legs.legs:
            return None
        judged = self._judge(self._sight(camera))
        if span.first_s - self._rules.scrub_s < self._legs.first_s:
            return FineReason.ONE_SIDED
        return self._forbidden_behind(judged, span) or self._forbidden_ahead(judged[-1], span)

    def _forbidden_behind(self, judged: list[_Judged], span: _Span) -> FineReason | None:
        """What the legs say that are known already."""
        scrub_s = self._rules.scrub_s
        softer = None
        legs = self._legs.legs
        for index in range(bisect_left(self._legs.end_times_s, span.first_s - scrub_s), len(legs)):
            leg, seen = legs[index], judged[index]
            if leg.start.time_s > span.last_s + scrub_s:
                break
            within = leg.end.time_s >= span.first_s and leg.start.time_s <= span.last_s
            if seen.forbids is not None:
                if within:
                    return seen.forbids
                softer = FineReason.SCRUB
            elif within and span.first_s < seen.free_from_s:
                softer = softer or FineReason.LEAVING
        return softer

    def _forbidden_ahead(self, newest: _Judged, span: _Span) -> FineReason | None:
        """What is certain of the leg that the next fix will make."""
        newest_s = self._legs.newest_s
        if self._legs.break_reason is not None and span.last_s + self._rules.scrub_s >= newest_s:
            return self._legs.break_reason if span.last_s > newest_s else FineReason.SCRUB
        if newest.inside and span.last_s > newest_s:
            since_s = newest_s if newest.outside_since_s is None else newest.outside_since_s
            if span.first_s < since_s + LEAVE_AFTER_S:
                return FineReason.LEAVING
        return None

    def _sight(self, camera: str) -> _Sight:
        view = self.view_of(camera)
        return view.view_m, view.wedge

    def _judge_again_from(self, index: int) -> None:
        for judged in self._judged.values():
            del judged[index:]

    def _judge(self, sight: _Sight) -> list[_Judged]:
        """All legs as this view sees them; judged when first asked for."""
        judged = self._judged.setdefault(sight, [])
        view = CameraView(view_m=sight[0], wedge=sight[1])
        before = _FORGOTTEN if self._legs.forgot else None
        for leg in self._legs.legs[len(judged) :]:
            judged.append(self._judge_leg(leg, view, judged[-1] if judged else before))
        return judged

    def _judge_leg(self, leg: Leg, view: CameraView, before: _Judged | None) -> _Judged:
        was_inside = before is not None and before.inside
        if leg.fault is not None:
            return _Judged(leg.fault, was_inside, None, math.inf)
        try:
            if self._touches(leg, view, 0.0):
                return _Judged(FineReason.ZONE, True, None, math.inf)
            if before is None or not was_inside:
                return _Judged(None, False, None, -math.inf)
            if self._touches(leg, view, LEAVE_MARGIN_M):
                return _Judged(None, True, None, math.inf)
        except Exception:  # noqa: BLE001 - whatever it was, a place that cannot be looked up is forbidden
            return _Judged(FineReason.ZONES_FAILED, True, None, math.inf)
        since_s = leg.start.time_s if before.outside_since_s is None else before.outside_since_s
        free_from_s = since_s + LEAVE_AFTER_S
        return _Judged(None, leg.end.time_s < free_from_s, since_s, free_from_s)

    def _touches(self, leg: Leg, view: CameraView, more_m: float) -> bool:
        start, end, radius_m = view.seen_from(leg.start, leg.end)
        margin_m = K_999_OF_68 * max(leg.start.r68_m, leg.end.r68_m) + DATUM_M + MAP_M + radius_m + more_m
        assert self._zones.index is not None  # without a list nothing is asked: `fault_at` comes first
        return self._zones.index.touches(
            start,
            end,
            margin_m=margin_m + self._reach_m(leg),
            time_s=leg.start.time_s + leg.seconds / 2.0,
            clock_uncertainty_s=WINDOW_UNCERTAINTY_S + leg.seconds / 2.0,
        )

    def _reach_m(self, leg: Leg) -> float:
        """Half the width, m, of the ellipse that can be reached in a gap that only archives bridge."""
        if leg.seconds <= MAX_GAP_S + TIME_NOISE_S:
            return 0.0
        way_m = self._rules.max_speed_mps * leg.seconds
        slack_m = K_999_OF_68 * (leg.start.r68_m + leg.end.r68_m)
        straight_m = max(0.0, distance_between_m(leg.start, leg.end) - slack_m)
        return math.sqrt(max(0.0, way_m**2 - straight_m**2)) / 2.0
