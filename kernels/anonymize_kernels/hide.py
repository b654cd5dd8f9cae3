"""Hide boxes in the planes of a frame: grow them, read the rings, then veil, solid, mosaic, blur, soft edge.

Order of work in a plane, and why nothing hidden gets out (SAFETY 4):

1. `grow` fixes the whole hidden union and all soft bands of the frame before the first pixel is written.
2. Every veil's colour is read, outside union and bands.
3. Where a weak style is used, work goes from the strongest to the weakest style: solid, veil, mosaic, then
   blur with falling sigma. Each reads the plane as the stronger ones left it, so a blur carries a
   neighbour's fill about and never what that fill hides. It reads its own rectangle and nothing else.
4. Mosaic, veil and solid are painted (again), the strongest last; then the soft bands are blended, which
   hold no pixel of the union.

Planes are 2-D with any line stride: (rows, columns * channels) samples that lie side by side in their line.
Rectangles are xyxy, max exclusive. Arrays are C-contiguous; B boxes a frame at most.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anonymize_kernels._jit import inner, kernel, side_by_side
from anonymize_kernels.areas import (
    BLUR,
    MOSAIC,
    VEIL,
    Areas,
    find_near,
    find_strip,
    free_run,
    grow_area,
    insert_by_strength,
    to_plane,
)
from anonymize_kernels.blur import Lanes, blur_area

CELLS = 4  # PRODUCT.md: at most 4 x 1 cells (ACCEPTANCE: of 4 x 2, 12 % of whole plates are read)
SAMPLES = 3  # samples of a pixel over all planes, at most
NO_TRACK = -1  # a track id that is remembered by nobody
UNKNOWN = -1  # a remembered value that has not been measured yet
VEIL_BITS = 8  # fraction bits of a remembered veil colour
VEIL_GAIN = 51  # of 256: a veil follows its ring with a time constant of 4.5 frames


class Colours(NamedTuple):
    """What to hide with; S = SAMPLES."""

    solid: np.ndarray  # (S,) int32: the constant colour
    fills: np.ndarray  # (B, S) int32: flat colour of each solid and veil
    cells: np.ndarray  # (B, CELLS, S) int32: colours of each mosaic
    noise: np.ndarray  # (B, CELLS, S) int32: to be added to cells that are computed in this frame
    sums: np.ndarray  # (S,) int64
    weights: np.ndarray  # (W * S,) int32: blend weight of each sample of a band's line


class Memory(NamedTuple):
    """Colours of T >= 2 B tracks, so a track that is here is never forgotten."""

    slots: np.ndarray  # (B,) int32: row of each box in the arrays below, UNKNOWN for none
    ids: np.ndarray  # (T,) int64, NO_TRACK where free
    ticks: np.ndarray  # (T,) int64, frame in which the row was last used
    veils: np.ndarray  # (T, S) int32, smoothed colour * 2 ** VEIL_BITS, or UNKNOWN
    cells: np.ndarray  # (T, CELLS, S) int32, held colours of a mosaic, or UNKNOWN


class Scratch(NamedTuple):
    """All arrays of one camera."""

    boxes: np.ndarray  # (B, 4) float64, px of the stored picture, as given
    class_ids: np.ndarray  # (B,) int32: row of `rules`
    track_ids: np.ndarray  # (B,) int64, NO_TRACK for none
    areas: Areas
    colours: Colours
    memory: Memory
    lanes: Lanes


@kernel
def grow(scratch, rules, picture, count, tick):
    """Fix hidden areas, bands, styles and order of `count` boxes; remember which tracks are here.

    `rules` (classes, 4) float64: style, growth, soft edge and sigma, the last two as a share of the box's
    shorter side. `tick` is the number of the frame. Returns how many boxes have a weak style, or -1 - i
    where box i is no box (NaN, infinite, turned inside out, of an unknown class).
    """
    areas = scratch.areas
    weak = 0
    for i in range(count):
        kind = scratch.class_ids[i]
        if (
            kind < 0
            or kind >= rules.shape[0]
            or not grow_area(scratch.boxes[i], rules[kind], picture, areas, i)
        ):
            return -1 - i
        if areas.styles[i] >= MOSAIC:
            weak += 1
    for i in range(count):
        insert_by_strength(areas, i)
        scratch.memory.slots[i] = _find_slot(scratch.memory, scratch.track_ids[i], tick)
    return weak


@inner
def _find_slot(memory, track, tick):
    """Row of a track in the memory; a new track takes the row that was not used for longest."""
    if track == NO_TRACK:
        return UNKNOWN
    ids, ticks = memory.ids, memory.ticks
    oldest = 0
    for t in range(ids.shape[0]):
        if ids[t] == track:
            ticks[t] = tick
            return t
        if ticks[t] < ticks[oldest]:
            oldest = t
    ids[oldest] = track
    ticks[oldest] = tick
    for c in range(SAMPLES):
        memory.veils[oldest, c] = UNKNOWN
        for k in range(CELLS):
            memory.cells[oldest, k, c] = UNKNOWN
    return oldest


@kernel
def hide_plane(plane, line, at, scratch, count):
    """Hide `count` boxes in a plane, all of them veil or solid, after `grow`.

    `line` (columns * channels,) of the plane's dtype is scratch.
    """
    to_plane(scratch.areas, at, count)
    _read_rings(plane, at, scratch, count)
    _paint(plane, line, at, scratch, count)


@kernel
def hide_plane_weakly(plane, line, at, scratch, count):
    """`hide_plane` for frames with a mosaic or a blur among the styles."""
    areas = scratch.areas
    to_plane(areas, at, count)
    _read_rings(plane, at, scratch, count)
    for k in range(count - 1, -1, -1):
        i = areas.order[k]
        if areas.styles[i] <= VEIL:
            _paint_one(plane, line, at, areas.local[i], _make_line(line, at, areas, scratch.colours, i))
    for k in range(count):
        i = areas.order[k]
        if areas.styles[i] == MOSAIC:
            _compute_cells(plane, at, scratch, i)
            _paint_one(plane, line, at, areas.local[i], _make_line(line, at, areas, scratch.colours, i))
        elif areas.styles[i] == BLUR:
            blur_area(plane, at, areas.local[i], areas.sigmas_px[i], scratch.lanes)
    _paint(plane, line, at, scratch, count)


@inner
def _read_rings(plane, at, scratch, count):
    """Give each veil the mean of the line of pixels around its band, outside all areas and bands.

    A ring with nothing left keeps the track's colour; without one it takes the solid colour.
    """
    areas, colours = scratch.areas, scratch.colours
    for i in range(count):
        if areas.styles[i] > VEIL:
            continue
        pixels = 0
        if areas.styles[i] == VEIL and areas.local[i, 0] < areas.local[i, 2]:
            pixels = _sum_ring(plane, at.channels, areas, colours.sums, (i, count))
        for c in range(at.channels):
            sample = at.first_sample + c
            colours.fills[i, sample] = colours.solid[sample]
            if areas.styles[i] == VEIL:
                colour = _follow(scratch.memory, scratch.memory.slots[i], sample, colours.sums[c], pixels)
                if colour >= 0:
                    colours.fills[i, sample] = (colour + (1 << (VEIL_BITS - 1))) >> VEIL_BITS


@inner
def _follow(memory, slot, sample, total, pixels):
    """Move a veil's colour towards the ring's mean, or take it at once where nothing is remembered."""
    colour = np.int64(UNKNOWN) if slot < 0 else np.int64(memory.veils[slot, sample])
    if pixels > 0:
        mean = ((total << VEIL_BITS) + pixels // 2) // pixels
        colour = mean if colour < 0 else colour + (((mean - colour) * VEIL_GAIN) >> 8)
    if slot >= 0:
        memory.veils[slot, sample] = colour
    return colour


@inner
def _sum_ring(plane, channels, areas, sums, which):
    """Sum the ring of box `which[0]` of `which[1]` into `sums`; returns the number of pixels."""
    i, count = which
    rows, columns = plane.shape[0], plane.shape[1] // channels
    rects = areas.local_banded
    x1, y1, x2, y2 = rects[i, 0], rects[i, 1], rects[i, 2], rects[i, 3]
    left, right = max(x1 - 1, 0), min(x2 + 1, columns)
    found = find_near(
        rects, areas.order[:count], areas.near, (left, max(y1 - 1, 0), right, min(y2 + 1, rows))
    )
    near = areas.near[:found]
    for c in range(SAMPLES):
        sums[c] = 0
    pixels = 0
    for y in (y1 - 1, np.int64(y2)):
        start = left
        while 0 <= y < rows and start < right:
            start, stop = free_run(rects, near, 0, y, (start, right))
            for c in range(channels):
                for s in range(start * channels + c, stop * channels + c, channels):
                    sums[c] += np.int64(plane[y, s])
            pixels += stop - start
            start = stop
    for x in (x1 - 1, np.int64(x2)):
        start = y1
        while 0 <= x < columns and start < y2:
            start, stop = free_run(rects, near, 1, x, (start, y2))
            for y in range(start, stop):
                for c in range(channels):
                    sums[c] += np.int64(plane[y, x * channels + c])
            pixels += stop - start
            start = stop
    return pixels


@inner
def _paint(plane, line, at, scratch, count):
    """Write mosaics, veils and solids, the strongest last, then blend the soft bands around them."""
    areas, colours = scratch.areas, scratch.colours
    for k in range(count - 1, -1, -1):
        i = areas.order[k]
        if areas.styles[i] <= MOSAIC:
            _paint_one(plane, line, at, areas.local[i], _make_line(line, at, areas, colours, i))
    for k in range(count):
        i = areas.order[k]
        if areas.bands_px[i] > 0:
            _blend_band(plane, line, at, scratch, (i, count))


@inner
def _make_line(line, at, areas, colours, i):
    """Make up one line of an area; returns its number of samples."""
    width = areas.local[i, 2] - areas.local[i, 0]
    if areas.styles[i] == MOSAIC:
        for cell in range(CELLS):
            span = (width * cell // CELLS, width * (cell + 1) // CELLS)
            _fill_line(line, span, at.channels, colours.cells[i, cell], at.first_sample)
    else:
        _fill_line(line, (0, width), at.channels, colours.fills[i], at.first_sample)
    return width * at.channels


@inner
def _fill_line(line, span, channels, colour, first_sample):
    for c in range(channels):
        for k in range(span[0] * channels + c, span[1] * channels + c, channels):
            line[k] = colour[first_sample + c]


@inner
def _paint_one(plane, line, at, rect, samples):
    """Copy the made-up line into every row of the area."""
    first = rect[0] * at.channels
    for y in range(rect[1], rect[3]):
        target = side_by_side(plane[y, first : first + samples])
        for k in range(samples):
            target[k] = line[k]


@inner
def _blend_band(plane, line, at, scratch, which):
    """Blend the fill of box `which[0]` outwards, over pixels that lie in no hidden area of all `which[1]`."""
    i, count = which
    areas, weights, band = scratch.areas, scratch.colours.weights, scratch.areas.bands_px[i]
    rect, own, channels = areas.local_banded[i], areas.local[i], at.channels
    found = find_near(areas.local, areas.order[:count], areas.near, (rect[0], rect[1], rect[2], rect[3]))
    near, offset = areas.near[:found], rect[0] * channels
    _fill_line(line, (0, rect[2] - rect[0]), channels, scratch.colours.fills[i], at.first_sample)
    for x in range(rect[0], rect[2]):
        outside = max(own[0] - x, x - own[2] + 1, 0) << at.shift_x
        for c in range(channels):
            weights[x * channels + c - offset] = _weight(outside, band)
    top = rect[1]
    while top < rect[3]:
        bottom = find_strip(areas.local, near, top, rect[3])
        start = rect[0]
        while start < rect[2]:
            start, stop = free_run(areas.local, near, 0, top, (start, rect[2]))
            span = (start * channels, stop * channels)
            if own[1] <= top and bottom <= own[3]:  # narrow and tall: 6 % of the whole frame's time saved
                _blend_columns(plane[top:bottom], line[: span[1] - offset], weights, span, offset)
            else:
                for y in range(top, bottom):
                    most = _weight(max(own[1] - y, y - own[3] + 1, 0) << at.shift_y, band)
                    target = side_by_side(plane[y, span[0] : span[1]])
                    _blend_row(target, line[span[0] - offset :], weights[span[0] - offset :], most)
            start = stop
        top = bottom


@inner
def _blend_row(target, line, weights, most):
    for k in range(target.shape[0]):
        weight = min(weights[k], most)
        old = np.int32(target[k])
        target[k] = old + (((np.int32(line[k]) - old) * weight + 128) >> 8)


@inner
def _blend_columns(rows, line, weights, span, offset):
    for s in range(span[0], span[1]):
        weight, fill = weights[s - offset], np.int32(line[s - offset])
        for y in range(rows.shape[0]):
            old = np.int32(rows[y, s])
            rows[y, s] = old + (((fill - old) * weight + 128) >> 8)


@inner
def _weight(outside_px, band_px):
    """Share of the fill, of 256, at a distance from the hidden area: falls linearly, 256 inside."""
    if outside_px == 0:
        return np.int32(256)
    return np.int32((256 * (band_px + 1 - outside_px)) // (band_px + 1))


@inner
def _compute_cells(plane, at, scratch, i):
    """Colour each cell by its mean and the noise; a remembered track keeps the cells of its first frame."""
    rect, channels, slot = scratch.areas.local[i], at.channels, scratch.memory.slots[i]
    cells, held, noise = scratch.colours.cells[i], scratch.memory.cells, scratch.colours.noise[i]
    width, rows = rect[2] - rect[0], rect[3] - rect[1]
    if width <= 0:
        return  # outside the frame: nothing to remember
    for cell in range(CELLS):
        first = rect[0] + width * cell // CELLS
        last = max(rect[0] + width * (cell + 1) // CELLS, first + 1)
        for c in range(channels):
            sample = at.first_sample + c
            if slot >= 0 and held[slot, cell, sample] != UNKNOWN:
                cells[cell, sample] = held[slot, cell, sample]
                continue
            total = np.int64(rows * (last - first) // 2)
            for y in range(rect[1], rect[3]):
                for s in range(first * channels + c, last * channels + c, channels):
                    total += np.int64(plane[y, s])
            mean = total // (rows * (last - first))
            cells[cell, sample] = min(max(mean + noise[cell, sample], 0), at.peak)
            if slot >= 0:
                held[slot, cell, sample] = cells[cell, sample]


@kernel
def find_uncovered(boxes, grown, picture, count):
    """First of the boxes as given, in the frame, that does not lie inside its hidden area; -1 where all do."""
    for i in range(count):
        x1, x2 = max(boxes[i, 0], 0.0), min(boxes[i, 2], float(picture.width))
        y1, y2 = max(boxes[i, 1], 0.0), min(boxes[i, 3], float(picture.height))
        inside = grown[i, 0] <= x1 and grown[i, 1] <= y1 and x2 <= grown[i, 2] and y2 <= grown[i, 3]
        if not inside and not (x1 >= x2 or y1 >= y2):
            return i
    return -1


@kernel
def find_unfilled(plane, line, at, scratch, count):
    """First veil, solid or mosaic whose colours are not in the plane, stronger areas left out; -1: all are."""
    areas = scratch.areas
    to_plane(areas, at, count)
    for k in range(count):
        i = areas.order[k]
        if areas.styles[i] > MOSAIC:
            continue
        rect = areas.local[i]
        found = find_near(areas.local, areas.order[:k], areas.near, (rect[0], rect[1], rect[2], rect[3]))
        near = areas.near[:found]
        _make_line(line, at, areas, scratch.colours, i)
        wrong = 0
        top = rect[1]
        while top < rect[3]:
            bottom = find_strip(areas.local, near, top, rect[3])
            start = rect[0]
            while start < rect[2]:
                start, stop = free_run(areas.local, near, 0, top, (start, rect[2]))
                wanted = line[(start - rect[0]) * at.channels : (stop - rect[0]) * at.channels]
                for y in range(top, bottom):
                    wrong |= _differ(side_by_side(plane[y, start * at.channels : stop * at.channels]), wanted)
                start = stop
            top = bottom
        if wrong != 0:
            return i
    return -1


@inner
def _differ(found, wanted):
    """Bits in which two lines differ; without an early way out, so that it runs in vectors."""
    wrong = np.uint16(0)
    for k in range(found.shape[0]):
        wrong |= np.uint16(found[k] ^ wanted[k])
    return wrong
