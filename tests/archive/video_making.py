"""Small clips of several groups, an eye for what was hidden in them, and what lies in a written file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from anonymize.archive.video_rewrite import RewriteFacts, rewrite_video
from anonymize.archive.work import ArchiveSettings
from anonymize.frames import (
    LAYOUTS,
    Box,
    CapturedFrame,
    Dropped,
    FrameMemory,
    Label,
    Origin,
    ReleasedFrame,
    _seal_anonymized,
    _seal_released,
)
from tests.media.video_samples import Clip, make_clip

GROUP = 8  # frames
AREA = (16, 40, 64, 88)  # hidden, px, max exclusive
FILL = 110
FAST = ArchiveSettings(preset="ultrafast")
H264 = {"preset": "ultrafast", "crf": "18", "g": str(GROUP), "bf": "0", "sc_threshold": "0"}
H264_B = {**H264, "preset": "fast", "bf": "2", "x264-params": f"keyint={GROUP}:min-keyint={GROUP}:open-gop=0"}
X265 = f"log-level=none:keyint={GROUP}:min-keyint={GROUP}:open-gop=0:scenecut=0:pools=1:frame-threads=1"
HEVC = {"preset": "ultrafast", "x265-params": f"{X265}:bframes=0"}
HEVC_B = {"preset": "ultrafast", "x265-params": f"{X265}:bframes=2"}
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", H264),
    "h264-b": ("libx264", H264_B),
    "hevc": ("libx265", HEVC),
    "hevc-b": ("libx265", HEVC_B),
}


def grouped_clip(path: Path, kind: str = "h264", groups: int = 4, **chosen: Any) -> Path:
    """A clip of closed groups of `GROUP` frames."""
    codec, options = CODECS[kind]
    chosen = {"codec": codec, "options": options, "times": range(groups * GROUP), **chosen}
    return make_clip(Clip(path, **chosen))


def paint(captured: CapturedFrame) -> None:
    """The fill in the area, in place."""
    layout = LAYOUTS[captured.pixel_format]
    x1, y1, x2, y2 = AREA
    for index, plane in enumerate(captured.planes):
        right, down = (layout.chroma_shift_x, layout.chroma_shift_y) if index else (0, 0)
        plane[y1 >> down : y2 >> down, x1 >> right : x2 >> right] = FILL << layout.bits - 8


def seal(captured: CapturedFrame, *boxes: tuple[int, int, int, int], **found: Any) -> ReleasedFrame:
    """The frame as hidden at these areas, whatever it holds."""
    hidden = tuple(Box(Label.FACE, tuple(map(float, box)), 0.9, Origin.DETECTED, box) for box in boxes)  # type: ignore[arg-type]
    return _seal_released(_seal_anonymized(captured, captured.planes, FrameMemory(), boxes=hidden, **found))


class Hider:
    """Hides `AREA` in the frames of these numbers, and remembers what it was asked."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = set(numbers)
        self.seen: list[int] = []

    def has_boxes(self, number: int) -> bool:
        """Whether anything is hidden in this frame."""
        return number in self.numbers

    def hide(self, captured: CapturedFrame, number: int) -> ReleasedFrame | Dropped:
        """The frame, hidden."""
        self.seen.append(number)
        if number not in self.numbers:
            return seal(captured)
        paint(captured)
        return seal(captured, AREA)


def rewritten(
    source: Path,
    target: Path,
    *numbers: int,
    settings: ArchiveSettings = FAST,
    hide: Callable[[CapturedFrame, int], ReleasedFrame | Dropped] | None = None,
    **chosen: Any,
) -> RewriteFacts:
    """Rewrite with boxes in these frames."""
    hider = Hider(*numbers)
    return rewrite_video(
        source,
        target,
        has_boxes=hider.has_boxes,
        hide=hide or hider.hide,
        settings=settings,
        progress=lambda _: None,
        check_stop=lambda: None,
        **chosen,
    )


def decoded(path: Path) -> list[tuple[Fraction, str]]:
    """Time and digest of every shown picture, by plain PyAV."""
    found = []
    with av.open(str(path)) as container:
        container.flags = container.flags & ~1  # AVFMT_FLAG_GENPTS
        for frame in container.decode(video=0):
            time = frame.pts if frame.pts is not None else frame.dts
            assert time is not None and frame.time_base is not None and not frame.is_corrupt
            found.append((time * frame.time_base, hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()))
    return sorted(found)


def area_of(path: Path, number: int) -> np.ndarray[Any, Any]:
    """Luma of `AREA` in the shown picture of this number, as 8 bit."""
    with av.open(str(path)) as container:
        frames = sorted(container.decode(video=0), key=lambda frame: frame.pts or 0)
        x1, y1, x2, y2 = AREA
        picture = frames[number]
        deep = picture.format.name.endswith("10le")
        return picture.to_ndarray()[y1:y2, x1:x2].astype(int) >> 2 * deep


def remade(source: Path, target: Path, change: Callable[[Any, int], bytes | None], **muxer: str) -> Path:
    """The video packets again, each with the bytes that `change(packet, number)` gives; None leaves one out."""
    with av.open(str(source)) as container, av.open(str(target), "w", container_options=muxer) as output:
        stream = container.streams.video[0]
        written = output.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            content = change(packet, number)
            if content is None:
                continue
            fresh: Any = av.Packet(content)
            fresh.pts, fresh.dts, fresh.time_base = packet.pts, packet.dts, packet.time_base
            fresh.duration, fresh.is_keyframe, fresh.stream = packet.duration, packet.is_keyframe, written
            output.mux(fresh)
    return target


def joined(target: Path, *sources: Path) -> Path:
    """The packets of several clips of one encoder, one behind the other."""
    with av.open(str(target), "w") as output:
        written: Any = None
        for source in sources:
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                written = written or output.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.size:
                        packet.stream = written
                        output.mux(packet)
    return target


def unit(content: bytes) -> bytes:
    """A NAL unit with its length before it, as MP4 has it."""
    return len(content).to_bytes(4, "big") + content
