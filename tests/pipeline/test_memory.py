"""The engine keeps nothing from frame to frame: SAFETY's measure of "allocation-free"."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

REPOSITORY = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(REPOSITORY / part) for part in (".", "kernels", "models"))
FRAMES = 300

# In a process of its own: what other tests leave to the allocator would be counted. The free lists of Python and
# numba fill up during the first rounds, so the smallest growth counts: a leak of each frame shows in every round.
MEASURES = """
import gc, sys, tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from anonymize.canary import planes_from_rgb
from anonymize.drawing import draw_street
from anonymize.frames import CapturedFrame, ColorMatrix, ColorRange, PixelFormat, ReleasedFrame
from anonymize.pipeline import Engine

frames = int(sys.argv[1])
rgb, _ = draw_street(320, 192)
planes = planes_from_rgb(rgb, PixelFormat.NV12, color_matrix=ColorMatrix.BT709, color_range=ColorRange.LIMITED)
frame = CapturedFrame(planes, "nv12", pts=0, time_base=Fraction(1, 30))
engine, pts = Engine(guard_process=False), 0

def drive():
    global pts
    for pts in range(pts, pts + frames):
        (outcome,) = engine.process(replace(frame, pts=pts))
        assert isinstance(outcome, ReleasedFrame)
    gc.collect()

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

drive()
grown, traced = [], []
for _ in range(3):
    before = resident()
    drive()
    grown.append(resident() - before)
tracemalloc.start(1)
for _ in range(3):
    before = tracemalloc.get_traced_memory()[0]
    drive()
    traced.append(tracemalloc.get_traced_memory()[0] - before)
print(min(grown), min(traced))
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python allocates for each kernel call")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_frames_leave_nothing_behind():
    run = subprocess.run(
        [sys.executable, "-c", MEASURES, str(FRAMES)],
        env={**os.environ, "PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        check=True,
    )
    resident, traced = map(int, run.stdout.split())
    assert resident < 300_000  # 1,000 bytes a frame: SAFETY's 1 MB for 1,000 frames
    assert traced < 32 * FRAMES  # less than one small object a frame
