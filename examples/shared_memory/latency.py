"""How long a frame takes from one process to another: 1280 x 720 NV12 at 30 frames a second.

python examples/shared_memory/latency.py [FRAMES]
"""

import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from anonymize.frames import LAYOUTS, CapturedFrame, PixelFormat
from anonymize.live.shared_frames import Link
from anonymize.live.shared_header import needed_bytes

NAMES = "publish", "from the start of publish to the view in the other process"


def camera(folder: str, count: str) -> None:
    """Send frames whose pts is the time on the machine's clock at which they were sent."""
    planes = LAYOUTS[PixelFormat.NV12].allocate(1280, 720)
    with Link(Path(folder)) as link:
        publisher = link.publish_raw("front", needed_bytes("nv12", 1280, 720))
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(int(count)):
            time.sleep(1 / 30)
            now_ns = time.perf_counter_ns()
            publisher.publish(CapturedFrame(planes, "nv12", pts=now_ns, time_base=Fraction(1, 10**9)))
            print(time.perf_counter_ns() - now_ns, flush=True)
        sys.stdin.readline()


def main(count: str = "300") -> None:
    """Print median, p99 and maximum."""
    with tempfile.TemporaryDirectory() as folder, Link(Path(folder)) as link:
        words = [sys.executable, __file__, "camera", folder, count]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            frames = link.raw_frames("front")
            print("go", file=process.stdin, flush=True)
            took_ns, sent_ns = [], []
            while len(took_ns) < int(count) and (captured := frames.receive(2.0)) is not None:
                took_ns.append(time.perf_counter_ns() - captured.pts)
                sent_ns.append(int(process.stdout.readline()))
            print("end", file=process.stdin, flush=True)
        for name, values_ns in zip(NAMES, (sent_ns, took_ns), strict=True):
            median, late, most = np.quantile(values_ns, [0.5, 0.99, 1.0]) / 1000
            print(
                f"{name}: median {median:.0f} us, p99 {late:.0f} us, max {most:.0f} us of {len(values_ns)} frames"
            )


if __name__ == "__main__":
    camera(*sys.argv[2:]) if sys.argv[1:2] == ["camera"] else main(*sys.argv[1:])
