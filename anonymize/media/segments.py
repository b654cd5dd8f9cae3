"""Closed groups of hidden frames, coded in RAM: a whole MP4 (H.264) or JPEGs one after another.

Each group has an encoder of its own, so nothing in it refers to a frame before it (SAFETY 3), and no byte of it is
on a disk before the store has encrypted it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, Protocol

import numpy as np

from anonymize.errors import MediaError, UsageError
from anonymize.frames import ColorMatrix, ColorRange, PixelFormat, Planes
from anonymize.media.priority import usual_priority
from anonymize.media.video_av import load_av, refuse_other_files
from anonymize.media.video_encoders import ENCODERS, ffmpeg_format
from anonymize.media.video_planes import writable_planes

Encoding = Literal["h264", "jpeg"]
LONGEST_GROUP_S: Final = 1.0  # SAFETY 3
_RANGE: Final = {ColorRange.LIMITED: 1, ColorRange.FULL: 2}  # ITU-T H.273, as FFmpeg counts
_MATRIX: Final = {ColorMatrix.BT601: 6, ColorMatrix.BT709: 1, ColorMatrix.BT2020: 9}
_SCALER: Final = {ColorMatrix.BT601: 5, ColorMatrix.BT709: 1, ColorMatrix.BT2020: 9}  # SWS_CS_*, libswscale
_BITEXACT: Final = 1 << 23  # AV_CODEC_FLAG_BITEXACT: no comment with FFmpeg's version in each picture
_LAMBDA: Final = 118  # FF_QP2LAMBDA, libavutil/avutil.h
_JPEG_QSCALE: Final = 4
_MOST_TIMESCALE: Final = 2**31 - 1
_NEVER: Final = "100000"  # frames from IDR to IDR: one a group, whatever its length


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How segments are coded.

    Parameters
    ----------
    encoding : {"h264", "jpeg"}
    group_s : float
        Longest group, s of the frames' own clock; at most 1. 0 makes each frame a segment.
    quality : int or None
        crf of x264 (default 23), qscale 2 to 31 of JPEG (default 4).
    preset : str
        Of x264.

    Raises
    ------
    UsageError
        A value out of its range.
    """

    encoding: Encoding = "h264"
    group_s: float = LONGEST_GROUP_S
    quality: int | None = None
    preset: str = "veryfast"

    def __post_init__(self) -> None:
        if self.encoding not in ("h264", "jpeg"):
            raise UsageError(f"encoding is {self.encoding!r}; wanted 'h264' or 'jpeg'")
        if not 0.0 <= self.group_s <= LONGEST_GROUP_S:
            raise UsageError(f"group_s is {self.group_s!r}; wanted 0 to {LONGEST_GROUP_S:g} s")


class HiddenPicture(Protocol):
    """What both an `AnonymizedFrame` (which the gate still holds) and a `ReleasedFrame` are."""

    @property
    def planes(self) -> Planes:
        """Hidden pixels."""

    @property
    def pixel_format(self) -> PixelFormat:
        """How the planes hold them."""

    @property
    def width(self) -> int:
        """Columns, px."""

    @property
    def height(self) -> int:
        """Rows, px."""

    @property
    def pts(self) -> int:
        """Presentation time in `time_base` units."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit."""

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn that makes the picture upright."""

    @property
    def mirrored(self) -> bool:
        """Mirrored before that turn."""

    @property
    def color_range(self) -> ColorRange:
        """Range of the samples."""

    @property
    def color_matrix(self) -> ColorMatrix:
        """Matrix of the samples."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What may not change within a group."""

    width: int
    height: int
    pixel_format: PixelFormat
    time_base: Fraction
    rotation_deg: int
    mirrored: bool
    color_range: ColorRange
    color_matrix: ColorMatrix

    @classmethod
    def of(cls, frame: HiddenPicture) -> _Kind:
        return cls(
            frame.width, frame.height, frame.pixel_format, frame.time_base,
            frame.rotation_deg, frame.mirrored, frame.color_range, frame.color_matrix,
        )  # fmt: skip


