"""Overlap and suppression of boxes in numpy; boxes are xyxy with exclusive maxima."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Return the area of each box in square pixels."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersection_matrix(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the (len(a), len(b)) shared areas in square pixels."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=2)


def iou_matrix(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the (len(a), len(b)) intersections over union, 0 to 1."""
    shared = intersection_matrix(a, b)
    return shared / np.maximum(area(a)[:, None] + area(b)[None, :] - shared, 1e-6)


def nms(boxes: Boxes, confidence: NDArray[np.float32], iou: float) -> NDArray[np.int64]:
    """Return the indices kept by greedy suppression, most confident first."""
    order = np.argsort(-confidence, kind="stable")
    overlap = iou_matrix(boxes[order], boxes[order]) > iou
    keep = np.ones(len(order), bool)
    for i in range(len(order)):
        if keep[i]:
            keep[i + 1 :] &= ~overlap[i, i + 1 :]
    return order[keep]


def voted(
    boxes: Boxes, confidence: NDArray[np.float32], kept: NDArray[np.int64], *, iou: float, voting_from: float
) -> Boxes:
    """Return where each kept box lies by its own word and that of those that it was the first to suppress."""
    same = iou_matrix(boxes[kept], boxes) > iou
    same[np.arange(len(kept)), kept] = True
    first = same & (np.cumsum(same, axis=0) == 1)
    weight = np.where(first & (confidence >= voting_from), confidence, 0)
    weight[np.arange(len(kept)), kept] = confidence[kept]
    return np.asarray(weight @ boxes / weight.sum(axis=1, keepdims=True), np.float32)


def grow(boxes: Boxes, factor: float, width_px: float, height_px: float) -> Boxes:
    """Return the boxes enlarged about their centres and clipped to the picture."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * factor
    limit = np.array([width_px, height_px], np.float32)
    return np.concatenate([np.clip(centre - half, 0, limit), np.clip(centre + half, 0, limit)], axis=1)
