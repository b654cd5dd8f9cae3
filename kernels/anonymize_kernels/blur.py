"""Blur a rectangle of a plane from its own pixels alone, in place, by running sums: its time knows no sigma."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anonymize_kernels._jit import inner, kernel

LANES = 32  # samples blurred side by side: one vector's worth of int16, four of int64
BLUR_BITS = 6  # fraction bits between passes: 10-bit samples then fill 16 bits
RECIPROCAL_BITS = 32


class Lanes(NamedTuple):
    """Lines that are blurred side by side."""

    block: np.ndarray  # (max(W, H), LANES) int32
    passed: np.ndarray  # the same, after one pass
    running: np.ndarray  # (LANES,) int64: running sums of a pass


@kernel
def blur_area(plane, at, rect, sigma_px, lanes):
    """Three box passes along rows, then three along columns, of the area's own pixels, its edges repeated.

    Between and after them samples are rounded to whole values, in place.
    """
    rows, channels = rect[3] - rect[1], at.channels
    first, last = rect[0] * channels, rect[2] * channels
    radius_x = box_radius(sigma_px / (1 << at.shift_x))
    radius_y = box_radius(sigma_px / (1 << at.shift_y))
    for c in range(channels):
        for y in range(rect[1], rect[1] + rows, LANES):
            stop = min(y + LANES, rect[3])
            _blur_lanes(plane[y:stop, first + c : last : channels].T, radius_x, lanes)
    for s in range(first, last, LANES):
        stop = min(s + LANES, last)
        _blur_lanes(plane[rect[1] : rect[3], s:stop], radius_y, lanes)


@kernel
def box_radius(sigma_px):
    """Radius of the box whose threefold use has a variance r * (r + 1) of at least `sigma_px` squared, px²."""
    radius = int(max(sigma_px - 1.0, 0.0))
    while radius * (radius + 1) < sigma_px * sigma_px:
        radius += 1
    return radius


@inner
def _blur_lanes(samples, radius, lanes):
    """Blur `samples` (length, up to LANES) along axis 0, in place."""
    length, width = samples.shape
    block, passed = lanes.block, lanes.passed
    for p in range(length):
        for k in range(width):
            block[p, k] = np.int32(samples[p, k]) << BLUR_BITS
    for _ in range(3):
        _pass_box(block, passed, lanes.running, length, radius)
        block, passed = passed, block
    for p in range(length):
        for k in range(width):
            samples[p, k] = (block[p, k] + (1 << (BLUR_BITS - 1))) >> BLUR_BITS


@inner
def _pass_box(block, passed, running, length, radius):
    """Mean over 2 * radius + 1 rows by running sums; the first and last row are repeated outside."""
    size = 2 * radius + 1
    reciprocal = ((np.int64(1) << RECIPROCAL_BITS) + size // 2) // size
    half = np.int64(1) << (RECIPROCAL_BITS - 1)
    last = length - 1
    for k in range(LANES):
        running[k] = np.int64(block[0, k]) * (radius + 1)
    for p in range(1, radius + 1):
        for k in range(LANES):
            running[k] += np.int64(block[min(p, last), k])
    for p in range(length):
        entering, leaving = min(p + radius + 1, last), max(p - radius, 0)
        for k in range(LANES):
            passed[p, k] = (running[k] * reciprocal + half) >> RECIPROCAL_BITS
            running[k] += np.int64(block[entering, k]) - np.int64(block[leaving, k])