class GroupCoder:
    """Codes the frames of one camera into one closed group; `close` gives its bytes.

    Parameters
    ----------
    first : HiddenPicture
        The frame that the group begins with; it is not coded yet.
    coding : Coding

    Attributes
    ----------
    pts : list of int
        Of the frames coded so far.

    Raises
    ------
    MediaError
        PyAV or its encoder is missing, or takes no frame of this kind.
    """

    def __init__(self, first: HiddenPicture, coding: Coding) -> None:
        self.coding = coding
        self.kind = _Kind.of(first)
        self.pts: list[int] = []
        self.sizes: list[int] = []
        self._target = io.BytesIO()
        self._picture = load_av().VideoFrame(first.width, first.height, ffmpeg_format(first.pixel_format))
        self._picture.color_range = _RANGE[first.color_range]
        self._picture.colorspace = _MATRIX[first.color_matrix]
        self._container: Any = None
        with _ours("cannot be begun"):
            self._codec = self._open_jpeg() if coding.encoding == "jpeg" else self._open_h264()

    def follows(self, frame: HiddenPicture) -> bool:
        """Whether the frame is of the same kind and later."""
        return not self.pts or (_Kind.of(frame) == self.kind and frame.pts > self.pts[-1])

    def takes(self, frame: HiddenPicture) -> bool:
        """Whether the frame can follow in this group, which is not too long then."""
        if not self.pts:
            return True
        span_s = (frame.pts - self.pts[0]) * frame.time_base
        return self.follows(frame) and span_s < self.coding.group_s

    def add(self, frame: HiddenPicture) -> None:
        """Code one frame; its memory is the caller's again when this returns."""
        for ours, hidden in zip(
            writable_planes(self._picture, self.kind.pixel_format), frame.planes, strict=True
        ):
            np.copyto(ours, hidden)
        with _ours("a frame cannot be coded"):
            if self.coding.encoding == "jpeg":
                self._add_jpeg()
            else:
                self._add_h264(frame.pts - (self.pts[0] if self.pts else frame.pts))
        self.pts.append(frame.pts)

    def close(self) -> bytes:
        """The group; the coder is of no use after it."""
        if self._container is not None:
            with _ours("cannot be completed"):
                for packet in self._codec.encode(None):
                    self._mux(packet)
                self._container.close()
        return self._target.getvalue()

    def _open_h264(self) -> Any:
        encoder, kind = ENCODERS["h264"], self.kind
        base = kind.time_base
        options = {"write_tmcd": "0"}
        if base.numerator == 1 and base.denominator <= _MOST_TIMESCALE:
            options["video_track_timescale"] = str(base.denominator)
        self._container = load_av().open(
            self._target, "w", format="mp4", container_options=options, io_open=refuse_other_files
        )
        stream = self._stream = self._container.add_stream(encoder.name, rate=30)
        stream.time_base = base
        if kind.rotation_deg or kind.mirrored:
            stream.set_display_matrix(display_matrix(kind.rotation_deg, mirrored=kind.mirrored))
        codec = stream.codec_context
        codec.width, codec.height, codec.time_base = kind.width, kind.height, base
        codec.pix_fmt = self._h264_format()
        codec.color_range, codec.colorspace = _RANGE[kind.color_range], _MATRIX[kind.color_matrix]
        codec.thread_count, codec.max_b_frames = 1, 0
        quality = 23 if self.coding.quality is None else self.coding.quality
        codec.options = {
            **dict(encoder.fixed),
            "crf": str(quality),
            "preset": self.coding.preset,
            "tune": "zerolatency",
            "g": _NEVER,
        }
        with usual_priority():
            codec.open()
        return codec

    def _h264_format(self) -> str:
        if self.kind.pixel_format in (PixelFormat.BGR24, PixelFormat.RGB24):
            return "yuv420p"
        return ffmpeg_format(self.kind.pixel_format)

    def _open_jpeg(self) -> Any:
        codec: Any = load_av().CodecContext.create(ENCODERS["mjpeg"].name, "w")
        codec.width, codec.height, codec.time_base = self.kind.width, self.kind.height, Fraction(1, 30)
        codec.pix_fmt, codec.thread_count, codec.qscale = "yuvj420p", 1, True
        codec.flags |= _BITEXACT
        quality = _JPEG_QSCALE if self.coding.quality is None else self.coding.quality
        codec.options = {"global_quality": str(quality * _LAMBDA)}
        codec.open()
        return codec

    def _add_h264(self, since_first: int) -> None:
        picture = self._picture
        if picture.format.name != self._codec.pix_fmt:
            picture = picture.reformat(
                format=self._codec.pix_fmt,
                dst_color_range=_RANGE[self.kind.color_range],
                dst_colorspace=_SCALER[self.kind.color_matrix],
            )
        picture.pts, picture.time_base, picture.pict_type = since_first, self.kind.time_base, 0
        for packet in self._codec.encode(picture):
            self._mux(packet)

    def _mux(self, packet: Any) -> None:
        packet.stream = self._stream
        self._container.mux_one(packet)

    def _add_jpeg(self) -> None:
        # JFIF: full range, BT.601
        rgb = self.kind.pixel_format in (PixelFormat.BGR24, PixelFormat.RGB24)
        source = (
            {}
            if rgb
            else {
                "src_color_range": _RANGE[self.kind.color_range],
                "src_colorspace": _SCALER[self.kind.color_matrix],
            }
        )
        picture = self._picture.reformat(
            format="yuvj420p", dst_color_range=2, dst_colorspace=_SCALER[ColorMatrix.BT601], **source
        )
        picture.pts, picture.time_base, picture.pict_type = len(self.pts), Fraction(1, 30), 0
        coded = b"".join(bytes(packet) for packet in self._codec.encode(picture))
        self.sizes.append(len(coded))
        self._target.write(coded)


def display_matrix(rotation_deg: int, *, mirrored: bool) -> tuple[int, ...]:
    """The matrix of ISO/IEC 14496-12, 6.2.2, that `anonymize.media.video_facts.orientation` reads."""
    sine, cosine = round(math.sin(math.radians(rotation_deg))), round(math.cos(math.radians(rotation_deg)))
    sign = -1 if mirrored else 1
    one = 1 << 16
    return (sign * cosine * one, sign * sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)


class _ours:  # noqa: N801  # a context manager, read as a word
    """Turn what FFmpeg raises into a `MediaError`."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, fault: BaseException | None, trace: Any) -> None:
        if isinstance(fault, (load_av().error.FFmpegError, ValueError, EOFError)) and not isinstance(
            fault, MediaError
        ):
            words = getattr(fault, "strerror", None) or type(fault).__name__
            raise MediaError(
                f"segment: {self._doing}: {words}; wanted an encoder of PyAV that takes such frames (even sides)"
            ) from None
