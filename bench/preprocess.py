"""Time of the network's input from planes, one thread, beside OpenCV's chain and the memory's speed.

`python bench/preprocess.py [--json FILE]`. Every run takes another frame out of as many as do not fit the cache.
Ours, OpenCV's chain and the copy take turns, so that a busy machine is equally busy for all three. Medians are of
the thread's own time, p99 is of the clock on the wall: what a camera would have waited for. A budget is for the median.
`bytes` is the same into an input of bytes, as the int8 network reads it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize_kernels import preprocess

from anonymize.detect.color import rgb_from_yuv
from anonymize.detect.input_size import NetworkSize, network_size
from anonymize.detect.session import make_input
from anonymize.frames import LAYOUTS, ColorMatrix, ColorRange, PixelFormat

REPEATS = 200
FRAMES_BYTES = 100_000_000  # frames in turn: more than the caches hold
CASES = (  # width, height, longest side of the input or None for the rule's, clockwise turn
    (1920, 1080, 640, 0),
    (1920, 1080, None, 0),
    (1280, 720, None, 0),
    (3840, 2160, None, 0),
    (1024, 768, None, 0),  # 8 : 5, no whole ratio
    (1920, 1080, None, 90),
)
FORMATS = (
    PixelFormat.BGR24,
    PixelFormat.NV12,
    PixelFormat.YUV420P,
    PixelFormat.YUV420P10LE,
    PixelFormat.GRAY8,
)
BUDGETS_MS = {  # picture's width, input's width, format
    (1920, 640, PixelFormat.BGR24): 1.0,
    (1920, 640, PixelFormat.NV12): 0.6,
    (1920, 960, PixelFormat.BGR24): 1.4,
    (1920, 960, PixelFormat.NV12): 1.0,
}
KERNELS = {
    PixelFormat.BGR24: preprocess.packed_to_input,
    PixelFormat.NV12: preprocess.nv12_to_input,
    PixelFormat.GRAY8: preprocess.gray_to_input,
}
TO_RGB = rgb_from_yuv(ColorMatrix.BT601, ColorRange.LIMITED)  # what OpenCV computes


def times_ms(runs: Sequence[Callable[[int], object]], repeats: int = REPEATS) -> list[tuple[float, float]]:
    """(median of the thread's time, p99 of wall time) of each `run(n)`, ms; they take turns."""
    own: list[list[float]] = [[] for _ in runs]
    wall: list[list[float]] = [[] for _ in runs]
    for n in range(repeats + 10):
        for index, run in enumerate(runs):
            start_s, own_start_s = time.perf_counter(), time.thread_time()
            run(n)
            own[index].append((time.thread_time() - own_start_s) * 1000)
            wall[index].append((time.perf_counter() - start_s) * 1000)
    return [
        (statistics.median(o[10:]), statistics.quantiles(w[10:], n=100)[98])
        for o, w in zip(own, wall, strict=True)
    ]


def copy_of(moved_bytes: int) -> Callable[[int], None]:
    """`run(n)` reads and writes `moved_bytes` altogether, the least that a pass over memory costs."""
    half = moved_bytes // 2
    pool, target = np.ones(FRAMES_BYTES, np.uint8), np.zeros(half, np.uint8)
    places = max(1, FRAMES_BYTES // half)
    return lambda n: np.copyto(target, pool[n % places * half : (n % places + 1) * half])


def make_frames(pixel_format: PixelFormat, width: int, height: int) -> list[tuple[np.ndarray, ...]]:
    """Frames of random lines, enough of them to overflow the caches."""
    layout = LAYOUTS[pixel_format]
    random = np.random.default_rng(1)
    dtype = np.dtype(layout.dtype)
    first = tuple(
        random.integers(0, 1 << layout.bits, shape).astype(dtype) for shape in layout.shapes(width, height)
    )
    count = max(2, FRAMES_BYTES // sum(plane.nbytes for plane in first))
    return [tuple(np.roll(plane, n, axis=0) for plane in first) for n in range(count)]


def our_chain(
    pixel_format: PixelFormat, frames: list[Any], size: NetworkSize, turn_deg: int, *, of_bytes: bool
) -> Callable[[int], None]:
    """`run(n)` fills the input from frame n."""
    layout = LAYOUTS[pixel_format]
    yuv = len(layout.channels) > 1
    matrix, offset = TO_RGB if yuv else (np.eye(3)[::-1], np.zeros(3))
    mean, std = (-0.5, 1.0) if of_bytes else (0.0, 255.0)
    table = preprocess.conversion_table(matrix, offset, np.full(3, mean), np.full(3, std))
    tensor = make_input(size.height, size.width, of_bytes=of_bytes)[0]
    picture = (tensor.transpose(2, 0, 1) if of_bytes else tensor)[
        :, : size.picture_height, : size.picture_width
    ]
    out = np.rot90(picture, turn_deg // 90, axes=(1, 2))
    sums = np.zeros(preprocess.sums_length(frames[0][0].shape[1]), np.int32)
    lines = np.zeros((preprocess.LINES, out.shape[2]), np.float32)
    planes = [[plane.reshape(plane.shape[0], -1) for plane in frame] for frame in frames]
    rest = (out, table, sums, lines)
    if pixel_format in KERNELS:
        kernel = KERNELS[pixel_format]
        return lambda n: kernel(*planes[n % len(planes)], *rest)
    shape = (layout.chroma_shift_x, layout.chroma_shift_y, layout.bits)
    return lambda n: preprocess.planar_to_input(*planes[n % len(planes)], *shape, *rest)


def opencv_chain(
    pixel_format: PixelFormat, frames: list[Any], size: NetworkSize
) -> Callable[[int], object] | None:
    """`run(n)`: colour, INTER_AREA, padding and blob as one writes it with OpenCV; None where it is not here."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(1)
    if pixel_format not in (PixelFormat.BGR24, PixelFormat.NV12, PixelFormat.YUV420P):
        return None
    area = (size.picture_width, size.picture_height)
    padded = np.zeros((size.height, size.width, 3), np.uint8)
    picture = padded[: area[1], : area[0]]
    whole = [np.concatenate([plane.reshape(-1) for plane in frame]) for frame in frames]
    height, width = frames[0][0].shape[:2]

    def run(n: int) -> object:
        planes = frames[n % len(frames)]
        if pixel_format is PixelFormat.NV12:
            bgr = cv2.cvtColorTwoPlane(*planes, cv2.COLOR_YUV2BGR_NV12)
        elif pixel_format is PixelFormat.YUV420P:
            joined = whole[n % len(frames)].reshape(height * 3 // 2, width)
            bgr = cv2.cvtColor(joined, cv2.COLOR_YUV2BGR_I420)
        else:
            bgr = planes[0]
        picture[:] = cv2.resize(bgr, area, interpolation=cv2.INTER_AREA)
        return cv2.dnn.blobFromImage(padded, 1 / 255, swapRB=True)

    return run


def main() -> None:
    """Print the table; write it as JSON where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    named = parser.parse_args()
    print(f"one thread, {REPEATS} runs; ms: median of the thread's time / p99 of wall time")
    print(
        f"{'picture':>14} {'input':>11} {'format':>12} {'ours':>15} {'bytes':>15} {'OpenCV':>15}"
        f" {'copy of the bytes':>18} {'budget':>19}"
    )
    preprocess.compile_all()
    rows = []
    for width, height, longest, turn_deg in CASES:
        upright = (height, width) if turn_deg in (90, 270) else (width, height)
        size = network_size(*upright, max_long_side=longest)
        for pixel_format in FORMATS if width == 1920 and not turn_deg else FORMATS[:2]:
            frames = make_frames(pixel_format, width, height)
            moved = sum(plane.nbytes for plane in frames[0]) + 12 * size.picture_width * size.picture_height
            runs = [
                *(our_chain(pixel_format, frames, size, turn_deg, of_bytes=kind) for kind in (False, True)),
                copy_of(moved),
            ]
            chain = None if turn_deg else opencv_chain(pixel_format, frames, size)
            ours, in_bytes, copy, *other = times_ms([*runs, chain] if chain else runs)
            theirs = other[0] if other else (float("nan"), float("nan"))
            picture = f"{width}x{height}" + (f" {turn_deg}°" if turn_deg else "")
            network = f"{size.width}x{size.height}"
            columns = " ".join(f"{median:8.2f}/{p99:6.2f}" for median, p99 in (ours, in_bytes, theirs, copy))
            budget_ms = None if turn_deg else BUDGETS_MS.get((width, size.width, pixel_format))
            verdict = f" {budget_ms} {'kept' if ours[0] <= budget_ms else 'exceeded'}" if budget_ms else ""
            speed = f"{moved / copy[0] / 1e6:5.1f} GB/s"
            print(f"{picture:>14} {network:>11} {pixel_format:>12} {columns} {speed}{verdict}")
            rows.append(
                {"picture": picture, "input": network, "format": str(pixel_format), "moved_bytes": moved}
                | {"median_ms": ours[0], "p99_ms": ours[1], "opencv_ms": theirs[0], "copy_ms": copy[0]}
                | {"bytes_median_ms": in_bytes[0], "bytes_p99_ms": in_bytes[1]}
            )
    if named.json:
        named.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
