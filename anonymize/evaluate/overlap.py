"""Overlaps of boxes: pure functions on (N, 4) xyxy arrays, px, max exclusive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float64]
NEVER = -np.inf  # the score of what no threshold reaches


def as_boxes(rows: object) -> Boxes:
    """Any sequence of boxes as (N, 4) float64; an empty one has four columns too."""
    return np.asarray(rows, np.float64).reshape(-1, 4)


def area(boxes: Boxes) -> Floats:
    """Area of each box, px²; 0 where it is turned inside out."""
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1), np.float64)


def shorter_side(boxes: Boxes) -> Floats:
    """Shorter side of each box, px."""
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def intersection(a: Boxes, b: Boxes) -> Floats:
    """Shared area of each pair, (len(a), len(b)) px²."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0.0), axis=2), np.float64)


def iou(a: Boxes, b: Boxes) -> Floats:
    """Intersection over union of each pair, (len(a), len(b))."""
    shared = intersection(a, b)
    return np.asarray(shared / np.maximum(area(a)[:, None] + area(b)[None, :] - shared, 1e-9))


def union_area(boxes: Boxes) -> float:
    """Area under any of the boxes, px²: exact, on the grid of their edges."""
    boxes = boxes[area(boxes) > 0]
    if len(boxes) < 2:
        return float(area(boxes).sum())
    xs, ys = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    covered = np.zeros((len(ys) - 1, len(xs) - 1), bool)
    columns = np.searchsorted(xs, boxes[:, [0, 2]])
    rows = np.searchsorted(ys, boxes[:, [1, 3]])
    for (left, right), (top, bottom) in zip(columns, rows, strict=True):
        covered[top:bottom, left:right] = True
    return float((np.diff(ys)[:, None] * np.diff(xs)[None, :])[covered].sum())


def clipped(boxes: Boxes, to: Floats) -> Boxes:
    """The parts of the boxes inside the box `to` (4,); those outside are dropped."""
    inside = np.concatenate([np.maximum(boxes[:, :2], to[:2]), np.minimum(boxes[:, 2:], to[2:])], axis=1)
    return np.asarray(inside[area(inside) > 0])


def grown(boxes: Boxes, factor: float) -> Boxes:
    """Each box `factor` times as wide and as high, round its centre."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def covered_share(boxes: Boxes, hidden: Boxes) -> Floats:
    """Share of each box that lies inside the union of the hidden areas, 0 to 1."""
    shares = [
        union_area(clipped(hidden, box)) / max(size, 1e-9)
        for box, size in zip(boxes, area(boxes), strict=True)
    ]
    return np.array(shares, np.float64)


def covering_score(boxes: Boxes, hidden: Boxes, scores: Floats, share: float) -> Floats:
    """The highest threshold at which `share` of each box is hidden; `NEVER` where none is low enough.

    Parameters
    ----------
    boxes : (N, 4)
    hidden : (M, 4)
        Hidden areas.
    scores : (M,)
        A threshold of at most this hides the area.
    share : float
        0 to 1, of the box's area inside the union.
    """
    strongest_first = np.argsort(-scores, kind="stable")
    hidden, scores = hidden[strongest_first], scores[strongest_first]
    reached = np.full(len(boxes), NEVER)
    touching = intersection(boxes, hidden) > 0
    for row, (box, size) in enumerate(zip(boxes, area(boxes), strict=True)):
        near = np.flatnonzero(touching[row])
        for count in range(1, len(near) + 1):
            # a thousandth of a px² of rounding is no reason to call a box unhidden
            if union_area(clipped(hidden[near[:count]], box)) >= share * size - 1e-3:
                reached[row] = scores[near[count - 1]]
                break
    return reached
