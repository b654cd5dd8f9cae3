"""What a video is, exactly: the facts that its frames carry and that the written file must carry again."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import MediaError
from anonymize.frames import ColorMatrix, ColorRange, PixelFormat
from anonymize.media.video_av import told_verbosely

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

DisplayMatrix = tuple[int, ...]

# FFmpeg's pixel format -> ours. The yuvj ones are the others with full range.
NATIVE: Final[dict[str, PixelFormat]] = {
    "yuv420p": PixelFormat.YUV420P,
    "yuvj420p": PixelFormat.YUV420P,
    "yuv422p": PixelFormat.YUV422P,
    "yuvj422p": PixelFormat.YUV422P,
    "yuv444p": PixelFormat.YUV444P,
    "yuvj444p": PixelFormat.YUV444P,
    "nv12": PixelFormat.NV12,
    "gray": PixelFormat.GRAY8,
    "yuv420p10le": PixelFormat.YUV420P10LE,
}
# FFmpeg's pixel format -> the nearest that we hold. Said in the summary, because something is lost or repacked.
CONVERTED: Final[dict[str, PixelFormat]] = {
    "nv21": PixelFormat.NV12,
    "p010le": PixelFormat.YUV420P10LE,
    "yuyv422": PixelFormat.YUV422P,
    "uyvy422": PixelFormat.YUV422P,
    "yvyu422": PixelFormat.YUV422P,
    "nv16": PixelFormat.YUV422P,
    "nv24": PixelFormat.YUV444P,
    "yuv410p": PixelFormat.YUV420P,
    "yuv411p": PixelFormat.YUV444P,
    "yuvj411p": PixelFormat.YUV444P,
    "yuv440p": PixelFormat.YUV444P,
    "yuvj440p": PixelFormat.YUV444P,
    "yuva420p": PixelFormat.YUV420P,
    "yuva422p": PixelFormat.YUV422P,
    "yuva444p": PixelFormat.YUV444P,
    "yuv422p10le": PixelFormat.YUV420P10LE,
    "yuv444p10le": PixelFormat.YUV420P10LE,
    "yuv420p12le": PixelFormat.YUV420P10LE,
    "yuv422p12le": PixelFormat.YUV420P10LE,
    "yuv444p12le": PixelFormat.YUV420P10LE,
    "gray10le": PixelFormat.GRAY8,
    "gray12le": PixelFormat.GRAY8,
    "ya8": PixelFormat.GRAY8,
}
_JPEG_RANGE: Final = 2  # AVCOL_RANGE_JPEG
_MATRICES: Final = {  # AVCOL_SPC_* -> ours
    1: ColorMatrix.BT709,
    4: ColorMatrix.BT601,  # FCC: 0.30, 0.59, 0.11
    5: ColorMatrix.BT601,
    6: ColorMatrix.BT601,
    7: ColorMatrix.BT709,  # SMPTE 240M: 0.212, 0.701, 0.087
    9: ColorMatrix.BT2020,
    10: ColorMatrix.BT2020,
}
_CLOCK_S: Final = Fraction(1, 500)
_UNSPECIFIED: Final = (2, 3)
_BRACKETS: Final = re.compile(r"\(([^()]*)\)")
_CHROMA_LOCATIONS: Final = frozenset({"left", "center", "topleft", "top", "bottomleft", "bottom"})
_CREATION_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour as FFmpeg's numbers (ITU-T H.273; the range 1 limited, 2 full), to be written as they came."""

    range: int
    matrix: int
    primaries: int
    transfer: int


