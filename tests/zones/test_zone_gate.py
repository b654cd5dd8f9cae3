"""The gate on real frame types: ownership, groups, bounds of RAM, order, and one reason to the caller."""

from __future__ import annotations

import math
import pickle
import threading
from collections import Counter
from datetime import UTC, date, datetime
from fractions import Fraction

import numpy as np
import pytest

from anonymize.errors import UsageError
from anonymize.frames import (
    AnonymizedFrame,
    CapturedFrame,
    Dropped,
    FrameMemory,
    Reason,
    ReleasedFrame,
    _seal_anonymized,
)
from anonymize.zones.day_counts import DayCounts
from anonymize.zones.fixes import FineReason
from anonymize.zones.hold import EachFrame, Group, ReleasedGroup
from anonymize.zones.rules import ArchiveOptions, GateRules
from anonymize.zones.views import CameraView
from anonymize.zones.zone_gate import ZoneGate
from tests.zones.places import T0_S, Circle, fix, signed

FAR = Circle(0.0, 100_000.0, 1.0)
SHARP = {"front": CameraView(0.0, clock_uncertainty_s=0.0), "rear": CameraView(0.0, clock_uncertainty_s=0.0)}
FRAME_BYTES = 6 * 8 * 3


def captured(seconds: float | None, camera: str = "front", value: int = 7, pts: int = 0) -> CapturedFrame:
    plane = np.full((6, 8, 3), value, np.uint8)
    at = None if seconds is None else T0_S + seconds
    return CapturedFrame((plane,), "bgr24", pts, Fraction(1, 1000), captured_at_s=at, camera=camera)


def hidden(frame: CapturedFrame) -> AnonymizedFrame:
    return _seal_anonymized(frame, frame.planes, FrameMemory())


class Car:
    """A gate, a clock that the test turns, and all that came out of the gate."""

    def __init__(self, *circles: Circle, **options: object) -> None:
        self.now_s = T0_S
        self.gate = ZoneGate(signed(*(circles or (FAR,))), views=SHARP, clock=lambda: self.now_s, **options)
        self.out: list[ReleasedFrame | Dropped] = []

    def frame(self, seconds: float, camera: str = "front") -> bool:
        """What the engine does with one frame that comes at once; whether it was admitted."""
        self.now_s = T0_S + seconds
        frame = captured(seconds, camera, pts=round(seconds * 1000))
        if not self.gate.admit(frame):
            return False
        self.out += self.gate.release(hidden(frame))
        return True

    def drive(
        self, first_s: float, last_s: float, *, east_m: float = 0.0, cameras: tuple[str, ...] = ("front",)
    ) -> None:
        """Fixes at every second, four frames a second."""
        for quarter in range(round(first_s * 4), round(last_s * 4)):
            seconds = quarter / 4.0
            self.now_s = T0_S + seconds
            if quarter % 4 == 0:
                self.gate.fix(fix(seconds, east_m))
            for camera in cameras:
                self.frame(seconds + 0.01, camera)

    @property
    def released_s(self) -> list[float]:
        return [frame.pts / 1000.0 for frame in self.out if isinstance(frame, ReleasedFrame)]


class Predicting:
    """An encoder that keeps a frame back and whose frames refer to the one before."""

    def __init__(self, camera: str) -> None:
        self.camera, self.kept, self.before, self.fails = camera, b"", b"I", False

    def encode(self, frame: AnonymizedFrame) -> bytes:
        if self.fails:
            raise RuntimeError("encoder")
        ready, self.kept = self.kept, self.before + str(frame.pts).encode() + b";"
        self.before = b"P"
        return ready

    def close_group(self) -> bytes:
        if self.fails:
            raise RuntimeError("encoder")
        ready, self.kept, self.before = self.kept, b"", b"I"
        return ready


# frames


def test_frames_are_released_three_seconds_later_in_order_and_the_rest_is_lost_at_the_end():
    car = Car()
    car.drive(0, 20)
    assert car.released_s == [
        3.01 + i / 4.0 for i in range(4 * 13)
    ]  # up to 15.76: the fix at 19 s is the last
    end = car.gate.close()
    assert end == [Dropped(Reason.WITHHELD, "front")] * 16
    assert car.gate.withheld.total()[FineReason.HOLD_TIMED_OUT] == 12
    assert car.gate.withheld.total()[FineReason.ONE_SIDED] == 12 + 4  # the first three seconds, the last one
    assert car.gate.held_bytes == 0


