"""The engine keeps nothing from frame to frame: SAFETY's measure of "allocation-free"."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numba
import pytest

from anonymize.canary import planes_from_rgb
from anonymize.drawing import draw_street
from anonymize.frames import CapturedFrame, ColorMatrix, ColorRange, PixelFormat, ReleasedFrame
from anonymize.pipeline import Engine

FRAMES = 500
ROUNDS = 4  # Python's and numba's free lists of small objects fill up during the first ones


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python allocates for each kernel call")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_two_thousand_frames_leave_nothing_behind():
    rgb, _ = draw_street(320, 192)
    planes = planes_from_rgb(
        rgb, PixelFormat.NV12, color_matrix=ColorMatrix.BT709, color_range=ColorRange.LIMITED
    )
    frame = CapturedFrame(planes, "nv12", pts=0, time_base=Fraction(1, 30))
    engine = Engine(guard_process=False)

    def drive(first: int, count: int) -> None:
        for pts in range(first, first + count):
            (outcome,) = engine.process(replace(frame, pts=pts))
            assert isinstance(outcome, ReleasedFrame)

    drive(0, 300)
    tracemalloc.start(1)
    growths, resident = [], resident_bytes()
    for number in range(ROUNDS):
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        drive(300 + number * FRAMES, FRAMES)
        gc.collect()
        growths.append(tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()
    assert min(growths) < 4 * FRAMES  # a leak of one small object a frame shows in every round
    assert resident_bytes() - resident < 1_000_000
