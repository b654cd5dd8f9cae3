"""The three frame types and the pixel formats: the promise is in the types.

`CapturedFrame` is raw and is never stored. `AnonymizedFrame` is hidden; only the pipeline makes one.
`ReleasedFrame` is what the gate let go; only the gate makes one, and writers take nothing else.
None of them can be pickled, and none shows a pixel in its `repr`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from anonymize.errors import FrameError, FrameExpiredError

Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Planes = tuple[Plane, ...]
MAX_SIDE_PX: Final = 16_384  # limit of libjpeg-turbo's and of most hardware encoders' line length, rounded


class PixelFormat(enum.StrEnum):
    """How the planes of a frame hold its pixels (FFmpeg's names)."""

    BGR24 = "bgr24"
    RGB24 = "rgb24"
    GRAY8 = "gray8"
    NV12 = "nv12"
    YUV420P = "yuv420p"
    YUV422P = "yuv422p"
    YUV444P = "yuv444p"
    YUV420P10LE = "yuv420p10le"


class ColorRange(enum.StrEnum):
    """Whether luma runs from 16 to 235 (`limited`) or from 0 to 255 (`full`); ignored for RGB."""

    LIMITED = "limited"
    FULL = "full"


class ColorMatrix(enum.StrEnum):
    """The YUV matrix (ITU-R BT.601, BT.709, BT.2020 non-constant luminance); ignored for RGB."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"


@dataclass(frozen=True, slots=True)
class FormatLayout:
    """Shape of a pixel format: chroma shifts, channels of each plane, bits of a sample."""

    chroma_shift_x: int
    chroma_shift_y: int
    channels: tuple[int, ...]
    bits: int

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Sample type of every plane."""
        return np.uint8 if self.bits == 8 else np.uint16

    def plane_shape(self, index: int, width: int, height: int) -> tuple[int, ...]:
        """Shape of plane `index` of a `width` x `height` px picture; chroma is rounded up."""
        if index == 0:
            rows, columns = height, width
        else:
            rows = -(-height >> self.chroma_shift_y)
            columns = -(-width >> self.chroma_shift_x)
        channels = self.channels[index]
        return (rows, columns) if channels == 1 else (rows, columns, channels)

    def shapes(self, width: int, height: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of all planes of a `width` x `height` px picture."""
        return tuple(self.plane_shape(i, width, height) for i in range(len(self.channels)))

    def allocate(self, width: int, height: int) -> Planes:
        """Planes of new memory for a `width` x `height` px picture; what they hold is undefined."""
        shapes = self.shapes(width, height)
        if self.bits == 8:
            return tuple(np.empty(shape, np.uint8) for shape in shapes)
        return tuple(np.empty(shape, np.uint16) for shape in shapes)


LAYOUTS: Final[dict[PixelFormat, FormatLayout]] = {
    PixelFormat.BGR24: FormatLayout(0, 0, (3,), 8),
    PixelFormat.RGB24: FormatLayout(0, 0, (3,), 8),
    PixelFormat.GRAY8: FormatLayout(0, 0, (1,), 8),
    PixelFormat.NV12: FormatLayout(1, 1, (1, 2), 8),
    PixelFormat.YUV420P: FormatLayout(1, 1, (1, 1, 1), 8),
    PixelFormat.YUV422P: FormatLayout(1, 0, (1, 1, 1), 8),
    PixelFormat.YUV444P: FormatLayout(0, 0, (1, 1, 1), 8),
    PixelFormat.YUV420P10LE: FormatLayout(1, 1, (1, 1, 1), 10),
}


class Label(enum.StrEnum):
    """What a box holds; `area` is a static area of `--hide-always`."""

    FACE = "face"
    PLATE = "plate"
    AREA = "area"


class Origin(enum.StrEnum):
    """How a box came about."""

    DETECTED = "detected"
    HELD = "held"
    PREDICTED = "predicted"
    BACKFILLED = "backfilled"
    STATIC = "static"


class Reason(enum.StrEnum):
    """Why a frame was dropped or hidden as a whole. To the caller all drops of the gate are `withheld`."""

    WITHHELD = "withheld"
    BAD_FRAME = "bad_frame"
    INTERLACED = "interlaced"
    DETECTOR_BLIND = "detector_blind"
    DETECTOR_ERROR = "detector_error"
    TOO_MANY = "too_many"
    LATE = "late"
    CHECK_FAILED = "check_failed"
    QUEUE_FULL = "queue_full"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Box:
    """One object: `xyxy` as detected and `hidden_xyxy` as hidden, px of the stored picture, max exclusive."""

    label: Label
    xyxy: tuple[float, float, float, float]
    confidence: float
    origin: Origin
    hidden_xyxy: tuple[int, int, int, int]
    track: int = -1


@dataclass(frozen=True, slots=True)
class Timings:
    """Duration of each stage of one frame, ms."""

    copy_ms: float = 0.0
    preprocess_ms: float = 0.0
    network_ms: float = 0.0
    decode_ms: float = 0.0
    track_ms: float = 0.0
    hide_ms: float = 0.0
    check_ms: float = 0.0
    total_ms: float = 0.0


class _Unpicklable:
    """No frame may be written to a pipe, a spill or a cache by `pickle`, nor copied by `copy`."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied")


def _describe(frame: CapturedFrame | AnonymizedFrame | ReleasedFrame) -> str:
    """A `repr` without one pixel in it."""
    name = type(frame).__name__
    return (
        f"<{name} {frame.width}x{frame.height} {frame.pixel_format} pts={frame.pts} camera={frame.camera!r}>"
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CapturedFrame(_Unpicklable):
    """A raw frame: numpy views on memory that the caller owns, wrapped without a copy.

    Parameters
    ----------
    planes : tuple of arrays
        BGR, RGB: one (H, W, 3) uint8; gray: one (H, W); NV12: (H, W) and (H/2, W/2, 2); planar YUV: three
        (rows, columns). uint16 for 10 bit. Lines may be padded (strides), samples of a line lie side by side.
        Odd sizes round chroma up.
    pixel_format : PixelFormat or str
    pts : int
        Presentation time in `time_base` units.
    time_base : Fraction
        Seconds per unit of `pts`, > 0.
    captured_at_s : float or None
        UTC time of exposure, s since 1970; None where unknown (with zones such a frame is dropped).
    camera : str
    rotation_deg : int
        Clockwise turn that makes the stored picture upright: 0, 90, 180 or 270.
    mirrored : bool
        The stored picture is mirrored left to right *before* that turn is applied.
    color_range, color_matrix
        How YUV samples are to be read.
    interlaced : bool
        Interlaced frames are dropped by the pipeline.

    Raises
    ------
    FrameError
        The planes do not fit the format, or a value is out of its range.
    """

    planes: Planes
    pixel_format: PixelFormat
    pts: int
    time_base: Fraction
    captured_at_s: float | None = None
    camera: str = "front"
    rotation_deg: int = 0
    mirrored: bool = False
    color_range: ColorRange = ColorRange.LIMITED
    color_matrix: ColorMatrix = ColorMatrix.BT709
    interlaced: bool = False

    def __post_init__(self) -> None:
        for name, kind in (
            ("pixel_format", PixelFormat),
            ("color_range", ColorRange),
            ("color_matrix", ColorMatrix),
        ):
            try:
                object.__setattr__(self, name, kind(getattr(self, name)))
            except ValueError:
                raise FrameError(
                    f"{name} is {getattr(self, name)!r}; wanted one of {', '.join(kind)}"
                ) from None
        object.__setattr__(self, "planes", tuple(self.planes))
        _check_planes(self.planes, self.pixel_format)
        if self.rotation_deg not in (0, 90, 180, 270):
            raise FrameError(f"rotation_deg is {self.rotation_deg!r}; wanted 0, 90, 180 or 270")
        if not Fraction(self.time_base) > 0:
            raise FrameError(f"time_base is {self.time_base!r}; wanted more than 0 s per unit")
        if self.captured_at_s is not None and not math.isfinite(self.captured_at_s):
            raise FrameError(f"captured_at_s is {self.captured_at_s!r}; wanted finite seconds or None")

    __repr__ = _describe

    @property
    def width(self) -> int:
        """Columns of the stored picture, px."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of the stored picture, px."""
        return int(self.planes[0].shape[0])

    @property
    def layout(self) -> FormatLayout:
        """Shape of the pixel format."""
        return LAYOUTS[self.pixel_format]


def _check_planes(planes: Planes, pixel_format: PixelFormat) -> None:
    layout = LAYOUTS[pixel_format]
    if len(planes) != len(layout.channels):
        raise FrameError(f"{pixel_format} has {len(planes)} planes; wanted {len(layout.channels)}")
    for index, plane in enumerate(planes):
        if not isinstance(plane, np.ndarray) or plane.dtype != layout.dtype:
            came = getattr(plane, "dtype", type(plane).__name__)
            raise FrameError(f"plane {index} of {pixel_format} is {came}; wanted {np.dtype(layout.dtype)}")
        if plane.ndim < 2:
            raise FrameError(
                f"plane {index} of {pixel_format} has {plane.ndim} axes; wanted rows and columns"
            )
        if index == 0:
            height, width = int(plane.shape[0]), int(plane.shape[1])
            if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
                raise FrameError(f"picture of {width} x {height} px; wanted 1 to {MAX_SIDE_PX} px a side")
        wanted = layout.plane_shape(index, width, height)
        if plane.shape != wanted:
            raise FrameError(f"plane {index} of {pixel_format} has shape {plane.shape}; wanted {wanted}")
        inner = plane.strides[1:]
        samples = (plane.itemsize,) if plane.ndim == 2 else (plane.itemsize * plane.shape[2], plane.itemsize)
        if plane.shape[1] > 1 and inner != samples:
            raise FrameError(
                f"plane {index} of {pixel_format} has strides {plane.strides}; wanted lines without holes"
            )


class FrameMemory:
    """Whether the planes of a frame may still be looked at: revoked when their memory is used anew."""

    __slots__ = ("_valid",)

    def __init__(self) -> None:
        self._valid = True

    @property
    def valid(self) -> bool:
        """True until the engine or the camera takes the memory back."""
        return self._valid

    def revoke(self) -> None:
        """From now on, asking for the planes raises `FrameExpiredError`."""
        self._valid = False


_PIPELINE_SEAL: Final = object()
_GATE_SEAL: Final = object()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnonymizedFrame(_Unpicklable):
    """A hidden frame that the gate has not let go yet; only `anonymize.pipeline` makes one.

    Attributes
    ----------
    boxes : tuple of Box
        What was found, and the area that was hidden for it.
    hidden_whole : bool
        Every pixel was hidden, for the `reason` given.
    predicted_only : bool
        The network did not look at this frame: it was hidden by prediction alone, for the `reason` given.
    timings : Timings
    """

    _seal: object
    _planes: Planes
    _memory: FrameMemory
    pixel_format: PixelFormat
    pts: int
    time_base: Fraction
    captured_at_s: float | None
    camera: str
    rotation_deg: int
    mirrored: bool
    color_range: ColorRange
    color_matrix: ColorMatrix
    boxes: tuple[Box, ...] = ()
    hidden_whole: bool = False
    predicted_only: bool = False
    reason: Reason | None = None
    timings: Timings = field(default_factory=Timings)

    def __post_init__(self) -> None:
        if self._seal is not _PIPELINE_SEAL:
            raise TypeError("only the pipeline makes an AnonymizedFrame")

    __repr__ = _describe

    @property
    def planes(self) -> Planes:
        """The hidden planes, as they came (same format, shapes and strides).

        Raises
        ------
        FrameExpiredError
            `process` was called again: the memory holds another frame now. Use `copy` to keep one.
        """
        if not self._memory.valid:
            raise FrameExpiredError(
                "this frame's memory was taken back by the next process(); keep a copy() instead"
            )
        return self._planes

    @property
    def width(self) -> int:
        """Columns of the stored picture, px."""
        return int(self._planes[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of the stored picture, px."""
        return int(self._planes[0].shape[0])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReleasedFrame(_Unpicklable):
    """A hidden frame that may be stored: the only type that a writer takes; only the gate makes one."""

    _seal: object
    _hidden: AnonymizedFrame

    def __post_init__(self) -> None:
        if self._seal is not _GATE_SEAL or type(self._hidden) is not AnonymizedFrame:
            raise TypeError("only the gate makes a ReleasedFrame, from an AnonymizedFrame")

    __repr__ = _describe

    @property
    def planes(self) -> Planes:
        """The hidden planes; raises `FrameExpiredError` once `process` was called again."""
        return self._hidden.planes

    @property
    def pixel_format(self) -> PixelFormat:
        """How the planes hold the pixels."""
        return self._hidden.pixel_format

    @property
    def pts(self) -> int:
        """Presentation time in `time_base` units."""
        return self._hidden.pts

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `pts`."""
        return self._hidden.time_base

    @property
    def captured_at_s(self) -> float | None:
        """UTC time of exposure, s since 1970, or None."""
        return self._hidden.captured_at_s

    @property
    def camera(self) -> str:
        """Name of the camera."""
        return self._hidden.camera

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn that makes the stored picture upright."""
        return self._hidden.rotation_deg

    @property
    def mirrored(self) -> bool:
        """The stored picture is mirrored before that turn."""
        return self._hidden.mirrored

    @property
    def color_range(self) -> ColorRange:
        """Range of the YUV samples."""
        return self._hidden.color_range

    @property
    def color_matrix(self) -> ColorMatrix:
        """Matrix of the YUV samples."""
        return self._hidden.color_matrix

    @property
    def boxes(self) -> tuple[Box, ...]:
        """What was found and hidden."""
        return self._hidden.boxes

    @property
    def hidden_whole(self) -> bool:
        """Every pixel was hidden, for `reason`."""
        return self._hidden.hidden_whole

    @property
    def predicted_only(self) -> bool:
        """The network did not look at this frame (`late="predict"`)."""
        return self._hidden.predicted_only

    @property
    def reason(self) -> Reason | None:
        """Why the frame was hidden as a whole, or by prediction alone."""
        return self._hidden.reason

    @property
    def timings(self) -> Timings:
        """Duration of each stage, ms."""
        return self._hidden.timings

    @property
    def width(self) -> int:
        """Columns of the stored picture, px."""
        return self._hidden.width

    @property
    def height(self) -> int:
        """Rows of the stored picture, px."""
        return self._hidden.height

    def copy(self) -> ReleasedFrame:
        """The same frame in memory of its own, valid for as long as it is kept."""
        owned = tuple(plane.copy() for plane in self.planes)
        hidden = self._hidden
        kept = AnonymizedFrame(
            _PIPELINE_SEAL,
            owned,
            FrameMemory(),
            hidden.pixel_format,
            hidden.pts,
            hidden.time_base,
            hidden.captured_at_s,
            hidden.camera,
            hidden.rotation_deg,
            hidden.mirrored,
            hidden.color_range,
            hidden.color_matrix,
            hidden.boxes,
            hidden.hidden_whole,
            hidden.predicted_only,
            hidden.reason,
            hidden.timings,
        )
        return ReleasedFrame(_GATE_SEAL, kept)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that will not be stored: its reason and nothing of the picture."""

    reason: Reason
    camera: str = "front"


def _seal_anonymized(
    captured: CapturedFrame, planes: Planes, memory: FrameMemory, **found: Any
) -> AnonymizedFrame:
    """For `anonymize.pipeline` alone: declare `planes`, hidden just now, to be the picture of `captured`."""
    return AnonymizedFrame(
        _PIPELINE_SEAL,
        planes,
        memory,
        captured.pixel_format,
        captured.pts,
        captured.time_base,
        captured.captured_at_s,
        captured.camera,
        captured.rotation_deg,
        captured.mirrored,
        captured.color_range,
        captured.color_matrix,
        **found,
    )


def _seal_released(hidden: AnonymizedFrame) -> ReleasedFrame:
    """For the gate alone: let a hidden frame go."""
    return ReleasedFrame(_GATE_SEAL, hidden)
