"""One step of the live tracker: predict, match, hold, start, forget. It only ever adds boxes.

Tracks live in one array of the dtype `TRACK`; a row is free where `number` is 0. Boxes are xyxy, px of the upright
picture. Own design (greedy overlap with velocity); RUNTIME notes compare it with norfair and a ByteTrack port.
"""

from __future__ import annotations

import math

import numpy as np

from anonymize_kernels._jit import inner, kernel

# number     of the track, from 1 on
# sure       is given out: was found at the threshold once, or weakly for long enough
# box        where it was found last, moved on since
# reach      outermost edges of its finds of late, moved along with it
# velocity   of the box's edges, px/s, without the camera's
# evidence   mean over the last frames of confidence ÷ threshold, 0 where it was not found
TRACK = np.dtype(
    [
        ("number", np.int64),
        ("hits", np.int64),
        ("class_id", np.int32),
        ("box", np.float32, 4),
        ("reach", np.float32, 4),
        ("velocity", np.float32, 4),
        ("missed_s", np.float32),
        ("score", np.float32),
        ("evidence", np.float32),
        ("sure", np.bool_),
    ],
    align=True,
)

DETECTED, HELD, PREDICTED = 0, 1, 2
# boxes are matched by the overlap of their enlarged selves: a plate of 20 px moves 10 px a frame
MATCH_GROWTH = 1.6
MIN_OVERLAP = 0.10  # of those enlarged boxes, intersection over union
VELOCITY_GAIN = 0.5
GROW_PER_S = 1.2  # a held box gains this share of its longer side a second, on every side
GROW_PER_MOTION = 0.3  # and this share of the way that it has been predicted along
REACH_S = 0.4  # a find that came out too small is hidden as large as those before it, for about this long
YOUNG_GROWTH = (
    0.1  # of its side, on every side: nothing is known yet of how large the finds of a new track come out
)
EVIDENCE_S = 0.15  # over which evidence is averaged
EVIDENCE_GAIN = 0.2  # and at most this share of it comes from one frame: one weak find is no proof
SURE_EVIDENCE = 0.7  # a find at 0.8 of the threshold in each frame gets there in 10 frames, one at 0.7 never


@kernel
def predict(tracks, shift_x, shift_y, elapsed_s):
    """Move every live track by the camera's shift (px) and its own velocity (px/s) over `elapsed_s`."""
    for t in range(tracks.shape[0]):
        track = tracks[t]
        if track["number"] == 0:
            continue
        for c in range(4):
            camera = shift_x if c % 2 == 0 else shift_y
            middle = 0.5 * (track["velocity"][c % 2] + track["velocity"][c % 2 + 2])
            track["box"][c] += np.float32(camera + track["velocity"][c] * elapsed_s)
            track["reach"][c] += np.float32(camera + middle * elapsed_s)


@kernel
def match(tracks, found, found_classes, found_count, pairs):
    """Give each found box (in the order given) the free track of its class that overlaps it most.

    Sure tracks choose first: what could become one takes no find away from them.
    `pairs` (≥ found_count,) int32 receives the track's row, or -1.
    """
    for d in range(found_count):
        pairs[d] = -1
    for sure in (True, False):
        for d in range(found_count):
            if pairs[d] >= 0:
                continue
            best, best_overlap = -1, MIN_OVERLAP
            for t in range(tracks.shape[0]):
                track = tracks[t]
                if track["number"] == 0 or track["sure"] != sure or track["class_id"] != found_classes[d]:
                    continue
                if _taken(pairs, found_count, t):
                    continue
                overlap = _enlarged_overlap(track["box"], found[d])
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
def _enlarged_overlap(a, b):
    more = 0.5 * (MATCH_GROWTH - 1.0)
    wa, ha = (a[2] - a[0]) * more, (a[3] - a[1]) * more
    wb, hb = (b[2] - b[0]) * more, (b[3] - b[1]) * more
    across = min(a[2] + wa, b[2] + wb) - max(a[0] - wa, b[0] - wb)
    down = min(a[3] + ha, b[3] + hb) - max(a[1] - ha, b[1] - hb)
    if across <= 0.0 or down <= 0.0:
        return 0.0
    area_a = (a[2] - a[0] + 2 * wa) * (a[3] - a[1] + 2 * ha)
    area_b = (b[2] - b[0] + 2 * wb) * (b[3] - b[1] + 2 * hb)
    return across * down / (area_a + area_b - across * down)


