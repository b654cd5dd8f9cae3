"""Where to hide: boxes grown, rounded outwards, aligned to chroma, in order of strength; lines around them.

Boxes and rectangles are xyxy, max exclusive; `Areas` says whose px they are in. Arrays are C-contiguous.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anonymize_kernels._jit import inner

# From the strongest to the weakest: where areas overlap, the lower wins.
SOLID, VEIL, MOSAIC, BLUR = 0, 1, 2, 3


class Areas(NamedTuple):
    """Where to hide; B boxes a frame at most."""

    grown: np.ndarray  # (B, 4) int32, hidden areas, px of the stored picture
    banded: np.ndarray  # (B, 4) int32, hidden area and soft band, px of the stored picture
    bands_px: np.ndarray  # (B,) int32, width of the soft band, px of the stored picture
    styles: np.ndarray  # (B,) int32: SOLID, VEIL, MOSAIC, BLUR
    sigmas_px: np.ndarray  # (B,) float64, of a blur, px of the stored picture
    order: np.ndarray  # (B,) int32: boxes from the strongest to the weakest
    near: np.ndarray  # (B,) int32: boxes that touch the area at hand
    local: np.ndarray  # (B, 4) int32, hidden areas, px of the plane at hand
    local_banded: np.ndarray  # (B, 4) int32, hidden area and band, px of the plane at hand


class Picture(NamedTuple):
    """The stored picture: its size, px, and the chroma shifts of its format."""

    width: int
    height: int
    shift_x: int
    shift_y: int


class PlaneAt(NamedTuple):
    """Where a plane lies in its picture."""

    shift_x: int
    shift_y: int
    channels: int  # samples side by side in a pixel of this plane
    first_sample: int  # which sample of the picture's pixel the first of them is
    peak: int  # highest value of a sample


@inner
def grow_area(box, rule, picture, areas, i):
    width, height = box[2] - box[0], box[3] - box[1]
    if not (0.0 <= width < np.inf and 0.0 <= height < np.inf):
        return False  # also NaN: every comparison with it is false
    style = int(rule[0])
    shorter = min(width, height)
    areas.styles[i] = style
    areas.sigmas_px[i] = rule[3] * shorter
    band = 0
    if style <= VEIL:
        band = int(np.ceil(min(rule[2] * shorter, picture.width + picture.height)))
        step = 1 << max(picture.shift_x, picture.shift_y)
        band = (band + step - 1) // step * step
    areas.bands_px[i] = band
    for c in range(2):
        size, shift = (picture.width, picture.shift_x) if c == 0 else (picture.height, picture.shift_y)
        more = (box[c + 2] - box[c]) * (rule[1] - 1.0) / 2.0
        low, high = _round_outwards(box[c] - more, box[c + 2] + more, size, shift)
        areas.grown[i, c], areas.grown[i, c + 2] = low, high
        areas.banded[i, c], areas.banded[i, c + 2] = max(low - band, 0), min(high + band, size)
    if areas.grown[i, 0] >= areas.grown[i, 2] or areas.grown[i, 1] >= areas.grown[i, 3]:
        for c in range(4):  # outside the frame, or without an area
            areas.grown[i, c] = 0
            areas.banded[i, c] = 0
    return True


@inner
def _round_outwards(low, high, size, shift):
    """Whole px outwards, clipped to 0..size (first: no overflow), aligned outwards to whole chroma samples."""
    first = int(np.floor(min(max(low, 0.0), float(size))))
    last = int(np.ceil(min(max(high, 0.0), float(size))))
    first = (first >> shift) << shift
    last = min((last + (1 << shift) - 1) >> shift << shift, size)
    return first, last


@inner
def insert_by_strength(areas, i):
    """Put box i into `order`, which holds the boxes before it already; ties keep the order given.

    Within a style the larger comes first, so it is painted last: of nested boxes one colour is seen.
    """
    order, styles = areas.order, areas.styles
    at = i
    while at > 0:
        other = order[at - 1]
        larger = styles[other] == styles[i] and _size(areas, i) > _size(areas, other)
        if not (styles[other] > styles[i] or larger):
            break
        order[at] = other
        at -= 1
    order[at] = i


@inner
def _size(areas, i):
    """What ranks boxes of one style: the sigma of a blur, the hidden px of the others."""
    if areas.styles[i] == BLUR:
        return areas.sigmas_px[i]
    x1, y1, x2, y2 = areas.grown[i]
    return np.float64(np.int64(x2 - x1) * np.int64(y2 - y1))


@inner
def to_plane(areas, at, count):
    """Turn hidden areas and bands into px of a plane; exact, for they are aligned to it."""
    for i in range(count):
        for c in range(4):
            shift = at.shift_x if c % 2 == 0 else at.shift_y
            up = 0 if c < 2 else (1 << shift) - 1
            areas.local[i, c] = (areas.grown[i, c] + up) >> shift
            areas.local_banded[i, c] = (areas.banded[i, c] + up) >> shift


@inner
def find_near(rects, among, near, area):
    """List the boxes of `among` whose rectangle touches `area`; returns how many."""
    found = 0
    for j in among:
        if (
            rects[j, 0] < rects[j, 2]
            and rects[j, 0] < area[2]
            and rects[j, 2] > area[0]
            and rects[j, 1] < area[3]
            and rects[j, 3] > area[1]
        ):
            near[found] = j
            found += 1
    return found


@inner
def free_run(rects, near, axis, line, span):
    """First run of `span` on a line (axis 0: row, 1: column) that no rectangle covers; empty at its end."""
    start, end = span
    across = 1 - axis
    moved = True
    while moved:  # jump over whole rectangles instead of testing each pixel against each of them
        moved = False
        for j in near:
            if (
                rects[j, across] <= line < rects[j, across + 2]
                and rects[j, axis] <= start < rects[j, axis + 2]
            ):
                start = rects[j, axis + 2]
                moved = True
    if start >= end:
        return end, end
    for j in near:
        if rects[j, across] <= line < rects[j, across + 2] and start < rects[j, axis] < end:
            end = rects[j, axis]
    return start, end


@inner
def find_strip(rects, near, top, end):
    """Last row, exclusive, of the strip from `top` on in which the same rectangles lie in every row."""
    for j in near:
        for c in (1, 3):
            if top < rects[j, c] < end:
                end = rects[j, c]
    return end
