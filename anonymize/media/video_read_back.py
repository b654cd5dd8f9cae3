"""The finished file read back, packet by packet: the pictures that were written, behind the right parameter sets.

Nothing but packets is read, except one picture of each run, which the file's own head and decoder must give as it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from anonymize.errors import VerificationError
from anonymize.media.nal import RULES, begins_anew, join_units, slices_of, split_units
from anonymize.media.parameter_sets import SetKey, Sets, read_record, set_key

if TYPE_CHECKING:
    import av
    from av.packet import Packet


@dataclass(slots=True)
class Run:
    """Pictures that were encoded by one encoder, or copied, without a break."""

    copied: bool
    packets: int = 0
    first_picture: bytes = b""
    digest: bytes = b""


@dataclass(slots=True)
class Record:
    """What was written: the codec, the runs in order, and the parameter sets that copied runs need.

    Attributes
    ----------
    time_base : Fraction
        Of the source's times.
    """

    path: Path
    codec: str
    time_base: Fraction
    runs: list[Run] = field(default_factory=list)
    source_sets: Sets = field(default_factory=dict)


class Looks(Protocol):
    """Who looks at pictures that were decoded from the file."""

    def digest_of(self, picture: av.VideoFrame) -> bytes:
        """Of every shown sample."""

    def is_due(self, pts: int) -> bool:
        """Whether a picture of a copied run at this time is wanted."""

    def look(self, picture: av.VideoFrame, pts: int) -> None:
        """A picture of a copied run, where one is due."""


class ReadBack:
    """The packets of the finished file, run by run."""

    def __init__(self, record: Record, stream: Any, looks: Looks) -> None:
        self._record = record
        self._looks = looks
        self._path = record.path
        self._stream = stream
        self._rules = RULES.get(record.codec)
        self._left = list(reversed(record.runs))
        self._run: Run | None = None
        self.pictures_decoded = 0
        self._packets = 0
        self._digest = new_digest()
        self._length_bytes = 0
        self._sets: dict[SetKey, bytes] = {}
        stream.codec_context.thread_count = 1
        if self._rules:
            units, self._length_bytes = read_record(bytes(stream.codec_context.extradata or b""), self._rules)
            self._note_sets(units)
        if stream.codec_context.codec.canonical_name != record.codec:
            raise VerificationError(f"{self._path}: holds {stream.codec_context.name}; wanted {record.codec}")

    def take(self, packet: Packet[Any]) -> None:
        """The next packet of the file."""
        content = bytes(packet)
        units = split_units(content, self._length_bytes) if self._rules else []
        self._note_sets(units)
        first = self._run is None
        if self._run is None:
            if not self._left:
                raise VerificationError(f"{self._path}: holds more pictures than were written")
            self._run, self._packets = self._left.pop(), 0
            self._digest = new_digest()
        run = self._run
        self._packets += 1
        add_to(self._digest, picture_bytes(self._record.codec, content, self._length_bytes))
        if first or (run.copied and self._may_sample(packet, units)):
            self._look(packet, run, first=first)
        if self._packets == run.packets:
            if self._digest.digest() != run.digest:
                raise VerificationError(
                    f"{self._path}: {run.packets} pictures were read back from it with other bytes"
                )
            self._run = None

    def _note_sets(self, units: list[bytes]) -> None:
        rules = self._rules
        if rules:
            self._sets.update((set_key(u, rules), u) for u in units if rules.type_of(u) in rules.sets)

    def _may_sample(self, packet: Packet[Any], units: list[bytes]) -> bool:
        """A closed group of a copied run begins here: are the sets the source's, and is a look due?"""
        rules = self._rules
        if rules is None or not begins_anew(slices_of(units, rules), rules):
            return False
        self._check_sets()
        return self._looks.is_due(self._time_of(packet))

    def _check_sets(self) -> None:
        for key, unit in self._record.source_sets.items():
            if self._sets.get(key) != unit:
                raise VerificationError(
                    f"{self._path}: a copied group would be decoded with another parameter set {key} than the source's"
                )

    def _look(self, packet: Packet[Any], run: Run, *, first: bool) -> None:
        """Decode this picture, which needs no other, with the decoder that the file asks for."""
        if run.copied:
            self._check_sets()
        codec = self._stream.codec_context
        pictures = [*codec.decode(packet), *codec.decode(None)]
        codec.flush_buffers()
        if len(pictures) != 1 or pictures[0].is_corrupt:
            raise VerificationError(
                f"{self._path}: {len(pictures)} pictures came of a packet; wanted one, whole"
            )
        self.pictures_decoded += 1
        if first and self._looks.digest_of(pictures[0]) != run.first_picture:
            raise VerificationError(
                f"{self._path}: the picture at pts {packet.pts} was read back with other pixels than it was written"
            )
        if run.copied:
            self._looks.look(pictures[0], self._time_of(packet))

    def _time_of(self, packet: Packet[Any]) -> int:
        """In units of the source's clock, which the container may have made coarser."""
        return round((packet.pts or 0) * packet.time_base / self._record.time_base)

    def end(self) -> None:
        """No packet follows."""
        if self._left or self._run is not None:
            raise VerificationError(f"{self._path}: holds fewer pictures than were written")


def picture_bytes(codec: str, content: bytes, length_bytes: int) -> bytes:
    """What of a packet makes the picture, free of what muxers add and take away.

    H.264, HEVC: the slices. AV1: units of frames and tiles (AV1 specification 5.3). Others: all of it.
    """
    if rules := RULES.get(codec):
        return join_units(slices_of(split_units(content, length_bytes), rules), start_codes=True)
    return b"".join(_av1_pictures(content)) if codec == "av1" else content


def _av1_pictures(content: bytes) -> list[bytes]:
    units, at = [], 0
    while at < len(content):
        begin, head = at, content[at]
        at += 2 if head & 4 else 1
        size = len(content) - at
        if head & 2:
            size = shift = 0
            while at < len(content):
                byte = content[at]
                at += 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
        at += size
        if head >> 3 & 15 in (3, 4, 6):
            units.append(content[begin:at])
    return units


def new_digest() -> hashlib.blake2b:
    """An empty one."""
    return hashlib.blake2b(digest_size=16)


def add_to(digest: hashlib.blake2b, content: bytes) -> None:
    """One more packet's picture."""
    digest.update(len(content).to_bytes(8, "little"))
    digest.update(content)