@kernel
def update(
    tracks,
    found,
    found_scores,
    found_classes,
    strong,
    found_count,
    pairs,
    strong_from,
    elapsed_s,
    next_number,
):
    """Put what was found into the tracks and start new ones.

    `strong` (≥ found_count,) bool: its track is sure from now on. A weak find keeps a track alive; where `strong_from`,
    (classes,) float32, the threshold of its class, is above 0 it may also start one, which is sure once its `evidence`
    reaches `SURE_EVIDENCE`. Such tracks make room for strong finds.
    Returns the next free number, or -1 where there is no free row for a strong find.
    """
    gain = np.float32(min(EVIDENCE_GAIN, elapsed_s / EVIDENCE_S))
    for t in range(tracks.shape[0]):
        tracks[t]["missed_s"] += np.float32(elapsed_s)
        tracks[t]["evidence"] -= gain * tracks[t]["evidence"]
    for d in range(found_count):
        needed = strong_from[found_classes[d]]
        t = pairs[d]
        begins = t < 0
        if begins:
            if not strong[d] and needed <= 0.0:
                continue
            t = _free_row(tracks)
            if t < 0 and strong[d]:
                t = _unsure_row(tracks, pairs, found_count)
            if t < 0:
                if strong[d]:
                    return np.int64(-1)
                continue
            pairs[d] = t
            _begin(tracks[t], next_number, found_classes[d], found[d])
            next_number += 1
        else:
            _go_on(tracks[t], found[d], elapsed_s)
        track = tracks[t]
        for c in range(4):
            track["box"][c] = found[d, c]
        track["hits"] += 1
        track["missed_s"] = 0.0
        track["score"] = found_scores[d]
        if needed > 0.0:
            track["evidence"] += np.float32(EVIDENCE_GAIN if begins else gain) * min(
                np.float32(1.0), found_scores[d] / needed
            )
        track["sure"] = track["sure"] or strong[d] or track["evidence"] >= SURE_EVIDENCE
    return next_number


@inner
def _free_row(tracks):
    for t in range(tracks.shape[0]):
        if tracks[t]["number"] == 0:
            return t
    return -1


@inner
def _unsure_row(tracks, pairs, count):
    """A row whose track is not sure, taken away from its find; -1 where there is none."""
    for t in range(tracks.shape[0]):
        if not tracks[t]["sure"]:
            for d in range(count):
                if pairs[d] == t:
                    pairs[d] = -1
            return t
    return -1


@inner
def _begin(track, number, class_id, found):
    track["number"] = number
    track["class_id"] = class_id
    track["hits"] = 0
    track["evidence"] = 0.0
    track["sure"] = False
    for c in range(2):
        more = np.float32(YOUNG_GROWTH) * (found[c + 2] - found[c])
        track["reach"][c] = found[c] - more
        track["reach"][c + 2] = found[c + 2] + more
        track["velocity"][c] = track["velocity"][c + 2] = 0.0


@inner
def _go_on(track, found, elapsed_s):
    """Velocity and reach of a track that was found again; its box is still where it was predicted.

    Edges that come nearer to one another go on together: no box is predicted to shrink. One that was found half as
    large by mistake and then missed would shrink to nothing, and be turned inside out, while it is held.
    """
    since_s = max(elapsed_s, track["missed_s"])
    left = np.float32(math.exp(-since_s / REACH_S))
    for c in range(4):
        if elapsed_s > 0.0:
            track["velocity"][c] += np.float32(VELOCITY_GAIN * (found[c] - track["box"][c]) / since_s)
    for c in range(2):
        if track["velocity"][c + 2] < track["velocity"][c]:
            together = np.float32(0.5) * (track["velocity"][c] + track["velocity"][c + 2])
            track["velocity"][c] = track["velocity"][c + 2] = together
        track["reach"][c] = min(found[c], found[c] + left * (track["reach"][c] - found[c]))
        track["reach"][c + 2] = max(
            found[c + 2], found[c + 2] + left * (track["reach"][c + 2] - found[c + 2])
        )


@kernel
def forget(tracks, hold_s, first_hold_s, width, height):
    """Free the tracks that were missed for too long or have left the picture of `width` x `height` px.

    A track found once is held `first_hold_s`; each further find adds as much, up to `hold_s`.
    """
    for t in range(tracks.shape[0]):
        track = tracks[t]
        if track["number"] == 0 or track["missed_s"] == 0.0:
            continue
        box = track["box"]
        gone = box[2] <= 0.0 or box[3] <= 0.0 or box[0] >= width or box[1] >= height
        if gone or track["missed_s"] > min(hold_s, track["hits"] * first_hold_s):
            track["number"] = 0


@kernel
def gather(tracks, out_boxes, out_classes, out_ids, out_scores, out_origins):
    """Write every sure track out, held ones enlarged by their uncertainty; returns the count, -1 if too many."""
    count = 0
    for t in range(tracks.shape[0]):
        track = tracks[t]
        if track["number"] == 0 or not track["sure"]:
            continue
        if count == out_boxes.shape[0]:
            return -1
        for c in range(2):
            more = 0.0
            if track["missed_s"] > 0.0:
                longer = max(track["box"][2] - track["box"][0], track["box"][3] - track["box"][1])
                way = track["missed_s"] * 0.5 * abs(track["velocity"][c] + track["velocity"][c + 2])
                more = GROW_PER_S * track["missed_s"] * longer + GROW_PER_MOTION * way
            out_boxes[count, c] = min(np.float32(track["box"][c] - more), track["reach"][c])
            out_boxes[count, c + 2] = max(np.float32(track["box"][c + 2] + more), track["reach"][c + 2])
        out_classes[count] = track["class_id"]
        out_ids[count] = track["number"]
        out_scores[count] = track["score"]
        out_origins[count] = (
            DETECTED if track["missed_s"] == 0.0 else (PREDICTED if track["hits"] > 1 else HELD)
        )
        count += 1
    return count