def test_what_waits_owns_its_memory():
    car = Car()
    car.gate.fix(fix(0))
    for second in range(1, 4):
        car.now_s = T0_S + second
        car.gate.fix(fix(second))
    frame = captured(3.5, value=7)
    car.now_s = T0_S + 3.5
    assert car.gate.admit(frame)
    memory = FrameMemory()
    assert car.gate.release(_seal_anonymized(frame, frame.planes, memory)) == []
    frame.planes[0][:] = 255  # the camera uses its buffer again
    memory.revoke()
    for second in range(4, 8):
        car.now_s = T0_S + second
        car.gate.fix(fix(second))
    (released,) = car.gate.collect()
    assert isinstance(released, ReleasedFrame)
    assert (released.planes[0] == 7).all()


def test_a_frame_in_a_zone_is_not_admitted_and_those_before_it_are_discarded_and_blanked():
    car = Car(Circle(0.0, 0.0, 100.0))
    car.drive(0, 10, east_m=200.0)
    held = [group.picture for group in car.gate._hold]
    assert held
    car.now_s = T0_S + 10.0
    car.gate.fix(fix(10, 120.0))
    assert not car.frame(10.1)
    car.out += car.gate.collect()
    assert max(car.released_s) < 6.0  # 3 s before the leg that begins at 9 s
    assert all((picture.planes[0] == 0).all() for picture in held if picture.pts >= 6000)
    assert car.gate.withheld.total()[FineReason.ZONE] > 0


def test_every_reason_is_one_reason_to_the_caller():
    car = Car(Circle(0.0, 0.0, 100.0))
    car.drive(0, 10, east_m=200.0)
    car.drive(10, 12, east_m=110.0)
    car.drive(12, 30, east_m=200.0)
    car.gate.fix(fix(31, accuracy_m=None))
    car.drive(32, 40, east_m=200.0)
    car.out += car.gate.close()
    drops = [outcome for outcome in car.out if isinstance(outcome, Dropped)]
    assert {(drop.reason, drop.camera) for drop in drops} == {(Reason.WITHHELD, "front")}
    assert len(car.gate.withheld.total()) >= 5


def test_known_tracks_decide_at_once_without_a_copy():
    fixes = [fix(s, 300.0 - 30.0 * s) for s in range(21)]
    gate = ZoneGate.for_track(signed(Circle(0.0, 0.0, 20.0)), fixes, views=SHARP)
    kept = []
    for quarter in range(80):
        frame = captured(quarter / 4.0)
        if gate.admit(frame):
            (released,) = gate.release(hidden(frame))
            assert released.planes[0] is frame.planes[0]
            kept.append(quarter / 4.0)
    assert kept == [3.0 + i / 4.0 for i in range(8)] + [16.0 + i / 4.0 for i in range(5)]
    assert gate.close() == []


def test_archives_may_be_old_and_their_options_are_not_for_live_use():
    old = [fix(s - 1e9, accuracy_m=None) for s in range(10)]
    gate = ZoneGate.for_track(signed(FAR), old, ArchiveOptions(track_accuracy_m=5.0), views=SHARP)
    assert gate.admit(captured(5.0 - 1e9))
    assert gate.admit(captured(4.0 - 1e9))  # an archive may be read in any order
    for bad in (
        {"rules": GateRules(archive=ArchiveOptions())},
        {"rules": GateRules(scrub_s=2.0)},
        {"rules": GateRules(not_before_s=None)},
        {"group_s": 1.1},
        {"group_s": math.nan},
        {"rules": GateRules(feed_latency_s=1.01)},
        {"rules": GateRules(feed_latency_s=5.0, scrub_s=6.99)},
        {"hold_bytes": 0},
    ):
        with pytest.raises(UsageError):
            ZoneGate(signed(FAR), **bad)


@pytest.mark.parametrize("stamps", [[5.0, 5.0], [5.0, 4.9], [2.99], [6.01], [3.0, 6.0, None]])
def test_a_camera_whose_clock_cannot_be_right_is_dropped(stamps):
    car = Car()
    for second in range(6):
        car.now_s = T0_S + second
        car.gate.fix(fix(second))
    admitted = [car.gate.admit(captured(stamp)) for stamp in stamps]
    assert admitted == [True] * (len(stamps) - 1) + [False]
    assert car.gate.withheld.total()[FineReason.CAPTURE_TIME] == 1


def test_a_hidden_frame_without_a_time_or_in_a_zone_does_not_pass_even_unasked():
    car = Car()
    assert car.gate.release(hidden(captured(None))) == [Dropped(Reason.WITHHELD, "front")]
    car.gate.fix(fix(0))
    assert car.gate.release(hidden(captured(-5.0))) == [Dropped(Reason.WITHHELD, "front")]
    for wrong in (captured(0.0), None):
        with pytest.raises(TypeError):
            car.gate.release(wrong)


