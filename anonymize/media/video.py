"""Video in and out; the parts are in the `video_*` modules beside this one."""

from __future__ import annotations

import os
from pathlib import Path

from anonymize.errors import UsageError
from anonymize.media.video_facts import VideoFacts
from anonymize.media.video_read import OnError, VideoReader
from anonymize.media.video_split import SplitWriter
from anonymize.media.video_write import VideoWriter

__all__ = ["SplitWriter", "VideoFacts", "VideoReader", "VideoWriter", "open_video"]


def open_video(
    path: str | os.PathLike[str], *, on_error: OnError = "fail", camera: str = "front", threads: int = 1
) -> VideoReader:
    """The frames and facts of a video file (MP4/MOV, Matroska/WebM, AVI, MPEG-TS); use it with `with`.

    Parameters
    ----------
    path : str or path
    on_error : {"fail", "skip-frame"}
        What a frame that cannot be decoded does: end the reading with an error, or be left out and counted.
    camera : str
        Name that the frames carry.
    threads : int
        Of the decoder, at least 1. More than one delays frames, which only a live reader minds.

    Returns
    -------
    VideoReader
        Iterate it once.

    Raises
    ------
    MediaError
        PyAV is not installed, or the file is no video, is cut off, or has no picture that can be decoded.
    """
    if threads < 1:
        raise UsageError(f"threads is {threads}; wanted at least 1")
    return VideoReader(Path(path), on_error=on_error, camera=camera, threads=threads)
