"""Time of each stage of the engine's road, one frame after another: `python bench/engine.py [--size 1280x720]`.

The scene is the drawn street, moved by some px from frame to frame, as NV12. One thread unless said.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.kernel_cache import use_kernel_cache

use_kernel_cache()

from anonymize.canary import planes_from_rgb
from anonymize.drawing import draw_street
from anonymize.frames import CapturedFrame, ColorMatrix, ColorRange, PixelFormat, ReleasedFrame, Timings
from anonymize.pipeline import Engine
from anonymize.settings import Settings

STAGES = [field.name for field in dataclasses.fields(Timings)]


def make_frames(width: int, height: int, pixel_format: PixelFormat) -> list[CapturedFrame]:
    """Eight frames of a street that moves by 3 px each."""
    rgb, _ = draw_street(width, height)
    colours = {"color_matrix": ColorMatrix.BT709, "color_range": ColorRange.LIMITED}
    return [
        CapturedFrame(
            planes_from_rgb(np.roll(rgb, 3 * n, 1), pixel_format, **colours),
            pixel_format,
            n,
            Fraction(1, 30),
            **colours,
        )
        for n in range(8)
    ]


def measure(engine: Engine, frames: list[CapturedFrame], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each stage for `repeats` frames after a warm-up of 20."""
    times_ms: dict[str, list[float]] = {name: [] for name in STAGES}
    for n in range(repeats + 20):
        (outcome,) = engine.process(dataclasses.replace(frames[n % len(frames)], pts=n))
        if not isinstance(outcome, ReleasedFrame):
            raise SystemExit(f"dropped as {outcome.reason}: {engine.last_fault}")
        if n >= 20:
            for name in STAGES:
                times_ms[name].append(getattr(outcome.timings, name))
    return times_ms


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--format", default="nv12", choices=[str(f) for f in PixelFormat])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--full", action="store_true", help="detect at full size, as `anonymize run` does")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    frames = make_frames(width, height, PixelFormat(options.format))
    engine = Engine(
        settings=Settings(min_long_side_px=1920 if options.full else 640), threads=options.threads
    )
    engine.warm_up(width=width, height=height, pixel_format=options.format)
    size = engine._detector.size_for(frames[0])
    print(
        f"{width} x {height} {options.format}, network {size.width} x {size.height}, {options.threads} thread(s)"
    )
    for name, values in measure(engine, frames, options.repeats).items():
        p99 = statistics.quantiles(values, n=100)[98]
        print(f"  {name:14} median {statistics.median(values):8.3f}  p99 {p99:8.3f} ms")


if __name__ == "__main__":
    main()
