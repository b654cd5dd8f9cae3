"""Matching at IoU 0.5 and average precision: pure functions on arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anonymize.evaluate.overlap import NEVER, Boxes, Floats, area, intersection, iou

MIN_IOU = 0.5
LEFT_OUT, WRONG = -2, -1  # what a detection is that has no object


def match(
    objects: Boxes, ignored: Boxes, found: Boxes, scores: Floats
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Pair detections, strongest first, each with the free object it overlaps most, at IoU 0.5 or more.

    A detection without an object that lies on an ignore box by half of its own area counts neither way
    (COCO's rule for `iscrowd`).

    Returns
    -------
    object_scores : (objects,)
        Score of the detection that found it, `NEVER` where none did.
    pairs : (found,) int
        Row of the object, `WRONG` or `LEFT_OUT`.
    """
    object_scores = np.full(len(objects), NEVER)
    pairs = np.full(len(found), WRONG, np.int64)
    overlaps = iou(found, objects)
    inside = intersection(found, ignored) >= 0.5 * np.maximum(area(found), 1e-9)[:, None]
    on_ignored = np.asarray(inside.any(axis=1))
    for row in np.argsort(-scores, kind="stable"):
        free = np.where(object_scores == NEVER, overlaps[row], -1.0)
        best = int(free.argmax()) if len(free) else -1
        if best >= 0 and free[best] >= MIN_IOU:
            object_scores[best] = scores[row]
            pairs[row] = best
        elif on_ignored[row]:
            pairs[row] = LEFT_OUT
    return object_scores, pairs


def average_precision(scores: Floats, correct: npt.NDArray[np.bool_], objects: int) -> float:
    """Area under precision over recall, precision made falling from the right (PASCAL VOC 2010); NaN of no objects.

    Parameters
    ----------
    scores, correct : (detections,)
        Of all pictures, those that count neither way left out.
    objects : int
        That could be found.
    """
    if objects == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(correct[order])
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * correct[order]).sum() / objects)
