"""One kernel pass from the planes of a frame to the network's input: resize, colour, normalisation."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.detect.color import rgb_from_yuv
from anonymize.detect.geometry import InputGeometry
from anonymize.detect.manifest import ModelEntry
from anonymize.detect.session import InputTensor
from anonymize.frames import CapturedFrame, PixelFormat, Plane

Triple = tuple[float, float, float]
ROUNDED: Final[Triple] = (-0.5, -0.5, -0.5)  # a mean for bytes: what follows the point is cut off


class Preprocessor:
    """Fills the network's input from frames of one kind; scratch and tables are made once.

    Parameters
    ----------
    frame : CapturedFrame
        Of the kind; its pixels are not read.
    channels : (3, H, W) float32 or uint8, any strides
        The network's input; its padding is filled here, once. Bytes are the picture as it is, without normalisation.
    """

    def __init__(
        self,
        frame: CapturedFrame,
        geometry: InputGeometry,
        entry: ModelEntry,
        channels: InputTensor,
    ) -> None:
        from anonymize_kernels import preprocess

        family = _family(frame.pixel_format) + ("10" if frame.layout.bits == 10 else "")
        preprocess.compile_all(family, dtypes=(channels.dtype.name,))
        mean, std = (entry.mean, entry.std) if channels.dtype == np.float32 else (ROUNDED, (1.0, 1.0, 1.0))
        self._table = _conversion(frame, entry.channel_order, mean, std)
        self._sums = np.zeros(preprocess.sums_length(frame.width), np.int32)
        for channel in range(3):
            channels[channel] = (entry.pad[channel] - mean[channel]) / std[channel]
        self._out = geometry.stored_view(channels)
        self._lines = np.zeros((preprocess.LINES, self._out.shape[2]), np.float32)

    def fill(self, frame: CapturedFrame) -> None:
        """Write the picture's part of the input."""
        from anonymize_kernels import preprocess

        planes = [_as_lines(plane) for plane in frame.planes]
        rest = (self._out, self._table, self._sums, self._lines)
        family = _family(frame.pixel_format)
        if family == "planar":
            layout = frame.layout
            shape = (layout.chroma_shift_x, layout.chroma_shift_y, layout.bits)
            preprocess.planar_to_input(*planes, *shape, *rest)
        elif family == "nv12":
            preprocess.nv12_to_input(*planes, *rest)
        elif family == "gray":
            preprocess.gray_to_input(*planes, *rest)
        else:
            preprocess.packed_to_input(*planes, *rest)


def _family(pixel_format: PixelFormat) -> str:
    """The kernel that reads a format."""
    if pixel_format in (PixelFormat.RGB24, PixelFormat.BGR24):
        return "packed"
    if pixel_format is PixelFormat.GRAY8:
        return "gray"
    return "nv12" if pixel_format is PixelFormat.NV12 else "planar"


def _as_lines(plane: Plane) -> Plane:
    """(H, W) or (H, W, C) as (H, W * C): a view, for the samples of a line lie side by side."""
    return plane if plane.ndim == 2 else plane.reshape(plane.shape[0], -1)


def _conversion(
    frame: CapturedFrame, channel_order: str, mean: Triple, std: Triple
) -> npt.NDArray[np.float32]:
    """The kernel's table: from the frame's channels to the network's, (3, 6)."""
    from anonymize_kernels import preprocess

    offset = np.zeros(3)
    if frame.pixel_format is PixelFormat.GRAY8:
        matrix = np.array([[1.0, 0.0, 0.0]] * 3)
    elif frame.pixel_format is PixelFormat.RGB24:
        matrix = np.eye(3)
    elif frame.pixel_format is PixelFormat.BGR24:
        matrix = np.eye(3)[::-1]
    else:
        matrix, offset = rgb_from_yuv(frame.color_matrix, frame.color_range)
    if channel_order == "bgr":
        matrix, offset = matrix[::-1], offset[::-1]
    table: npt.NDArray[np.float32] = preprocess.conversion_table(matrix, offset, mean, std)
    return table
