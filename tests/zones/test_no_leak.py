"""No order of fixes, frames, restarts and faults releases a frame that the definition forbids.

The oracle is written from GEOFENCE.md's sentence, over all fixes that had come when the frame was released, by
brute force: it knows nothing of legs, views or states.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.zones.decide import Answer, Decider
from anonymize.zones.fixes import Fix
from anonymize.zones.rules import GateRules, ZonesInForce
from anonymize.zones.views import CameraView
from tests.zones.places import T0_S, Circle, CircleZones, fix, metres, segment_distance_m

VIEW = CameraView(view_m=30.0, clock_offset_s=0.25, clock_uncertainty_s=0.1)


def may_exist(time_s: float, came: list[tuple[Fix, float]], circles: tuple[Circle, ...]) -> bool:
    """GEOFENCE.md, "The rule": at every instant of the span of uncertainty and 3 s more to both sides."""
    first, last = time_s - 0.25 - 0.1 - 3.0, time_s - 0.25 + 0.1 + 3.0
    instants = [first + (last - first) * i / 400.0 for i in range(401)]
    return all(_allowed_at(instant, came, circles) for instant in instants)


def _allowed_at(instant: float, came: list[tuple[Fix, float]], circles: tuple[Circle, ...]) -> bool:
    # a fix from the future says that a clock jumped, not where the vehicle will be
    timed = [(one, now) for one, now in came if math.isfinite(one.time_s) and one.time_s <= now + 1.0]
    before = max(
        (pair for pair in timed if pair[0].time_s <= instant), key=lambda p: p[0].time_s, default=None
    )
    after = min(
        (pair for pair in timed if pair[0].time_s >= instant), key=lambda p: p[0].time_s, default=None
    )
    if before is None or after is None:
        return False
    for one, now in (before, after):
        believable = (
            abs(one.lat_deg) <= 90.0
            and abs(one.lon_deg) <= 180.0
            and (one.lon_deg, one.lat_deg) != (0.0, 0.0)
            and one.accuracy_m is not None
            and 0.0 < one.accuracy_m <= 100.0
            and one.dimensions in (None, 3)
            and not one.dead_reckoned
            and now - 11.0 <= one.time_s
        )
        if not believable:
            return False
    a, b = before[0], after[0]
    r = [max(5.0, a.accuracy_m), max(5.0, b.accuracy_m)]
    start, end = metres((a.lon_deg, a.lat_deg)), metres((b.lon_deg, b.lat_deg))
    seconds = b.time_s - a.time_s
    if seconds > 2.0 + 1e-5 or math.dist(start, end) - 2.46 * sum(r) > 70.0 * seconds + 1.0:
        return False
    margin_m = 2.46 * max(r) + 1.0 + 10.0 + 30.0
    return not any(
        segment_distance_m((c.east_m, c.north_m), start, end) <= c.radius_m + margin_m - 0.01
        and c.active_s[0] - 60.0 <= instant <= c.active_s[1] + 60.0
        for c in circles
    )


FAULTS = [
    "lost",
    "nan",
    "zero",
    "2d",
    "none",
    "poor",
    "dead",
    "jump",
    "old",
    "older",
    "ahead",
    "twice",
    "same",
    "restart",
]
STEP = st.fixed_dictionaries(
    {
        "after_s": st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 2.0, 2.5]),
        "speed_mps": st.sampled_from([30.0, 30.0, 30.0, 30.0, 5.0, 0.0, 60.0]),
        "turn_deg": st.sampled_from([0.0] * 7 + [30.0, -80.0]),
        "accuracy_m": st.sampled_from([3.0, 3.0, 3.0, 8.0, 40.0]),
        "late": st.sampled_from([False] * 6 + [True]),
        "fault": st.sampled_from([False] * 5 + [True]),
    }
)
DRIVE = st.fixed_dictionaries(
    {
        "steps": st.lists(STEP, min_size=12, max_size=40),
        "late_s": st.sampled_from([0.0, 0.15, 0.9, 2.3, 4.2, 12.0]),
        "fault": st.sampled_from([None, *FAULTS]),
        "frame_s": st.sampled_from([0.5, 0.7]),
    }
)
CIRCLE = st.builds(
    Circle,
    st.sampled_from([-300.0, 0.0, 200.0, 600.0]),
    st.sampled_from([-80.0, 0.0, 120.0]),
    st.sampled_from([1.0, 40.0, 150.0]),
    st.sampled_from([(-math.inf, math.inf), (T0_S + 70.0, T0_S + 75.0), (T0_S - 90.0, T0_S - 50.0)]),
)


def broken(good: Fix, fault: str | None) -> list[Fix]:
    """What comes instead of a good fix."""
    changes: dict[str, dict[str, object]] = {
        "nan": {"lat_deg": math.nan},
        "zero": {"lon_deg": 0.0, "lat_deg": 0.0},
        "2d": {"dimensions": 2},
        "none": {"accuracy_m": None},
        "poor": {"accuracy_m": 150.0},
        "dead": {"dead_reckoned": True},
        "jump": {"lon_deg": good.lon_deg + 0.02},
        "old": {"time_s": good.time_s - 1.3},
        "older": {"time_s": good.time_s - 4.4, "lon_deg": good.lon_deg + 0.004},
        "ahead": {"time_s": good.time_s + 3.3},
    }
    if fault == "lost":
        return []
    if fault in ("twice", "same"):
        return [good, good if fault == "twice" else replace(good, lon_deg=good.lon_deg + 0.001)]
    return [replace(good, **changes.get(fault or "", {}))]


class Drive:
    """Runs a drawn drive through deciders and keeps what the oracle needs."""

    def __init__(self, circles: tuple[Circle, ...]) -> None:
        self.circles = circles
        self.came: list[tuple[Fix, float]] = []
        self.waiting: list[tuple[float, float]] = []  # captured, arrived
        self.released: list[tuple[float, float]] = []  # captured, decided
        self.restart()

    def restart(self) -> None:
        self.decider = Decider(
            ZonesInForce(CircleZones(*self.circles), signed=True), GateRules(), {"front": VIEW}
        )
        self.waiting.clear()

    def poll(self, now_s: float) -> None:
        staying = []
        for captured_s, arrived_s in self.waiting:
            answer = self.decider.decide(
                "front", captured_s, captured_s, arrived_s=arrived_s, now_s=now_s
            ).answer
            if answer is Answer.WAIT:
                staying.append((captured_s, arrived_s))
            elif answer is Answer.KEEP:
                self.released.append((captured_s, now_s))
                assert may_exist(captured_s, self.came, self.circles)
        self.waiting = staying

    def run(self, drawn: dict[str, Any]) -> None:
        """Fixes in order of arrival, frames in between."""
        events: list[tuple[float, int, object]] = []
        seconds, east, north, heading, frame_s = 0.0, -600.0, 0.0, 90.0, drawn["frame_s"]
        for step in drawn["steps"]:
            seconds += step["after_s"]
            heading += step["turn_deg"]
            way = step["speed_mps"] * step["after_s"]
            east += way * math.sin(math.radians(heading))
            north += way * math.cos(math.radians(heading))
            fault = drawn["fault"] if step["fault"] else None
            arrives = T0_S + seconds + (drawn["late_s"] if step["late"] else 0.15)
            if fault == "restart":
                events.append((arrives, 0, None))
            good = fix(seconds, east, north, step["accuracy_m"])
            events += [(arrives, 1, one) for one in broken(good, fault)]
        events += [(T0_S + i * frame_s, 2, None) for i in range(int(seconds / frame_s))]
        for now_s, kind, one in sorted(events, key=lambda event: event[:2]):
            if kind == 0:
                self.restart()
            elif kind == 1:
                self.came.append((one, now_s))
                self.decider.add_fix(one, now_s)
            else:
                self.waiting.append((now_s + 0.25, now_s))  # stamped by the camera's own clock
            self.poll(now_s)


@settings(max_examples=int(os.environ.get("ZONE_EXAMPLES", "150")), deadline=None)
@given(DRIVE, st.lists(CIRCLE, max_size=3))
def test_no_order_of_anything_releases_a_forbidden_frame(drawn, circles):
    Drive(tuple(circles)).run(drawn)


def test_the_property_test_releases_frames_and_drops_frames():
    """A gate that drops everything would pass the test above."""
    step = {
        "after_s": 1.0,
        "speed_mps": 30.0,
        "turn_deg": 0.0,
        "accuracy_m": 3.0,
        "late": False,
        "fault": False,
    }
    calm = {"steps": [step] * 40, "late_s": 0.15, "fault": None, "frame_s": 0.5}
    free, zoned = Drive(()), Drive((Circle(0.0, 0.0, 100.0),))
    free.run(calm)
    zoned.run(calm)
    assert len(free.released) == 65
    assert 15 < len(zoned.released) < 50
    places = [30.0 * (captured_s - 0.25 - T0_S) - 600.0 for captured_s, _ in zoned.released]
    assert min(map(abs, places)) > 100.0 + 2.46 * 5.0 + 41.0


def test_the_oracle_itself_sees_a_leak():
    came = [(fix(s, -600.0 + 30.0 * s), T0_S + s) for s in range(40)]
    circles = (Circle(0.0, 0.0, 100.0),)
    assert may_exist(T0_S + 5.0, came, circles)
    for forbidden_s in (1.0, 13.0, 20.0, 27.0, 38.0):
        assert not may_exist(T0_S + forbidden_s, came, circles)
    assert not may_exist(T0_S + 5.0, came[:5] + came[8:], ())
