"""Time of decoding and non-maximum suppression, one thread: `python bench/decode.py`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize_kernels import decode

REPEATS = 2000
CAPACITY, MAX_BOXES = 8192, 256


def times(run: Callable[[], object], repeats: int = REPEATS) -> str:
    """Median and p99 of `run()` over `repeats` calls after a warm-up."""
    for _ in range(10):
        run()
    taken = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start_s) * 1000)
    return f"median {statistics.median(taken):7.3f} ms, p99 {statistics.quantiles(taken, n=100)[98]:7.3f} ms"


def make_levels(width: int, height: int, objects: int, cells_each: int) -> list[tuple[np.ndarray, int]]:
    """Outputs of anonymize-v1 for a `width` x `height` px input: objects seen by `cells_each` cells in a row."""
    random = np.random.default_rng(2)
    levels = []
    for stride, share in ((8, 0.75), (16, 0.2), (32, 0.05)):
        rows, columns = height // stride, width // stride
        level = random.normal(0, 0.3, (6, rows, columns)).astype(np.float32)
        level[:2] -= 6.0
        sides = np.arange(cells_each) + 0.5
        for place in random.choice(rows * (columns // cells_each), round(share * objects), replace=False):
            y, x = divmod(int(place), columns // cells_each)
            cells = slice(x * cells_each, (x + 1) * cells_each)
            level[place % 2, y, cells] = random.uniform(0.5, 5.0, cells_each)
            # every cell gives the same box, a cell and a half high, within some percent
            level[2:, y, cells] = np.log(
                [sides, np.full(cells_each, 0.75), sides[::-1], np.full(cells_each, 0.75)]
            )
            level[2:, y, cells] += random.normal(0, 0.05, (4, cells_each))
        levels.append((level, stride))
    return levels


def main() -> None:
    """Print the table."""
    decode.compile_all()
    boxes, scores = np.zeros((CAPACITY, 4), np.float32), np.zeros(CAPACITY, np.float32)
    class_ids, order = np.zeros(CAPACITY, np.int32), np.zeros(CAPACITY, np.int32)
    keep, logits = np.zeros(MAX_BOXES, np.int32), np.zeros(2, np.float32)
    means = np.zeros((MAX_BOXES, 5))

    def read(levels: list[tuple[np.ndarray, int]]) -> int:
        count = 0
        for level, stride in levels:
            count = decode.decode_level(level, stride, 0, logits, boxes, scores, class_ids, count)
        return count

    for width, height, objects, cells_each in (
        (960, 544, 60, 5),
        (960, 544, 0, 5),
        (640, 384, 60, 5),
        (1920, 1088, 200, 5),
    ):
        levels = make_levels(width, height, objects, cells_each)
        count = read(levels)
        kept = decode.nms(boxes, scores, class_ids, count, 0.5, 0.25, order, keep, means)
        anchors = sum(level[0].size for level, _ in levels)
        print(f"{width} x {height}: {anchors} anchors, {count} candidates, {kept} boxes")
        print("    decode:      ", times(lambda given=levels: read(given)))
        print(
            "    suppression: ",
            times(lambda n=count: decode.nms(boxes, scores, class_ids, n, 0.5, 0.25, order, keep, means)),
        )
        try:
            import cv2
        except ImportError:
            continue
        if count:
            corners = np.concatenate([boxes[:count, :2], boxes[:count, 2:] - boxes[:count, :2]], axis=1)
            given = (corners, scores[:count].copy(), class_ids[:count].copy())
            print(
                "    cv2 NMSBoxesBatched:", times(lambda g=given: cv2.dnn.NMSBoxesBatched(*g, 0.0, 0.5), 200)
            )

    # the worst that the capacity lets through: 255 objects apart, and all other candidates on the last of them
    cell = np.arange(CAPACITY)
    left, top = cell % 128 * 10.0, cell // 128 * 10.0
    boxes[:] = np.stack([left, top, left + 9, top + 9], axis=1)
    boxes[MAX_BOXES:] = boxes[MAX_BOXES - 1]
    scores[:], class_ids[:] = np.linspace(1, 0.5, CAPACITY), 0
    print(f"worst case, {CAPACITY} candidates of {MAX_BOXES} objects")
    print(
        "    suppression: ",
        times(lambda: decode.nms(boxes, scores, class_ids, CAPACITY, 0.5, 0.25, order, keep, means), 60),
    )


if __name__ == "__main__":
    main()
