"""Pixels as robots' messages pack them, as planes of a frame and back."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError
from anonymize.frames import CapturedFrame, ColorMatrix, ColorRange, PixelFormat, Plane
from anonymize.media.image_messages import RawImage

NANOSECOND: Final = Fraction(1, 1_000_000_000)
# sensor_msgs/image_encodings.hpp: bytes a pixel, and the frame's format. 8UC3 does not say its order: a network would
# be blind to faces in the wrong one. 16 bits and floats are depths, Bayer patterns no picture that the network knows.
_PLAIN: Final = {
    "rgb8": (3, PixelFormat.RGB24),
    "bgr8": (3, PixelFormat.BGR24),
    "rgba8": (4, PixelFormat.RGB24),
    "bgra8": (4, PixelFormat.BGR24),
    "mono8": (1, PixelFormat.GRAY8),
    "8UC1": (1, PixelFormat.GRAY8),
}
# places of Y, U and V in four bytes for two pixels
_PACKED: Final = {
    "yuv422": (1, 0, 2),
    "uyvy": (1, 0, 2),
    "yuv422_yuy2": (0, 1, 3),
    "yuyv": (0, 1, 3),
}
KNOWN: Final = frozenset({*_PLAIN, *_PACKED})
_OPAQUE: Final = 255


def unpack(image: RawImage, time_ns: int, camera: str) -> CapturedFrame:
    """The frame in a message: views on its bytes where they lie as planes do.

    Raises
    ------
    MediaError
        The encoding is not one of `KNOWN`, or the lines are too short for it.
    """
    lines = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    used = lines[:, : _bytes_used(image)]
    planes: tuple[Plane, ...]
    if image.encoding in _PLAIN:
        channels, pixel_format = _PLAIN[image.encoding]
        samples = used.reshape(image.height, image.width, channels) if channels > 1 else used
        planes = (samples[..., :3].copy() if channels == 4 else samples,)
    else:
        luma, u, v = _PACKED[image.encoding]
        pixel_format = PixelFormat.YUV422P
        planes = tuple(
            np.ascontiguousarray(used[:, place::step]) for place, step in ((luma, 2), (u, 4), (v, 4))
        )
    return CapturedFrame(
        planes, pixel_format, pts=time_ns, time_base=NANOSECOND, camera=camera,
        color_range=ColorRange.LIMITED, color_matrix=ColorMatrix.BT601,
    )  # fmt: skip


def pack(image: RawImage, planes: Sequence[Plane]) -> bytes:
    """The bytes of a message for these planes: what pads its lines is zero, what was transparent is opaque."""
    lines: npt.NDArray[np.uint8] = np.zeros((image.height, image.step), np.uint8)
    used = lines[:, : _bytes_used(image)]
    if image.encoding in _PLAIN:
        channels, _ = _PLAIN[image.encoding]
        if channels == 1:
            used[...] = planes[0]
        else:
            samples = used.reshape(image.height, image.width, channels)
            samples[..., :3] = planes[0]
            samples[..., 3:] = _OPAQUE
            used[...] = samples.reshape(image.height, -1)
    else:
        luma, u, v = _PACKED[image.encoding]
        for plane, (place, step) in zip(planes, ((luma, 2), (u, 4), (v, 4)), strict=True):
            used[:, place::step] = plane
    return lines.tobytes()


def _bytes_used(image: RawImage) -> int:
    """Bytes of a line that hold pixels."""
    if image.encoding not in KNOWN or image.big_endian:
        order = " in big-endian order" if image.big_endian else ""
        raise MediaError(f"a message has pixels of encoding {image.encoding!r}{order}, which is not known")
    if image.encoding in _PACKED and image.width % 2:
        raise MediaError(
            f"a message has {image.encoding} pixels, {image.width} px wide; wanted an even width"
        )
    used = 2 * image.width if image.encoding in _PACKED else _PLAIN[image.encoding][0] * image.width
    if used > image.step:
        raise MediaError(f"a message has lines of {image.step} bytes; wanted {used} for {image.width} px")
    return used
