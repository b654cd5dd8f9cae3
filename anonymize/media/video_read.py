"""Video files read: every picture that players show, in the order of its time, as a `CapturedFrame`.

Nothing here writes on a plane or keeps one. What cannot be decoded is an error that names the frame; with
`on_error="skip-frame"` it is left out, counted and said.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from anonymize.errors import FrameError, MediaError, UsageError
from anonymize.frames import CapturedFrame, Planes
from anonymize.media.output import FileIdentity
from anonymize.media.video_av import foreign_errors, load_av, open_input
from anonymize.media.video_container import check_complete
from anonymize.media.video_facts import VideoFacts, facts_of
from anonymize.media.video_order import LOOK_AHEAD, PresentationOrder, Promise
from anonymize.media.video_packets import VideoPackets
from anonymize.media.video_planes import writable_planes

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

OnError = Literal["fail", "skip-frame"]
_MAX_NAMED: Final = 5


class VideoReader:
    """The main video stream of a file, as frames; made by `open_video`.

    Attributes
    ----------
    path : Path
    facts : VideoFacts
    identity : FileIdentity
        For the writer, which must not replace its source.
    frames_read : int
        Frames handed out so far.
    frames_skipped : int
        Frames left out because they could not be decoded.
    last_pts : int
        Time of the last frame handed out; less than any before the first.
    finished : bool
        All frames were handed out.
    """

    def __init__(self, path: Path, *, on_error: OnError, camera: str, threads: int) -> None:
        if on_error not in ("fail", "skip-frame"):
            raise UsageError(f"on_error is {on_error!r}; wanted 'fail' or 'skip-frame'")
        self.path = path
        self.frames_read = 0
        self.frames_skipped = 0
        self.finished = False
        self._on_error = on_error
        self._camera = camera
        self._skipped: list[str] = []
        self._leading = 0
        self._durations: dict[int, int] = {}
        self.last_pts = -(2**63)
        self._av = load_av()
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise MediaError(f"{path}: cannot be opened: {os.strerror(error.errno or 0)}") from error
        try:
            self._open(threads)
        except BaseException:
            self.close()
            raise

    def _open(self, threads: int) -> None:
        try:
            self.identity = FileIdentity.of(os.fstat(self._descriptor))
            self.container = open_input(self._descriptor, self.path)
        except OSError as error:
            raise error if isinstance(error, MediaError) else MediaError(f"{self.path}: {error}") from error
        self._begin(threads)
        self._pictures = self._in_order()
        first = next(self._pictures, None)
        if first is None:
            raise MediaError(f"{self.path}: holds no picture that can be decoded; wanted at least one")
        pts, number, frame = first
        try:
            self.facts: VideoFacts = facts_of(
                self.container, self.stream, frame, pts, reorders=self._packets.reorders
            )
        except MediaError as error:
            raise MediaError(f"{self.path}: {error}") from None
        self._first: tuple[int, int, av.VideoFrame] | None = (pts, number, frame)

    def _begin(self, threads: int) -> None:
        """Choose the stream of the open container, with nothing read of it yet."""
        self.stream = main_video_stream(self.container, self.path)
        for other in self.container.streams:
            if other.index != self.stream.index:
                other.discard = self._av.stream.Discard.all
        if shortfall := check_complete(self._descriptor, self.container, self.stream):
            self._lose(f"the file is cut off: {shortfall}", frames=0)
        codec = self.stream.codec_context
        codec.thread_count = threads
        codec.thread_type = "AUTO" if threads > 1 else "SLICE"
        codec.copy_opaque = True
        self._order = PresentationOrder(decoder_delay=threads)
        self._packets = VideoPackets(
            self.path, self.container, self.stream, order=self._order, lose=self._lose
        )

    # -- frames -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[CapturedFrame]:
        """Frames in the order of their times, each valid until the next one is asked for.

        Raises
        ------
        MediaError
            A frame cannot be decoded, is missing, comes twice or has another size; frames count from 0.
        """
        while (picture := self._next_picture()) is not None:
            captured = self._capture(*picture)
            if captured is not None:
                self.frames_read += 1
                yield captured
        self.finished = True

    def _next_picture(self) -> tuple[int, int, av.VideoFrame] | None:
        picture, self._first = self._first, None
        return picture or next(self._pictures, None)

    def _capture(self, pts: int, number: int, frame: av.VideoFrame) -> CapturedFrame | None:
        facts = self.facts
        if (frame.width, frame.height, frame.format.name) != (facts.width, facts.height, facts.source_format):
            raise MediaError(
                f"{self.path}: frame {number} is {frame.width} x {frame.height} px {frame.format.name}, those before "
                f"{facts.width} x {facts.height} px {facts.source_format}; wanted one size and format in a file"
            )
        if pts <= self.last_pts:
            self._lose(f"frame {number} has the time of the one before it ({self._at(pts)})")
            return None
        self.last_pts = pts
        self._durations[pts] = int(frame.duration or 0)
        with foreign_errors(self.path, f"frame {number} cannot be read"):
            planes = self._planes(frame)
        try:
            return CapturedFrame(
                planes,
                facts.pixel_format,
                pts,
                facts.time_base,
                camera=self._camera,
                rotation_deg=facts.rotation_deg,
                mirrored=facts.mirrored,
                color_range=facts.color_range,
                color_matrix=facts.color_matrix,
                interlaced=frame.interlaced_frame,
            )
        except FrameError as error:
            raise MediaError(f"{self.path}: frame {number}: {error}") from error

    def _planes(self, frame: av.VideoFrame) -> Planes:
        if not self.facts.converted:
            return writable_planes(frame, self.facts.pixel_format)
        # A new picture, which nobody else looks at; range and matrix stay as they are.
        return writable_planes(frame.reformat(format=str(self.facts.pixel_format)), self.facts.pixel_format)

    def take_duration(self, pts: int) -> int:
        """How long the frame at `pts` is shown, in units of the time base; 0 where unknown. Asked once a frame."""
        for old in [key for key in self._durations if key < pts]:
            del self._durations[old]
        return self._durations.pop(pts, 0)

    # -- packets ------------------------------------------------------------------------------------------

    def _in_order(self) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Decoded pictures by time; all that are lost on the way have been reported before."""
        yield from self._decode_all(self._packets.read())
        self._packets.check_end()

    def _decode_all(
        self, packets: Iterable[tuple[Packet[VideoStream], int]]
    ) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """The pictures of these packets by time; the decoder is empty then."""
        waiting: deque[tuple[Packet[VideoStream], int]] = deque()
        for numbered in packets:
            waiting.append(numbered)
            if len(waiting) > LOOK_AHEAD:
                yield from self._decode(*waiting.popleft())
        while waiting:
            yield from self._decode(*waiting.popleft())
        yield from self._decode(None, self._packets.count)
        self._report_lost(None)
        yield from self._order.ready()

    def _decode(
        self, packet: Packet[VideoStream] | None, number: int
    ) -> Iterator[tuple[int, int, av.VideoFrame]]:
        frames: list[av.VideoFrame] = []
        if packet is not None and self._packets.is_cut_off(packet):
            self._packets.forget_time(self._order.settle(number))
            self._lose(f"frame {number} is cut off or damaged")
        else:
            try:
                with foreign_errors(self.path, f"frame {number} cannot be decoded"):
                    frames = self.stream.codec_context.decode(packet)
            except MediaError as error:
                self._packets.forget_time(self._order.settle(number))
                self._lose(str(error).removeprefix(f"{self.path}: "))
        for frame in frames:
            self._take(frame)
        yield from self._order.ready()

    def _take(self, frame: av.VideoFrame) -> None:
        number = frame.opaque.number if isinstance(frame.opaque, Promise) else self._packets.count
        pts = frame.pts if frame.pts is not None else self._packets.take_time()
        if frame.is_corrupt:
            self._order.settle(number)
            self._lose(f"frame {number} was decoded with errors ({self._at(pts)})")
        elif pts is None:
            self._order.settle(number)
            self._lose(f"frame {number} has no time")
        else:
            self._order.put(number, pts, frame)
        self._report_lost(number)

    def _report_lost(self, newest: int | None) -> None:
        for promise in self._order.lost(newest):
            self._packets.forget_time(promise)
            if promise.leading:
                self._leading += 1
            else:
                self._lose(
                    f"frame {promise.number} is missing: no picture came of it ({self._at(promise.pts)})"
                )

    def _lose(self, what: str, *, frames: int = 1) -> None:
        """A frame is lost: an error, or one more in the count."""
        if self._on_error == "fail":
            raise MediaError(
                f"{self.path}: {what}; wanted every frame whole (`anonymize run --on-error skip-frame` leaves it out)"
            )
        self.frames_skipped += frames
        if len(self._skipped) < _MAX_NAMED:
            self._skipped.append(what)

    def _at(self, pts: int | None) -> str:
        base = self.stream.time_base
        return "at no known time" if pts is None or base is None else f"at {float(pts * base):.3f} s"

    # -- report and end -----------------------------------------------------------------------------------

    @property
    def notes(self) -> list[str]:
        """What was not handed out as it came, one line each; complete once `finished`."""
        lines = list(self._skipped)
        if self.frames_skipped:
            lines.append(f"{self.frames_skipped} frames left out because they could not be decoded")
        if self._leading:
            lines.append(f"{self._leading} frames before the first whole picture left out, as players do")
        if self._packets.unshown:
            lines.append(
                f"{self._packets.unshown} frames that the edit list cuts away, and no player shows, left out"
            )
        if self.facts.converted:
            lines.append(f"pixel format {self.facts.source_format} converted to {self.facts.pixel_format}")
        return lines

    def open_beside(self) -> InputContainer:
        """The same file once more, with a reading position of its own: for audio and subtitles."""
        return open_input(self._descriptor, self.path)

    def close(self) -> None:
        """Let the file go; frames handed out stay readable for as long as they are kept."""
        container = getattr(self, "container", None)
        if container is not None:
            container.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The largest video stream that is no cover picture; the others are never written.

    Raises
    ------
    MediaError
        There is none, or no decoder for it.
    """
    av = load_av()
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        kinds = ", ".join(s.type for s in container.streams) or "none"
        raise MediaError(f"{path}: holds no video (its streams: {kinds}); wanted one")
    readable = [s for s in streams if s.codec_context is not None]
    if not readable:
        raise MediaError(f"{path}: its video is in a codec that this FFmpeg cannot decode")
    return max(readable, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index))
