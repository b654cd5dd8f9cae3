"""H.264 artefacts on frames in memory: encoded and decoded again, nothing is written. For measurements alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError
from anonymize.media.video_av import load_av

Rgb = npt.NDArray[np.uint8]


def through_h264(frames: Sequence[Rgb], *, crf: int, frames_per_s: int = 30) -> list[Rgb]:
    """The frames as they come out of x264 at this quality, in order and as many, the same at each run.

    Parameters
    ----------
    frames : sequence of (H, W, 3) uint8 RGB
        One size, even sides.
    crf : int
        0 to 51; car recorders look like 26 to 34.

    Raises
    ------
    MediaError
        PyAV or its x264 is missing, or the codec failed.
    """
    av = load_av()
    height, width = frames[0].shape[:2]
    try:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base = Fraction(1, frames_per_s)
        # as a recorder in a car; x264's look-ahead (mbtree) gave other bytes at each run, with one thread too
        encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"}
        decoder = av.CodecContext.create("h264", "r")
        encoder.thread_count = decoder.thread_count = 1
        packets: list[Any] = []
        for pts, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            picture.pts = pts
            packets += encoder.encode(picture)
        packets += encoder.encode(None)
        decoded = [picture for packet in [*packets, None] for picture in _decoded(decoder, packet)]
    except (av.error.FFmpegError, ValueError) as fault:
        raise MediaError(f"H.264 in memory: {type(fault).__name__}; wanted an x264 in PyAV") from fault
    if len(decoded) != len(frames):
        raise MediaError(f"H.264 in memory: {len(decoded)} frames came back of {len(frames)}")
    return [np.ascontiguousarray(picture.to_ndarray(format="rgb24")) for picture in decoded]


def _decoded(decoder: Any, packet: Any) -> Iterable[Any]:
    frames: Iterable[Any] = decoder.decode(packet)
    return frames