@dataclass(frozen=True, slots=True)
class MasteringLight:
    """Mastering display (CIE 1931 x, y and cd/m2) and content light level (cd/m2) of an HDR video."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    max_luminance: Fraction
    min_luminance: Fraction
    max_content_light: int = 0
    max_average_light: int = 0


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the stream that is hidden is, as its container and its first frame say.

    Attributes
    ----------
    container : str
        FFmpeg's muxer for the same container: mp4, mov, matroska, webm, avi, mpegts.
    codec : str
        FFmpeg's name, such as h264, hevc, mjpeg.
    width, height : int
        Of the stored picture, px.
    pixel_format : PixelFormat
        Of the frames handed out; `source_format` is FFmpeg's name of the decoded ones.
    time_base : Fraction
        Seconds per unit of `pts`.
    first_pts : int
    average_rate : Fraction
        Frames per second.
    reorders : bool
        Pictures are coded in another order than that of their times (B pictures).
    frames_promised : int
        Frames that the index lists, 0 where the container has none.
    end_pts : int or None
        Where the last frame's time ends, as the container says; None where it does not.
    duration_s : float or None
    rotation_deg, mirrored
        Orientation as in `CapturedFrame`; `display_matrix` is what the file says.
    sample_aspect_ratio : Fraction
        Width of a pixel by its height; 0 where the file does not say.
    chroma_location : str
        FFmpeg's word for where 4:2:0 chroma is sited (left, center, topleft ...); empty where the file does not say.
    creation_time : str or None
        UTC, ISO 8601.
    """

    container: str
    codec: str
    width: int
    height: int
    pixel_format: PixelFormat
    source_format: str
    time_base: Fraction
    first_pts: int
    average_rate: Fraction
    reorders: bool
    frames_promised: int
    end_pts: int | None
    duration_s: float | None
    rotation_deg: int
    mirrored: bool
    display_matrix: DisplayMatrix | None
    colour: Colour
    color_range: ColorRange
    color_matrix: ColorMatrix
    sample_aspect_ratio: Fraction
    chroma_location: str
    interlaced: bool
    mastering: MasteringLight | None
    creation_time: str | None

    @property
    def converted(self) -> bool:
        """The frames handed out are not in the format in which they were decoded."""
        return self.source_format not in NATIVE


def facts_of(
    container: InputContainer, stream: VideoStream, frame: av.VideoFrame, first_pts: int, *, reorders: bool
) -> VideoFacts:
    """The facts of `stream`, whose first picture is `frame`.

    Raises
    ------
    MediaError
        The pixel format or the colour matrix is one that cannot be hidden on.
    """
    name = frame.format.name
    pixel_format = NATIVE.get(name) or CONVERTED.get(name)
    if pixel_format is None:
        raise MediaError(f"has pixel format {name}; wanted one of {', '.join(sorted(NATIVE | CONVERTED))}")
    color_range = ColorRange.FULL if frame.color_range == _JPEG_RANGE else ColorRange.LIMITED
    matrix = _display_matrix(frame)
    mirrored, rotation_deg = orientation(matrix) if matrix else (False, 0)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    time_base = stream.time_base
    if time_base is None or time_base <= 0:
        raise MediaError("has no time base; wanted frames with times")
    return VideoFacts(
        container=_muxer_of(container),
        codec=stream.codec_context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        pixel_format=pixel_format,
        source_format=name,
        time_base=time_base,
        first_pts=first_pts,
        average_rate=rate if rate > 0 else Fraction(25),
        reorders=reorders,
        frames_promised=promised_frames(container, stream),
        end_pts=track_end(container, stream),
        duration_s=container.duration / 1_000_000 if container.duration else None,
        rotation_deg=rotation_deg,
        mirrored=mirrored,
        display_matrix=matrix,
        colour=Colour(
            _JPEG_RANGE if color_range == ColorRange.FULL else int(frame.color_range),
            int(frame.colorspace),
            int(frame.color_primaries),
            int(frame.color_trc),
        ),
        color_range=color_range,
        color_matrix=_color_matrix(int(frame.colorspace), frame.height, pixel_format),
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(0),
        chroma_location=_chroma_location(told_verbosely(container, stream.index)),
        interlaced=frame.interlaced_frame,
        mastering=_mastering(frame),
        creation_time=_creation_time(container.metadata.get("creation_time")),
    )


def promised_frames(container: InputContainer, stream: VideoStream) -> int:
    """Packets that the file's index lists for the stream; 0 where the container has no index of all frames.

    The count in an AVI's header is no promise: it counts the places of dropped frames, too.
    """
    indexed = container.format.name.startswith("mov") or container.format.name == "avi"
    return len(stream.index_entries) if indexed else 0


