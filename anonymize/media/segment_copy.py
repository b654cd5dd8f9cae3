"""Coded groups of a store joined to files that any player shows: copied, not coded again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, BinaryIO, Final

from anonymize.errors import MediaError
from anonymize.media.metadata import TURNS
from anonymize.media.video_av import load_av, refuse_other_files

_MOST_TIMESCALE: Final = 2**31 - 1
_ORIENTATION: Final = {turn: tag for tag, turn in TURNS.items()}


class JoinedFilm:
    """One MP4 of groups that came one after another from one camera; gaps between them stay gaps in time.

    Parameters
    ----------
    target : BinaryIO
        A file to write to, seekable.
    first : bytes
        The MP4 of the first group; it is not written yet.
    time_base : Fraction
        Of the frames' times.
    """

    def __init__(self, target: BinaryIO, first: bytes, time_base: Fraction) -> None:
        self._time_base = time_base
        self._start: int | None = None
        self._last_pts = 0
        options = {"write_tmcd": "0"}
        if time_base.numerator == 1 and time_base.denominator <= _MOST_TIMESCALE:
            options["video_track_timescale"] = str(time_base.denominator)
        self._output: Any = load_av().open(
            target, "w", format="mp4", container_options=options, io_open=refuse_other_files
        )
        with _opened(first) as group:
            stream = group.streams.video[0]
            self._stream = self._output.add_stream_from_template(stream)
            self._stream.time_base = time_base
            self._kind = _kind(stream)

    def takes(self, media: bytes, pts: Sequence[int], time_base: Fraction) -> bool:
        """Whether a group can follow: coded alike, and later."""
        if time_base != self._time_base or (self._start is not None and pts[0] <= self._last_pts):
            return False
        with _opened(media) as group:
            return _kind(group.streams.video[0]) == self._kind

    def add(self, media: bytes, pts: Sequence[int]) -> None:
        """Write a group whose frames have these times."""
        if self._start is None:
            self._start = pts[0]
        with _opened(media) as group:
            packets = [packet for packet in group.demux(group.streams.video[0]) if packet.size]
            if len(packets) != len(pts):
                raise MediaError(f"a group holds {len(packets)} frames; its header says {len(pts)}")
            for packet, time in zip(packets, pts, strict=True):
                packet.stream = self._stream
                packet.time_base = self._time_base
                packet.pts = packet.dts = time - self._start
                self._output.mux_one(packet)
        self._last_pts = pts[-1]

    def close(self) -> None:
        """Complete the file."""
        self._output.close()


def _opened(media: bytes) -> Any:
    return load_av().open(
        io.BytesIO(media), "r", container_options={"format_whitelist": "mov"}, io_open=refuse_other_files
    )


def _kind(stream: Any) -> tuple[Any, ...]:
    codec = stream.codec_context
    side = tuple(stream.side_data.items()) if hasattr(stream, "side_data") else ()
    return codec.name, codec.width, codec.height, bytes(codec.extradata or b""), str(side)


def oriented_jpeg(jpeg: bytes, rotation_deg: int, *, mirrored: bool) -> bytes:
    """The JPEG with an EXIF record of its orientation alone; itself where it stands upright."""
    tag = _ORIENTATION[mirrored, rotation_deg]
    if tag == 1:
        return jpeg
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = tag
    body = exif.tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]
