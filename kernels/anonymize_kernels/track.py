"""One step of the live tracker: predict, match, hold, start, forget. It only ever adds boxes.

Tracks live in fixed arrays; a row is free where `ids` is 0. Boxes are xyxy, px of the upright picture.
Own design (greedy overlap with velocity); RUNTIME notes compare it with norfair and a ByteTrack port.
"""

from __future__ import annotations

import numpy as np

from anonymize_kernels._jit import inner, kernel

DETECTED, HELD, PREDICTED = 0, 1, 2
# boxes are matched by the overlap of their enlarged selves: a plate of 20 px moves 10 px a frame
MATCH_GROWTH = 1.6
MIN_OVERLAP = 0.10  # of those enlarged boxes, intersection over union
VELOCITY_GAIN = 0.5
GROW_PER_S = 1.2  # a held box gains this share of its longer side a second, on every side
GROW_PER_MOTION = 0.3  # and this share of the way that it has been predicted along


@kernel
def predict(boxes, velocities, ids, shift_x, shift_y, elapsed_s):
    """Move every live track by the camera's shift (px) and its own velocity (px/s) over `elapsed_s`."""
    for t in range(ids.shape[0]):
        if ids[t] == 0:
            continue
        for c in range(4):
            camera = shift_x if c % 2 == 0 else shift_y
            boxes[t, c] += np.float32(camera + velocities[t, c] * elapsed_s)


@kernel
def match(boxes, classes, ids, found, found_classes, found_count, pairs):
    """Give each found box (in the order given) the free track of its class that overlaps it most.

    `pairs` (≥ found_count,) int32 receives the track's row, or -1.
    """
    for d in range(found_count):
        pairs[d] = -1
    for d in range(found_count):
        best, best_overlap = -1, MIN_OVERLAP
        for t in range(ids.shape[0]):
            if ids[t] == 0 or classes[t] != found_classes[d] or _taken(pairs, d, t):
                continue
            overlap = _enlarged_overlap(boxes, t, found, d)
            if overlap > best_overlap:
                best, best_overlap = t, overlap
        pairs[d] = best


@inner
def _taken(pairs, count, row):
    for i in range(count):
        if pairs[i] == row:
            return True
    return False


@inner
def _enlarged_overlap(boxes, t, found, d):
    more = 0.5 * (MATCH_GROWTH - 1.0)
    wa, ha = (boxes[t, 2] - boxes[t, 0]) * more, (boxes[t, 3] - boxes[t, 1]) * more
    wb, hb = (found[d, 2] - found[d, 0]) * more, (found[d, 3] - found[d, 1]) * more
    across = min(boxes[t, 2] + wa, found[d, 2] + wb) - max(boxes[t, 0] - wa, found[d, 0] - wb)
    down = min(boxes[t, 3] + ha, found[d, 3] + hb) - max(boxes[t, 1] - ha, found[d, 1] - hb)
    if across <= 0.0 or down <= 0.0:
        return 0.0
    area_t = (boxes[t, 2] - boxes[t, 0] + 2 * wa) * (boxes[t, 3] - boxes[t, 1] + 2 * ha)
    area_d = (found[d, 2] - found[d, 0] + 2 * wb) * (found[d, 3] - found[d, 1] + 2 * hb)
    return across * down / (area_t + area_d - across * down)


@kernel
def update(
    boxes,
    velocities,
    ids,
    hits,
    missed_s,
    scores,
    classes,
    found,
    found_scores,
    found_classes,
    strong,
    found_count,
    pairs,
    elapsed_s,
    next_id,
):
    """Put what was found into the tracks and start new ones for strong finds.

    `strong` (≥ found_count,) bool: may start a track; a weak find only keeps one alive.
    Edges that come nearer to one another go on together: no box is predicted to shrink. One that was found half as
    large by mistake and then missed would shrink to nothing, and be turned inside out, while it is held.
    Returns the next free id, or -1 where there is no free row for a strong find.
    """
    for t in range(ids.shape[0]):
        if ids[t] != 0:
            missed_s[t] += np.float32(elapsed_s)
    for d in range(found_count):
        t = pairs[d]
        if t < 0:
            if not strong[d]:
                continue
            t = _free_row(ids)
            if t < 0:
                return np.int64(-1)
            ids[t] = next_id
            next_id += 1
            hits[t] = 0
            pairs[d] = t
            classes[t] = found_classes[d]
        for c in range(4):
            away = found[d, c] - boxes[t, c]
            if hits[t] == 0:
                velocities[t, c] = 0.0
            elif elapsed_s > 0.0:
                velocities[t, c] += np.float32(VELOCITY_GAIN * away / max(elapsed_s, missed_s[t]))
            boxes[t, c] = found[d, c]
        for c in range(2):
            if velocities[t, c + 2] < velocities[t, c]:
                together = np.float32(0.5) * (velocities[t, c] + velocities[t, c + 2])
                velocities[t, c] = velocities[t, c + 2] = together
        hits[t] += 1
        missed_s[t] = 0.0
        scores[t] = found_scores[d]
    return next_id


@inner
def _free_row(ids):
    for t in range(ids.shape[0]):
        if ids[t] == 0:
            return t
    return -1


@kernel
def forget(boxes, ids, hits, missed_s, hold_s, first_hold_s, width, height):
    """Free the tracks that were missed for too long or have left the picture of `width` x `height` px.

    A track found once is held `first_hold_s`; each further find adds as much, up to `hold_s`.
    """
    for t in range(ids.shape[0]):
        if ids[t] == 0 or missed_s[t] == 0.0:
            continue
        gone = boxes[t, 2] <= 0.0 or boxes[t, 3] <= 0.0 or boxes[t, 0] >= width or boxes[t, 1] >= height
        if gone or missed_s[t] > min(hold_s, hits[t] * first_hold_s):
            ids[t] = 0


@kernel
def gather(
    boxes,
    velocities,
    ids,
    hits,
    missed_s,
    scores,
    classes,
    out_boxes,
    out_classes,
    out_ids,
    out_scores,
    out_origins,
):
    """Write every live track out, held ones enlarged by their uncertainty; returns the count, -1 if too many."""
    count = 0
    for t in range(ids.shape[0]):
        if ids[t] == 0:
            continue
        if count == out_boxes.shape[0]:
            return -1
        more_x, more_y = 0.0, 0.0
        if missed_s[t] > 0.0:
            longer = max(boxes[t, 2] - boxes[t, 0], boxes[t, 3] - boxes[t, 1])
            still = GROW_PER_S * missed_s[t] * longer
            more_x = still + GROW_PER_MOTION * missed_s[t] * 0.5 * abs(velocities[t, 0] + velocities[t, 2])
            more_y = still + GROW_PER_MOTION * missed_s[t] * 0.5 * abs(velocities[t, 1] + velocities[t, 3])
        out_boxes[count, 0] = np.float32(boxes[t, 0] - more_x)
        out_boxes[count, 1] = np.float32(boxes[t, 1] - more_y)
        out_boxes[count, 2] = np.float32(boxes[t, 2] + more_x)
        out_boxes[count, 3] = np.float32(boxes[t, 3] + more_y)
        out_classes[count] = classes[t]
        out_ids[count] = ids[t]
        out_scores[count] = scores[t]
        out_origins[count] = DETECTED if missed_s[t] == 0.0 else (PREDICTED if hits[t] > 1 else HELD)
        count += 1
    return count
