"""Hides boxes in the planes of one camera, in place, without allocating once it is warm.

The order of work, and why nothing hidden gets out, stands at the head of `anonymize_kernels.hide`.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from anonymize_kernels import areas as geometry
from anonymize_kernels import hide as kernels
from anonymize_kernels._jit import compile_only
from anonymize_kernels.blur import LANES, Lanes

from anonymize.boxes import MAX_BOXES
from anonymize.errors import FrameError, HideError, TooManyError
from anonymize.frames import LAYOUTS, FormatLayout, PixelFormat, Plane, Planes
from anonymize.hide.styles import Style, Styles

MAX_TRACKS: Final = 512  # remembered colours: twice the boxes, so a track that is here is never forgotten
NOISE_SIGMA: Final = 10  # levels of 8 bit, added to the cells of a mosaic (ACCEPTANCE.md, 30 frames)
NOISE_BYTES: Final = 12  # uniform bytes summed for one normal value: sigma 256, mean 1530
BLACK_LUMA: Final = 16  # of 8 bit; black in limited range, nearly black in full range
_numba: Any = numba  # its own types are too few for mypy
CODES: Final = {
    Style.SOLID: geometry.SOLID,
    Style.VEIL: geometry.VEIL,
    Style.MOSAIC: geometry.MOSAIC,
    Style.BLUR: geometry.BLUR,
}


class Hider:
    """Hides boxes in frames of one camera; not to be shared between threads.

    Parameters
    ----------
    styles : Styles
    strict : bool
        Every area solid, no soft edges, whatever `styles` says.

    Attributes
    ----------
    grown : array
        (MAX_BOXES, 4) int32: the hidden areas of the last `hide`, px of the stored picture, max exclusive;
        all zero where a box lies outside the frame.
    """

    def __init__(self, styles: Styles, *, strict: bool = False) -> None:
        self.styles = styles.strict() if strict else styles
        self._rules = _make_rules(self.styles)
        weakly = (kernels.hide_plane_weakly,) if self.styles.weak else ()
        self._plane_kernels = (kernels.hide_plane, kernels.find_unfilled, *weakly)
        self._mosaics = Style.MOSAIC in (self.styles.face, self.styles.plate)
        self._scratch = _make_scratch(1, 1)
        self._line: npt.NDArray[Any] = np.zeros(0, np.uint8)
        self._shape: tuple[int, int, FormatLayout] | None = None
        self._plane_shapes: tuple[tuple[int, ...], ...] = ()
        self._picture = geometry.Picture(0, 0, 0, 0)
        self._places: tuple[geometry.PlaneAt, ...] = ()
        self._tick = 0
        self._count = 0

    @property
    def grown(self) -> npt.NDArray[np.int32]:
        """The hidden areas of the last `hide`, px of the stored picture."""
        return self._scratch.areas.grown

    def reserve(self, width: int, height: int, pixel_format: PixelFormat | str) -> None:
        """Allocate for pictures of this shape and compile what they need; nothing is compiled later for them.

        Forgets all tracks. `hide` does it by itself for a frame of a new shape.

        Parameters
        ----------
        width, height : int
            px of the stored picture.
        pixel_format : PixelFormat or str
        """
        self._reserve(width, height, LAYOUTS[PixelFormat(pixel_format)])

    def _reserve(self, width: int, height: int, layout: FormatLayout) -> None:
        self._scratch = _make_scratch(width, height)
        self._line = np.zeros(width * kernels.SAMPLES, layout.dtype)
        self._picture = geometry.Picture(width, height, layout.chroma_shift_x, layout.chroma_shift_y)
        self._places = _find_places(layout)
        self._scratch.colours.solid[:] = _black(layout)
        self._shape = (width, height, layout)
        self._plane_shapes = layout.shapes(width, height)
        self._count = 0
        for kernel, signature in self._find_signatures():
            compile_only(kernel, [signature])
        self._warm()

    def _find_signatures(self) -> list[tuple[Any, tuple[Any, ...]]]:
        """Every kernel that a frame calls, with the types that it is called with: planes of any line stride."""
        plane = _numba.types.Array(_numba.typeof(self._line).dtype, 2, "A")
        kinds = [
            _numba.typeof(value) for value in (self._scratch, self._rules, self._picture, self._scratch.boxes)
        ]
        scratch, rules, picture, boxes = kinds
        integer = _numba.int64
        at = _numba.typeof(self._places[0])
        per_plane = (plane, _numba.typeof(self._line), at, scratch, integer)
        grown = _numba.typeof(self._scratch.areas.grown)
        return [
            (kernels.grow, (scratch, rules, picture, integer, integer)),
            (kernels.find_uncovered, (boxes, grown, picture, integer)),
            *((kernel, per_plane) for kernel in self._plane_kernels),
        ]

    def _warm(self) -> None:
        """Hide nothing in a tight and in a padded plane: numba looks for the way from each to any-layout once."""
        tight = np.zeros((2, 2), self._line.dtype)
        padded = np.zeros((2, 4), self._line.dtype)[:, :2]
        kernels.grow(self._scratch, self._rules, self._picture, 0, 0)
        kernels.find_uncovered(self._scratch.boxes, self._scratch.areas.grown, self._picture, 0)
        for plane in (tight, padded):
            for kernel in self._plane_kernels:
                kernel(plane, self._line, self._places[0], self._scratch, 0)

    def reset(self) -> None:
        """Forget the colours of all tracks (between unrelated pictures, or when ids start anew)."""
        self._scratch.memory.ids[:] = kernels.NO_TRACK
        self._scratch.memory.ticks[:] = -1

    def hide(
        self,
        planes: Planes,
        layout: FormatLayout,
        boxes: npt.NDArray[Any],
        class_ids: npt.NDArray[Any],
        track_ids: npt.NDArray[Any],
        count: int,
    ) -> None:
        """Hide the first `count` boxes in the planes, in place.

        Parameters
        ----------
        planes : tuple of arrays
            Writable planes as in `CapturedFrame`, samples of a line side by side.
        layout : FormatLayout
        boxes : array
            (≥ count, 4) float, xyxy, px of the stored picture; may reach over its edges.
        class_ids : array
            (≥ count,) int: FACE, PLATE or AREA.
        track_ids : array
            (≥ count,) int: the track whose colours are remembered; -1: of none, nothing is remembered.
        count : int
            0 to MAX_BOXES.

        Raises
        ------
        TooManyError
            More than MAX_BOXES boxes; nothing was written.
        HideError
            A box is missing, not finite, turned inside out or of an unknown class; nothing was written.
        FrameError
            The planes do not fit the layout or cannot be written in place; nothing was written.
        """
        self._count = 0
        if not 0 <= count <= MAX_BOXES:
            raise TooManyError(f"{count} boxes in one frame; wanted 0 to {MAX_BOXES}")
        if not len(boxes) >= count <= len(class_ids) or len(track_ids) < count:
            raise HideError(
                f"{len(boxes)} boxes, {len(class_ids)} classes, {len(track_ids)} tracks; wanted {count}"
            )
        flat = self._fit(planes, layout)
        scratch = self._scratch
        scratch.boxes[:count] = boxes[:count]
        scratch.class_ids[:count] = class_ids[:count]
        scratch.track_ids[:count] = track_ids[:count]
        self._tick += 1
        weak = kernels.grow(scratch, self._rules, self._picture, count, self._tick)
        if weak < 0:
            raise HideError(
                f"box {-1 - weak} of {count} is {scratch.boxes[-1 - weak].tolist()}; wanted finite xyxy"
            )
        if weak > 0 and self._mosaics:
            _draw_noise(scratch.colours.noise[:count], layout.bits)
        for plane, at in zip(flat, self._places, strict=True):
            if weak > 0:
                kernels.hide_plane_weakly(plane, self._line, at, scratch, count)
            else:
                kernels.hide_plane(plane, self._line, at, scratch, count)
        self._count = count

    def check(self, planes: Planes) -> None:
        """Confirm, after `hide`, that every box lies in its hidden area and that the fills are in the planes.

        A blur has no fill that could be looked for: of it, only the area is checked.

        Raises
        ------
        HideError
            A box is not hidden.
        """
        scratch, count = self._scratch, self._count
        found = kernels.find_uncovered(scratch.boxes, scratch.areas.grown, self._picture, count)
        if found >= 0:
            raise HideError(
                f"box {found} is not inside its hidden area {scratch.areas.grown[found].tolist()}"
            )
        for index, (plane, at) in enumerate(zip(planes, self._places, strict=True)):
            found = kernels.find_unfilled(_flatten(plane), self._line, at, scratch, count)
            if found >= 0:
                raise HideError(f"the fill of box {found} is not in plane {index}")

    def _fit(self, planes: Planes, layout: FormatLayout) -> tuple[Plane, ...]:
        """The planes as rows of samples, of the shape that is reserved; kernels look at no bound."""
        if len(planes) != len(layout.channels):
            raise FrameError(f"{len(planes)} planes came; wanted {len(layout.channels)}")
        height, width = planes[0].shape[:2]
        if self._shape != (width, height, layout):
            self._reserve(width, height, layout)
        for index, (plane, shape) in enumerate(zip(planes, self._plane_shapes, strict=True)):
            if plane.shape != shape or plane.dtype != self._line.dtype:
                came = f"{plane.dtype} {plane.shape}"
                raise FrameError(f"plane {index} is {came}; wanted {self._line.dtype} {shape}")
        return tuple(_flatten(plane) for plane in planes)

    @staticmethod
    def fill_whole(planes: Planes, layout: FormatLayout) -> None:
        """Make every pixel black; reads nothing, needs no kernel and no memory.

        Parameters
        ----------
        planes : tuple of arrays
            Writable planes as in `CapturedFrame`.
        layout : FormatLayout
        """
        colours = _black(layout)
        for index, plane in enumerate(planes):
            plane[...] = colours[index] if len(layout.channels) > 1 else 0


def _black(layout: FormatLayout) -> tuple[int, int, int]:
    if len(layout.channels) == 1:
        return (0, 0, 0)
    neutral = 1 << (layout.bits - 1)
    return (BLACK_LUMA << (layout.bits - 8), neutral, neutral)


def _flatten(plane: Plane) -> Plane:
    """The plane as rows of samples: a view, however its lines are padded."""
    if not plane.flags.writeable:
        raise FrameError("a plane is read-only; wanted one that can be hidden in place")
    flat = plane if plane.ndim == 2 else plane.reshape(plane.shape[0], -1)
    copied = flat is not plane and flat.__array_interface__["data"] != plane.__array_interface__["data"]
    if copied or (flat.shape[1] > 1 and flat.strides[1] != flat.itemsize):
        raise FrameError(f"a plane has strides {plane.strides}; wanted the samples of a line side by side")
    return flat


def _find_places(layout: FormatLayout) -> tuple[geometry.PlaneAt, ...]:
    places = []
    for index, channels in enumerate(layout.channels):
        shift_x, shift_y = (layout.chroma_shift_x, layout.chroma_shift_y) if index > 0 else (0, 0)
        first = sum(layout.channels[:index])
        places.append(geometry.PlaneAt(shift_x, shift_y, channels, first, (1 << layout.bits) - 1))
    return tuple(places)


def _make_rules(styles: Styles) -> npt.NDArray[np.float64]:
    """One row a class (FACE, PLATE, AREA): style, growth, soft edge, sigma."""
    soft = styles.soft_edge_fraction
    rows = (
        (CODES[styles.face], styles.growth, soft, styles.face_sigma),
        (CODES[styles.plate], styles.growth, soft, styles.plate_sigma),
        (CODES[styles.area], 1.0, 0.0, 0.0),
    )
    return np.array(rows, np.float64)


def _make_scratch(width: int, height: int) -> kernels.Scratch:
    boxes, tracks, samples, cells = MAX_BOXES, MAX_TRACKS, kernels.SAMPLES, kernels.CELLS

    def make(dtype: type[Any], *shape: int) -> npt.NDArray[Any]:
        return np.zeros(shape, dtype)

    i32, i64, f64 = np.int32, np.int64, np.float64
    areas = geometry.Areas(
        grown=make(i32, boxes, 4),
        banded=make(i32, boxes, 4),
        bands_px=make(i32, boxes),
        styles=make(i32, boxes),
        sigmas_px=make(f64, boxes),
        order=make(i32, boxes),
        near=make(i32, boxes),
        local=make(i32, boxes, 4),
        local_banded=make(i32, boxes, 4),
    )
    colours = kernels.Colours(
        solid=make(i32, samples),
        fills=make(i32, boxes, samples),
        cells=make(i32, boxes, cells, samples),
        noise=make(i32, boxes, cells, samples),
        sums=make(i64, samples),
        weights=make(i32, width * samples),
    )
    memory = kernels.Memory(
        slots=make(i32, boxes),
        ids=make(i64, tracks),
        ticks=make(i64, tracks),
        veils=make(i32, tracks, samples),
        cells=make(i32, tracks, cells, samples),
    )
    longest = max(width, height)
    lanes = Lanes(
        block=make(i32, longest, LANES),
        passed=make(i32, longest, LANES),
        running=make(i64, LANES),
    )
    memory.ids[:] = kernels.NO_TRACK
    memory.ticks[:] = -1
    return kernels.Scratch(
        make(f64, boxes, 4), make(i32, boxes), make(i64, boxes), areas, colours, memory, lanes
    )


def _draw_noise(noise: npt.NDArray[np.int32], bits: int) -> None:
    """Normal noise from the system's generator, NOISE_SIGMA levels of 8 bit."""
    drawn = np.frombuffer(os.urandom(noise.size * NOISE_BYTES), np.uint8).reshape(*noise.shape, NOISE_BYTES)
    np.sum(drawn, axis=-1, dtype=np.int32, out=noise)
    noise -= 1530
    noise *= NOISE_SIGMA << (bits - 8)
    noise >>= 8