def test_cameras_do_not_wait_for_one_another():
    car = Car()
    car.drive(0, 12, cameras=("front", "rear"))
    seen = Counter(frame.camera for frame in car.out if isinstance(frame, ReleasedFrame))
    assert seen["front"] == seen["rear"] > 15
    assert car.released_s == sorted(car.released_s)


def test_a_decided_frame_behind_one_that_waits_stays_in_order():
    car = Car()
    for second in range(6):
        car.now_s = T0_S + second
        car.gate.fix(fix(second))
    car.now_s = T0_S + 5.0
    for seconds in (3.0, 4.9, 4.95):
        frame = captured(seconds, pts=round(seconds * 1000))
        assert car.gate.admit(frame)
        car.out += car.gate.release(hidden(frame))
    assert car.out == []
    early = captured(2.9 + 0.2, pts=1)  # asked for out of order, and kept at once
    car.out += car.gate.release(hidden(early))
    assert car.out == []
    for second in (6, 7, 8):
        car.now_s = T0_S + second
        car.gate.fix(fix(second))
    car.out += car.gate.collect()
    assert [frame.pts for frame in car.out] == [3000, 4900, 4950, 1]


# bounds


def test_overflow_discards_the_oldest_and_counts():
    car = Car(hold_bytes=8 * FRAME_BYTES)
    car.drive(0, 20)
    assert car.released_s == []
    assert car.gate.held_bytes <= 8 * FRAME_BYTES
    assert car.gate.withheld.total()[FineReason.HOLD_OVERFLOW] > 50
    tiny = Car(hold_bytes=FRAME_BYTES - 1)
    tiny.drive(0, 8)
    assert tiny.gate.held_bytes == 0
    assert tiny.released_s == []


def test_without_fixes_what_waits_times_out():
    car = Car()
    car.drive(0, 8)
    waiting = len(car.gate._hold)
    assert waiting
    for quarter in range(4 * 8, 4 * 16):
        car.frame(quarter / 4.0 + 0.02)
    assert len(car.gate._hold) <= 4 * 6 + 1
    car.now_s = T0_S + 30.0
    car.gate.collect()
    assert len(car.gate._hold) == 0


def test_a_fix_may_come_from_another_thread():
    car = Car()
    car.drive(0, 6)
    thread = threading.Thread(target=lambda: car.gate.fix(fix(6.5)))
    thread.start()
    thread.join()
    assert car.gate.collect()


def test_a_newer_list_in_force_takes_what_waits():
    car = Car()
    car.drive(0, 6)
    assert car.gate.held_bytes
    car.gate.replace_zones(signed(Circle(0.0, 0.0, 5.0)))
    assert set(car.gate.collect()) == {Dropped(Reason.WITHHELD, "front")}
    assert car.gate.held_bytes == 0


# encoded groups


def frames_in(group: ReleasedGroup) -> list[int]:
    return [int(part.strip(b"IP")) for part in group.payload.split(b";")[:-1]]


def test_encoded_groups_are_closed_whole_and_in_order():
    car = Car(encoders=Predicting)
    car.drive(0, 20)
    groups = car.gate.take_groups()
    assert car.released_s == []
    assert all(group.payload.startswith(b"I") and group.payload.count(b"I") == 1 for group in groups)
    assert all(list(group.pts) == frames_in(group) for group in groups)
    assert [pts for group in groups for pts in group.pts] == [3010 + 250 * i for i in range(4 * 13)]
    assert {group.time_base for group in groups} == {Fraction(1, 1000)}
    car.gate.close()
    assert car.gate.take_groups() == []
    assert car.gate.held_bytes == 0


def test_one_dropped_frame_discards_its_group_and_the_next_begins_anew():
    car = Car(Circle(0.0, 0.0, 100.0), encoders=Predicting)
    car.drive(0, 10, east_m=300.0)
    car.drive(10, 11, east_m=240.0)
    car.drive(11, 12, east_m=180.0)
    car.drive(12, 14, east_m=120.0)  # inside: the border is at 123.3 m
    for second in range(14, 40):
        car.drive(second, second + 1, east_m=min(300.0, 120.0 + 40.0 * (second - 13)))
    groups = car.gate.take_groups()
    assert all(group.payload.count(b"I") == 1 for group in groups)
    stored = [pts for group in groups for pts in group.pts]
    # the way from 11 s to 12 s touches: groups up to 8 s are kept, none that reaches over it; and again from
    # 17 s on: outside by 20 m more since 14 s
    assert stored == [3010 + 250 * i for i in range(4 * 5)] + [p for p in stored if p > 8000]
    assert min(p for p in stored if p > 8000) == 17_010


