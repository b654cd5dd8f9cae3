"""Boxes from the network's outputs, from the definition in array code; `anonymize_kernels.decode` must agree."""

from __future__ import annotations

import numpy as np


def sigmoid(logit):
    """Probability of a logit."""
    return 1.0 / (1.0 + np.exp(-np.asarray(logit, np.float64)))


def decode_level(level, stride_px, least_px, logits):
    """(boxes (N, 4), scores (N,), class_ids (N,)) of a level (6, h, w), by class, then row by row; None for a NaN."""
    if np.isnan(level).any():
        return None
    level = np.asarray(level, np.float64)
    rows, columns = np.indices(level.shape[1:])
    middle = np.stack([columns, rows, columns, rows]) + 0.5
    sides = np.exp(np.minimum(level[2:], 8.0)) * np.array([-1, -1, 1, 1])[:, None, None]
    boxes = stride_px * (middle + sides)
    large = np.minimum(boxes[2] - boxes[0], boxes[3] - boxes[1]) >= least_px
    found = [(level[c] >= logits[c]) & (logits[c] != np.inf) & large for c in range(2)]
    return (
        np.concatenate([boxes[:, mask].T for mask in found]),
        np.concatenate([sigmoid(level[c][mask]) for c, mask in enumerate(found)]),
        np.concatenate([np.full(mask.sum(), c) for c, mask in enumerate(found)]),
    )


def decode_centerface(heat, scale, offset, threshold):
    """(boxes (N, 4), scores (N,)) of maps (h, w), (2, h, w), (2, h, w), row by row; None for a NaN."""
    if any(np.isnan(part).any() for part in (heat, scale, offset)):
        return None
    scale, offset = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
    end = 4.0 * np.array(heat.shape)[:, None, None]
    sides = 4.0 * np.exp(np.minimum(scale, 8.0))
    first = np.clip(4.0 * (np.indices(heat.shape) + offset + 0.5) - sides / 2, 0.0, end)
    last = np.minimum(first + sides, end)
    boxes = np.stack([first[1], first[0], last[1], last[0]], axis=-1)
    mask = np.asarray(heat, np.float64) >= threshold
    return boxes[mask], np.asarray(heat)[mask]


def overlaps(boxes, iou):
    """(N, N) whether the intersection of two boxes (N, 4) is more than `iou` of their union."""
    boxes = np.asarray(boxes, np.float64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    return (shared > 0) & (shared > iou * (area[:, None] + area[None, :] - shared))


def nms(boxes, scores, class_ids, iou, voting_from):
    """Rows that greedy suppression within each class keeps, strongest first, equal scores by row, and voted boxes."""
    hides = overlaps(boxes, iou) & (class_ids[:, None] == class_ids[None, :])
    left = list(np.lexsort((np.arange(len(scores)), -np.asarray(scores, np.float64))))
    kept, means = [], []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        voters = [best] + [row for row in left if hides[best, row] and scores[row] >= voting_from]
        means.append(np.average(np.asarray(boxes, np.float64)[voters], axis=0, weights=scores[voters]))
        left = [row for row in left if not hides[best, row]]
    return kept, np.array(means).reshape(-1, 4)
