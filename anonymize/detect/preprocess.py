"""One kernel pass from the planes of a frame to the network's input: resize, colour, normalisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anonymize.detect.color import rgb_from_yuv
from anonymize.detect.geometry import InputGeometry
from anonymize.detect.manifest import ModelEntry
from anonymize.frames import CapturedFrame, PixelFormat, Plane


class Preprocessor:
    """Fills the network's input from frames of one kind; scratch and tables are made once.

    Parameters
    ----------
    frame : CapturedFrame
        Of the kind; its pixels are not read.
    tensor : (1, 3, H, W) float32
        The network's input; its padding is filled here, once.
    """

    def __init__(
        self,
        frame: CapturedFrame,
        geometry: InputGeometry,
        entry: ModelEntry,
        tensor: npt.NDArray[np.float32],
    ) -> None:
        from anonymize_kernels import preprocess

        preprocess.compile_all(_family(frame.pixel_format) + ("10" if frame.layout.bits == 10 else ""))
        self._table = _conversion(frame, entry)
        self._sums = np.zeros(preprocess.sums_length(frame.width), np.int32)
        for channel in range(3):
            tensor[0, channel] = (entry.pad[channel] - entry.mean[channel]) / entry.std[channel]
        self._out = geometry.stored_view(tensor[0])
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


def _conversion(frame: CapturedFrame, entry: ModelEntry) -> npt.NDArray[np.float32]:
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
    if entry.channel_order == "bgr":
        matrix, offset = matrix[::-1], offset[::-1]
    table: npt.NDArray[np.float32] = preprocess.conversion_table(matrix, offset, entry.mean, entry.std)
    return table