def test_groups_of_one_frame_for_encoders_without_prediction():
    car = Car(encoders=lambda camera: EachFrame(lambda frame: str(frame.pts).encode()), group_s=0.0)
    car.drive(0, 10)
    groups = car.gate.take_groups()
    assert [group.payload for group in groups] == [str(3010 + 250 * i).encode() for i in range(4 * 3)]
    assert all(len(group.pts) == 1 for group in groups)


def test_a_failing_encoder_loses_its_group_and_nothing_of_it_reaches_the_next():
    made = []

    def make(camera: str) -> Predicting:
        made.append(Predicting(camera))
        return made[-1]

    car = Car(encoders=make)
    car.drive(0, 10)
    made[-1].fails = True
    with pytest.raises(RuntimeError):
        car.frame(10.02)
    lost = car.gate.withheld.total()[FineReason.ENCODER_FAILED]
    assert lost > 0
    car.drive(11, 20)
    assert len(made) == 2
    assert all(group.payload.startswith(b"I") for group in car.gate.take_groups())
    made[-1].fails = True
    with pytest.raises(RuntimeError):
        car.gate.close()
    assert car.gate.withheld.total()[FineReason.ENCODER_FAILED] > lost


def test_an_encoder_that_fails_within_a_group_or_cannot_be_made():
    made = []

    def make(camera: str) -> Predicting:
        if not made:
            made.append(None)
            raise RuntimeError("no encoder")
        made.append(Predicting(camera))
        return made[-1]

    car = Car(encoders=make)
    car.gate.fix(fix(0))
    for second in (1, 2, 3):
        car.now_s = T0_S + second
        car.gate.fix(fix(second))
    with pytest.raises(RuntimeError):
        car.frame(3.1)
    assert car.frame(3.2)
    made[-1].fails = True
    with pytest.raises(RuntimeError):
        car.frame(3.3)
    assert car.gate.withheld.total() == {FineReason.ENCODER_FAILED: 1}
    assert car.gate.held_bytes == 0
    assert car.frame(3.4)
    assert len(made) == 3


def test_encoded_groups_count_until_they_are_fetched():
    car = Car(encoders=Predicting, hold_bytes=120)
    car.drive(0, 40)
    assert car.gate.held_bytes <= 120 + 40
    assert car.gate.withheld.total()[FineReason.HOLD_OVERFLOW] > 50
    fetched = Car(encoders=Predicting, hold_bytes=200)
    stored = 0
    for second in range(40):
        fetched.drive(second, second + 1)
        stored += sum(len(group.pts) for group in fetched.gate.take_groups())
    assert fetched.gate.withheld.total()[FineReason.HOLD_OVERFLOW] == 0
    assert stored == 4 * 33


def test_a_group_is_sealed_by_the_gate_alone():
    with pytest.raises(TypeError):
        ReleasedGroup(object(), "front", (1,), Fraction(1, 30), b"x")
    sealed = Group("front", 0.0, 0.0, 0.0, Fraction(1, 30), [1], chunks=[b"secret"]).seal()
    assert "secret" not in repr(sealed)
    with pytest.raises(TypeError):
        pickle.dumps(sealed)


# counts


def test_day_counts_hold_days_and_reasons_and_no_more():
    counts = DayCounts()
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
    counts.add(FineReason.ZONE, noon, frames=3)
    counts.add(FineReason.ZONE, noon + 60.0)
    counts.add(FineReason.GAP, noon + 86_400.0)
    counts.add(FineReason.TIME, math.nan)
    assert counts.of_day(date(2026, 11, 24)) == {FineReason.ZONE: 4}
    assert counts.total() == {FineReason.ZONE: 4, FineReason.GAP: 1, FineReason.TIME: 1}
    assert counts.take_before(date(2026, 11, 25)) == {
        date(1970, 1, 1): {FineReason.TIME: 1},
        date(2026, 11, 24): {FineReason.ZONE: 4},
    }
    assert counts.of_day(date(2026, 11, 24)) == {}
    for day in range(40):
        counts.add(FineReason.ZONE, noon + 86_400.0 * day)
    assert counts.total()[FineReason.ZONE] == 32


def test_it_says_when_what_waits_was_captured():
    car = Car()
    assert car.gate.held_s is None
    car.drive(0.0, 6.0)
    assert car.gate.held_s == (T0_S + 3.01, T0_S + 5.76)  # nothing before 3 s behind the first fix
    car.gate.close()
    assert car.gate.held_s is None
