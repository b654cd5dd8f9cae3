"""A video in which groups of pictures without a box are the source's, bit for bit, and the others encoded anew.

The file carries both kinds of parameter sets. H.264: ours have an id that the source does not use, and all lie in
the file's head (in MPEG-TS before each group). HEVC: x265 knows one id, the source's most likely, so the sets lie in
the stream, before every keyframe, and a player that seeks finds the right ones (`hev1`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import MediaError
from anonymize.media.nal import H264, begins_anew, join_units, slices_of, split_units
from anonymize.media.parameter_sets import Sets, free_id, in_order, make_record, set_key
from anonymize.media.video_av import foreign_errors, load_av
from anonymize.media.video_encoders import add_video_stream, group_encoder
from anonymize.media.video_facts import cut_duration
from anonymize.media.video_groups import Group, GroupReader, GroupScan
from anonymize.media.video_proof import Proof, decoder_of
from anonymize.media.video_write import VideoWriter

if TYPE_CHECKING:
    import av
    from av.packet import Packet

GROUP_MUXERS: Final = frozenset({"mp4", "mov", "matroska", "mpegts"})


class GroupWriter(VideoWriter):
    """Writes hidden frames as `VideoWriter` does, and copies groups between them.

    Parameters
    ----------
    path : str or path
    reader : GroupReader
        `begin_groups` was called.
    scan : GroupScan
    proof : Proof
    **chosen
        As for `VideoWriter`; the encoder is the source's codec.

    Attributes
    ----------
    groups_copied : int
    """

    reader: GroupReader

    def __init__(
        self, path: str | os.PathLike[str], reader: GroupReader, scan: GroupScan, proof: Proof, **chosen: Any
    ) -> None:
        super().__init__(path, reader, encoder=scan.rules.codec, proof=proof, **chosen)
        if self._muxer not in GROUP_MUXERS:
            raise MediaError(f"{self.path}: groups cannot be copied into {self._muxer}")
        self.groups_copied = 0
        self._written_proof = proof
        self._scan = scan
        self._rules = scan.rules
        self._start_codes = self._muxer == "mpegts"
        self._sets_inside = self._start_codes or scan.rules is not H264
        set_id = free_id(scan.sets) if scan.rules is H264 else 0
        if set_id is None:
            raise MediaError(f"{self.path}: every id of parameter sets is taken by the source's")
        self._set_id = set_id
        self._framed_duration = 0
        self._run_is_copied = False
        self._alone: Any = None

    # -- the stream ---------------------------------------------------------------------------------------------

    def _add_stream(self) -> None:
        self._codec: Any = self._new_encoder()
        units = split_units(bytes(self._codec.extradata or b""), 0)
        self._our_sets = {set_key(unit, self._rules): unit for unit in units if self._is_set(unit)}
        if not self._sets_inside and self._our_sets.keys() & self._scan.sets.keys():
            raise MediaError(f"{self.path}: the encoder's parameter sets have the ids of the source's")
        self._written_proof.record.source_sets = self._scan.sets
        # Described by facts alone, as where all is encoded: a stream made from the source's would take along
        # whatever lies beside its description (side data of the container).
        self._stream = add_video_stream(
            self._output, self.encoder, self.reader.facts, self._quality, reorders=False
        )
        in_head: Sets = self._scan.sets if self._sets_inside else {**self._scan.sets, **self._our_sets}
        codec: Any = self._stream.codec_context
        if self._start_codes:
            codec.extradata = join_units(in_order(in_head), start_codes=True)
        else:
            codec.extradata = make_record(in_order(in_head), self._rules)
        if self._rules is not H264 and self._muxer in ("mp4", "mov"):
            codec.codec_tag = "hev1"

    def _new_encoder(self) -> Any:
        return group_encoder(self.encoder, self.reader.facts, self._quality, self._set_id)

    def _is_set(self, unit: bytes) -> bool:
        return self._rules.type_of(unit) in self._rules.sets

    # -- groups -------------------------------------------------------------------------------------------------

    def copy(self, group: Group, check_stop: Callable[[], None] = lambda: None) -> None:
        """The group as it is, slices alone; `check_stop` raises to end (an open group may be a whole film)."""
        self.end_run()
        times = []
        for packet, decode_time in self.reader.packets_of(group):
            check_stop()
            if packet.is_corrupt or packet.pts is None:
                raise MediaError(f"{self.reader.path}: a packet at {packet.dts} is damaged; wanted it whole")
            slices = slices_of(split_units(bytes(packet), self._scan.length_bytes), self._rules)
            first = not self._run_is_copied
            self._run_is_copied = True
            self._written_proof.copy(slices, partial(self._decode_alone, packet) if first else None)
            times.append(packet.pts)
            self._mux(self._framed(packet, slices, self._scan.sets, decode_time, packet.duration or 0))
            self.frames_written += 1
        self._times.extend(sorted(times))
        self._last_source_pts = group.last_pts
        self.groups_copied += 1

    def _decode_alone(self, packet: Packet[Any]) -> av.VideoFrame:
        """The source's own picture of a packet that needs no other."""
        if self._alone is None:
            record = bytes(self.reader.stream.codec_context.extradata or b"")
            self._alone = decoder_of(self._rules.codec, record)
        with foreign_errors(self.reader.path, f"the picture at {packet.pts} cannot be decoded"):
            pictures = [*self._alone.decode(packet), *self._alone.decode(None)]
        self._alone.flush_buffers()
        if len(pictures) != 1 or pictures[0].is_corrupt:
            raise MediaError(
                f"{self.reader.path}: {len(pictures)} pictures came of a packet; wanted one, whole"
            )
        return pictures[0]  # type: ignore[no-any-return]

    def encode_anew(self, group: Group) -> Iterator[Any]:
        """The frames of the group, each to be given to `write` before the next is asked for."""
        self._run_is_copied = False
        yield from self.reader.frames_of(group)

    def end_run(self) -> None:
        """A copied group follows, or the end: the encoder is emptied, and the next group gets a fresh one."""
        if not self._encoder_used:
            return
        self._drain()
        self._encoder_used = False
        if self.reader.coded:
            raise MediaError(
                f"{self.path}: {len(self.reader.coded)} frames were not encoded; wanted every one"
            )
        self._codec = None

    def _encode(self, pts: int, duration: int) -> None:
        if self._codec is None:
            self._codec = self._new_encoder()
            units = split_units(bytes(self._codec.extradata or b""), 0)
            if {set_key(unit, self._rules): unit for unit in units if self._is_set(unit)} != self._our_sets:
                raise MediaError(f"{self.path}: {self.encoder} cannot begin anew in one file")
        super()._encode(pts, duration)

    # -- packets ------------------------------------------------------------------------------------------------

    def _take_coded(self, packet: Packet[Any]) -> None:
        """A packet of the encoder, in the source's place: frames come in the order of their times (no B pictures)."""
        self._written_proof.see(packet, self._codec)
        decode_time, duration = self.reader.coded.popleft()
        slices = slices_of(split_units(bytes(packet), 0), self._rules)
        self._mux(self._framed(packet, slices, self._our_sets, decode_time, duration))

    def _framed(
        self, packet: Packet[Any], slices: list[bytes], sets: Sets, decode_time: int, duration: int
    ) -> Packet[Any]:
        """A packet of these slices and nothing else that came with them."""
        units = slices
        if self._sets_inside and (packet.is_keyframe or begins_anew(slices, self._rules)):
            units = [*in_order(sets), *slices]
        facts = self.reader.facts
        if packet.pts == self._scan.groups[-1].last_pts:
            duration = cut_duration(packet.pts, duration, facts.end_pts, facts.time_base)
        self._framed_duration = duration
        framed: Any = load_av().Packet(join_units(units, start_codes=self._start_codes))
        framed.pts, framed.dts, framed.duration = packet.pts, decode_time, duration
        framed.time_base = facts.time_base
        framed.is_keyframe = packet.is_keyframe
        return framed  # type: ignore[no-any-return]

    def _last_duration(self) -> int:
        return self._framed_duration

    def complete(self) -> None:
        """Write what is held back, end the file and check it; it gets its name when the block ends."""
        self.end_run()
        super().complete()
