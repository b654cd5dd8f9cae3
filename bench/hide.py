"""Times of hiding 16 boxes of 108,000 px in a 1920 x 1080 NV12 frame, one thread, beside the machine's limits.

    python bench/hide.py [--json]

The roofline is the time in which this machine would fill as many bytes as the style writes: measured in the same
run by filling 64 MB (memory) and by numpy's fill of the very same rectangles (cache). cv2.GaussianBlur of the
same boxes, with the sigma of a face, stands beside it where OpenCV is installed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.hide import Styles
from anonymize.hide.hider import Hider

WIDTH, HEIGHT, BOXES = 1920, 1080, 16
SIDE_PX = 63.0  # grown 1.3 times and rounded outwards to even px: 84 x 84 px, 112,896 px for all boxes
NV12 = LAYOUTS[PixelFormat.NV12]


def make_frame(padding: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """A random frame whose lines are padded by so many px."""
    rng = np.random.default_rng(0)
    luma = rng.integers(0, 256, (HEIGHT, WIDTH + padding), dtype=np.uint8)[:, :WIDTH]
    chroma = rng.integers(0, 256, (HEIGHT // 2, (WIDTH + padding) // 2, 2), dtype=np.uint8)[:, : WIDTH // 2]
    return luma, chroma


def make_boxes() -> npt.NDArray[np.float32]:
    """16 boxes that lie apart, in two rows."""
    corners = [(100.0 + 220.0 * (i % 8), 150.0 + 400.0 * (i // 8)) for i in range(BOXES)]
    return np.array([(x, y, x + SIDE_PX, y + SIDE_PX) for x, y in corners], np.float32)


def measure_ms(work: Callable[[], Any], rounds: int = 300) -> tuple[float, float]:
    """Median and 99th percentile, ms, after 20 rounds that are not counted."""
    times = []
    for number in range(rounds + 20):
        start = time.perf_counter()
        work()
        if number >= 20:
            times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times)), float(np.percentile(times, 99))


def measure_styles(report: dict[str, tuple[float, float]]) -> npt.NDArray[np.int32]:
    """Time each style on tight and padded lines; returns the hidden areas."""
    boxes, tracks = make_boxes(), np.arange(BOXES)
    cases = [("veil", 0.06), ("veil", 0.0), ("solid", 0.0), ("mosaic", 0.0), ("blur", 0.0)]
    for style, soft in cases:
        for padding in (0, 64):
            planes = make_frame(padding)
            hider = Hider(Styles(style, style, soft_edge_fraction=soft))  # type: ignore[arg-type]
            hider.reserve(WIDTH, HEIGHT, PixelFormat.NV12)
            kinds = np.zeros(BOXES, np.int32)

            def hide(hider: Hider = hider, planes: Any = planes, kinds: Any = kinds) -> None:
                hider.hide(planes, NV12, boxes, kinds, tracks, BOXES)

            name = f"{style}{', soft edge' if soft else ''}, lines {'padded' if padding else 'tight'}"
            report[name] = measure_ms(hide)
            if style == "veil" and soft:
                report[f"check of {name}"] = measure_ms(lambda h=hider, p=planes: h.check(p))  # type: ignore[misc]
    report["no box"] = measure_ms(lambda: hider.hide(planes, NV12, boxes, kinds, tracks, 0))
    return hider.grown[:BOXES].copy()


def measure_limits(report: dict[str, tuple[float, float]], grown: npt.NDArray[np.int32]) -> int:
    """Time the same bytes without a thought; returns how many bytes the flat styles write."""
    luma, chroma = make_frame(64)
    rects = grown.tolist()

    def fill() -> None:
        for x1, y1, x2, y2 in rects:
            luma[y1:y2, x1:x2] = 7
            chroma[y1 // 2 : y2 // 2, x1 // 2 : x2 // 2] = 7

    report["numpy fill of the same rectangles"] = measure_ms(fill)
    written = sum((x2 - x1) * (y2 - y1) * 3 // 2 for x1, y1, x2, y2 in rects)
    memory = np.zeros(64_000_000, np.uint8)
    median, late = measure_ms(lambda: memory.fill(7), 30)
    report["roofline: bytes written / fill bandwidth of memory"] = (
        median * written / memory.size,
        late * written / memory.size,
    )
    return int(written)


def measure_opencv(report: dict[str, tuple[float, float]], grown: npt.NDArray[np.int32]) -> None:
    """Time cv2.GaussianBlur on the same rectangles, one thread."""
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)
    luma, chroma = make_frame(64)
    sigma = 0.35 * SIDE_PX

    def blur() -> None:
        for x1, y1, x2, y2 in grown.tolist():
            part = luma[y1:y2, x1:x2]
            part[...] = cv2.GaussianBlur(part, (0, 0), sigma)
            part = chroma[y1 // 2 : y2 // 2, x1 // 2 : x2 // 2]
            part[...] = cv2.GaussianBlur(part, (0, 0), sigma / 2)

    report["cv2.GaussianBlur, sigma 0.35, same rectangles"] = measure_ms(blur, 60)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report: dict[str, tuple[float, float]] = {}
    grown = measure_styles(report)
    written = measure_limits(report, grown)
    measure_opencv(report, grown)
    if arguments.json:
        print(
            json.dumps(
                {"machine": platform.processor() or platform.machine(), "bytes": written, "ms": report}
            )
        )
        return
    print(f"{platform.platform()}, {written:,} bytes written by a flat style, ms a frame")
    print(f"{'':54}{'median':>9}{'p99':>9}")
    for name, (median, late) in report.items():
        print(f"{name:54}{median:9.4f}{late:9.4f}")


if __name__ == "__main__":
    main()
