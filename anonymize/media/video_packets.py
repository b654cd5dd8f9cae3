"""Packets of the main video stream: each one a promise of a picture, counted up to the end that the file promises."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anonymize.errors import MediaError
from anonymize.media.video_av import foreign_errors
from anonymize.media.video_container import check_end
from anonymize.media.video_facts import promised_frames
from anonymize.media.video_order import PresentationOrder, Promise

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

Lose = Callable[..., None]
# Codecs whose packets are one shown picture each. Others (VP8, MPEG-4 in AVI) have packets that show none.
_PACKET_IS_PICTURE: Final = frozenset({"h264", "hevc", "mjpeg", "av1", "vp9", "mpeg2video", "rawvideo"})
_END_OF_IMAGE: Final = b"\xff\xd9"


class VideoPackets:
    """The packets in file order, and what they say about the file.

    Attributes
    ----------
    count : int
        Packets read so far; a packet's number is that of its frame in the file, from 0.
    unshown : int
        Packets that the edit list cuts away.
    reorders : bool
        Pictures came in another order than that of their times.
    """

    def __init__(
        self,
        path: Path,
        container: InputContainer,
        stream: VideoStream,
        *,
        order: PresentationOrder,
        lose: Lose,
    ) -> None:
        self.count = 0
        self.unshown = 0
        self.reorders = False
        self._path = path
        self._container = container
        self._stream = stream
        self._codec = stream.codec_context.codec.canonical_name
        self._order = order
        self._lose = lose
        self._untimed: list[int] = []
        self._first_key_pts: int | None = None
        self._latest_pts: int | None = None
        self._longest_gap = 0
        self._ends_marked = False
        # AVI has decoding times alone; FFmpeg gives them out as pts for some pictures and not for others.
        self._decoding_times = container.format.name == "avi"

    def read(self) -> Iterator[tuple[Packet[VideoStream], int]]:
        """Packets that hold something, with their numbers; each has its promise entered in the order."""
        source = self._container.demux(self._stream)
        while (packet := self._next(source)) is not None:
            if packet.size == 0:
                continue
            self._note_time(packet)
            key, pts = self._first_key_pts, packet.pts
            promise = Promise(
                self.count, pts, packet.dts, leading=key is None or (pts is not None and pts < key)
            )
            self.count += 1
            # The decoder hands it on to the picture. One object a packet: PyAV finds them again by their id().
            packet.opaque = promise
            if packet.is_discard:  # cut away by the edit list: others need it decoded, it is never handed out
                self.unshown += 1
            elif self._codec in _PACKET_IS_PICTURE:
                self._order.promise(promise)
            yield packet, promise.number

    def _next(self, source: Iterator[Packet[VideoStream]]) -> Packet[VideoStream] | None:
        try:
            with foreign_errors(self._path, f"cannot be read after frame {self.count}"):
                return next(source, None)
        except MediaError as error:
            self._lose(str(error).removeprefix(f"{self._path}: "), frames=0)
            return None

    def _note_time(self, packet: Packet[VideoStream]) -> None:
        if self._decoding_times:
            packet.pts = None
        if packet.pts is None:
            if packet.dts is not None and not packet.is_discard:
                heapq.heappush(self._untimed, packet.dts)
            return
        if packet.is_keyframe and self._first_key_pts is None:
            self._first_key_pts = packet.pts
        if self._latest_pts is not None:
            self.reorders |= packet.pts < self._latest_pts
            self._longest_gap = max(self._longest_gap, packet.pts - self._latest_pts)
        self._latest_pts = max(packet.pts, self._latest_pts or packet.pts)

    def is_cut_off(self, packet: Packet[VideoStream]) -> bool:
        """The packet is not all there: its reader says so, or a JPEG lacks the end that others of the file have."""
        if packet.is_corrupt:
            return True
        if self._codec != "mjpeg":
            return False
        ended = bytes(packet).rstrip(b"\0").endswith(_END_OF_IMAGE)
        self._ends_marked |= ended
        return self._ends_marked and not ended

    def take_time(self) -> int | None:
        """The time of the next picture whose packet has none.

        Pictures come out in the order of their times, and take the decoding times in turn.
        """
        return heapq.heappop(self._untimed) if self._untimed else None

    def forget_time(self, promise: Promise | None) -> None:
        """A lost packet without a time: its turn must not go to the next picture."""
        if promise is not None and promise.pts is None and promise.dts in self._untimed:
            self._untimed.remove(promise.dts)
            heapq.heapify(self._untimed)

    def check_end(self) -> None:
        """After the last packet: whether the file held what it promises."""
        short = promised_frames(self._container, self._stream) - self.count
        if short > 0:
            self._lose(
                f"the file is cut off: its index lists {short} more frames than are there", frames=short
            )
        base = self._stream.time_base
        if self._latest_pts is None or base is None:
            return
        reached_s, gap_s = float(self._latest_pts * base), float(self._longest_gap * base)
        if shortfall := check_end(self._container, self._stream, reached_s, gap_s):
            self._lose(f"the file is cut off or damaged: {shortfall}", frames=0)
