"""Whether a video file is all there, asked before any work is done on it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_DURATION: Final = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)\0*")
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"


def check_complete(descriptor: int, container: InputContainer, stream: VideoStream) -> str:
    """What is missing at the end of the file, in words; empty where nothing is, or where the format cannot tell."""
    size = os.fstat(descriptor).st_size
    name = container.format.name
    if name.startswith("mov"):
        end = max((entry.pos + entry.size for entry in stream.index_entries[-64:]), default=0)
    elif name.startswith("matroska"):
        end = matroska_end(os.pread(descriptor, 4096, 0))
    elif name == "avi":
        end = avi_end(os.pread(descriptor, 12, 0))
    else:
        return ""
    return f"{size:,} bytes came, {end:,} are promised" if end > size else ""


def check_end(container: InputContainer, stream: VideoStream, reached_s: float, longest_gap_s: float) -> str:
    """How much of the track's promised time did not come, in words; empty where all came or nothing is promised.

    Matroska and MPEG-TS have no index of all frames: after damage their readers search for the next sound byte and
    say nothing. A shortfall of half a second, or of two of the longest gaps between frames, is no rounding.
    """
    promised = _promised_end_s(container, stream)
    if promised is None or promised - reached_s <= max(0.5, 2 * longest_gap_s):
        return ""
    return f"frames came up to {reached_s:.3f} s, {promised:.3f} s are promised"


def _promised_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    if container.format.name.startswith("matroska"):
        found = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
        if found:
            return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
        alone = len(container.streams) == 1 and container.duration
        return container.duration / 1_000_000 if alone and container.duration else None
    if container.format.name == "mpegts" and stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return None


def matroska_end(head: bytes) -> int:
    """Where the segment ends according to its head (RFC 8794), bytes; 0 where it does not say."""
    if not head.startswith(_EBML):
        return 0
    length, width = _vint(head, 4)
    start = 4 + width + length
    if not width or head[start : start + 4] != _SEGMENT:
        return 0
    length, width = _vint(head, start + 4)
    unknown = (1 << (7 * width)) - 1
    return 0 if not width or length == unknown else start + 4 + width + length


def _vint(head: bytes, at: int) -> tuple[int, int]:
    """An EBML variable-size integer and its width in bytes; width 0 where there is none."""
    if at >= len(head) or head[at] == 0:
        return 0, 0
    width = 9 - head[at].bit_length()
    if at + width > len(head):
        return 0, 0
    return int.from_bytes(head[at : at + width], "big") & ((1 << (7 * width)) - 1), width


def avi_end(head: bytes) -> int:
    """Where the first RIFF chunk of an AVI file ends, bytes; 0 where it does not say."""
    if head[:4] != b"RIFF" or head[8:12] != b"AVI ":
        return 0
    length = int.from_bytes(head[4:8], "little")
    return 0 if length in (0, 0xFFFFFFFF) else 8 + length
