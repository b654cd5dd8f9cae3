"""A video stream inside a log, one picture a message: decoded in order, and encoded anew from the hidden pictures.

Foxglove's rule (CompressedVideo): H.264 or HEVC in Annex B, no B pictures, parameter sets before each keyframe. So a
message gives one picture at once; one that does not, fails.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np

from anonymize.errors import MediaError
from anonymize.frames import CapturedFrame, ColorMatrix, ColorRange, PixelFormat, ReleasedFrame
from anonymize.media.output import require_released
from anonymize.media.packed_pixels import NANOSECOND
from anonymize.media.priority import usual_priority
from anonymize.media.video_av import load_av
from anonymize.media.video_encoders import ENCODERS
from anonymize.media.video_planes import planes_of, writable_planes

CODECS: Final = {"h264": "h264", "h265": "hevc", "hevc": "hevc"}
_FORMATS: Final = {"yuv420p": ColorRange.LIMITED, "yuvj420p": ColorRange.FULL}
_FIXED: Final = {
    "h264": {
        "tune": "zerolatency",
        "x264-params": "annexb=1:repeat-headers=1:bframes=0:keyint=infinite:scenecut=0",
    },
    "hevc": {
        "tune": "zerolatency",
        "x265-params": "log-level=error:annexb=1:repeat-headers=1:bframes=0:keyint=-1:scenecut=0:info=0",
    },
}
_CLOCK: Final = Fraction(1, 1000)  # the encoder's own; messages carry the times


class VideoDecoder:
    """Pictures of one channel in their order; holds the pictures that later ones refer to."""

    def __init__(self, form: str) -> None:
        if form not in CODECS:
            raise MediaError(f"a message has a video in {form!r}; wanted h264 or h265")
        self.codec = CODECS[form]
        self.is_keyframe = False
        av = load_av()
        self._decoder: Any = av.CodecContext.create(self.codec, "r")
        self._decoder.thread_count = 1
        self._decoder.flags |= av.codec.context.Flags.low_delay
        self._decoder.options = {"err_detect": "explode"}

    def decode(self, data: bytes, time_ns: int, camera: str) -> CapturedFrame:
        """The one picture in a message; its planes are the decoder's own and must not be written.

        Raises
        ------
        MediaError
            It holds none, several, a damaged one, or one of a format that is not 8-bit 4:2:0.
        """
        av = load_av()
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError as fault:
            raise MediaError(f"a message has a picture that cannot be decoded: {fault.strerror}") from None
        if len(frames) != 1 or frames[0].is_corrupt:
            raise MediaError(f"a message gives {len(frames)} whole pictures; wanted one, without B pictures")
        (frame,) = frames
        if frame.format.name not in _FORMATS or frame.interlaced_frame:
            kind = "interlaced" if frame.interlaced_frame else frame.format.name
            raise MediaError(f"a message has a video of {kind} pictures; wanted progressive 8-bit 4:2:0")
        self.is_keyframe = bool(frame.key_frame)
        full = frame.color_range == 2 or _FORMATS[frame.format.name] is ColorRange.FULL
        planes = planes_of(frame, PixelFormat.YUV420P)
        return CapturedFrame(
            planes, PixelFormat.YUV420P, pts=time_ns, time_base=NANOSECOND, camera=camera,
            color_range=ColorRange.FULL if full else ColorRange.LIMITED, color_matrix=ColorMatrix.BT709,
        )  # fmt: skip


class VideoEncoder:
    """Encodes the hidden pictures of one channel, one message each, and decodes them again to compare."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self._encoder: Any = None
        self._size = (0, 0)
        self._number = 0
        self._proof = VideoDecoder(codec)

    def encode(self, frame: ReleasedFrame, *, is_keyframe: bool) -> tuple[bytes, CapturedFrame]:
        """The coded picture, Annex B, and the same decoded again.

        Raises
        ------
        MediaError
            The encoder cannot take it, or gives it later.
        """
        require_released(frame)
        if self._encoder is None or self._size != (frame.width, frame.height):
            self._open(frame)
            is_keyframe = True
        av = load_av()
        picture: Any = av.VideoFrame(frame.width, frame.height, "yuv420p")
        for ours, hidden in zip(writable_planes(picture, PixelFormat.YUV420P), frame.planes, strict=True):
            np.copyto(ours, hidden)
        picture.pts, picture.time_base = self._number, _CLOCK
        picture.pict_type = 1 if is_keyframe else 0
        picture.color_range = self._encoder.color_range
        self._number += 1
        try:
            packets = self._encoder.encode(picture)
        except av.error.FFmpegError as fault:
            raise MediaError(f"a picture cannot be encoded as {self.codec}: {fault.strerror}") from None
        if len(packets) != 1:
            raise MediaError(f"the encoder gives {len(packets)} pictures for one; wanted one")
        data = bytes(packets[0])
        return data, self._proof.decode(data, frame.pts, frame.camera)

    def _open(self, frame: ReleasedFrame) -> None:
        av = load_av()
        kind = ENCODERS[self.codec]
        if frame.width % 2 or frame.height % 2:
            raise MediaError(
                f"{kind.name} takes no picture of {frame.width} x {frame.height} px; wanted even sizes"
            )
        encoder: Any = av.CodecContext.create(kind.name, "w")
        encoder.width, encoder.height = self._size = frame.width, frame.height
        encoder.pix_fmt = "yuv420p"
        encoder.time_base, encoder.framerate = _CLOCK, Fraction(30)
        encoder.color_range = 2 if frame.color_range is ColorRange.FULL else 1
        encoder.thread_count = 1
        encoder.max_b_frames = 0
        encoder.options = {
            **dict(kind.fixed), kind.quality_option: str(kind.quality), kind.preset_option: kind.preset,
            "forced-idr": "1", **_FIXED[self.codec],
        }  # fmt: skip
        with usual_priority():
            encoder.open()
        self._encoder, self._proof, self._number = encoder, VideoDecoder(self.codec), 0
