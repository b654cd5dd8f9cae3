"""GStreamer's words for what a picture is, and ours. No GStreamer is needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from anonymize.errors import InterlacedError, UsageError
from anonymize.frames import ColorMatrix, ColorRange, PixelFormat

FORMATS: Final = {
    "NV12": PixelFormat.NV12,
    "I420": PixelFormat.YUV420P,
    "BGR": PixelFormat.BGR24,
    "RGB": PixelFormat.RGB24,
    "GRAY8": PixelFormat.GRAY8,
    "Y42B": PixelFormat.YUV422P,
    "Y444": PixelFormat.YUV444P,
    "I420_10LE": PixelFormat.YUV420P10LE,
}
RGB_LIKE: Final = (PixelFormat.BGR24, PixelFormat.RGB24)
# nicks of GstVideoColorRange and GstVideoColorMatrix; GStreamer fills in a guess by size where caps say nothing
RANGES: Final = {
    "unknown": ColorRange.LIMITED,
    "0-255": ColorRange.FULL,
    "16-235": ColorRange.LIMITED,
}
MATRICES: Final = {"bt709": ColorMatrix.BT709, "bt601": ColorMatrix.BT601, "bt2020": ColorMatrix.BT2020}
# the values of GST_TAG_IMAGE_ORIENTATION: clockwise turn in degrees, mirrored left to right before it
ORIENTATIONS: Final = {
    f"{flip}rotate-{turn}": (turn, bool(flip)) for flip in ("", "flip-") for turn in (0, 90, 180, 270)
}
# what may pass downstream: nothing that holds a picture, a place, a name or free text
TAGS: Final = frozenset(
    {
        "image-orientation", "datetime", "video-codec", "container-format",
        "bitrate", "nominal-bitrate", "minimum-bitrate", "maximum-bitrate",
    }
)  # fmt: skip
METAS: Final = frozenset(
    {
        "GstVideoMetaAPI", "GstVideoCropMetaAPI", "GstVideoTimeCodeMetaAPI", "GstReferenceTimestampMetaAPI",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PictureKind:
    """What caps say about a picture, in our words."""

    pixel_format: PixelFormat
    width: int
    height: int
    color_range: ColorRange
    color_matrix: ColorMatrix


def picture_kind(
    pixel_format: str,
    width: int,
    height: int,
    *,
    color_range: str,
    color_matrix: str,
    interlace_mode: str,
    views: int,
    multiview_mode: str | None,
) -> PictureKind:
    """The kind of the pictures to come, from the nicks of `GstVideoInfo`.

    Raises
    ------
    UsageError
        A format, colour matrix or multiview mode that cannot be hidden.
    InterlacedError
        Anything but progressive pictures.
    """
    if pixel_format not in FORMATS:
        raise UsageError(f"caps have format {pixel_format}; wanted one of {', '.join(FORMATS)}")
    if interlace_mode != "progressive":
        raise InterlacedError(
            f"caps have interlace-mode {interlace_mode}; wanted progressive: put `deinterlace` before this element"
        )
    if views > 1 or multiview_mode not in (None, "mono"):
        raise UsageError(
            f"caps have {views} views, multiview-mode {multiview_mode}; wanted one picture a buffer"
        )
    ours = FORMATS[pixel_format]
    matrix = MATRICES.get(color_matrix)
    if ours in RGB_LIKE or ours is PixelFormat.GRAY8:
        matrix = ColorMatrix.BT709  # not looked at
    if matrix is None or color_range not in RANGES:
        raise UsageError(
            f"caps have colorimetry of matrix {color_matrix} and range {color_range}; "
            f"wanted a matrix of {', '.join(MATRICES)}: put `videoconvert` before this element"
        )
    return PictureKind(ours, width, height, RANGES[color_range], matrix)


def orientation(name: str) -> tuple[int, bool]:
    """Clockwise turn in degrees, and whether the picture is mirrored before it.

    Raises
    ------
    UsageError
        The name is none of GStreamer's eight.
    """
    if name not in ORIENTATIONS:
        raise UsageError(f"orientation is {name!r}; wanted auto or one of {', '.join(ORIENTATIONS)}")
    return ORIENTATIONS[name]
