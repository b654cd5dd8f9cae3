"""Hidden frames written as a video file that is otherwise the source: every time, the sound, the orientation.

The writer takes `ReleasedFrame` alone. Each one is copied into a picture of the writer's own, so that nothing of
the source's picture (captions, user data, positions in SEI) can travel in it and the caller may use its memory
again at once; 0.1 ms at 1280 x 720, of 20 ms for decoding and encoding. The file gets its name when it is complete
and every frame's time was found again in it.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from fractions import Fraction
from math import inf, lcm
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import numpy as np

from anonymize.errors import MediaError, UsageError
from anonymize.frames import ColorRange, PixelFormat, ReleasedFrame
from anonymize.media.output import check_target, new_file, require_released
from anonymize.media.video_av import foreign_errors, load_av, refuse_other_files
from anonymize.media.video_check import check_times
from anonymize.media.video_encoders import (
    AUTO,
    Quality,
    add_video_stream,
    choose_encoder,
    encoder_again,
    ffmpeg_format,
)
from anonymize.media.video_facts import cut_duration
from anonymize.media.video_gaps import Gap, Timeline
from anonymize.media.video_planes import writable_planes
from anonymize.media.video_read import VideoReader
from anonymize.media.video_streams import Audio, SideStreams

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

    from anonymize.media.video_proof import Proof

MUXERS: Final = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".qt": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi",
    ".ts": "mpegts", ".mts": "mpegts", ".m2ts": "mpegts",
}  # fmt: skip
_NO_ORIENTATION: Final = frozenset({"avi", "mpegts"})
_MAX_TIMESCALE: Final = 2**31 - 1
_WRITE_BUFFER_BYTES: Final = 1 << 18


class VideoWriter:
    """Writes the hidden frames of `reader` to `path`; use it with `with`.

    The file is complete, checked and under its name when the block ends without an exception. With any exception
    nothing of it is left.

    Parameters
    ----------
    path : str or path
        Its extension chooses the container; any other than a video's takes the source's.
    reader : VideoReader
        Where the frames come from; its audio is copied from the same file.
    encoder : {"auto", "h264", "hevc", "av1", "vp9", "mjpeg"}
        "auto" keeps the source's codec where it can.
    crf : int or None
        Quality in the encoder's own scale, less is better.
    preset : str or None
        Speed in the encoder's own words.
    threads : int
        Of the encoder; 0 takes all cores.
    audio : {"keep", "drop"}
    keep_subtitles : bool
    overwrite : bool
    gap : {"cut", "black"} or None
        What `withhold` leaves of the frames withheld: nothing, what follows moves earlier; or one black frame.
        In both, sound and subtitles go with them. None: nothing is withheld.
    proof : Proof or None
        Decodes what was encoded again and compares it with what was hidden.

    Attributes
    ----------
    notes : list of str
        What was left out or kept on purpose, for the summary; complete after the block.
    frames_written : int
        Black ones not counted.
    frames_withheld : int
    last_pts : int or None
        Time in the file of the last frame written.

    Raises
    ------
    MediaError
        The target may not be written, or the container, the encoder and the source do not go together.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        reader: VideoReader,
        *,
        encoder: str = AUTO,
        crf: int | None = None,
        preset: str | None = None,
        threads: int = 0,
        audio: Audio = "keep",
        keep_subtitles: bool = False,
        overwrite: bool = False,
        gap: Gap | None = None,
        proof: Proof | None = None,
    ) -> None:
        if gap not in (None, "cut", "black"):
            raise UsageError(f"gap is {gap!r}; wanted 'cut', 'black' or None")
        if audio not in ("keep", "drop"):
            raise UsageError(f"audio is {audio!r}; wanted 'keep' or 'drop'")
        self.path = Path(path)
        self.reader = reader
        self.notes: list[str] = []
        self.frames_written = 0
        self.frames_withheld = 0
        self._gap = gap
        self._proof = proof
        self._timeline = Timeline(reader.facts.time_base, closes=gap == "cut") if gap else None
        self._encoder_used = self._completed = False
        self._last_source_pts = reader.last_pts
        self._overwrite = overwrite
        self._audio: Audio = audio
        self._keep_subtitles = keep_subtitles
        self._quality = Quality(crf, preset, threads)
        self._muxer = MUXERS.get(self.path.suffix.lower(), reader.facts.container)
        facts = reader.facts
        if facts.interlaced:
            raise MediaError(
                f"{reader.path}: is interlaced; wanted progressive video (deinterlace it before)"
            )
        if self._muxer in _NO_ORIENTATION and (facts.rotation_deg or facts.mirrored):
            raise MediaError(
                f"{self.path}: this kind of file holds no orientation, and {reader.path.name} is turned by "
                f"{facts.rotation_deg} degrees; wanted .mp4, .mov or .mkv"
            )
        if gap and self._muxer == "avi" and audio == "keep" and reader.container.streams.audio:
            raise MediaError(
                f"{self.path}: AVI has no times for sound, which would run apart from the pictures after a gap; "
                "wanted .mkv or .mp4, or --audio drop"
            )
        try:
            self.encoder = choose_encoder(encoder, facts, self._muxer)
        except MediaError as error:
            raise MediaError(f"{self.path}: {error}") from None
        if self.encoder != facts.codec:
            self.notes.append(f"coded as {self.encoder}, the source was {facts.codec}")
        check_target(self.path, overwrite=overwrite, source=reader.identity)
        self._times = array("q")
        self._resources = contextlib.ExitStack()
        self._held: Packet[Any] | None = None

    # -- begin and end ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            target = new_file(self.path, overwrite=self._overwrite, source=self.reader.identity)
            self._file: BinaryIO = opening.enter_context(target)
            self._output = self._open_output()
            with foreign_errors(self.path, "cannot be written with these settings"):
                self._add_stream()
            self._side = SideStreams(
                self.reader.open_beside(),
                self._output,
                main_index=self.reader.stream.index,
                audio=self._audio,
                keep_subtitles=self._keep_subtitles,
                path=self.reader.path,
                timeline=self._timeline,
            )
            opening.callback(self._side.close)
            if self.reader.facts.creation_time:
                self._output.metadata["creation_time"] = self.reader.facts.creation_time
            av = load_av()
            facts = self.reader.facts
            self._picture = av.VideoFrame(facts.width, facts.height, ffmpeg_format(facts.pixel_format))
            self._resources = opening.pop_all()
        return self

    def _add_stream(self) -> None:
        """The stream of the pictures, and the encoder for it."""
        self._stream: Any = add_video_stream(
            self._output, self.encoder, self.reader.facts, self._quality, reorders=self._gap is None
        )
        self._codec = self._stream.codec_context

    def _open_output(self) -> OutputContainer:
        av = load_av()
        with foreign_errors(self.path, "cannot be begun"):
            output: OutputContainer = av.open(
                self._file,
                "w",
                format=self._muxer,
                container_options=self._muxer_options(),
                buffer_size=_WRITE_BUFFER_BYTES,
                io_open=refuse_other_files,
            )
        return output

    def _muxer_options(self) -> dict[str, str]:
        """So that every time is kept exactly: the container's own clock is the source's."""
        base = self.reader.facts.time_base
        if self._muxer in ("mp4", "mov"):
            options = {"write_tmcd": "0"}
            if base.numerator == 1 and base.denominator <= _MAX_TIMESCALE:
                options["video_track_timescale"] = str(base.denominator)
            # The start of a track is stored in the film's clock, 1 ms unless said: too coarse for most others.
            clock = base.denominator
            for stream in self.reader.container.streams.audio:
                if stream.time_base and lcm(clock, stream.time_base.denominator) <= _MAX_TIMESCALE:
                    clock = lcm(clock, stream.time_base.denominator)
            if clock <= _MAX_TIMESCALE:
                options["movie_timescale"] = str(clock)
            return options
        if self._muxer == "mpegts":
            m2ts = self.path.suffix.lower() in (".mts", ".m2ts")
            return {"mpegts_copyts": "1", "mpegts_m2ts_mode": str(int(m2ts)), "avoid_negative_ts": "disabled"}
        return {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._completed:
                self._finish()
        except BaseException as fault:
            self._abort(fault)
            raise
        if error is not None:
            self._abort(error)
        else:
            self._resources.close()

    def _abort(self, fault: BaseException) -> None:
        """Leave nothing: the file is closed first, so that FFmpeg writes no end to it."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(Exception):
            self._output.close()
        self._resources.__exit__(type(fault), fault, fault.__traceback__)  # a full disk becomes a MediaError

    # -- frames -------------------------------------------------------------------------------------------

    def write(self, frame: ReleasedFrame) -> None:
        """Encode one frame; its memory is the caller's again when this returns.

        Raises
        ------
        TypeError
            Anything but a `ReleasedFrame`.
        MediaError
            The frame is none of this reader's, comes out of order, or cannot be written.
        """
        require_released(frame)
        facts = self.reader.facts
        came = (frame.width, frame.height, frame.pixel_format, frame.time_base)
        wanted = (facts.width, facts.height, facts.pixel_format, facts.time_base)
        if came != wanted:
            raise MediaError(
                f"{self.path}: a frame of {came} came; wanted {wanted}, as the reader gives them"
            )
        self._check_rising(frame.pts)
        pts = self._place(frame.pts)
        if self._proof is not None:
            self._proof.expect(frame, pts)
        for ours, hidden in zip(
            writable_planes(self._picture, facts.pixel_format), frame.planes, strict=True
        ):
            np.copyto(ours, hidden)
        self._encode(pts, self.reader.take_duration(frame.pts))
        self.frames_written += 1

    def withhold(self, pts: int) -> None:
        """A frame of the reader may not be there: see `gap`. What follows begins with a fresh encoder.

        Raises
        ------
        MediaError
            The frame comes out of order.
        """
        if self._timeline is None:
            raise UsageError("withhold() needs a writer with gap='cut' or 'black'")
        self._check_rising(pts)
        self._timeline.withhold(pts)
        self._last_source_pts = pts
        self._last_withheld_end = pts + self.reader.take_duration(pts)
        self.frames_withheld += 1
        self._side.write_until(0.0)  # with a time line: what is settled by now

    @property
    def notes_beside(self) -> list[str]:
        """What was left out or kept beside the pictures."""
        return self._side.notes

    @property
    def last_pts(self) -> int | None:
        """Time in the file of the last frame written."""
        return self._times[-1] if self._times else None

    @property
    def last_place(self) -> tuple[None, int]:
        """The number in the file of the last frame written, from 0, black ones counted; it is in no part."""
        return None, len(self._times) - 1

    def _check_rising(self, pts: int) -> None:
        """Times of the source rise, withheld frames included."""
        if (self.frames_written or self.frames_withheld) and pts <= self._last_source_pts:
            raise MediaError(
                f"{self.path}: a frame at {pts} came after {self._last_source_pts}; wanted rising times"
            )

    def _place(self, pts: int) -> int:
        """The time in the file of the frame at `pts` of the source; a gap before it ends here."""
        self._last_source_pts = pts
        if self._timeline is None:
            return pts
        gap_start = self._timeline.gap_start
        placed = self._timeline.keep(pts)
        if gap_start is not None:
            self._end_gap(gap_start, pts)
        return placed

    def _end_gap(self, start: int, end: int) -> None:
        """Empty the encoder; in the time line that stays, show black from `start` on."""
        self._begin_anew()
        if self._gap == "black":
            self._draw_black()
            self._encode(start, end - start)
            self._begin_anew()

    def _begin_anew(self) -> None:
        """The next frame is the first that its encoder sees: a closed group with an IDR."""
        if self._encoder_used:
            self._drain()
            facts = self.reader.facts
            with foreign_errors(self.path, "cannot be written with these settings"):
                self._codec = encoder_again(self._stream, self.encoder, facts, self._quality)
            self._encoder_used = False

    def _draw_black(self) -> None:
        """Black of our own in the writer's picture; reads nothing."""
        facts = self.reader.facts
        scale = 4 if facts.pixel_format is PixelFormat.YUV420P10LE else 1
        black = 0 if facts.color_range is ColorRange.FULL else 16
        for index, plane in enumerate(writable_planes(self._picture, facts.pixel_format)):
            plane[...] = (128 if index else black) * scale

    def _encode(self, pts: int, duration: int) -> None:
        """Encode the writer's picture as the frame at `pts` of the file."""
        facts, picture = self.reader.facts, self._picture
        picture.pts = pts
        picture.time_base = facts.time_base
        picture.duration = duration
        picture.pict_type = 0  # else the source's B and I pictures are forced on the encoder
        picture.color_range = facts.colour.range
        picture.colorspace = facts.colour.matrix
        picture.color_primaries = facts.colour.primaries
        picture.color_trc = facts.colour.transfer
        self._times.append(pts)
        self._duration = duration
        self._encoder_used = True
        with foreign_errors(self.path, f"frame {self.frames_written} cannot be encoded"):
            for packet in self._codec.encode(picture):
                self._take_coded(packet)

    def _drain(self) -> None:
        """All that the encoder still holds."""
        with foreign_errors(self.path, "cannot be completed"):
            for packet in self._codec.encode(None):
                self._take_coded(packet)
        if self._proof is not None:
            self._proof.end_run()

    def _take_coded(self, packet: Packet[Any]) -> None:
        """A packet of the encoder, on its way into the file."""
        if self._proof is not None:
            self._proof.see(packet, self._codec)
        self._mux(packet)

    def _mux(self, packet: Packet[Any] | None) -> None:
        """Write the packet held back, with the sound before it, and hold this one: the last needs its duration."""
        if packet is not None:
            packet.stream = self._stream  # a fresh encoder knows no stream
        held, self._held = self._held, packet
        if held is None:
            return
        if packet is None and self._muxer in ("mp4", "mov"):
            # What ends the track is the duration of its last packet, which need not be that of the last picture.
            held.duration = self._last_duration()
        if held.dts is not None:
            self._side.write_until(float(held.dts * held.time_base))
        self._output.mux_one(held)

    def _last_duration(self) -> int:
        """How long the last frame is shown, in units of the time base."""
        last, facts = self._times[-1], self.reader.facts
        gap_start = self._timeline.gap_start if self._timeline else None
        if gap_start is not None:  # the film ends with a gap, cut away, or black that stands for it
            until_gap = gap_start - self._shift - last
            return min(self._duration, until_gap) if until_gap > 0 else self._duration
        end = facts.end_pts if self._last_source_pts == self.reader.last_pts else None
        return cut_duration(last + self._shift, self._duration, end, facts.time_base)

    @property
    def _shift(self) -> int:
        return self._timeline.shift if self._timeline else 0

    def _finish(self) -> None:
        if not self.reader.finished:
            raise MediaError(f"{self.path}: not all frames of {self.reader.path} were read; nothing is kept")
        if not self.frames_written:
            raise MediaError(
                f"{self.path}: no frame of {self.reader.path} could be released; nothing is kept"
            )
        self.complete()
        left_out = self.reader.frames_read - self.frames_written - self.frames_withheld
        if left_out:
            self.notes.append(f"{left_out} of {self.reader.frames_read} frames were not released")
        self.notes[:0] = self.notes_beside
        self.notes += self.reader.notes

    def complete(self) -> None:
        """Write what is held back, end the file and check it; it gets its name when the block ends."""
        if self._timeline is not None:
            gap_start = self._timeline.gap_start
            if gap_start is not None and self._gap == "black":
                self._end_gap(gap_start, max(self._last_withheld_end, gap_start + 1))
            self._timeline.end()
        if self._encoder_used:
            self._drain()
        with foreign_errors(self.path, "cannot be completed"):
            self._mux(None)
            self._side.write_until(inf)
            self._side.close()  # parts of a split film may be many
            self._output.close()
        self._file.flush()
        step = self._check()
        if step > 0:
            self.notes.append(f"times rounded to the container's {Fraction(step)} s")
        self._completed = True

    def _check(self) -> Fraction:
        """The step to which the container rounded the times; what is in the file is what was meant."""
        check = check_times if self._proof is None else self._proof.check_file
        return check(self._file.fileno(), self.path, self._times, self.reader.facts.time_base)
