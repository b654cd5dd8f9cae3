"""What travels beside the hidden pictures: audio bit for bit, subtitles where asked for, and nothing else.

By allow-list (SAFETY 11, 12): telemetry and time-code tracks, cover pictures, second cameras, attachments,
chapters and every metadata field but the creation time are left out and named.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from anonymize.errors import MediaError
from anonymize.media.video_av import foreign_errors, load_av
from anonymize.media.video_facts import cut_duration, track_end
from anonymize.media.video_gaps import Timeline

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

Audio = Literal["keep", "drop"]
_FILE_ORDER_S: Final = 10  # how far apart in time a file may hold what belongs together
PRE_ROLL_S: Final = 0.2  # of sound before a cut: what an audio decoder needs to start (AAC-HE: 0.12 s)
_KEPT_METADATA: Final = frozenset({"creation_time"})
_STRUCTURAL: Final = frozenset(  # written by every muxer anew
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "language", "handler_name",
     "vendor_id", "variant_fps", "number_of_frames", "number_of_bytes", "bps"}
)  # fmt: skip


@dataclass(slots=True)
class _Kept:
    target: Any
    end: int | None  # of the track, after the edit list
    heard: bool = False  # a packet that players play was written


class SideStreams:
    """The kept streams of a source, read with a position of their own, so that nothing piles up in memory.

    Attributes
    ----------
    notes : list of str
        What was left out, one line each, names only.
    """

    def __init__(
        self,
        source: InputContainer,
        output: OutputContainer,
        *,
        main_index: int,
        audio: Audio,
        keep_subtitles: bool,
        path: Path,
        timeline: Timeline | None = None,
    ) -> None:
        self._timeline = timeline
        self.notes: list[str] = []
        self._source = source
        self._output = output
        self._path = path
        self._kept: dict[int, _Kept] = {}
        wanted = {"audio": audio == "keep", "subtitle": keep_subtitles}
        for stream in source.streams:
            if stream.index == main_index:
                stream.discard = load_av().stream.Discard.all
            elif wanted.get(stream.type) and stream.codec_context is not None:
                self._keep(stream)
            else:
                stream.discard = load_av().stream.Discard.all
                self.notes.append(f"stream {stream.index} left out: {_name(stream)}")
        if any(source.streams[index].type == "audio" for index in self._kept):
            self.notes.append("audio kept as it is: voices are not anonymised")
        self.notes += _dropped_metadata(source)
        self._packets = self._read() if self._kept else iter(())
        self._next: Packet[Any] | None = None
        self._packets_dropped = 0

    def _keep(self, stream: Any) -> None:
        try:
            target = self._output.add_stream_from_template(stream)
        except ValueError as error:
            raise MediaError(
                f"{self._path}: a file of this kind holds no {stream.codec_context.name} {stream.type} "
                f"({error}); wanted another file name extension, such as .mkv, or --audio drop"
            ) from error
        self._kept[stream.index] = _Kept(target, track_end(self._source, stream))

    def _read(self) -> Iterator[Packet[Any]]:
        """Packets to be written, in file order; those that a cut left before the start are dropped."""
        streams = [self._source.streams[index] for index in self._kept]
        pre_roll: dict[int, deque[Packet[Any]]] = {index: deque() for index in self._kept}
        packets = self._source.demux(streams)
        while True:
            with foreign_errors(self._path, "its audio or subtitles cannot be read"):
                packet = next(packets, None)
            if packet is None:
                return
            if packet.size == 0 or packet.dts is None:
                continue
            kept = self._kept[packet.stream_index]
            if packet.is_discard and not kept.heard:
                self._queue_pre_roll(pre_roll[packet.stream_index], packet)
                continue
            if packet.is_discard:
                self._packets_dropped += 1
                continue
            kept.heard = True
            yield from pre_roll[packet.stream_index]
            pre_roll[packet.stream_index].clear()
            yield packet

    def _queue_pre_roll(self, queue: deque[Packet[Any]], packet: Packet[Any]) -> None:
        queue.append(packet)
        while _end_s(queue[-1]) - _end_s(queue[0]) > PRE_ROLL_S:
            queue.popleft()
            self._packets_dropped += 1

    def write_until(self, time_s: float) -> None:
        """Copy what comes before `time_s`; infinity: all that is left.

        With a time line: copy what it has settled, where a kept frame lies near, whatever `time_s` is.
        """
        if self._timeline is not None:
            self._write_settled(self._timeline)
            return
        while True:
            packet, self._next = self._next or next(self._packets, None), None
            if packet is None:
                self._say_what_was_cut()
                return
            if float((packet.dts or 0) * packet.time_base) > time_s:
                self._next = packet
                return
            self._end_with_track(packet)
            self._write(packet)

    def _write_settled(self, timeline: Timeline) -> None:
        while (packet := self._next or next(self._packets, None)) is not None:
            self._next = packet
            begin_s, end_s = _reach_s(packet)
            if timeline.all_before(begin_s - _FILE_ORDER_S) or not timeline.knows(end_s):
                return
            self._next = None
            self._end_with_track(packet)
            shift_s = timeline.shift_of(begin_s, end_s) if packet.duration else None
            if shift_s is None:
                continue
            units = round(shift_s / packet.time_base)
            if packet.dts is not None:
                packet.dts -= units
            if packet.pts is not None:
                packet.pts -= units
            self._write(packet)

    def _end_with_track(self, packet: Packet[Any]) -> None:
        if packet.pts is not None and packet.duration:
            end = self._kept[packet.stream_index].end
            packet.duration = cut_duration(packet.pts, packet.duration, end, packet.time_base)

    def _write(self, packet: Packet[Any]) -> None:
        packet.stream = self._kept[packet.stream_index].target
        with foreign_errors(self._path, "audio or subtitles cannot be written"):
            self._output.mux_one(packet)

    def _say_what_was_cut(self) -> None:
        if self._packets_dropped:
            self.notes.append(f"{self._packets_dropped} packets of sound cut away by the edit list left out")
        self._packets_dropped = 0

    def close(self) -> None:
        """Let the source go."""
        self._source.close()


def _reach_s(packet: Packet[Any]) -> tuple[Fraction, Fraction]:
    """From when to when a packet may tell of, s.

    Coders of sound overlap neighbouring packets (the window of AAC spans two): one more to both sides.
    """
    start = packet.pts if packet.pts is not None else packet.dts or 0
    length = packet.duration or 0
    beside = length if packet.stream.type == "audio" else 0
    return (start - beside) * packet.time_base, (start + length + beside) * packet.time_base


def _end_s(packet: Packet[Any]) -> float:
    return float(((packet.dts or 0) + (packet.duration or 0)) * packet.time_base)


def _name(stream: Any) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
    if stream.type == "video":
        cover = stream.disposition & load_av().stream.Disposition.attached_pic
        return "cover picture" if cover else f"second video ({codec})"
    kind = {"data": "telemetry or other data", "subtitle": "subtitles"}.get(stream.type, stream.type)
    return f"{kind} ({codec})" if codec else kind


def _dropped_metadata(source: InputContainer) -> list[str]:
    names = dict.fromkeys(source.metadata)
    for stream in source.streams:
        names.update(dict.fromkeys(stream.metadata))
    gone = [name for name in names if name.lower() not in _KEPT_METADATA | _STRUCTURAL]
    notes = (
        [f"metadata left out: {', '.join(sorted(ascii(name)[1:-1][:60] for name in gone))}"] if gone else []
    )
    if chapters := len(source.chapters()):
        notes.append(f"{chapters} chapters left out")
    return notes
