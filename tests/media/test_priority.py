"""SVT-AV1 makes itself and its caller real-time threads where the user is root: they would starve the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(REPOSITORY / part) for part in (".", "kernels", "models"))
OPENS = """
import os, sys
from fractions import Fraction
import av
from anonymize.media.priority import usual_priority, _real_time
codec = av.CodecContext.create("libsvtav1", "w")
codec.width, codec.height, codec.pix_fmt, codec.time_base = 320, 192, "yuv420p", Fraction(1, 30)
if sys.argv[1] == "usual":
    with usual_priority():
        codec.open()
else:
    codec.open()
print(len(_real_time()), len(os.listdir("/proc/self/task")))
"""


def real_time_threads(how: str) -> tuple[int, int]:
    run = subprocess.run(
        [sys.executable, "-c", OPENS, how],
        env={**os.environ, "PYTHONPATH": PATHS},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    real_time, threads = map(int, run.stdout.split())
    return real_time, threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="real-time threads are looked for in /proc")
def test_no_thread_stays_a_real_time_one():
    real_time, threads = real_time_threads("usual")
    assert real_time == 0 and threads > 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="it does so for root alone")
def test_without_it_there_would_be_some():
    assert real_time_threads("as it is")[0] > 0
