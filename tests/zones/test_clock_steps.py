"""No step of the system's clock or of a camera's releases a frame that was really taken at a zone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.frames import CapturedFrame, FrameMemory, ReleasedFrame, _seal_anonymized
from anonymize.zones.views import CameraView
from anonymize.zones.zone_gate import ZoneGate
from tests.zones.places import T0_S, Circle, fix, signed

ZONE = Circle(0.0, 0.0, 100.0)
MARGIN_M = 2.46 * 5.0 + 11.0
SPEED_MPS = 30.0
DRIVE_S = 60
LATENCY_S = 0.15


def released_s(step_s: float, system_s: float, camera_s: float) -> list[float]:
    """True times of the frames released of a drive past the zone; at `step_s` both clocks step."""
    now = [T0_S]
    gate = ZoneGate(
        signed(ZONE), views={"front": CameraView(0.0, clock_uncertainty_s=0.1)}, clock=lambda: now[0]
    )
    out = []
    for tick in range(4 * DRIVE_S):
        true_s = tick / 4.0
        stepped = true_s >= step_s
        if tick % 4 == 0 and tick:  # fixes bear the receiver's time
            now[0] = T0_S + true_s + system_s * stepped
            gate.fix(fix(true_s - LATENCY_S, SPEED_MPS * (true_s - LATENCY_S - DRIVE_S / 2.0)))
        now[0] = T0_S + true_s + 0.05 + system_s * stepped
        plane = np.zeros((2, 2, 3), np.uint8)
        stamp_s = T0_S + true_s + camera_s * stepped
        frame = CapturedFrame((plane,), "bgr24", tick, Fraction(1, 4), captured_at_s=stamp_s)
        if gate.admit(frame):
            out += gate.release(_seal_anonymized(frame, frame.planes, FrameMemory()))
    out += gate.close()
    return [one.pts / 4.0 for one in out if isinstance(one, ReleasedFrame)]


def at_the_zone(true_s: float) -> bool:
    return abs(SPEED_MPS * (true_s - DRIVE_S / 2.0)) <= ZONE.radius_m + MARGIN_M


STEPS = st.one_of(st.sampled_from([0.0, 5.0, -5.0, 3.0, -3.0]), st.floats(-20.0, 20.0))


@settings(max_examples=150, deadline=None)
@given(st.floats(0.0, 50.0), STEPS, STEPS)
def test_clocks_that_step_apart(step_s, system_s, camera_s):
    assert not any(map(at_the_zone, released_s(step_s, system_s, camera_s)))


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, 50.0), STEPS)
def test_a_camera_that_is_stamped_by_the_system_clock(step_s, both_s):
    assert not any(map(at_the_zone, released_s(step_s, both_s, both_s)))


def test_a_calm_drive_keeps_its_lawful_frames():
    kept = released_s(0.0, 0.0, 0.0)
    assert 100 < len(kept) < 4 * DRIVE_S
    assert not any(map(at_the_zone, kept))
    assert len(released_s(20.0, 0.5, 0.5)) > 100
