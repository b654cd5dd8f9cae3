"""Time of one tracker step and of the camera's motion, one thread: `python bench/track.py`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.boxes import BoxTable
from anonymize.track import CameraMotion, Tracker

REPEATS = 2000


def quantiles_ms(run: Callable[[int], object]) -> str:
    """Median and p99 of `run(n)` over `REPEATS` calls after a warm-up."""
    for n in range(20):
        run(n)
    times_ms = []
    for n in range(20, REPEATS + 20):
        start_s = time.perf_counter()
        run(n)
        times_ms.append((time.perf_counter() - start_s) * 1000)
    return (
        f"median {statistics.median(times_ms):.3f} ms, p99 {statistics.quantiles(times_ms, n=100)[98]:.3f} ms"
    )


def moving_objects(count: int, frame: int) -> BoxTable:
    """`count` plates of 30 x 12 px that drift; one in five frames misses each."""
    found = BoxTable()
    for index in range(count):
        if (index + frame) % 5 == 0:
            continue
        left, top = (40 * index + 2 * (frame % 100)) % 1800, 60 + 80 * (index % 12)
        found.boxes[found.count] = (left, top, left + 30, top + 12)
        found.class_ids[found.count], found.scores[found.count] = 1, 0.9
        found.strong[found.count] = True
        found.count += 1
    return found


def main() -> None:
    """Print the table."""
    for count in (12, 64, 120):
        tracker = Tracker()
        frames = [moving_objects(count, frame) for frame in range(100)]
        print(
            f"tracker, {count:3} objects:            ",
            quantiles_ms(lambda n, t=tracker, f=frames: t.step(f[n % 100], n / 30, size=(1920, 1080))),
        )
    scene = np.random.default_rng(5).random((400, 700)).astype(np.float32)
    pictures = [np.ascontiguousarray(scene[dy : dy + 360, 2 * dy : 2 * dy + 640]) for dy in range(16)]
    motion = CameraMotion()
    print("camera motion, 640 x 360:        ", quantiles_ms(lambda n: motion.shift(pictures[n % 16])))
    try:
        import cv2
    except ImportError as fault:
        print(f"cv2.phaseCorrelate: left out, {fault}")
        return
    cv2.setNumThreads(1)
    # a quarter of 1080p, as RUNTIME measured
    quarter = [cv2.resize(picture, (480, 270)) for picture in pictures]
    print(
        "cv2.phaseCorrelate, 480 x 270:   ",
        quantiles_ms(lambda n: cv2.phaseCorrelate(quarter[n % 16], quarter[(n + 1) % 16])),
    )


if __name__ == "__main__":
    main()
