"""Where the planes of a picture lie in one piece of memory: strides and offsets, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize.errors import FrameError
from anonymize.frames import LAYOUTS, MAX_SIDE_PX, PixelFormat, Planes


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """How a picture lies in memory that somebody else laid out.

    Parameters
    ----------
    pixel_format : PixelFormat or str
    width, height : int
        px, 1 to 16,384.
    strides : tuple of int
        Bytes from line to line of each plane.
    offsets : tuple of int
        Bytes from the start of the memory to the first sample of each plane.

    Raises
    ------
    FrameError
        A stride is shorter than a line, samples of 16 bit are not aligned, or one plane lies inside another.
    """

    pixel_format: PixelFormat
    width: int
    height: int
    strides: tuple[int, ...]
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "pixel_format", PixelFormat(self.pixel_format))
        except ValueError:
            raise FrameError(
                f"pixel_format is {self.pixel_format!r}; wanted one of {', '.join(PixelFormat)}"
            ) from None
        if not (1 <= self.width <= MAX_SIDE_PX and 1 <= self.height <= MAX_SIDE_PX):
            raise FrameError(
                f"picture of {self.width} x {self.height} px; wanted 1 to {MAX_SIDE_PX} px a side"
            )
        count = len(LAYOUTS[self.pixel_format].channels)
        if len(self.strides) != count or len(self.offsets) != count:
            raise FrameError(
                f"{len(self.strides)} strides and {len(self.offsets)} offsets of {self.pixel_format}; "
                f"wanted {count} of each"
            )
        sample = np.dtype(LAYOUTS[self.pixel_format].dtype).itemsize
        for index, (stride, offset) in enumerate(zip(self.strides, self.offsets, strict=True)):
            line = self._line_bytes(index)
            if stride < line or offset < 0 or stride % sample or offset % sample:
                raise FrameError(
                    f"plane {index} has stride {stride} and offset {offset}; wanted at least {line} and 0, "
                    f"in steps of {sample} bytes"
                )
        spans = self._spans()
        for (_, end), (begin, _) in pairwise(spans):
            if begin < end:
                raise FrameError(
                    f"planes overlap: one ends at byte {end}, the next begins at {begin}; wanted them apart"
                )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each plane."""
        return LAYOUTS[self.pixel_format].shapes(self.width, self.height)

    @property
    def size_bytes(self) -> int:
        """From the start of the memory to the end of the last plane."""
        return self._spans()[-1][1]

    def planes(self, memory: Any) -> Planes:
        """Views of the planes in `memory` (anything with the buffer protocol), without a copy.

        Raises
        ------
        FrameError
            The memory is smaller than the layout says.
        """
        flat = np.frombuffer(memory, np.uint8)
        if flat.size < self.size_bytes:
            raise FrameError(
                f"memory of {flat.size} bytes for {self.width} x {self.height} px of {self.pixel_format}; "
                f"wanted {self.size_bytes}"
            )
        dtype = np.dtype(LAYOUTS[self.pixel_format].dtype)
        return tuple(
            np.ndarray(shape, dtype, flat, offset, (stride, *_sample_strides(shape, dtype.itemsize)))
            for shape, stride, offset in zip(self.shapes, self.strides, self.offsets, strict=True)
        )

    def blank_gaps(self, memory: Any) -> None:
        """Zero every byte of `memory` that is no sample of the picture.

        Line padding and what lies between and behind the planes may hold pixels of a larger or an earlier picture.
        """
        flat: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
        reached = 0
        for begin, end in self._spans():
            flat[reached:begin] = 0
            reached = end
        flat[reached:] = 0
        for index, (stride, offset) in enumerate(zip(self.strides, self.offsets, strict=True)):
            rows, line = self.shapes[index][0], self._line_bytes(index)
            if stride > line and rows > 1:
                np.ndarray((rows - 1, stride - line), np.uint8, flat, offset + line, (stride, 1)).fill(0)

    def _line_bytes(self, index: int) -> int:
        layout = LAYOUTS[self.pixel_format]
        shape = layout.plane_shape(index, self.width, self.height)
        return shape[1] * layout.channels[index] * np.dtype(layout.dtype).itemsize

    def _spans(self) -> list[tuple[int, int]]:
        """First byte and end of each plane, in the order in which they lie."""
        return sorted(
            (offset, offset + stride * (self.shapes[index][0] - 1) + self._line_bytes(index))
            for index, (stride, offset) in enumerate(zip(self.strides, self.offsets, strict=True))
        )


def _sample_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    return (itemsize,) if len(shape) == 2 else (itemsize * shape[2], itemsize)
