"""Closed groups of pictures in a source of H.264 or HEVC: where they begin, and whether they may be copied.

A group begins with a picture (IDR) that needs none before it and after which nothing needs one before it; keyframes
that are no such pictures lie inside a group. Every frame's time lies in the time of its group. What cannot be copied
with certainty is a reason to encode the whole file anew, never a guess.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import MediaError
from anonymize.frames import CapturedFrame
from anonymize.media.nal import NalRules, begins_anew, sei_types, slices_of, split_units
from anonymize.media.parameter_sets import MAX_SET_BYTES, SetKey, read_record, set_key, shape_of
from anonymize.media.video_av import foreign_errors, open_input
from anonymize.media.video_read import VideoReader, main_video_stream

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Payloads that say how colours are to be shown: mastering display, content light, another transfer (H.265 D.2.1).
# They go out with all others, so a file that has them is encoded anew as a whole.
_COLOUR_SEI: Final = frozenset({137, 144, 147})


@dataclass(frozen=True, slots=True)
class Group:
    """One closed group: how many packets, each one frame, and the number of its first frame in order of time."""

    packets: int
    first_frame: int
    last_pts: int


@dataclass(slots=True)
class GroupScan:
    """What the packets of a source are.

    Attributes
    ----------
    groups : list of Group
    sets : dict
        Every parameter set of the file.
    length_bytes : int
        Of the length before each unit; 0 for start codes.
    delay : int
        Pictures by which decoding runs ahead of showing.
    keeps_times : bool
        The file has decoding times that can be kept.
    first_pts, step : int
        Time of the first frame and the shortest time between two.
    fall_back : str
        Why no group may be copied; empty where groups may be.
    """

    rules: NalRules
    groups: list[Group] = field(default_factory=list)
    sets: dict[SetKey, bytes] = field(default_factory=dict)
    length_bytes: int = 0
    delay: int = 0
    keeps_times: bool = True
    first_pts: int = 0
    step: int = 1
    fall_back: str = ""

    @property
    def frames(self) -> int:
        """Frames of the file."""
        return sum(group.packets for group in self.groups)


class _Scanner:
    """Told of every packet in file order, until one says that groups cannot be copied: `scan.fall_back` then."""

    def __init__(self, scan: GroupScan) -> None:
        self.scan = scan
        self._rules = scan.rules
        self._times = array("q")
        self._newest_pts: int | None = None
        self._newest_dts: int | None = None
        self._step: int | None = None
        self._frames = 0
        self._delay = 0
        self._decode_times_kept = True

    def begin(self, record: bytes) -> bool:
        """False: groups cannot be copied."""
        return self._try(partial(self._take_record, record))

    def take(self, packet: Packet[VideoStream]) -> bool:
        """False: groups cannot be copied."""
        return self._try(partial(self._take_packet, packet))

    def end(self) -> bool:
        """False: groups cannot be copied."""
        return self._try(self._end)

    def _try(self, step: Callable[[], None]) -> bool:
        if not self.scan.fall_back:
            try:
                step()
            except MediaError as reason:
                self.scan.fall_back = str(reason)
        return not self.scan.fall_back

    def _take_record(self, record: bytes) -> None:
        units, self.scan.length_bytes = read_record(record, self._rules)
        for unit in units:
            if self._rules.type_of(unit) in self._rules.sets:
                add_set(self.scan, unit)

    def _take_packet(self, packet: Packet[VideoStream]) -> None:
        if packet.is_discard:
            raise MediaError("an edit list cuts frames away")
        if packet.is_corrupt:
            raise MediaError("a packet is damaged")
        if packet.has_sidedata("new_extradata"):
            raise MediaError("its parameter sets change")
        if packet.pts is None:
            raise MediaError("the container has no times of showing")
        units = split_units(bytes(packet), self.scan.length_bytes)
        for unit in units:
            self._take_unit(unit)
        if begins_anew(slices_of(units, self._rules), self._rules) and packet.is_keyframe:
            self._close()
        elif not self._times and not self.scan.groups:
            raise MediaError("the film does not begin with a closed group")
        self._times.append(packet.pts)
        self._note_decode_time(packet.dts, packet.pts)

    def _take_unit(self, unit: bytes) -> None:
        kind = self._rules.type_of(unit)
        if kind in self._rules.partitions:
            raise MediaError(f"its pictures come in parts (NAL type {kind})")
        if kind in self._rules.sei and sei_types(unit, self._rules) & _COLOUR_SEI:
            raise MediaError("its colours are described beside the pictures (SEI)")
        if kind in self._rules.sets:
            add_set(self.scan, unit)

    def _note_decode_time(self, dts: int | None, pts: int) -> None:
        rises = dts is not None and (self._newest_dts is None or dts > self._newest_dts)
        self._decode_times_kept &= rises and dts is not None and dts <= pts
        self._newest_dts = dts

    def _close(self) -> None:
        """The group at hand is complete."""
        if not self._times:
            return
        ordered = sorted(self._times)
        rank = {pts: place for place, pts in enumerate(ordered)}
        if len(rank) < len(ordered):
            raise MediaError("two frames have one time")
        if self._newest_pts is not None and ordered[0] <= self._newest_pts:
            raise MediaError("groups of pictures overlap in time")
        self._delay = max(self._delay, *(place - rank[pts] for place, pts in enumerate(self._times)))
        before = [self._newest_pts] if self._newest_pts is not None else []
        gaps = [
            later - earlier
            for earlier, later in zip([*before, *ordered], [*before, *ordered][1:], strict=False)
        ]
        self._step = min([*gaps, *([self._step] if self._step else [])], default=None)
        if not self.scan.groups:
            self.scan.first_pts = ordered[0]
        self.scan.groups.append(Group(len(ordered), self._frames, ordered[-1]))
        self._frames += len(ordered)
        self._newest_pts = ordered[-1]
        self._times = array("q")

    def _end(self) -> None:
        self._close()
        if not self.scan.groups:
            raise MediaError("the film holds no picture")
        self.scan.step = self._step or 1
        self.scan.delay, self.scan.keeps_times = self._delay, self._decode_times_kept
        _check_sets(self.scan)


def add_set(scan: GroupScan, unit: bytes) -> None:
    """Remember a parameter set.

    Raises
    ------
    MediaError
        Another set of this id came before, or this one is too long to be one.
    """
    if len(unit) > MAX_SET_BYTES:
        raise MediaError(f"a parameter set has {len(unit):,} bytes; wanted at most {MAX_SET_BYTES:,}")
    key = set_key(unit, scan.rules)
    if scan.sets.setdefault(key, unit) != unit:
        raise MediaError("its parameter sets change")


def _check_sets(scan: GroupScan) -> None:
    """No pixels outside the picture, no fields, and every kind of set is there."""
    kinds = {kind for kind, _ in scan.sets}
    if missing := set(scan.rules.sets) - kinds:
        raise MediaError(f"it has no parameter set of NAL type {min(missing)}")
    for (kind, _), unit in scan.sets.items():
        if kind != scan.rules.sets[-2]:
            continue
        shape = shape_of(unit, scan.rules)
        if shape.crops_beyond_alignment:
            raise MediaError(
                f"pixels are coded that are not shown ({shape.crop_px} px left, right, top, bottom)"
            )
        if not shape.progressive:
            raise MediaError("its pictures may be coded as fields")
        if scan.delay and not shape.says_delay:
            raise MediaError("its pictures are reordered, and it does not say how far")


class GroupReader(VideoReader):
    """A source by closed groups: `scan`, then `begin_groups`, then each group once, in order, in one of two ways."""

    def scan(self, rules: NalRules, check_stop: Callable[[], None] = lambda: None) -> GroupScan:
        """What the packets are; reads the file once and decodes nothing. `check_stop` raises to end."""
        scanner = _Scanner(GroupScan(rules))
        with foreign_errors(self.path, "cannot be read"), self.open_beside() as container:
            stream = main_video_stream(container, self.path)
            if scanner.begin(bytes(stream.codec_context.extradata or b"")):
                for packet in container.demux(stream):
                    check_stop()
                    if packet.size and not scanner.take(packet):
                        break
                scanner.end()
        return scanner.scan

    def begin_groups(self, scan: GroupScan) -> None:
        """Read from the start again, by groups."""
        self.container.close()
        self.container = open_input(self._descriptor, self.path)
        self._begin(1)
        self._read = self._packets.read()
        self._decode_times = DecodeTimes(scan)
        self.coded: deque[tuple[int, int]] = deque()
        self.frames_read = 0

    def packets_of(self, group: Group) -> Iterator[tuple[Packet[VideoStream], int]]:
        """The packets of a group that is copied, with their decoding times."""
        for packet, number in islice(self._read, group.packets):
            self._order.settle(number)
            self.frames_read += 1
            yield packet, self._decode_times.take(packet)
        self.last_pts = group.last_pts

    def frames_of(self, group: Group) -> Iterator[CapturedFrame]:
        """The frames of a group that is encoded anew; `coded` gets decoding time and duration of each packet.

        Raises
        ------
        MediaError
            A frame cannot be decoded or is missing.
        """
        before = self.frames_read
        for pts, number, picture in self._decode_all(self._noting(group)):
            captured = self._capture(pts, number, picture)
            if captured is not None:
                self.frames_read += 1
                yield captured
        self.stream.codec_context.flush_buffers()
        if self.frames_read - before != group.packets:
            raise MediaError(
                f"{self.path}: {self.frames_read - before} frames came of the group from frame {group.first_frame} on; "
                f"wanted {group.packets}"
            )

    def _noting(self, group: Group) -> Iterator[tuple[Packet[VideoStream], int]]:
        for packet, number in islice(self._read, group.packets):
            self.coded.append((self._decode_times.take(packet), packet.duration or 0))
            yield packet, number

    def end_groups(self) -> None:
        """After the last group: nothing is left, and the file held what it promises."""
        if next(self._read, None) is not None:
            raise MediaError(f"{self.path}: holds more frames than a moment ago; wanted a source that stays")
        self._packets.check_end()
        self.finished = True


class DecodeTimes:
    """Decoding times of the packets in file order: the file's, or such as its times of showing allow."""

    def __init__(self, scan: GroupScan) -> None:
        self._scan = scan
        self._taken = 0
        self._waiting: list[int] = []

    def take(self, packet: Packet[Any]) -> int:
        """The decoding time of the next packet."""
        delay = self._scan.delay
        if self._scan.keeps_times or packet.pts is None:
            return packet.dts or 0
        heapq.heappush(self._waiting, packet.pts)
        self._taken += 1
        if self._taken <= delay:
            return self._scan.first_pts - (delay - self._taken + 1) * self._scan.step
        return heapq.heappop(self._waiting)
