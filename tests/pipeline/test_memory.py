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

FRAMES = 1000
SETTLING = 1500  # Python's and numba's free lists of small objects fill up for about as long


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python allocates for each kernel call")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_a_thousand_frames_leave_nothing_behind():
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

    drive(0, 100)
    gc.collect()
    tracemalloc.start(1)
    drive(100, SETTLING)
    gc.collect()
    before, resident = tracemalloc.get_traced_memory()[0], resident_bytes()
    drive(100 + SETTLING, FRAMES)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 16_384  # 16 bytes a frame: anything kept for each frame would be more
    assert resident_bytes() - resident < 1_000_000