def track_end(container: InputContainer, stream: Any) -> int | None:
    """Where the track ends, after the edit list, in units of its time base; only MP4 and MOV are exact in it."""
    if not container.format.name.startswith("mov") or not stream.duration:
        return None
    return int((stream.start_time or 0) + stream.duration)


def cut_duration(pts: int, duration: int, end: int | None, time_base: Fraction) -> int:
    """How long the last picture or sound lasts: shortened where the track's end cuts it.

    The end counts in the film's clock, often 1 ms or 1/600 s: a smaller difference than that is rounding.
    """
    if end is None or end <= pts or abs(pts + duration - end) * time_base <= _CLOCK_S:
        return duration
    return end - pts if duration == 0 else min(duration, end - pts)


def orientation(matrix: DisplayMatrix) -> tuple[bool, int]:
    """Whether the stored picture is mirrored, and the clockwise turn in degrees that then makes it upright.

    The display matrix (ISO/IEC 14496-12, 6.2.2) maps a stored point (x, y) to (a x + c y, b x + d y); a turn
    that is no multiple of 90 degrees goes to the nearest.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    mirrored = a * d - b * c < 0
    if mirrored:  # the matrix is that of the mirror (-x, y) followed by the turn: take the mirror away
        a, b = -a, -b
    turn_deg = math.degrees(math.atan2(b - c, a + d))
    return mirrored, round(turn_deg / 90) % 4 * 90


def _muxer_of(container: InputContainer) -> str:
    name = container.format.name
    if name.startswith("mov"):
        return "mov" if container.metadata.get("major_brand", "").strip() in ("qt", "") else "mp4"
    if name.startswith("matroska"):
        return "matroska"
    return name


def _beside(frame: av.VideoFrame, name: str, layout: str) -> tuple[int, ...] | None:
    """A record that came beside the picture, as integers."""
    side: Any = frame.side_data.get(name)
    return None if side is None else struct.unpack_from(layout, bytes(side))


def _display_matrix(frame: av.VideoFrame) -> DisplayMatrix | None:
    return _beside(frame, "DISPLAYMATRIX", "<9i")


def _color_matrix(number: int, height: int, pixel_format: PixelFormat) -> ColorMatrix:
    if number in _UNSPECIFIED:  # what players take: HD is BT.709
        return ColorMatrix.BT709 if height >= 720 else ColorMatrix.BT601
    if number not in _MATRICES and pixel_format != PixelFormat.GRAY8:
        raise MediaError(f"has colour matrix {number} of ITU-T H.273; wanted BT.601, BT.709 or BT.2020")
    return _MATRICES.get(number, ColorMatrix.BT709)


def _chroma_location(line: str) -> str:
    """The site named in the brackets behind the pixel format: `yuv420p(tv, bt709, progressive, topleft)`."""
    for brackets in _BRACKETS.findall(line):
        for word in brackets.split(", "):
            if word in _CHROMA_LOCATIONS:
                return str(word)
    return ""


def _creation_time(text: str | None) -> str | None:
    """The text if it is a time and nothing else: a free text must not travel in it."""
    return text if text and _CREATION_TIME.fullmatch(text) else None


def _mastering(frame: av.VideoFrame) -> MasteringLight | None:
    """AVMasteringDisplayMetadata: ten rationals of two ints, has_primaries, has_luminance."""
    side = _beside(frame, "MASTERING_DISPLAY_METADATA", "<22i")
    if side is None:
        return None
    *numbers, has_primaries, has_luminance = side
    if not (has_primaries and has_luminance) or 0 in numbers[1::2]:
        return None
    values = [Fraction(n, d) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
    most, average = _beside(frame, "CONTENT_LIGHT_LEVEL", "<2I") or (0, 0)
    return MasteringLight(
        (values[0], values[1]),
        (values[2], values[3]),
        (values[4], values[5]),
        (values[6], values[7]),
        values[9],
        values[8],
        most,
        average,
    )
