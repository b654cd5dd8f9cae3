"""Small JPEGs of moments in written outputs, for a person to look at; made in memory, never from a source."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import MediaError
from anonymize.media.pictures import open_picture
from anonymize.media.video_av import foreign_errors, load_av, open_input
from anonymize.media.video_read import main_video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

LARGEST_PX: Final = 960
JPEG_QUALITY: Final = 80
CLOSE_S: Final = 0.0005  # two names of one time, by rounding


@dataclass(frozen=True, slots=True)
class Still:
    """A JPEG, and the size of the stored picture that it shows, px."""

    jpeg: bytes
    width: int
    height: int


def picture_still(path: Path) -> Still:
    """The picture, as stored.

    Raises
    ------
    MediaError
        It cannot be read.
    """
    from PIL import Image

    plane = open_picture(path).frame.planes[0]
    return _still(Image.fromarray(plane), plane.shape[1], plane.shape[0])


def video_still(path: Path, pts_s: float) -> Still:
    """The frame whose time this is, s of the file's own clock.

    Raises
    ------
    MediaError
        The file cannot be read, or has no such frame.
    """
    from PIL import Image

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with foreign_errors(path, "a still"), open_input(descriptor, path) as container:
            stream = main_video_stream(container, path)
            frame = _frame_at(container, stream, pts_s, seek=True)
            if frame is None:  # some containers have no index to go back by
                container.seek(0)
                frame = _frame_at(container, stream, pts_s, seek=False)
            if frame is None:
                raise MediaError(f"{path}: has no frame at {pts_s:.3f} s")
            pixels = frame.to_ndarray(format="rgb24")
            return _still(Image.fromarray(pixels), frame.width, frame.height)
    finally:
        os.close(descriptor)


def _frame_at(
    container: InputContainer, stream: VideoStream, pts_s: float, *, seek: bool
) -> VideoFrame | None:
    av = load_av()
    if seek and stream.time_base is not None:
        try:
            container.seek(int(pts_s / stream.time_base), stream=stream, backward=True)
        except av.error.FFmpegError:
            return None
    for frame in container.decode(stream):
        if frame.time is not None and frame.time >= pts_s - CLOSE_S:
            return frame if frame.time <= pts_s + CLOSE_S else None
    return None


def _still(image: Any, width: int, height: int) -> Still:
    image = image.convert("RGB")
    image.thumbnail((LARGEST_PX, LARGEST_PX))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return Still(stream.getvalue(), width, height)
