"""The gate with zones on the road of a frame, put in by hand as `Engine(zones=...)` will do it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anonymize.frames import Dropped, Label, Reason, ReleasedFrame
from anonymize.zones.views import CameraView
from anonymize.zones.zone_gate import ZoneGate
from tests.zones.places import T0_S, Circle, fix, signed

SHARP = {"front": CameraView(0.0, clock_uncertainty_s=0.0)}


@pytest.mark.parametrize("in_place", [False, True])
def test_frames_wait_hidden_and_outlive_the_memory_they_came_in(scripted, noise_frame, in_place):
    engine, detector = scripted(in_place=in_place)
    detector.found = [((8.0, 8.0, 40.0, 40.0), Label.FACE)]
    clock = [T0_S]
    engine._gate = gate = ZoneGate(signed(Circle(0.0, 0.0, 100.0)), views=SHARP, clock=lambda: clock[0])
    raw, kept, drops = {}, [], 0
    for half in range(60):
        seconds = half / 2.0
        clock[0] = T0_S + seconds
        if half % 2 == 0:
            gate.fix(fix(seconds, 400.0 - 20.0 * seconds))
        frame = replace(noise_frame(seed=half, pts=half), captured_at_s=T0_S + seconds + 0.001)
        raw[half] = frame.planes[0][8:40, 8:40].copy()
        clock[0] += 0.01
        for outcome in engine.process(frame):
            if isinstance(outcome, ReleasedFrame):
                kept.append(outcome)
            else:
                assert outcome == Dropped(Reason.WITHHELD, "front")
                drops += 1
        for plane in frame.planes:
            plane.fill(255)  # the camera uses its buffer again
    assert 10 < len(kept) < 30
    assert drops > 20
    for frame in kept:
        assert (frame.planes[0][8:40, 8:40] == raw[frame.pts]).mean() < 0.05
        assert not (frame.planes[0][:4] == 255).all()
    # the way touches from 13 s on (140 m; the border lies at 123.3): nothing 3 s before it
    assert max(frame.pts for frame in kept) / 2.0 < 10.0


def test_a_frame_in_a_zone_is_not_looked_at(scripted, noise_frame):
    engine, detector = scripted()
    engine._gate = gate = ZoneGate(signed(Circle(0.0, 0.0, 100.0)), views=SHARP, clock=lambda: T0_S)
    gate.fix(fix(0))
    detector.fault = AssertionError("the network was asked")
    frame = replace(noise_frame(), captured_at_s=T0_S + 0.5)
    assert engine.process(frame) == [Dropped(Reason.WITHHELD, "front")]
    assert engine.dropped == {Reason.WITHHELD: 1}
