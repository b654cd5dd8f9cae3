"""The gate's groups, bytes and clocks at their borders: what mutants of `zone_gate` showed to be untested."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from anonymize.frames import Dropped, Reason, ReleasedFrame
from anonymize.zones.fixes import FineReason
from anonymize.zones.views import CameraView
from anonymize.zones.zone_gate import HOLD_BYTES, REMEMBER_S, ZoneGate
from tests.zones.places import T0_S, Circle, fix, signed
from tests.zones.test_zone_gate import FRAME_BYTES, Car, Predicting, captured, hidden


def fixes(car: Car, first: int, last: int, **more: float) -> None:
    for second in range(first, last + 1):
        car.now_s = T0_S + second
        car.gate.fix(fix(second, **more))


def give(car: Car, seconds: float, camera: str = "front", *, time_base: Fraction | None = None) -> None:
    """One frame, a moment after its capture, without asking whether it is admitted."""
    car.now_s = T0_S + seconds
    frame = captured(seconds, camera, pts=round(seconds * 1000))
    car.out += car.gate.release(hidden(replace(frame, time_base=time_base or frame.time_base)))


def test_a_group_is_judged_to_its_last_frame():
    """Its first frame is 3 s away from the way that touches, its last one is not."""
    car = Car(Circle(0.0, 0.0, 10.0), encoders=Predicting)
    fixes(car, 0, 5, east_m=60.0)
    for seconds in (5.1, 5.4, 5.7):
        give(car, seconds)
    fixes(car, 6, 8, east_m=60.0)
    give(car, 8.5)
    fixes(car, 9, 9, east_m=0.0)  # the leg from 8 s to 9 s touches: frames from 5.0 s on are scrubbed
    fixes(car, 10, 14, east_m=0.0)
    assert car.gate.take_groups() == []
    car = Car(Circle(0.0, 0.0, 10.0), encoders=Predicting)
    fixes(car, 0, 4, east_m=60.0)
    for seconds in (4.4, 4.7, 5.2):  # the last one lies in the scrub
        give(car, seconds)
    fixes(car, 5, 8, east_m=60.0)
    give(car, 8.1)
    fixes(car, 9, 14, east_m=0.0)
    assert car.gate.take_groups() == []
    assert car.gate.withheld.total()[FineReason.SCRUB] >= 3


@pytest.mark.parametrize("step", [0.25, 0.3])
def test_a_group_is_shorter_than_a_second(step):
    car = Car(encoders=Predicting)
    for k in range(40):
        seconds = k * step
        if int(seconds) != int(seconds - step):
            fixes(car, int(seconds), int(seconds))
        give(car, seconds)
    groups = car.gate.take_groups()
    assert len(groups) >= 2
    assert {len(group.pts) for group in groups} == {4}
    assert all(group.pts[-1] - group.pts[0] < 1000 for group in groups)


def test_another_time_base_begins_another_group():
    car = Car(encoders=Predicting)
    fixes(car, 0, 4)
    bases = [Fraction(1, 1000), Fraction(1, 1000), Fraction(1, 500), Fraction(1, 500)]
    for k, base in enumerate(bases):
        give(car, 4.1 + k / 10.0, time_base=base)
    fixes(car, 5, 9)
    car.gate.close()
    groups = car.gate.take_groups()
    assert [(group.time_base, group.pts) for group in groups] == [
        (bases[0], (4100, 4200)),
        (bases[2], (4300, 4400)),
    ]


def test_a_group_of_one_is_complete_at_once():
    car = Car(encoders=Predicting, group_s=0.0)
    fixes(car, 0, 4)
    give(car, 4.1)
    fixes(car, 5, 8)
    assert [group.pts for group in car.gate.take_groups()] == [(4100,)]


def test_the_bytes_of_encoded_groups_are_counted_open_and_closed():
    car = Car(encoders=Predicting)
    fixes(car, 0, 4)
    sizes = []
    for k in range(7):
        give(car, 4.1 + k / 5.0)
        sizes.append(car.gate.held_bytes)
    assert sizes == [0, 6, 12, 18, 24, 30, 36]  # I4100; and P4300; wait in the encoder, 30 came at 5.1 s
    fixes(car, 5, 9)
    car.gate.close()
    groups = car.gate.take_groups()
    assert sum(len(group.payload) for group in groups) == 7 * 6
    assert car.gate.held_bytes == 0


def test_groups_are_decided_when_they_are_fetched():
    car = Car(encoders=Predicting)
    fixes(car, 0, 4)
    for k in range(8):
        give(car, 4.1 + k / 5.0)
    fixes(car, 5, 9)
    assert car.gate.take_groups()


def test_the_oldest_of_two_times_out_first():
    car = Car()
    fixes(car, 0, 4)
    give(car, 4.5)
    give(car, 7.5)
    for now_s, gone in ((10.4, 0), (10.6, 1), (13.4, 1), (13.6, 2)):
        car.now_s = T0_S + now_s
        car.out += car.gate.collect()
        assert car.out == [Dropped(Reason.WITHHELD, "front")] * gone


def test_a_camera_is_not_held_back_by_another_nor_overtakes_itself():
    car = Car()
    fixes(car, 0, 9)
    give(car, 9.1, "front")
    assert car.out == []
    late = captured(4.0, "rear", pts=4)
    car.out += car.gate.release(hidden(late))  # decided at once, and nothing of its own waits
    assert [frame.camera for frame in car.out] == ["rear"]
    car.out += car.gate.release(hidden(captured(4.1, "front", pts=5)))
    assert len(car.out) == 1
    fixes(car, 10, 13)
    car.out += car.gate.collect()
    assert [frame.pts for frame in car.out if isinstance(frame, ReleasedFrame)] == [4, 9100, 5]


@pytest.mark.parametrize(
    ("stamp_s", "admitted"),
    [(105.0, True), (103.0, True), (102.99, False), (106.0, True), (106.01, False), (5.0, False)],
)
def test_a_camera_that_is_ahead_by_what_was_said(stamp_s, admitted):
    now_s = T0_S + 5.0
    gate = ZoneGate(
        signed(Circle(0.0, 100_000.0, 1.0)),
        views={"front": CameraView(0.0, clock_offset_s=100.0, clock_uncertainty_s=0.0)},
        clock=lambda: now_s,
    )
    for second in range(6):
        now_s = T0_S + second
        gate.fix(fix(second))
    assert gate.admit(captured(stamp_s)) is admitted


def test_what_an_encoder_lost_is_wiped_and_counted():
    car = Car(encoders=Predicting)
    fixes(car, 0, 4)
    give(car, 4.1)
    give(car, 4.2)
    group = car.gate._open["front"]
    car.gate._encoder_of["front"].fails = True
    with pytest.raises(RuntimeError):
        give(car, 4.3)
    assert group.chunks == []
    assert car.gate.withheld.total() == {FineReason.ENCODER_FAILED: 2}
    assert FRAME_BYTES > car.gate.held_bytes == 0


def test_a_dropped_frame_ends_the_group_before_it():
    car = Car(encoders=Predicting)
    fixes(car, 0, 4)
    give(car, 4.1)
    car.out += car.gate.release(hidden(captured(1.0)))  # too early: dropped
    give(car, 4.2)
    fixes(car, 5, 9)
    car.gate.close()
    assert [group.pts for group in car.gate.take_groups()] == [(4100,), (4200,)]


def test_what_is_decided_waits_for_whoever_fetches_it():
    """Longer than fixes are remembered."""
    car = Car(encoders=Predicting)
    car.drive(0, 12)
    kept = [tuple(group.pts) for group in car.gate._hold if group.kept]
    assert kept
    fixes(car, 13, 120)
    assert [group.pts for group in car.gate.take_groups()][: len(kept)] == kept


def test_a_frame_that_is_not_admitted_ends_the_group_before_it():
    car = Car(encoders=Predicting)
    fixes(car, 0, 4)
    give(car, 4.1)
    car.now_s = T0_S + 4.15
    assert not car.gate.admit(captured(None))
    give(car, 4.2)
    fixes(car, 5, 9)
    car.gate.close()
    assert [group.pts for group in car.gate.take_groups()] == [(4100,), (4200,)]


def test_fixes_are_remembered_for_a_minute_only():
    car = Car()
    fixes(car, 0, 300)
    assert 60 <= len(car.gate._decider._legs.legs) <= 62


def test_the_bounds_that_the_documents_name():
    assert (HOLD_BYTES, REMEMBER_S) == (512 * 1024 * 1024, 60.0)
    assert ZoneGate(signed(Circle(0.0, 0.0, 1.0)), hold_bytes=1).held_bytes == 0
