"""Twin of `anonymize_kernels.hide`, from the definition: masks over whole planes, one box after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize_reference.blur import blur, box_radius

SOLID, VEIL, MOSAIC, BLUR = range(4)
CELLS = 4

Mask = npt.NDArray[np.bool_]
Rect = tuple[int, int, int, int]


@dataclass
class Area:
    """One box: its hidden area and band, px of the stored picture."""

    style: int
    sigma_px: float
    band_px: int
    grown: Rect
    banded: Rect
    track: int


@dataclass
class Memory:
    """What is remembered of each track: (track, sample) -> colour * 256, (track, cell, sample) -> colour."""

    veils: dict[tuple[int, int], int] = field(default_factory=dict)
    cells: dict[tuple[int, int, int], int] = field(default_factory=dict)


def grow(
    boxes: npt.NDArray[np.float64],
    class_ids: Sequence[int],
    track_ids: Sequence[int],
    rules: npt.NDArray[np.float64],
    picture: tuple[int, int, int, int],
) -> list[Area]:
    """Hidden areas and bands; `rules` has style, growth, soft edge and sigma of each class."""
    areas = []
    for box, kind, track in zip(boxes.tolist(), class_ids, track_ids, strict=True):
        style, growth, soft, sigma = rules[kind].tolist()
        shorter = min(box[2] - box[0], box[3] - box[1])
        step = 1 << max(picture[2:])
        band = 0 if style > VEIL else math.ceil(min(soft * shorter, picture[0] + picture[1]) / step) * step
        grown, banded = [0] * 4, [0] * 4
        for c in (0, 1):
            size, align = picture[c], 1 << picture[2 + c]
            more = (box[c + 2] - box[c]) * (growth - 1.0) / 2.0
            grown[c] = math.floor(max(0, min(size, math.floor(box[c] - more))) / align) * align
            last = max(0, min(size, math.ceil(box[c + 2] + more)))
            grown[c + 2] = min(size, math.ceil(last / align) * align)
            banded[c], banded[c + 2] = max(0, grown[c] - band), min(size, grown[c + 2] + band)
        if grown[0] >= grown[2] or grown[1] >= grown[3]:
            grown, banded = [0] * 4, [0] * 4
        areas.append(Area(int(style), sigma * shorter, band, _rect(grown), _rect(banded), track))
    return areas


def _rect(values: list[int]) -> Rect:
    return (values[0], values[1], values[2], values[3])


def strongest_first(areas: Sequence[Area]) -> list[int]:
    """Order of the boxes: by style, then by falling size (a blur's sigma, the others' hidden px), then as given."""

    def size(area: Area) -> float:
        x1, y1, x2, y2 = area.grown
        return area.sigma_px if area.style == BLUR else (x2 - x1) * (y2 - y1)

    return sorted(range(len(areas)), key=lambda i: (areas[i].style, -size(areas[i]), i))


def hide_plane(
    plane: npt.NDArray[Any], at: Any, areas: Sequence[Area], colours: Any, memory: Memory
) -> npt.NDArray[Any]:
    """The plane (rows, columns, channels) with all areas hidden, as a new array.

    `at` has shift_x, shift_y, channels, first_sample and peak; `colours` has solid (S,) and noise (B, 4, S).
    """
    result = plane.astype(np.int64)
    hidden = [_mask(plane, area.grown, at) for area in areas]
    banded = [_mask(plane, area.banded, at) for area in areas]
    taken = np.logical_or.reduce([np.zeros(plane.shape[:2], bool), *hidden, *banded])
    union = np.logical_or.reduce([np.zeros(plane.shape[:2], bool), *hidden])
    fills = [
        _find_fill(plane, at, i, areas[i], (banded[i], taken, colours, memory)) for i in range(len(areas))
    ]
    order = strongest_first(areas)
    painted: dict[int, npt.NDArray[np.int64]] = {}
    for i in reversed(order):
        if areas[i].style <= VEIL:
            result[hidden[i]] = fills[i]
    for i in order:
        if not hidden[i].any():
            continue
        if areas[i].style == MOSAIC:
            painted[i] = _make_mosaic(result, at, i, areas[i], (hidden[i], colours, memory))
            result[hidden[i]] = painted[i]
        if areas[i].style == BLUR:
            rows, columns = np.ix_(hidden[i].any(axis=1), hidden[i].any(axis=0))
            radii = [box_radius(areas[i].sigma_px / (1 << shift)) for shift in (at.shift_x, at.shift_y)]
            result[rows, columns] = blur(result[rows, columns], radii[0], radii[1])
    for i in reversed(order):
        if areas[i].style == MOSAIC and i in painted:
            result[hidden[i]] = painted[i]
        elif areas[i].style <= VEIL:
            result[hidden[i]] = fills[i]
    for i in order:
        if areas[i].band_px > 0:
            _blend(result, at, areas[i], fills[i], banded[i] & ~union)
    return result.astype(plane.dtype)


def _mask(plane: npt.NDArray[Any], rect: Rect, at: Any) -> Mask:
    """Samples of the plane of which any pixel of the picture lies in the rectangle."""
    rows, columns = np.indices(plane.shape[:2])
    left, top = columns << at.shift_x, rows << at.shift_y
    wide, high = 1 << at.shift_x, 1 << at.shift_y
    inside: Mask = (left < rect[2]) & (left + wide > rect[0]) & (top < rect[3]) & (top + high > rect[1])
    return inside if rect[0] < rect[2] else np.zeros_like(inside)


def _find_fill(
    plane: npt.NDArray[Any], at: Any, i: int, area: Area, where: tuple[Mask, Mask, Any, Memory]
) -> npt.NDArray[np.int64]:
    """Flat colour of a solid or veil: the mean of the ring around the band, followed along the track."""
    banded, taken, colours, memory = where
    fill = np.array([int(colours.solid[at.first_sample + c]) for c in range(at.channels)], np.int64)
    if area.style != VEIL:
        return fill
    padded = np.pad(banded, 1)
    wider = np.logical_or.reduce(
        [
            padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
    )
    ring = plane[wider & ~taken].astype(object)
    for c in range(at.channels):
        key = (area.track, at.first_sample + c)
        colour = memory.veils.get(key, -1) if area.track != -1 else -1
        if len(ring):
            mean = (sum(ring[:, c]) * 256 + len(ring) // 2) // len(ring)
            colour = mean if colour < 0 else colour + ((mean - colour) * 51 >> 8)
        if area.track != -1:
            memory.veils[key] = colour
        if colour >= 0:
            fill[c] = colour + 128 >> 8
    return fill


def _make_mosaic(
    result: npt.NDArray[np.int64], at: Any, i: int, area: Area, where: tuple[Mask, Any, Memory]
) -> npt.NDArray[np.int64]:
    """Colours of the masked pixels: the mean of each of four columns and noise, held along the track."""
    hidden, colours, memory = where
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    source = result[np.ix_(rows, columns)]
    pixels = source.copy()
    width = len(columns)
    for cell in range(CELLS):
        span = slice(width * cell // CELLS, width * (cell + 1) // CELLS)
        for c in range(at.channels):
            sample = at.first_sample + c
            inside = source[:, span.start : max(span.stop, span.start + 1), c]
            mean = (int(inside.sum()) + inside.size // 2) // inside.size
            value = min(max(mean + int(colours.noise[i, cell, sample]), 0), at.peak)
            if area.track != -1:
                value = memory.cells.setdefault((area.track, cell, sample), value)
            pixels[:, span, c] = value
    return pixels.reshape(-1, at.channels)


def _blend(
    result: npt.NDArray[np.int64], at: Any, area: Area, fill: npt.NDArray[np.int64], where: Mask
) -> None:
    """Blend the fill over `where`, with a weight that falls with the distance from the hidden area."""
    for y, x in np.argwhere(where).tolist():
        right, bottom = -(-area.grown[2] >> at.shift_x), -(-area.grown[3] >> at.shift_y)
        across = max((area.grown[0] >> at.shift_x) - x, x - right + 1, 0) << at.shift_x
        down = max((area.grown[1] >> at.shift_y) - y, y - bottom + 1, 0) << at.shift_y
        step = area.band_px + 1
        weight = min(256 * (step - across) // step, 256 * (step - down) // step)
        result[y, x] += ((fill - result[y, x]) * weight + 128) >> 8
